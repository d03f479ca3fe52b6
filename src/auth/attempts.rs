//! Failed attempts to log in: each address is slowed down, and none is slowed for another.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::networks::whose;
use crate::api::{Error, Result};
use crate::sync::lock;

/// How many attempts may fail before the next has to wait: people mistype.
pub const FREE: u32 = 4;

/// The longest wait. Each failure doubles it, from one second.
pub const MAX_WAIT: Duration = Duration::from_secs(300);

/// After how long without an attempt an address starts anew.
const FORGOTTEN: Duration = Duration::from_secs(3600);

/// How many addresses are remembered. Of more, the one that has failed least is forgotten.
pub const MAX_ADDRESSES: usize = 1024;

struct Record {
    failed: u32,
    last: Instant,
}

/// Who failed how often.
pub(super) struct Attempts {
    /// After how many failures an address may not try again until the server starts anew; none for never.
    limit: Option<u32>,
    records: Mutex<HashMap<IpAddr, Record>>,
}

impl Attempts {
    pub(super) fn new(limit: Option<u32>) -> Self {
        Self { limit, records: Mutex::default() }
    }

    /// Whether an address may try now. The attempt counts as failed until [`Self::succeeded`], so that trying many
    /// times at once does not help.
    ///
    /// # Errors
    /// 429 when it has to wait, 401 when it may not try at all (spec behaviour.md §4.2).
    pub(super) fn begin(&self, address: Option<IpAddr>) -> Result<()> {
        let Some(address) = address.map(whose) else { return Ok(()) };
        let mut records = lock(&self.records);
        let now = Instant::now();
        if self.limit.is_none() {
            records.retain(|_, record| now.duration_since(record.last) < FORGOTTEN);
        }
        if let Some(record) = records.get_mut(&address) {
            if self.limit.is_some_and(|limit| record.failed >= limit) {
                return Err(Error::new(401, "Too many failed attempts to log in"));
            }
            let left = wait(record.failed).saturating_sub(now.duration_since(record.last));
            if !left.is_zero() {
                let seconds = left.as_secs() + 1;
                return Err(Error::new(429, format!("Too many failed attempts, try again in {seconds} s")));
            }
            record.failed = record.failed.saturating_add(1);
            record.last = now;
            return Ok(());
        }
        if records.len() >= MAX_ADDRESSES
            && let Some(least) =
                records.iter().min_by_key(|(_, record)| record.failed).map(|(least, _)| *least)
        {
            records.remove(&least);
        }
        records.insert(address, Record { failed: 1, last: now });
        Ok(())
    }

    /// An attempt that began has failed; the wait for the next begins now, however long the check took.
    pub(super) fn failed(&self, address: Option<IpAddr>) {
        let mut records = lock(&self.records);
        if let Some(record) = address.and_then(|address| records.get_mut(&whose(address))) {
            record.last = Instant::now();
        }
    }

    /// An attempt that began was one by somebody who may.
    pub(super) fn succeeded(&self, address: Option<IpAddr>) {
        if let Some(address) = address.map(whose) {
            lock(&self.records).remove(&address);
        }
    }
}

/// How long to wait after so many failures.
fn wait(failed: u32) -> Duration {
    match failed.checked_sub(FREE) {
        None => Duration::ZERO,
        Some(beyond) => MAX_WAIT.min(Duration::from_secs(1 << beyond.min(16))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn status(outcome: Result<()>) -> u16 {
        outcome.map_or_else(|error| error.status(), |()| 200)
    }

    /// Lets time pass.
    fn pass(attempts: &Attempts, time: Duration) {
        lock(&attempts.records).values_mut().for_each(|record| record.last -= time);
    }

    #[test]
    fn who_fails_waits_longer_and_longer() {
        let attempts = Attempts::new(None);
        for _ in 0..FREE {
            assert_eq!(status(attempts.begin(at("10.0.0.1"))), 200);
        }
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 429);
        assert_eq!(status(attempts.begin(at("10.0.0.2"))), 200, "another address");
        pass(&attempts, Duration::from_secs(1));
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 200);
        pass(&attempts, Duration::from_secs(1));
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 429, "two seconds this time");
        pass(&attempts, Duration::from_secs(1));
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 200);
        attempts.succeeded(at("10.0.0.1"));
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 200);
        assert_eq!((wait(100), wait(0)), (MAX_WAIT, Duration::ZERO));
    }

    #[test]
    fn a_limit_is_for_good() {
        let attempts = Attempts::new(Some(2));
        for expected in [200, 200, 401] {
            assert_eq!(status(attempts.begin(at("::1"))), expected);
        }
        pass(&attempts, FORGOTTEN * 2);
        assert_eq!(status(attempts.begin(at("::1"))), 401);
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        let attempts = Attempts::new(Some(1));
        assert_eq!(status(attempts.begin(at("2001:db8::1"))), 200);
        assert_eq!(status(attempts.begin(at("2001:db8::ffff:1"))), 401);
        assert_eq!(status(attempts.begin(at("2001:db8:0:1::1"))), 200);
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 200);
        assert_eq!(status(attempts.begin(at("::ffff:10.0.0.1"))), 401);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let attempts = Attempts::new(Some(2));
        attempts.begin(at("10.0.0.1")).unwrap();
        attempts.begin(at("10.0.0.1")).unwrap();
        for n in 0..2 * MAX_ADDRESSES as u32 {
            attempts.begin(Some(std::net::Ipv4Addr::from_bits(0x0b00_0000 + n).into())).unwrap();
        }
        assert_eq!(lock(&attempts.records).len(), MAX_ADDRESSES);
        assert_eq!(status(attempts.begin(at("10.0.0.1"))), 401, "who failed most is not forgotten");
    }
}
