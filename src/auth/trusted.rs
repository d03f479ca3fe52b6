//! Clients that are trusted for their address: `[authorization] trusted_clients`.
//!
//! The reference asks the name server for the name of each address that connects. Whoever runs that part of the
//! name space can then call himself as he likes, so here it is the other way round: the configured names are looked
//! up, and an address is trusted when it is one of theirs.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use smol::Timer;

use super::networks::{Network, Networks};
use crate::sync::lock;
use crate::tasks::unblock;

/// How long the name server may take (spec behaviour.md §4.1).
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(300);

/// How long after a failed look-up the next is made.
const RETRY: Duration = Duration::from_secs(30);

/// How many names there may be; each is a look-up.
pub const MAX_NAMES: usize = 32;

/// Trusted addresses and names.
#[derive(Debug, Clone, Default)]
pub struct TrustedClients {
    networks: Networks,
    names: Vec<Arc<str>>,
    known: Arc<Mutex<HashMap<Arc<str>, Lookup>>>,
}

/// What is known of a name.
#[derive(Debug, Clone)]
struct Lookup {
    addresses: Vec<IpAddr>,
    again: Instant,
}

impl TrustedClients {
    /// Trusts these addresses, networks and host names. What is none of them is left out: the second list says
    /// which and why (spec config.md §3).
    pub fn new(entries: impl IntoIterator<Item = String>) -> (Self, Vec<String>) {
        let (mut trusted, mut refused) = (Self::default(), Vec::new());
        for entry in entries {
            match entry.parse::<Network>() {
                Ok(network) => trusted.networks.add(network),
                Err(_) if is_name(&entry) && trusted.names.len() < MAX_NAMES => {
                    trusted.names.push(entry.to_ascii_lowercase().into());
                }
                Err(reason) => refused.push(format!("trusted client '{entry}' {reason}, nor a host name")),
            }
        }
        (trusted, refused)
    }

    /// Whether an address is trusted without regard to names.
    pub fn has_address(&self, address: IpAddr) -> bool {
        self.networks.contains(address)
    }

    /// Whether an address is trusted. May wait for the name server.
    pub async fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        if self.networks.contains(address) {
            return true;
        }
        for name in &self.names {
            if self.addresses(name).await.contains(&address) {
                return true;
            }
        }
        false
    }

    async fn addresses(&self, name: &Arc<str>) -> Vec<IpAddr> {
        {
            let mut known = lock(&self.known);
            if let Some(lookup) = known.get_mut(name) {
                if lookup.again > Instant::now() {
                    return lookup.addresses.clone();
                }
                // whoever else asks meanwhile gets the last answer
                lookup.again = Instant::now() + RETRY;
            }
        }
        let host = name.to_string();
        let asked = async move { unblock(move || look_up(&host)).await };
        let late = async {
            Timer::after(LOOKUP_TIMEOUT).await;
            None
        };
        let found = smol::future::or(asked, late).await;
        let again = Instant::now() + if found.is_some() { FRESH } else { RETRY };
        let addresses = found.unwrap_or_default();
        lock(&self.known).insert(name.clone(), Lookup { addresses: addresses.clone(), again });
        addresses
    }
}

/// The addresses of a host. Blocking.
fn look_up(host: &str) -> Option<Vec<IpAddr>> {
    match (host, 0).to_socket_addrs() {
        Ok(found) => Some(found.map(|address| address.ip().to_canonical()).collect()),
        Err(error) => {
            log::debug!("The trusted client {host} has no address: {error}");
            None
        }
    }
}

/// Whether a text can be the name of a host: labels of letters, digits and hyphens, with a letter among them, so
/// that a mistyped address is none.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    text.len() <= 253 && text.split('.').all(is_label) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusts(entries: &[&str], address: &str) -> bool {
        let (trusted, _) = TrustedClients::new(entries.iter().map(|entry| (*entry).to_owned()));
        smol::block_on(trusted.contains(address.parse().unwrap()))
    }

    #[test]
    fn addresses_networks_and_names() {
        assert!(trusts(&["10.0.0.0/8"], "10.9.8.7"));
        assert!(trusts(&["192.168.1.5"], "::ffff:192.168.1.5"));
        assert!(trusts(&["localhost"], "127.0.0.1"));
        assert!(!trusts(&["localhost"], "10.0.0.1"));
        assert!(!trusts(&["no-such-host.invalid", "10.0.0.1"], "10.0.0.2"));
        assert!(!trusts(&[], "127.0.0.1"));
    }

    #[test]
    fn what_is_nothing_is_left_out() {
        let entries = ["192.168.1.7/24", "300.1.1.1", "a b", "", "-", "good.name", "x..y"];
        let (trusted, refused) = TrustedClients::new(entries.map(str::to_owned));
        assert_eq!(refused.len(), 6, "{refused:?}");
        assert_eq!(trusted.names, [Arc::from("good.name")]);
    }
}
