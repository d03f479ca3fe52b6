//! A simulated board on a CAN bus that nobody has given a number yet: it waits to be asked who it is.
//!
//! The numbers of the protocol (Klipper, CAN bus protocol) are written down here once more, apart from those of
//! [`crate::host::can_uuids`]: what one side has wrong the other does not share.

use std::io;

use socketcan::{CanFilter, CanFrame, CanSocket, EmbeddedFrame, Socket, SocketOptions, StandardId};

const ADMIN_ID: u16 = 0x3f0;
const ANSWER_ID: u16 = 0x3f1;
const CMD_QUERY_UNASSIGNED: u8 = 0x00;
const RESP_NEED_NODEID: u8 = 0x20;

/// What runs on a board, by the command with which it takes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// Klipper's firmware.
    Klipper = 0x01,
    /// Katapult, the boot loader.
    Katapult = 0x11,
}

/// A board without a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanNode {
    uuid: [u8; 6],
    application: Application,
}

impl CanNode {
    /// A board of `uuid`, twelve hexadecimal digits, that runs `klipper` or `katapult`.
    pub fn new(uuid: &str, application: &str) -> Option<Self> {
        let application = match application {
            "klipper" => Application::Klipper,
            "katapult" => Application::Katapult,
            _ => return None,
        };
        let number = u64::from_str_radix(uuid, 16).ok().filter(|_| uuid.len() == 12)?;
        let [_, _, uuid @ ..] = number.to_be_bytes();
        Some(Self { uuid, application })
    }

    /// Answers on the bus of this interface for as long as it is there, and says so with `ready` before.
    ///
    /// # Errors
    /// Where there is no such interface, or it goes away.
    pub fn run(self, interface: &str, ready: impl FnOnce()) -> io::Result<()> {
        let socket = CanSocket::open(interface)?;
        socket.set_filters(&[CanFilter::new(u32::from(ADMIN_ID), 0x7ff)])?;
        let id = StandardId::new(ANSWER_ID).ok_or(io::ErrorKind::InvalidInput)?;
        ready();
        loop {
            if let Some(answer) = self.answer(socket.read_frame()?.data()) {
                let frame = CanFrame::new(id, &answer).ok_or(io::ErrorKind::InvalidInput)?;
                socket.write_frame(&frame)?;
            }
        }
    }

    /// The answer to a message for all boards.
    fn answer(&self, message: &[u8]) -> Option<[u8; 8]> {
        let [a, b, c, d, e, f] = self.uuid;
        (message.first() == Some(&CMD_QUERY_UNASSIGNED)).then_some([
            RESP_NEED_NODEID,
            a,
            b,
            c,
            d,
            e,
            f,
            self.application as u8,
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_the_question_and_nothing_else() {
        let node = CanNode::new("11aabbccddee", "katapult").unwrap();
        assert_eq!(node.answer(&[0x00]), Some([0x20, 0x11, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0x11]));
        assert_eq!(CanNode::new("11aabbccddee", "klipper").unwrap().answer(&[0x00]).unwrap()[7], 0x01);
        assert_eq!((node.answer(&[0x01, 0x11]), node.answer(&[])), (None, None));
        for (uuid, application) in
            [("11aabbccdde", "klipper"), ("11aabbccddeg", "klipper"), ("+1aabbccddee", "x")]
        {
            assert_eq!(CanNode::new(uuid, application), None);
        }
    }
}
