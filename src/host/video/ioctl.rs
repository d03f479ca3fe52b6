//! The three calls of V4L2 that tell about a device (`linux/videodev2.h`).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct v4l2_capability`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Capability {
    pub(super) driver: [u8; 16],
    pub(super) card: [u8; 32],
    pub(super) bus_info: [u8; 32],
    version: u32,
    capabilities: u32,
    device_caps: u32,
    reserved: [u32; 3],
}

/// `struct v4l2_fmtdesc`
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct FormatDescription {
    index: u32,
    kind: u32,
    flags: u32,
    pub(super) description: [u8; 32],
    pub(super) pixelformat: u32,
    mbus_code: u32,
    reserved: [u32; 3],
}

/// `struct v4l2_frmsizeenum`; of the union only the discrete size is used.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct FrameSize {
    index: u32,
    pixel_format: u32,
    kind: u32,
    width: u32,
    height: u32,
    more_of_union: [u32; 4],
    reserved: [u32; 2],
}

// The numbers of the calls have these sizes in them.
const _: () = assert!(size_of::<Capability>() == 104);
const _: () = assert!(size_of::<FormatDescription>() == 64);
const _: () = assert!(size_of::<FrameSize>() == 44);

mod calls {
    nix::ioctl_read!(querycap, b'V', 0, super::Capability);
    nix::ioctl_readwrite!(enum_fmt, b'V', 2, super::FormatDescription);
    nix::ioctl_readwrite!(enum_framesizes, b'V', 74, super::FrameSize);
}

pub(super) fn capability(file: &File) -> io::Result<Capability> {
    let mut about = Capability::default();
    // SAFETY: the kernel writes a v4l2_capability, which this is.
    unsafe { calls::querycap(file.as_raw_fd(), &raw mut about) }?;
    Ok(about)
}

pub(super) fn format(file: &File, buffers: u32, index: u32) -> io::Result<FormatDescription> {
    let mut format = FormatDescription { index, kind: buffers, ..FormatDescription::default() };
    // SAFETY: the kernel reads and writes a v4l2_fmtdesc, which this is.
    unsafe { calls::enum_fmt(file.as_raw_fd(), &raw mut format) }?;
    Ok(format)
}

/// A size of a format; `None` after the last, and where sizes are ranges.
pub(super) fn discrete_size(file: &File, pixel_format: u32, index: u32) -> Option<(u32, u32)> {
    const V4L2_FRMSIZE_TYPE_DISCRETE: u32 = 1;
    let mut size = FrameSize { index, pixel_format, ..FrameSize::default() };
    // SAFETY: the kernel reads and writes a v4l2_frmsizeenum, which this is.
    unsafe { calls::enum_framesizes(file.as_raw_fd(), &raw mut size) }.ok()?;
    (size.kind == V4L2_FRMSIZE_TYPE_DISCRETE).then_some((size.width, size.height))
}

const VIDEO_CAPTURE: u32 = 0x1;
const VIDEO_CAPTURE_MPLANE: u32 = 0x1000;
const DEVICE_CAPS: u32 = 0x8000_0000;

/// `V4L2_CAP_…`
const CAPABILITIES: [(u32, &str); 28] = [
    (VIDEO_CAPTURE, "VIDEO_CAPTURE"),
    (0x2, "VIDEO_OUTPUT"),
    (0x4, "VIDEO_OVERLAY"),
    (0x10, "VBI_CAPTURE"),
    (0x20, "VBI_OUTPUT"),
    (0x40, "SLICED_VBI_CAPTURE"),
    (0x80, "SLICED_VBI_OUTPUT"),
    (0x100, "RDS_CAPTURE"),
    (0x200, "VIDEO_OUTPUT_OVERLAY"),
    (0x400, "HW_FREQ_SEEK"),
    (0x800, "RDS_OUTPUT"),
    (VIDEO_CAPTURE_MPLANE, "VIDEO_CAPTURE_MPLANE"),
    (0x2000, "VIDEO_OUTPUT_MPLANE"),
    (0x4000, "VIDEO_M2M_MPLANE"),
    (0x8000, "VIDEO_M2M"),
    (0x1_0000, "TUNER"),
    (0x2_0000, "AUDIO"),
    (0x4_0000, "RADIO"),
    (0x8_0000, "MODULATOR"),
    (0x10_0000, "SDR_CAPTURE"),
    (0x20_0000, "EXT_PIX_FORMAT"),
    (0x40_0000, "SDR_OUTPUT"),
    (0x80_0000, "META_CAPTURE"),
    (0x100_0000, "READWRITE"),
    (0x400_0000, "STREAMING"),
    (0x800_0000, "META_OUTPUT"),
    (0x1000_0000, "TOUCH"),
    (0x2000_0000, "IO_MC"),
];

