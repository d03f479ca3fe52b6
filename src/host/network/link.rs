//! The bit timing of a CAN interface, which only rtnetlink tells.
//!
//! One `RTM_GETLINK` request for one interface, with the attribute layout of rtnetlink(7) and `linux/can/netlink.h`.

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt,
    socket,
};
use nix::sys::time::{TimeVal, TimeValLike};

/// How long the kernel may take; it answers within the call.
const TIMEOUT_MS: i64 = 500;
/// A link message with all its statistics is about 2 KiB.
const REPLY_SIZE: usize = 16 * 1024;

/// What is known of a CAN controller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitTiming {
    /// Bits per second; `None` for a virtual interface or one that has not been set up.
    pub bitrate: Option<u32>,
    /// Name of the driver.
    pub driver: Option<String>,
}

/// Asks the kernel for the bit timing of an interface by its index.
///
/// # Errors
/// Where netlink cannot be used or there is no such interface.
pub fn bit_timing(index: u32) -> io::Result<BitTiming> {
    let fd =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    setsockopt(&fd, ReceiveTimeout, &TimeVal::milliseconds(TIMEOUT_MS))?;
    sendto(fd.as_raw_fd(), &request(index), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut reply = vec![0; REPLY_SIZE];
    let length = recv(fd.as_raw_fd(), &mut reply, MsgFlags::empty())?;
    parse(&reply[..length]).unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()))
}

/// Length of `nlmsghdr`: length, type, flags, sequence number, port.
const HEADER: usize = 16;
/// Length of `ifinfomsg`: family, type, index, flags, change mask.
const LINK: usize = 16;

fn request(index: u32) -> [u8; HEADER + LINK] {
    let mut message = [0; HEADER + LINK];
    message[0..4].copy_from_slice(&((HEADER + LINK) as u32).to_ne_bytes());
    message[4..6].copy_from_slice(&libc::RTM_GETLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    message[HEADER + 4..HEADER + 8].copy_from_slice(&index.to_ne_bytes());
    message
}

/// The bit timing in a reply, the error that the kernel reports, or `None` where it is no reply.
fn parse(message: &[u8]) -> Option<io::Result<BitTiming>> {
    const IFLA_CAN_BITTIMING: u16 = 1;
    const IFLA_CAN_BITTIMING_CONST: u16 = 2;
    /// Length of the name in `can_bittiming_const`.
    const NAME: usize = 16;

    let length = u32_at(message, 0)? as usize;
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let body = message.get(HEADER..length.min(message.len()))?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let code = u32_at(body, 0)?.cast_signed();
        return Some(Err(io::Error::from_raw_os_error(code.checked_neg()?)));
    }
    if kind != libc::RTM_NEWLINK {
        return None;
    }
    let mut timing = BitTiming::default();
    let info = attribute(body.get(LINK..)?, libc::IFLA_LINKINFO);
    let data = info.and_then(|info| attribute(info, libc::IFLA_INFO_DATA));
    if let Some(data) = data {
        let bitrate = attribute(data, IFLA_CAN_BITTIMING).and_then(|timing| u32_at(timing, 0));
        timing.bitrate = bitrate.filter(|rate| *rate != 0);
        let name = attribute(data, IFLA_CAN_BITTIMING_CONST).and_then(|c| c.get(..NAME));
        timing.driver = name.and_then(c_text);
    }
    Some(Ok(timing))
}

/// The payload of the first attribute of a kind in a row of them.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    /// Length and kind.
    const HEADER: usize = 4;
    /// Bits of the kind that say how the payload is encoded.
    const FLAGS: u16 = 0xc000;
    loop {
        let length = usize::from(u16::from_ne_bytes(attributes.get(0..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(attributes.get(2..4)?.try_into().ok()?) & !FLAGS;
        let payload = attributes.get(HEADER..length)?;
        if kind == wanted {
            return Some(payload);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

/// Text up to its NUL.
fn c_text(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|b| *b == 0).next()?;
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn attr(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut out = ((payload.len() + 4) as u16).to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.extend(payload);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn reply(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut out = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        out.extend(kind.to_ne_bytes());
        out.resize(HEADER, 0);
        out.extend(body);
        out
    }

    #[test]
    fn a_can_controller() {
        let mut timing = 500_000u32.to_ne_bytes().to_vec();
        timing.resize(32, 0);
        let mut limits = b"mcp251x\0".to_vec();
        limits.resize(48, 0);
        let data = [attr(1, &timing), attr(2, &limits)].concat();
        let info =
            [attr(libc::IFLA_INFO_KIND, b"can\0"), attr(libc::IFLA_INFO_DATA | 0x8000, &data)].concat();
        let body = [vec![0; LINK], attr(3, b"can0\0"), attr(libc::IFLA_LINKINFO, &info)].concat();
        let found = parse(&reply(libc::RTM_NEWLINK, &body)).unwrap().unwrap();
        assert_eq!(found, BitTiming { bitrate: Some(500_000), driver: Some("mcp251x".into()) });
    }

    #[test]
    fn the_loopback_interface_has_no_bit_timing() {
        assert_eq!(bit_timing(1).unwrap(), BitTiming::default());
    }

    #[test]
    fn an_interface_that_vanished() {
        let error = bit_timing(0x7fff_fff0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_attributes(body in proptest::collection::vec(any::<u8>(), LINK..200)) {
            let _ = parse(&reply(libc::RTM_NEWLINK, &body));
            let info = [vec![0; LINK], attr(libc::IFLA_LINKINFO, &attr(libc::IFLA_INFO_DATA, &body))].concat();
            let _ = parse(&reply(libc::RTM_NEWLINK, &info));
        }
    }
}
