//! Serial ports: UARTs of the board and of USB devices.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Host;
use super::devices::{Node, nodes, usb_parent};

/// What a serial port is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SerialType {
    /// A UART of the SoC or on a bus of the board.
    HardwareUart,
    /// Of a USB device.
    Usb,
    /// Anything else: a pseudo port of a driver, Bluetooth.
    Unknown,
}

/// A serial port (spec api.md §5, `serial_devices`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SerialDevice {
    /// What it is part of.
    pub device_type: SerialType,
    /// `/dev/ttyACM0`
    pub device_path: String,
    /// `ttyACM0`
    pub device_name: String,
    /// Name of its driver, empty where it has none.
    pub driver_name: String,
    /// The link that names the socket it is plugged into.
    pub path_by_hardware: Option<PathBuf>,
    /// The link that names the device itself.
    pub path_by_id: Option<PathBuf>,
    /// `bus:device` of the USB device.
    pub usb_location: Option<String>,
}

/// The serial ports, by name. Places of an 8250 driver to which no chip is connected are left out.
pub fn serial_devices(host: &Host) -> Vec<SerialDevice> {
    nodes(host, "tty", "serial").into_iter().filter_map(|node| read(host, node)).collect()
}

fn read(host: &Host, node: Node) -> Option<SerialDevice> {
    let tty = Path::new("/sys/class/tty").join(&node.name);
    let device = tty.join("device");
    if !host.exists(&device) {
        return None;
    }
    let driver = driver_name(host, &device);
    let usb_location = usb_parent(host, &device);
    let port = host.hex(tty.join("port"));
    let device_type = match (&usb_location, port) {
        (Some(_), _) => SerialType::Usb,
        (None, Some(port)) => {
            // The 8250 driver makes nodes for the ports that a PC may have. The kernel has found no chip at those of
            // type 0 (PORT_UNKNOWN); those with an address have not been taken by the driver of a real one.
            let nothing_there = host.number(tty.join("type")) == Some(0u32);
            if nothing_there || driver == "serial8250" && port != 0 {
                return None;
            }
            SerialType::HardwareUart
        }
        (None, None) => SerialType::Unknown,
    };
    Some(SerialDevice {
        device_type,
        device_path: format!("/dev/{}", node.name),
        device_name: node.name,
        driver_name: driver,
        path_by_hardware: node.by_path,
        path_by_id: node.by_id,
        usb_location,
    })
}

/// The driver of a port's device. Since 6.5 the kernel puts a port below a `serial-base` device and its
/// controller (`port`, `ctrl` drivers); the hardware's driver is that of the first device above them.
fn driver_name(host: &Host, device: &Path) -> String {
    let mut device = device.to_owned();
    for _ in 0..3 {
        match host.link_name(device.join("driver")).unwrap_or_default() {
            driver if driver == "port" || driver == "ctrl" => device.push(".."),
            driver => return driver,
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn uart_usb_and_empty_places() {
        let tree = Tree::unpack(
            "@@ /sys/devices/soc/uart/driver -> ../../../bus/amba/drivers/uart-pl011\n\
             @@ /sys/devices/soc/uart/tty/ttyAMA0/port\n0x0\n\
             @@ /sys/devices/soc/uart/tty/ttyAMA0/type\n32\n\
             @@ /sys/devices/soc/uart/tty/ttyAMA0/device -> ../..\n\
             @@ /sys/class/tty/ttyAMA0 -> ../../devices/soc/uart/tty/ttyAMA0\n\
             @@ /sys/devices/platform/serial8250/driver -> ../../bus/platform/drivers/serial8250\n\
             @@ /sys/devices/platform/serial8250/tty/ttyS2/port\n0x3E8\n\
             @@ /sys/devices/platform/serial8250/tty/ttyS2/device -> ../..\n\
             @@ /sys/class/tty/ttyS2 -> ../../devices/platform/serial8250/tty/ttyS2\n\
             @@ /sys/devices/platform/serial8250/tty/ttyS3/port\n0x0\n\
             @@ /sys/devices/platform/serial8250/tty/ttyS3/type\n0\n\
             @@ /sys/devices/platform/serial8250/tty/ttyS3/device -> ../..\n\
             @@ /sys/class/tty/ttyS3 -> ../../devices/platform/serial8250/tty/ttyS3\n\
             @@ /sys/devices/usb1/1-1/busnum\n1\n@@ /sys/devices/usb1/1-1/devnum\n7\n\
             @@ /sys/devices/usb1/1-1/1-1:1.0/driver -> ../../../../bus/usb/drivers/cdc_acm\n\
             @@ /sys/devices/usb1/1-1/1-1:1.0/tty/ttyACM0/device -> ../..\n\
             @@ /sys/class/tty/ttyACM0 -> ../../devices/usb1/1-1/1-1:1.0/tty/ttyACM0\n\
             @@ /sys/class/tty/console/dev\n5:1\n\
             @@ /dev/serial/by-id/usb-Klipper_stm32-if00 -> ../../ttyACM0\n\
             @@ /dev/serial/by-path/platform-usb-0:1:1.0 -> ../../ttyACM0\n",
        );
        let devices = serial_devices(tree.host());
        let [acm, ama] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!((ama.device_type, ama.driver_name.as_str()), (SerialType::HardwareUart, "uart-pl011"));
        assert_eq!((acm.device_type, acm.driver_name.as_str()), (SerialType::Usb, "cdc_acm"));
        assert_eq!(acm.usb_location.as_deref(), Some("1:7"));
        assert_eq!(acm.path_by_id.as_deref(), Some(Path::new("/dev/serial/by-id/usb-Klipper_stm32-if00")));
        assert_eq!(ama.path_by_hardware, None);
    }

    #[test]
    fn serial_base_devices_of_new_kernels() {
        let uart = "/sys/devices/soc/uart";
        let tree = Tree::unpack(&format!(
            "@@ {uart}/driver -> ../../../bus/platform/drivers/dw-apb-uart\n\
             @@ {uart}/uart:0/driver -> ../../../../bus/serial-base/drivers/ctrl\n\
             @@ {uart}/uart:0/uart:0.0/driver -> ../../../../../bus/serial-base/drivers/port\n\
             @@ {uart}/uart:0/uart:0.0/tty/ttyS0/port\n0x0\n\
             @@ {uart}/uart:0/uart:0.0/tty/ttyS0/device -> ../..\n\
             @@ /sys/class/tty/ttyS0 -> ../../devices/soc/uart/uart:0/uart:0.0/tty/ttyS0\n"
        ));
        assert_eq!(serial_devices(tree.host())[0].driver_name, "dw-apb-uart");
    }
}
