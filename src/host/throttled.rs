//! Whether the firmware of a Raspberry Pi slows the CPU down: low voltage, heat.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;

use serde::Serialize;

use super::Host;
use super::files::parse_hex;

/// What each bit says (spec behaviour.md §12).
const FLAGS: [(u32, &str); 8] = [
    (1 << 0, "Under-Voltage Detected"),
    (1 << 1, "Frequency Capped"),
    (1 << 2, "Currently Throttled"),
    (1 << 3, "Temperature Limit Active"),
    (1 << 16, "Previously Under-Volted"),
    (1 << 17, "Previously Frequency Capped"),
    (1 << 18, "Previously Throttled"),
    (1 << 19, "Previously Temperature Limited"),
];

/// The state of the firmware (spec api.md §5, `throttled_state`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ThrottledState {
    /// As the firmware gives it.
    pub bits: u32,
    /// What the bits say.
    pub flags: Vec<&'static str>,
}

impl From<u32> for ThrottledState {
    fn from(bits: u32) -> Self {
        let flags = FLAGS.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
        Self { bits, flags }
    }
}

/// A way to the firmware. Neither needs a process.
#[derive(Debug)]
pub struct Throttled {
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// An attribute that the kernels of Raspberry Pi OS have.
    Sysfs { host: Host, path: String },
    /// The mailbox of the firmware, for members of group `video`.
    Mailbox(File),
}

impl Throttled {
    /// `None` where this is no Raspberry Pi, or the firmware may not be asked.
    pub fn of(host: &Host) -> Option<Self> {
        const DRIVER: &str = "/sys/bus/platform/drivers/raspberrypi-firmware";
        let devices = host.names(DRIVER);
        let mut attributes = devices.iter().map(|device| format!("{DRIVER}/{device}/get_throttled"));
        if let Some(path) = attributes.find(|path| host.hex(path).is_some()) {
            return Some(Self { way: Way::Sysfs { host: host.clone(), path } });
        }
        let file = OpenOptions::new().read(true).write(true).open(host.path("/dev/vcio")).ok()?;
        Some(Self { way: Way::Mailbox(file) })
    }

    /// The state now.
    ///
    /// # Errors
    /// Where the firmware does not answer.
    pub fn state(&self) -> io::Result<ThrottledState> {
        let bits = match &self.way {
            Way::Sysfs { host, path } => host.hex(path).and_then(|bits| u32::try_from(bits).ok()),
            Way::Mailbox(file) => mailbox::get_throttled(file.as_raw_fd())?,
        };
        bits.map(ThrottledState::from).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

/// The property interface of the VideoCore firmware: a request and its answer in one buffer.
mod mailbox {
    use super::{io, parse_hex};
    use std::os::fd::RawFd;

    /// Tag "get the result of a command", the one that `vcgencmd` uses: every firmware has it.
    const GET_GENCMD_RESULT: u32 = 0x0003_0080;
    /// Room for the command and its answer.
    const TEXT: usize = 256;

    #[repr(C)]
    pub(super) struct Message {
        /// Length of all of this in bytes.
        size: u32,
        /// 0 in a request, 0x80000000 in a good answer.
        code: u32,
        tag: u32,
        /// Length of the value: the error number and the text.
        value_size: u32,
        /// 0 in a request.
        value_length: u32,
        /// Error number of the command.
        pub(super) error: u32,
        pub(super) text: [u8; TEXT],
        /// End of the tags.
        end: u32,
    }

    mod ioctl {
        // `IOCTL_MBOX_PROPERTY`, declared by the kernel with the size of a pointer.
        nix::ioctl_readwrite_bad!(
            property,
            nix::request_code_readwrite!(100, 0, size_of::<*mut u8>()),
            super::Message
        );
    }

    impl Message {
        pub(super) fn command(command: &[u8]) -> Self {
            let mut text = [0; TEXT];
            let length = command.len().min(TEXT - 1);
            text[..length].copy_from_slice(&command[..length]);
            Self {
                size: size_of::<Self>() as u32,
                code: 0,
                tag: GET_GENCMD_RESULT,
                value_size: TEXT as u32,
                value_length: 0,
                error: 0,
                text,
                end: 0,
            }
        }

        /// The bits in the answer `throttled=0x50000`.
        pub(super) fn bits(&self) -> Option<u32> {
            let text = self.text.split(|b| *b == 0).next()?;
            let (_, value) = std::str::from_utf8(text).ok()?.split_once('=')?;
            if self.error != 0 {
                return None;
            }
            u32::try_from(parse_hex(value)?).ok()
        }
    }

    pub(super) fn get_throttled(fd: RawFd) -> io::Result<Option<u32>> {
        let mut message = Message::command(b"get_throttled");
        // SAFETY: the kernel reads and writes `size` bytes from the start of the message, which is as long.
        unsafe { ioctl::property(fd, &raw mut message) }?;
        Ok(message.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn flags_of_bits() {
        let state = ThrottledState::from(0x50005);
        let expected = [
            "Under-Voltage Detected",
            "Currently Throttled",
            "Previously Under-Volted",
            "Previously Throttled",
        ];
        assert_eq!(state.flags, expected);
        assert_eq!(serde_json::to_string(&ThrottledState::from(0)).unwrap(), r#"{"bits":0,"flags":[]}"#);
    }

    #[test]
    fn by_sysfs() {
        let tree = Tree::unpack(
            "@@ /sys/devices/platform/soc/soc:firmware/get_throttled\n50000\n\
             @@ /sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware -> \
             ../../../../devices/platform/soc/soc:firmware\n",
        );
        let throttled = Throttled::of(tree.host()).unwrap();
        assert_eq!(throttled.state().unwrap().bits, 0x50000);
        std::fs::remove_dir_all(tree.folder().join("sys/devices")).unwrap();
        assert!(throttled.state().is_err());
    }

    #[test]
    fn other_machines_have_none() {
        assert!(Throttled::of(Tree::unpack("").host()).is_none());
        // something else under this name
        let tree = Tree::unpack("@@ /dev/vcio\nx\n");
        assert!(Throttled::of(tree.host()).unwrap().state().is_err());
    }

    #[test]
    fn answers_of_the_mailbox() {
        let mut message = mailbox::Message::command(b"throttled=0x50005");
        assert_eq!(message.bits(), Some(0x50005));
        message.error = 1;
        assert_eq!(message.bits(), None);
        assert_eq!(mailbox::Message::command(b"get_throttled").bits(), None);
        assert_eq!(mailbox::Message::command(&[0xff; 1000]).bits(), None);
    }
}
