//! Sets of IP networks, as options name them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// One network: an address, or all whose first bits are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether the address lies in it. An IPv4 address that came in over IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = mask_v4(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = mask_v6(self.prefix);
                own.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    /// Reads an address, or an address with the length of its network (`192.168.1.0/24`) or, for IPv4, its mask
    /// (`192.168.1.0/255.255.255.0`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "is not an IP address")?;
        let full = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match length {
            None => full,
            Some(length) => {
                prefix(length, address).filter(|prefix| *prefix <= full).ok_or("has a bad length")?
            }
        };
        let host_bits = match address {
            IpAddr::V4(address) => u128::from(address.to_bits() & !mask_v4(prefix)),
            IpAddr::V6(address) => address.to_bits() & !mask_v6(prefix),
        };
        if host_bits != 0 {
            return Err("has bits set beyond the length of the network");
        }
        Ok(Self { address, prefix })
    }
}

fn prefix(text: &str, address: IpAddr) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mask = text.parse::<Ipv4Addr>().ok().filter(|_| address.is_ipv4())?.to_bits();
    let prefix = mask.leading_ones();
    (mask == mask_v4(prefix as u8)).then_some(prefix as u8)
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

/// Some networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// This machine.
    pub fn loopback() -> Self {
        Self(vec![
            Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), prefix: 8 },
            Network { address: Ipv6Addr::LOCALHOST.into(), prefix: 128 },
        ])
    }

    /// Adds one.
    pub fn add(&mut self, network: Network) {
        self.0.push(network);
    }

    /// Whether the address lies in any.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Bits of an IPv6 address that are one customer's.
const CUSTOMER_PREFIX: u32 = 64;

/// The address by which somebody is known: of IPv6, everybody has very many.
pub fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let kept = address.to_bits() >> (128 - CUSTOMER_PREFIX) << (128 - CUSTOMER_PREFIX);
            Ipv6Addr::from_bits(kept).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (network, address, inside) in [
            ("192.168.1.0/24", "192.168.1.77", true),
            ("192.168.1.0/24", "192.168.2.1", false),
            ("192.168.1.0/255.255.255.0", "192.168.1.77", true),
            ("192.168.1.5", "192.168.1.5", true),
            ("192.168.1.5", "192.168.1.6", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("0.0.0.0/0", "::1", false),
            ("FE80::/10", "fe80::1", true),
            ("FE80::/10", "fec0::1", false),
            ("::1/128", "::1", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::ffff:11.1.2.3", false),
        ] {
            let read: Network = network.parse().unwrap();
            assert_eq!(read.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "192.168.1.1/24",
            "192.168.1.0/33",
            "192.168.1.0/",
            "192.168.1.0/+4",
            "10.0.0.0/255.0.255.0",
            "fe80::/ffff::",
            "::/129",
            "host",
            "",
            "1.2.3",
            "/8",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = text.parse::<Network>();
        }

        #[test]
        fn an_address_is_in_its_own_network(bits: u32, prefix in 0u8..=32) {
            let base = Ipv4Addr::from_bits(bits & mask_v4(prefix));
            let network: Network = format!("{base}/{prefix}").parse().unwrap();
            prop_assert!(network.contains(Ipv4Addr::from_bits(bits).into()));
        }
    }
}
