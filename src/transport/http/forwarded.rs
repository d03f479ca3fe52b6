//! Whose request it is when a reverse proxy passes it on. Only proxies that the configuration names are believed.

use std::net::{IpAddr, SocketAddr};

use crate::auth::Networks;

/// How many proxies one request may have come through. What is beyond is not looked at.
const MAX_HOPS: usize = 16;

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The client's address.
    pub(super) address: IpAddr,
    /// Another address that is said to be the client's. Which of them is right cannot be told, so both have to be
    /// trusted.
    pub(super) other: Option<IpAddr>,
    /// Whether what was said could be understood.
    pub(super) clear: bool,
}

/// Finds out where a request came from. `forwarded_for` is the values of all headers `X-Forwarded-For`, in their
/// order; `real_ip` those of `X-Real-IP`.
///
/// Each proxy adds its own peer at the end of `X-Forwarded-For`, so the client is the last one that is no proxy;
/// what stands before it may be invented. `X-Real-IP` may be invented as well where the proxy does not set it.
pub(super) fn origin<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    mut real_ip: impl Iterator<Item = &'a str>,
    proxies: &Networks,
) -> Origin {
    let peer = peer.to_canonical();
    let direct = Origin { address: peer, other: None, clear: true };
    if !proxies.contains(peer) {
        return direct;
    }
    let unclear = Origin { clear: false, ..direct };
    let mut by_list = None;
    for hop in forwarded_for.rev().flat_map(|header| header.rsplit(',')).take(MAX_HOPS) {
        let Some(address) = address(hop) else { return unclear };
        by_list = Some(address);
        if !proxies.contains(address) {
            break;
        }
    }
    let by_header = match (real_ip.next().map(address), real_ip.next()) {
        (None, _) => None,
        (Some(Some(address)), None) => Some(address),
        _ => return unclear,
    };
    let address = by_list.or(by_header).unwrap_or(peer);
    Origin { address, other: by_header.filter(|other| *other != address), clear: true }
}

/// The client's address alone, with the same arguments.
pub fn client_address<'a>(
    peer: IpAddr,
    forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    real_ip: impl Iterator<Item = &'a str>,
    proxies: &Networks,
) -> IpAddr {
    origin(peer, forwarded_for, real_ip, proxies).address
}

/// An address as proxies write it, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address =
        bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(peer: &str, forwarded_for: &[&str], real_ip: &[&str]) -> Origin {
        let proxies = Networks::loopback();
        let (list, header) = (forwarded_for.iter().copied(), real_ip.iter().copied());
        origin(peer.parse().unwrap(), list, header, &proxies)
    }

    fn address_of(peer: &str, forwarded_for: &[&str], real_ip: &[&str]) -> String {
        let found = found(peer, forwarded_for, real_ip);
        assert!(found.clear && found.other.is_none(), "{found:?}");
        found.address.to_string()
    }

    #[test]
    fn only_proxies_are_believed() {
        assert_eq!(address_of("10.0.0.1", &["127.0.0.1"], &["127.0.0.1"]), "10.0.0.1");
        assert_eq!(address_of("127.0.0.1", &["10.0.0.1"], &["10.0.0.1"]), "10.0.0.1");
        assert_eq!(address_of("::ffff:127.0.0.1", &["10.0.0.1"], &[]), "10.0.0.1");
        assert_eq!(address_of("127.0.0.1", &[], &["10.0.0.1"]), "10.0.0.1");
        assert_eq!(address_of("127.0.0.1", &[], &[]), "127.0.0.1");
    }

    #[test]
    fn what_a_client_invents_does_not_count() {
        assert_eq!(address_of("127.0.0.1", &["127.0.0.1, 10.0.0.1"], &[]), "10.0.0.1");
        assert_eq!(address_of("127.0.0.1", &["127.0.0.1", "10.0.0.1"], &[]), "10.0.0.1");
        assert_eq!(address_of("127.0.0.1", &["8.8.8.8, 10.0.0.1, 127.0.0.1"], &[]), "10.0.0.1");
        let both = found("127.0.0.1", &["10.0.0.1"], &["127.0.0.1"]);
        assert_eq!((both.address.to_string(), both.other.is_some()), ("10.0.0.1".to_owned(), true));
    }

    #[test]
    fn what_cannot_be_understood_is_not_clear() {
        for (list, header) in [
            (&["unknown"] as &[&str], &[] as &[&str]),
            (&["10.0.0.1, "], &[]),
            (&[""], &[]),
            (&[], &["evil"]),
            (&[], &["10.0.0.1", "127.0.0.1"]),
        ] {
            assert!(!found("127.0.0.1", list, header).clear, "{list:?} {header:?}");
        }
    }

    #[test]
    fn ports_and_brackets_are_left_out() {
        for (text, expected) in [
            ("10.0.0.1:99", "10.0.0.1"),
            ("[fe80::1]:5", "fe80::1"),
            ("[::2]", "::2"),
            ("\"[::2]:1\"", "::2"),
        ] {
            assert_eq!(address_of("127.0.0.1", &[text], &[]), expected);
        }
    }

    proptest! {
        #[test]
        fn any_header_is_read(list in ".*", header in ".*") {
            found("127.0.0.1", &[&list], &[&header]);
            let direct = found("10.0.0.1", &[&list], &[&header]);
            prop_assert_eq!(direct.address.to_string(), "10.0.0.1");
        }
    }
}
