//! What is plugged into USB, as the kernel shows it in sysfs.
//!
//! sysfs has every descriptor that the kernel read when the device came, needs no rights, and does not wake a
//! sleeping device.

mod ids;

use std::path::PathBuf;

use serde::Serialize;

use super::Host;
use super::devices::usb_location;
use ids::Names;

/// A USB device (spec api.md §5, `usb_devices`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UsbDevice {
    /// Number on its bus.
    pub device_num: u32,
    /// Number of its bus.
    pub bus_num: u32,
    /// Four hexadecimal digits.
    pub vendor_id: String,
    /// Four hexadecimal digits.
    pub product_id: String,
    /// `bus:device`, by which serial and video devices name it.
    pub usb_location: String,
    /// As the device says, else by its number.
    pub manufacturer: Option<String>,
    /// As the device says, else by its number.
    pub product: Option<String>,
    /// As the device says.
    pub serial: Option<String>,
    /// Name of the device class; `None` where the interfaces tell their own.
    pub class: Option<String>,
    /// Name of the subclass.
    pub subclass: Option<String>,
    /// Name of the protocol.
    pub protocol: Option<String>,
    /// Vendor and product by their numbers.
    pub description: Option<String>,
}

/// The USB devices by bus and number. Names of vendors, products and classes come from the first of the `ids`
/// files that exists (see [`usb_ids_files`]), where they are missing from a small table of what is found on printers.
pub fn usb_devices(host: &Host, ids: &[PathBuf]) -> Vec<UsbDevice> {
    let mut found: Vec<Found> =
        host.names(FOLDER).into_iter().filter_map(|name| Found::read(host, &name)).collect();
    found.sort_by_key(|device| (device.bus_num, device.device_num));
    let names = Names::read(ids, &found.iter().map(Found::numbers).collect::<Vec<_>>());
    found.into_iter().map(|device| device.describe(&names)).collect()
}

/// Where `usb.ids` may be: in the data folder, then where distributions install it.
pub fn usb_ids_files(host: &Host, data_path: Option<&std::path::Path>) -> Vec<PathBuf> {
    let installed = ["/usr/share/misc/usb.ids", "/usr/share/hwdata/usb.ids", "/var/lib/usbutils/usb.ids"];
    let own = data_path.map(|path| path.join("misc/usb.ids"));
    own.into_iter().chain(installed.iter().map(|path| host.path(path))).collect()
}

const FOLDER: &str = "/sys/bus/usb/devices";

/// The numbers that names are looked up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    vendor: u16,
    product: u16,
    class: u8,
    subclass: u8,
    protocol: u8,
}

/// A device before its numbers have names.
struct Found {
    numbers: Numbers,
    bus_num: u32,
    device_num: u32,
    usb_location: String,
    manufacturer: Option<String>,
    product: Option<String>,
    serial: Option<String>,
}

impl Found {
    fn read(host: &Host, name: &str) -> Option<Self> {
        let folder = PathBuf::from(FOLDER).join(name);
        let hex = |attribute: &str| host.hex(folder.join(attribute));
        let byte = |attribute: &str| hex(attribute).and_then(|n| u8::try_from(n).ok());
        let word = |attribute: &str| hex(attribute).and_then(|n| u16::try_from(n).ok());
        // interfaces (1-1:1.0) are in the same folder and have no bDeviceClass
        let class = byte("bDeviceClass")?;
        Some(Self {
            numbers: Numbers {
                vendor: word("idVendor")?,
                product: word("idProduct")?,
                class,
                subclass: byte("bDeviceSubClass")?,
                protocol: byte("bDeviceProtocol")?,
            },
            bus_num: host.number(folder.join("busnum"))?,
            device_num: host.number(folder.join("devnum"))?,
            usb_location: usb_location(host, &folder)?,
            manufacturer: host.line(folder.join("manufacturer")),
            product: host.line(folder.join("product")),
            serial: host.line(folder.join("serial")),
        })
    }

    fn numbers(&self) -> Numbers {
        self.numbers
    }

    fn describe(self, names: &Names) -> UsbDevice {
        let numbers = self.numbers;
        let (vendor, product) =
            (names.vendor(numbers.vendor), names.product(numbers.vendor, numbers.product));
        let description = vendor.map(|vendor| match product {
            Some(product) => format!("{vendor} {product}"),
            None => vendor.to_owned(),
        });
        let owned = |name: Option<&str>| name.map(str::to_owned);
        // Class 0 says that each interface has its own.
        let class = if numbers.class == 0 { None } else { names.class(numbers.class) };
        let below = |name: Option<&str>| owned(class.and(name).filter(|name| !means_nothing(name)));
        UsbDevice {
            device_num: self.device_num,
            bus_num: self.bus_num,
            vendor_id: format!("{:04x}", numbers.vendor),
            product_id: format!("{:04x}", numbers.product),
            usb_location: self.usb_location,
            manufacturer: self.manufacturer.or_else(|| owned(vendor)),
            product: self.product.or_else(|| owned(product)),
            serial: self.serial,
            subclass: below(names.subclass(numbers.class, numbers.subclass)),
            protocol: below(names.protocol(numbers.class, numbers.subclass, numbers.protocol)),
            class: owned(class),
            description,
        }
    }
}

