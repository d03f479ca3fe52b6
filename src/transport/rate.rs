//! How often strangers may ask: each address so many times a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::api::{Error, Result};
use crate::auth::whose;
use crate::sync::lock;

/// How many requests a second an address may make of which nothing else is known, unless the configuration says
/// something else. A front-end that shows its log-in makes less than ten in all.
pub const DEFAULT_RATE: u32 = 20;

/// The requests of how long a time may come at once.
pub const BURST: Duration = Duration::from_secs(5);

/// How many addresses are remembered. Of more, the one that has asked least is forgotten.
pub(super) const MAX_ADDRESSES: usize = 1024;

/// Who asked how often.
#[derive(Debug)]
pub struct Rates {
    /// The time that one request takes of an address's share; none without a limit.
    share: Option<Duration>,
    /// Up to when the share of an address is used.
    used: Mutex<HashMap<IpAddr, Instant>>,
}

impl Rates {
    /// So many requests a second for each address; 0 for as many as come.
    pub fn new(per_second: u32) -> Self {
        Self { share: Duration::from_secs(1).checked_div(per_second), used: Mutex::default() }
    }

    /// Counts a request of a stranger.
    ///
    /// # Errors
    /// 429 for one too many.
    pub fn take(&self, address: IpAddr) -> Result<()> {
        self.take_at(address, Instant::now())
    }

    fn take_at(&self, address: IpAddr, now: Instant) -> Result<()> {
        let Some(share) = self.share else { return Ok(()) };
        let address = whose(address);
        let mut used = lock(&self.used);
        let until = used.get(&address).map_or(now, |until| now.max(*until)) + share;
        if until.saturating_duration_since(now) > BURST {
            return Err(Error::new(429, "Too many requests, log in or try again later"));
        }
        if used.len() >= MAX_ADDRESSES && !used.contains_key(&address) {
            used.retain(|_, until| *until > now);
            let least = used.iter().min_by_key(|(_, until)| **until).map(|(least, _)| *least);
            if let Some(least) = least.filter(|_| used.len() >= MAX_ADDRESSES) {
                used.remove(&least);
            }
        }
        used.insert(address, until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn who_asks_too_often_waits_and_nobody_else() {
        let rates = Rates::new(20);
        let now = Instant::now();
        for _ in 0..20 * BURST.as_secs() {
            rates.take_at(address(1), now).unwrap();
        }
        assert_eq!(rates.take_at(address(1), now).unwrap_err().status(), 429);
        rates.take_at(address(2), now).unwrap();
        let later = now + Duration::from_millis(50);
        rates.take_at(address(1), later).unwrap();
        assert_eq!(rates.take_at(address(1), later).unwrap_err().status(), 429);
    }

    #[test]
    fn no_limit() {
        let rates = Rates::new(0);
        assert!((0..10_000).all(|_| rates.take(address(1)).is_ok()));
    }

    #[test]
    fn only_so_many_addresses_are_remembered() {
        let rates = Rates::new(1);
        let now = Instant::now();
        for _ in 0..BURST.as_secs() {
            rates.take_at(address(1), now).unwrap();
        }
        for number in 2..5000 {
            rates.take_at(address(number), now).unwrap();
        }
        assert_eq!(lock(&rates.used).len(), MAX_ADDRESSES);
        assert!(rates.take_at(address(1), now).is_err(), "who asked most is not forgotten");
    }
}