impl Capability {
    /// What this node can do; old drivers only tell what the whole device can.
    fn own(&self) -> u32 {
        if self.capabilities & DEVICE_CAPS != 0 { self.device_caps } else { self.capabilities }
    }

    /// The type of buffers that it captures into, if it does.
    pub(super) fn capture_buffers(&self) -> Option<u32> {
        const V4L2_BUF_TYPE_VIDEO_CAPTURE: u32 = 1;
        const V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE: u32 = 9;
        match self.own() {
            caps if caps & VIDEO_CAPTURE != 0 => Some(V4L2_BUF_TYPE_VIDEO_CAPTURE),
            caps if caps & VIDEO_CAPTURE_MPLANE != 0 => Some(V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE),
            _ => None,
        }
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        CAPABILITIES.iter().filter(|(bit, _)| self.own() & bit != 0).map(|(_, name)| *name).collect()
    }

    pub(super) fn version_text(&self) -> String {
        format!("{}.{}.{}", self.version >> 16 & 0xff, self.version >> 8 & 0xff, self.version & 0xff)
    }
}

impl FormatDescription {
    pub(super) fn fourcc(&self) -> String {
        // The highest bit marks a big-endian variant.
        let bytes = (self.pixelformat & 0x7fff_ffff).to_le_bytes();
        bytes.iter().filter(|b| b.is_ascii_graphic() || **b == b' ').map(|b| char::from(*b)).collect()
    }

    pub(super) fn flag_names(&self) -> Vec<&'static str> {
        [(0x1, "COMPRESSED"), (0x2, "EMULATED")]
            .iter()
            .filter(|(bit, _)| self.flags & bit != 0)
            .map(|(_, n)| *n)
            .collect()
    }
}

/// Text up to its NUL.
pub(super) fn c_text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text<const N: usize>(text: &str) -> [u8; N] {
        let mut bytes = [0; N];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    #[test]
    fn a_camera_and_a_codec() {
        let camera = Capability {
            driver: text("uvcvideo"),
            version: 0x06_01_3f,
            capabilities: 0x84a0_0001,
            device_caps: 0x0420_0001,
            ..Capability::default()
        };
        assert_eq!(camera.names(), ["VIDEO_CAPTURE", "EXT_PIX_FORMAT", "STREAMING"]);
        assert_eq!((camera.version_text().as_str(), camera.capture_buffers()), ("6.1.63", Some(1)));
        assert_eq!(c_text(&camera.driver), "uvcvideo");
        let codec =
            Capability { capabilities: 0x8420_4000, device_caps: 0x0420_4000, ..Capability::default() };
        assert_eq!(codec.capture_buffers(), None);
        let planes = Capability { capabilities: 0x0000_1000, ..Capability::default() };
        assert_eq!(planes.capture_buffers(), Some(9));
    }

    #[test]
    fn formats() {
        let format = FormatDescription { pixelformat: 0x4750_4a4d, flags: 1, ..FormatDescription::default() };
        assert_eq!((format.fourcc().as_str(), format.flag_names()), ("MJPG", vec!["COMPRESSED"]));
        let grey = FormatDescription { pixelformat: 0x2036_3159 | 1 << 31, ..FormatDescription::default() };
        assert_eq!(grey.fourcc(), "Y16 ");
    }

    proptest! {
        #[test]
        fn any_numbers(card: [u8; 32], version: u32, capabilities: u32, pixelformat: u32) {
            let about = Capability { card, version, capabilities, ..Capability::default() };
            let _ = (c_text(&about.card), about.names(), about.version_text(), about.capture_buffers());
            let _ = FormatDescription { pixelformat, ..FormatDescription::default() }.fourcc();
        }
    }
}
