//! What libcamera sees, by the programs that come with it: the library itself is not part of a static binary.

use std::time::Duration;

use serde::Serialize;

use super::super::Host;
use super::super::process::run;

/// How long the programs may take: they start the camera stack.
const LIMIT: Duration = Duration::from_secs(10);
/// The most cameras, modes of a camera and sizes of a mode that are listed.
const MAX_ENTRIES: usize = 64;

/// A camera (spec api.md §5, `libcamera_devices`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LibcameraDevice {
    /// libcamera's name of it, by which it is opened.
    pub libcamera_id: String,
    /// Name of the sensor.
    pub model: String,
    /// Raw formats with their sizes.
    pub modes: Vec<LibcameraMode>,
}

/// A format with its sizes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LibcameraMode {
    /// `SRGGB10_CSI2P`
    pub format: String,
    /// `640x480`
    pub resolutions: Vec<String>,
}

/// The cameras that libcamera lists; none where it is not installed or there is no media device.
pub async fn devices(host: &Host) -> Vec<LibcameraDevice> {
    if !host.names("/dev").iter().any(|name| name.starts_with("media")) {
        return Vec::new();
    }
    for (name, arguments) in
        [("rpicam-hello", "--list-cameras"), ("libcamera-hello", "--list-cameras"), ("cam", "--list")]
    {
        let Some(program) = host.program(name) else { continue };
        match run(program, &[arguments], "", LIMIT).await {
            Ok(text) => return parse(&text),
            Err(error) => log::debug!("cameras of libcamera cannot be listed: {error}"),
        }
    }
    Vec::new()
}

/// The listing of `rpicam-hello`, and that of `cam`, which has no modes:
/// ```text
/// 0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)
///     Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]
///                              1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]
/// 1: 'imx219' (/base/soc/i2c0mux/i2c@1/imx219@10)
/// ```
fn parse(text: &str) -> Vec<LibcameraDevice> {
    let mut devices: Vec<LibcameraDevice> = Vec::new();
    for line in text.lines() {
        if let Some(device) = camera(line) {
            if devices.len() == MAX_ENTRIES {
                break;
            }
            devices.push(device);
        } else if let Some(device) = devices.last_mut() {
            mode(line, &mut device.modes);
        }
    }
    devices
}

/// A line that begins a camera.
fn camera(line: &str) -> Option<LibcameraDevice> {
    let (number, rest) = line.split_once(':')?;
    if line.starts_with(' ') || number.trim().parse::<u32>().is_err() {
        return None;
    }
    let (name, id) = rest.trim().strip_suffix(')')?.rsplit_once(" (")?;
    let model = match name.split_once('\'').and_then(|(_, quoted)| quoted.split_once('\'')) {
        Some((quoted, _)) => quoted,
        None => name.split(" [").next().unwrap_or(name),
    };
    Some(LibcameraDevice { libcamera_id: id.to_owned(), model: model.trim().to_owned(), modes: Vec::new() })
}

/// A line with a format and a size, or one more size.
fn mode(line: &str, modes: &mut Vec<LibcameraMode>) {
    let mut rest = line.trim();
    rest = rest.strip_prefix("Modes:").unwrap_or(rest).trim_start();
    if let Some((format, size)) = rest.strip_prefix('\'').and_then(|rest| rest.split_once("' :")) {
        if modes.len() < MAX_ENTRIES {
            modes.push(LibcameraMode { format: format.to_owned(), resolutions: Vec::new() });
        }
        rest = size.trim_start();
    }
    let size = rest.split([' ', '[']).next().unwrap_or_default();
    let is_size =
        size.split_once('x').is_some_and(|(w, h)| w.parse::<u32>().is_ok() && h.parse::<u32>().is_ok());
    if let (true, Some(mode)) = (is_size, modes.last_mut())
        && mode.resolutions.len() < MAX_ENTRIES
    {
        mode.resolutions.push(size.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;
    use proptest::prelude::*;

    const RPICAM: &str = "Available cameras\n-----------------\n\
        0 : imx219 [3280x2464 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx219@10)\n\
        \x20   Modes: 'SRGGB10_CSI2P' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]\n\
        \x20                            1640x1232 [41.85 fps - (0, 0)/3280x2464 crop]\n\
        \x20          'SRGGB8' : 640x480 [206.65 fps - (1000, 752)/1280x960 crop]\n\n\
        1 : UVC Camera (046d:0825) [1280x960] (/base/soc/usb@7e980000/usb-port@1-1.1:1.0-046d:0825)\n";

    #[test]
    fn the_listing_of_rpicam() {
        let tree = Tree::unpack(&format!(
            "@@ /dev/media0\n@@ /usr/bin/rpicam-hello\n#!/bin/sh\ncat <<'X'\n{RPICAM}X\n"
        ));
        let devices = smol::block_on(devices(tree.host()));
        let mode = |format: &str, sizes: &[&str]| LibcameraMode {
            format: format.into(),
            resolutions: sizes.iter().map(|size| (*size).to_owned()).collect(),
        };
        assert_eq!(devices[0].libcamera_id, "/base/soc/i2c0mux/i2c@1/imx219@10");
        assert_eq!(devices[0].model, "imx219");
        assert_eq!(
            devices[0].modes,
            [mode("SRGGB10_CSI2P", &["640x480", "1640x1232"]), mode("SRGGB8", &["640x480"])]
        );
        assert_eq!(devices[1].model, "UVC Camera (046d:0825)");
        assert_eq!(devices[1].libcamera_id, "/base/soc/usb@7e980000/usb-port@1-1.1:1.0-046d:0825");
    }

    #[test]
    fn the_listing_of_cam() {
        let text = "Available cameras:\n1: 'imx219' (/base/soc/imx219@10)\n2: External camera 'HD Webcam' (\\_SB_.X)\n";
        let models: Vec<String> = parse(text).into_iter().map(|device| device.model).collect();
        assert_eq!(models, ["imx219", "HD Webcam"]);
    }

    #[test]
    fn without_cameras_nothing_is_started() {
        let tree = Tree::unpack("@@ /usr/bin/cam\n#!/bin/sh\ntouch \"$0.ran\"\n");
        assert_eq!(smol::block_on(devices(tree.host())), []);
        assert!(!tree.host().exists("/usr/bin/cam.ran"));
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            parse(&text);
        }

        #[test]
        fn any_lines(text in "([0-1] ?: | |Modes:|'x' :|[0-9]x[0-9]|\\(|\\)|\n){0,30}") {
            parse(&text);
        }
    }
}