/// Names in `usb.ids` that only say that there is none.
fn means_nothing(name: &str) -> bool {
    const NOTHING: [&str; 6] = ["?", "none", "undefined", "reserved/undefined", "unused", "no subclass"];
    NOTHING.iter().any(|word| name.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    fn device(name: &str, numbers: [&str; 5]) -> String {
        let [vendor, product, class, subclass, protocol] = numbers;
        let attributes = [
            ("busnum", "1"),
            ("devnum", "4"),
            ("idVendor", vendor),
            ("idProduct", product),
            ("bDeviceClass", class),
            ("bDeviceSubClass", subclass),
            ("bDeviceProtocol", protocol),
        ];
        attributes.map(|(attribute, value)| format!("@@ {FOLDER}/{name}/{attribute}\n{value}\n")).concat()
    }

    #[test]
    fn a_printer_without_usb_ids() {
        let text = device("1-1", ["1d50", "614e", "02", "00", "00"]);
        let tree = Tree::unpack(&format!(
            "{text}@@ {FOLDER}/1-1/serial\n12345\n@@ {FOLDER}/1-1:1.0/bInterfaceClass\n02\n"
        ));
        let devices = usb_devices(tree.host(), &usb_ids_files(tree.host(), None));
        let [device] = devices.as_slice() else { panic!("{devices:?}") };
        assert_eq!(device.usb_location, "1:4");
        assert_eq!(device.description.as_deref(), Some("OpenMoko, Inc. Klipper 3d-Printer Firmware"));
        assert_eq!(device.manufacturer.as_deref(), Some("OpenMoko, Inc."));
        assert_eq!(device.class.as_deref(), Some("Communications"));
        assert_eq!((&device.subclass, &device.protocol), (&None, &None));
        assert_eq!(device.serial.as_deref(), Some("12345"));
    }

    #[test]
    fn an_installed_file_comes_first_and_the_table_fills_it_up() {
        let devices = [
            device("1-1", ["1d50", "614e", "02", "00", "00"]),
            device("1-2", ["1a86", "7523", "ff", "00", "00"]),
        ];
        for place in ["/usr/share/misc", "/usr/share/hwdata", "/var/lib/usbutils"] {
            let ids = "1a86  WCH\n\t7523  A converter\n1d50  Somebody\n";
            let tree = Tree::unpack(&format!("{}@@ {place}/usb.ids\n{ids}", devices.concat()));
            let found = usb_devices(tree.host(), &usb_ids_files(tree.host(), None));
            let told: Vec<&str> = found.iter().filter_map(|device| device.description.as_deref()).collect();
            assert_eq!(told, ["Somebody Klipper 3d-Printer Firmware", "WCH A converter"], "{place}");
        }
        // the one in the data folder comes before all
        let tree = Tree::unpack(&format!(
            "{}@@ /usr/share/misc/usb.ids\n1a86  WCH\n@@ /data/misc/usb.ids\n1a86  Ours\n",
            devices[1]
        ));
        let data = tree.folder().join("data");
        let found = usb_devices(tree.host(), &usb_ids_files(tree.host(), Some(&data)));
        assert_eq!(found[0].manufacturer.as_deref(), Some("Ours"));
    }

    #[test]
    fn an_unknown_device_has_no_names() {
        let tree = Tree::unpack(&device("2-1.4", ["ABCD", "0001", "00", "00", "00"]));
        let devices = usb_devices(tree.host(), &[]);
        assert_eq!(devices[0].vendor_id, "abcd");
        assert_eq!((&devices[0].class, &devices[0].description, &devices[0].product), (&None, &None, &None));
    }

    #[test]
    fn damaged_devices_are_left_out() {
        let tree = Tree::unpack(&format!(
            "{}@@ {FOLDER}/1-2/bDeviceClass\nzz\n@@ {FOLDER}/1-3/bDeviceClass\n00\n",
            device("1-1", ["fffff", "0001", "00", "00", "00"])
        ));
        assert!(usb_devices(tree.host(), &[]).is_empty());
        assert!(usb_devices(&Host::at("/nonexistent"), &[]).is_empty());
    }
}
