//! Network interfaces that are up, their addresses, and CAN interfaces.

mod link;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;
use serde::Serialize;

use super::Host;
pub use link::{BitTiming, bit_timing};

/// The most addresses that are taken over from the kernel.
const MAX_ADDRESSES: usize = 1024;
/// `ARPHRD_ETHER` of `linux/if_arp.h`: Ethernet and Wi-Fi, bridges and VLANs of them.
const TYPE_ETHERNET: u32 = 1;
/// `ARPHRD_CAN`
const TYPE_CAN: u32 = 280;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// `ipv4` or `ipv6`
    pub family: &'static str,
    /// As text.
    pub address: IpAddr,
    /// Only valid on this link: `fe80::/10`, `169.254.0.0/16`.
    pub is_link_local: bool,
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let (family, is_link_local) = match address {
            IpAddr::V4(v4) => ("ipv4", v4.is_link_local()),
            IpAddr::V6(v6) => ("ipv6", v6.is_unicast_link_local()),
        };
        Self { family, address, is_link_local }
    }
}

/// An Ethernet or Wi-Fi interface (spec api.md §5, `network`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// `b8:27:eb:98:bd:b4`
    pub mac_address: String,
    /// In the kernel's order.
    pub ip_addresses: Vec<Address>,
}

/// A CAN interface (spec api.md §5, `canbus`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CanInterface {
    /// How many frames may wait.
    pub tx_queue_len: u32,
    /// Bits per second, -1 where it is not known (a virtual interface).
    pub bitrate: i64,
    /// Name of its driver, or `unknown`.
    pub driver: String,
}

/// The addresses that this machine has now, each with the name of its interface.
///
/// # Errors
/// Where the kernel does not tell them (no rights for netlink, no memory).
pub fn addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    };
    let all = getifaddrs()?.filter_map(|entry| Some((entry.interface_name, ip(entry.address?)?)));
    Ok(all.take(MAX_ADDRESSES).collect())
}

/// The Ethernet and Wi-Fi interfaces that are up and have one of the [`addresses`].
pub fn interfaces(host: &Host, addresses: &[(String, IpAddr)]) -> BTreeMap<String, Interface> {
    let mut found = BTreeMap::new();
    for name in host.names(FOLDER) {
        let attribute = |attribute: &str| format!("{FOLDER}/{name}/{attribute}");
        if host.number(attribute("type")) != Some(TYPE_ETHERNET)
            || host.line(attribute("operstate")).as_deref() != Some("up")
        {
            continue;
        }
        let Some(mac_address) = host.line(attribute("address")) else { continue };
        let own = addresses.iter().filter(|(interface, _)| *interface == name);
        let ip_addresses: Vec<Address> = own.map(|(_, address)| Address::from(*address)).collect();
        if !ip_addresses.is_empty() {
            found.insert(name, Interface { mac_address, ip_addresses });
        }
    }
    found
}

/// The CAN interfaces that are up. `bit_timing` tells what sysfs does not: [`bit_timing`] asks the kernel.
pub fn can_interfaces(
    host: &Host,
    bit_timing: impl Fn(u32) -> io::Result<BitTiming>,
) -> BTreeMap<String, CanInterface> {
    let mut found = BTreeMap::new();
    for name in host.names(FOLDER) {
        let attribute = |attribute: &str| format!("{FOLDER}/{name}/{attribute}");
        if host.number(attribute("type")) != Some(TYPE_CAN) || !is_up(host, &attribute("flags")) {
            continue;
        }
        let index = host.number(attribute("ifindex")).unwrap_or(0);
        let timing = bit_timing(index).unwrap_or_default();
        let module = || host.link_name(attribute("device/driver"));
        found.insert(
            name.clone(),
            CanInterface {
                tx_queue_len: host.number(attribute("tx_queue_len")).unwrap_or(0),
                bitrate: timing.bitrate.map_or(-1, i64::from),
                driver: timing.driver.or_else(module).unwrap_or_else(|| "unknown".into()),
            },
        );
    }
    found
}

const FOLDER: &str = "/sys/class/net";

/// Whether the administrator has switched an interface on. The operational state of CAN interfaces depends on
/// the driver: virtual ones stay "unknown".
fn is_up(host: &Host, flags: &str) -> bool {
    const IFF_UP: u64 = 1;
    host.hex(flags).is_some_and(|flags| flags & IFF_UP != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    const TREE: &str = "@@ /sys/class/net/eth0/type\n1\n@@ /sys/class/net/eth0/operstate\nup\n\
        @@ /sys/class/net/eth0/address\nb8:27:eb:00:00:01\n\
        @@ /sys/class/net/wlan0/type\n1\n@@ /sys/class/net/wlan0/operstate\ndown\n\
        @@ /sys/class/net/wlan0/address\nb8:27:eb:00:00:02\n\
        @@ /sys/class/net/lo/type\n772\n@@ /sys/class/net/lo/operstate\nunknown\n\
        @@ /sys/class/net/can0/type\n280\n@@ /sys/class/net/can0/flags\n0x400c1\n\
        @@ /sys/class/net/can0/ifindex\n5\n@@ /sys/class/net/can0/tx_queue_len\n128\n\
        @@ /sys/class/net/can0/device/driver -> ../../x/gs_usb\n\
        @@ /sys/class/net/can1/type\n280\n@@ /sys/class/net/can1/flags\n0x40080\n";

    #[test]
    fn interfaces_that_are_up() {
        let tree = Tree::unpack(TREE);
        let address = |name: &str, ip: &str| (name.to_owned(), ip.parse().unwrap());
        let addresses = [
            address("lo", "127.0.0.1"),
            address("eth0", "192.168.1.2"),
            address("wlan0", "192.168.1.3"),
            address("eth0", "fe80::1"),
            address("gone0", "10.0.0.1"),
        ];
        let json = serde_json::to_value(interfaces(tree.host(), &addresses)).unwrap();
        let expected = serde_json::json!({"eth0": {
            "mac_address": "b8:27:eb:00:00:01",
            "ip_addresses": [
                {"family": "ipv4", "address": "192.168.1.2", "is_link_local": false},
                {"family": "ipv6", "address": "fe80::1", "is_link_local": true},
            ],
        }});
        assert_eq!(json, expected);
    }

    #[test]
    fn can_with_and_without_netlink() {
        let tree = Tree::unpack(TREE);
        let silent = can_interfaces(tree.host(), |_| Err(io::ErrorKind::PermissionDenied.into()));
        let can0 = CanInterface { tx_queue_len: 128, bitrate: -1, driver: "gs_usb".into() };
        assert_eq!(silent, BTreeMap::from([("can0".into(), can0.clone())]));
        let told = can_interfaces(tree.host(), |index| {
            assert_eq!(index, 5);
            Ok(BitTiming { bitrate: Some(1_000_000), driver: Some("mcp251x".into()) })
        });
        assert_eq!(told["can0"], CanInterface { bitrate: 1_000_000, driver: "mcp251x".into(), ..can0 });
    }

    #[test]
    fn addresses_of_this_machine() {
        let loopback = addresses().unwrap().into_iter().find(|(_, ip)| ip.is_loopback());
        assert_eq!(loopback.map(|(name, _)| name).as_deref(), Some("lo"));
    }
}
