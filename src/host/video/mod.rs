//! Cameras: V4L2 devices that capture, and what libcamera sees.

mod ioctl;
pub mod libcamera;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;
use serde::Serialize;

use super::Host;
use super::devices::{Node, nodes, usb_parent};
use ioctl::c_text;

/// The most pixel formats, and sizes of each, that are listed: what a driver gives ends long before.
const MAX_ENTRIES: u32 = 128;

/// A device that captures video (spec api.md §5, `v4l2_devices`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VideoDevice {
    /// `video0`
    pub device_name: String,
    /// `/dev/video0`
    pub device_path: String,
    /// As the driver calls the camera.
    pub camera_name: String,
    /// Name of the driver.
    pub driver_name: String,
    /// As sysfs calls the device.
    pub alt_name: Option<String>,
    /// Where it is connected.
    pub hardware_bus: String,
    /// V4L2's names of what it can do, without `V4L2_CAP_`.
    pub capabilities: Vec<&'static str>,
    /// Of the driver: `6.1.63`.
    pub version: String,
    /// The link that names the socket it is plugged into.
    pub path_by_hardware: Option<PathBuf>,
    /// The link that names the device itself.
    pub path_by_id: Option<PathBuf>,
    /// `bus:device` of the USB device.
    pub usb_location: Option<String>,
    /// Pixel formats with sizes that are fixed; those of any size have no entry.
    pub modes: Vec<Mode>,
}

/// A pixel format with its sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mode {
    /// Four characters: `MJPG`.
    pub format: String,
    /// In words.
    pub description: String,
    /// `COMPRESSED`, `EMULATED`.
    pub flags: Vec<&'static str>,
    /// `640x480`
    pub resolutions: Vec<String>,
}

/// The devices that capture video, by number. A device that may not be opened is left out.
pub fn video_devices(host: &Host) -> Vec<VideoDevice> {
    nodes(host, "video4linux", "v4l").into_iter().filter_map(|node| read(host, node)).collect()
}

fn read(host: &Host, node: Node) -> Option<VideoDevice> {
    let path = format!("/dev/{}", node.name);
    // Without O_NONBLOCK some drivers wait for whoever uses the device.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(host.path(&path)).ok()?;
    let about = ioctl::capability(&file).ok()?;
    let buffers = about.capture_buffers()?;
    let folder = Path::new("/sys/class/video4linux").join(&node.name);
    Some(VideoDevice {
        camera_name: c_text(&about.card),
        driver_name: c_text(&about.driver),
        alt_name: host.line(folder.join("name")),
        hardware_bus: c_text(&about.bus_info),
        capabilities: about.names(),
        version: about.version_text(),
        usb_location: usb_parent(host, &folder.join("device")),
        modes: modes(&file, buffers),
        device_name: node.name,
        device_path: path,
        path_by_hardware: node.by_path,
        path_by_id: node.by_id,
    })
}

fn modes(file: &File, buffers: u32) -> Vec<Mode> {
    let formats = (0..MAX_ENTRIES).map_while(|index| ioctl::format(file, buffers, index).ok());
    let mode = |format: ioctl::FormatDescription| {
        let sizes = (0..MAX_ENTRIES).map_while(|index| ioctl::discrete_size(file, format.pixelformat, index));
        let resolutions: Vec<String> = sizes.map(|(width, height)| format!("{width}x{height}")).collect();
        (!resolutions.is_empty()).then(|| Mode {
            format: format.fourcc(),
            description: c_text(&format.description),
            flags: format.flag_names(),
            resolutions,
        })
    };
    formats.filter_map(mode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn files_that_are_no_video_devices() {
        let tree = Tree::unpack(
            "@@ /sys/class/video4linux/video0/name\nx\n@@ /dev/video0\n@@ /sys/class/video4linux/video1/name\ny\n",
        );
        assert_eq!(video_devices(tree.host()), []);
        video_devices(&Host::default());
    }
}
