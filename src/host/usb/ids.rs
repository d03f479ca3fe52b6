//! Names for USB numbers: the file `usb.ids`, and a small table for when it is not installed.
//!
//! The file (0.8 MB) is not kept in memory: one pass over it picks the names of the devices that are plugged in.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use super::Numbers;

/// The most that is read of `usb.ids`.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(test, derive(PartialOrd, Ord))]
enum Key {
    Vendor(u16),
    Product(u16, u16),
    Class(u8),
    Subclass(u8, u8),
    Protocol(u8, u8, u8),
}

impl Key {
    /// What names are wanted for a device.
    fn of(n: Numbers) -> [Self; 5] {
        [
            Self::Vendor(n.vendor),
            Self::Product(n.vendor, n.product),
            Self::Class(n.class),
            Self::Subclass(n.class, n.subclass),
            Self::Protocol(n.class, n.subclass, n.protocol),
        ]
    }
}

/// The names of some devices.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: HashMap<Key, String>,
}

impl Names {
    /// Looks the names of some devices up in the first of the files that exists.
    pub(super) fn read(files: &[PathBuf], wanted: &[Numbers]) -> Self {
        let mut names = Self::default();
        for key in wanted.iter().flat_map(|numbers| Key::of(*numbers)) {
            names.names.entry(key).or_default();
        }
        if let Some(file) = files.iter().find_map(|path| File::open(path).ok()) {
            names.scan(BufReader::new(file.take(MAX_FILE)));
        }
        names
    }

    fn scan(&mut self, mut lines: impl BufRead) {
        let mut place = Place::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            if let Some((key, name)) = place.line(&line)
                && let Some(wanted) = self.names.get_mut(&key)
            {
                *wanted = latin1(name);
            }
        }
    }

    fn get(&self, key: Key) -> Option<&str> {
        match self.names.get(&key) {
            Some(name) if !name.is_empty() => Some(name),
            _ => BUILT_IN.iter().find(|(known, _)| *known == key).map(|(_, name)| *name),
        }
    }

    pub(super) fn vendor(&self, vendor: u16) -> Option<&str> {
        self.get(Key::Vendor(vendor))
    }

    pub(super) fn product(&self, vendor: u16, product: u16) -> Option<&str> {
        self.get(Key::Product(vendor, product))
    }

    pub(super) fn class(&self, class: u8) -> Option<&str> {
        self.get(Key::Class(class))
    }

    pub(super) fn subclass(&self, class: u8, subclass: u8) -> Option<&str> {
        self.get(Key::Subclass(class, subclass))
    }

    pub(super) fn protocol(&self, class: u8, subclass: u8, protocol: u8) -> Option<&str> {
        self.get(Key::Protocol(class, subclass, protocol))
    }
}

/// Where the scan is: entries are indented by tabs below what they belong to.
#[derive(Default)]
struct Place {
    top: Option<Top>,
    /// The subclass that protocols belong to.
    subclass: Option<u8>,
}

#[derive(Clone, Copy)]
enum Top {
    Vendor(u16),
    Class(u8),
}

impl Place {
    /// What a line names, if it is an entry of a kind that is used here.
    fn line<'a>(&mut self, line: &'a [u8]) -> Option<(Key, &'a [u8])> {
        let depth = line.iter().take_while(|b| **b == b'\t').count();
        let text = line[depth..].trim_ascii_end();
        if text.is_empty() || text.starts_with(b"#") {
            return None;
        }
        match (depth, self.top) {
            (0, _) => {
                self.subclass = None;
                self.top = None;
                // a class ("C 09  Hub"), a vendor ("1d50  OpenMoko, Inc."), or a table that is not used ("HID …")
                let (top, key, name) = match text.strip_prefix(b"C ") {
                    Some(rest) => {
                        let (class, name) = entry(rest, 2)?;
                        let class = u8::try_from(class).ok()?;
                        (Top::Class(class), Key::Class(class), name)
                    }
                    None => {
                        let (vendor, name) = entry(text, 4)?;
                        (Top::Vendor(vendor), Key::Vendor(vendor), name)
                    }
                };
                self.top = Some(top);
                Some((key, name))
            }
            (1, Some(Top::Vendor(vendor))) => entry(text, 4).map(|(n, name)| (Key::Product(vendor, n), name)),
            (1, Some(Top::Class(class))) => {
                let (n, name) = entry(text, 2)?;
                let n = u8::try_from(n).ok()?;
                self.subclass = Some(n);
                Some((Key::Subclass(class, n), name))
            }
            (2, Some(Top::Class(class))) => {
                let (n, name) = entry(text, 2)?;
                Some((Key::Protocol(class, self.subclass?, u8::try_from(n).ok()?), name))
            }
            _ => None,
        }
    }
}

/// A number of so many hexadecimal digits, two blanks, a name.
fn entry(text: &[u8], digits: usize) -> Option<(u16, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    if !number.iter().all(u8::is_ascii_hexdigit) || !rest.first()?.is_ascii_whitespace() {
        return None;
    }
    let number = u16::from_str_radix(std::str::from_utf8(number).ok()?, 16).ok()?;
    let name = rest.trim_ascii();
    (!name.is_empty()).then_some((number, name))
}

/// The file is in Latin-1, or newer ones in UTF-8.
fn latin1(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.iter().map(|b| char::from(*b)).collect(),
    }
}

/// What is plugged into printers and their boards. Boards and probes with Klipper's own USB stack (BIGTREETECH, LDO,
/// Cartographer, Eddy) share OpenMoko's number for Klipper; what they are stands in their serial number.
const BUILT_IN: [(Key, &str); 98] = [
    (Key::Class(0x01), "Audio"),
    (Key::Class(0x02), "Communications"),
    (Key::Class(0x03), "Human Interface Device"),
    (Key::Class(0x08), "Mass Storage"),
    (Key::Class(0x09), "Hub"),
    (Key::Protocol(0x09, 0x00, 0x00), "Full speed (or root) hub"),
    (Key::Protocol(0x09, 0x00, 0x01), "Single TT"),
    (Key::Protocol(0x09, 0x00, 0x02), "TT per port"),
    (Key::Class(0x0e), "Video"),
    (Key::Class(0xe0), "Wireless"),
    (Key::Class(0xef), "Miscellaneous Device"),
    (Key::Protocol(0xef, 0x02, 0x01), "Interface Association"),
    (Key::Class(0xff), "Vendor Specific Class"),
    (Key::Subclass(0xff, 0xff), "Vendor Specific Subclass"),
    (Key::Protocol(0xff, 0xff, 0xff), "Vendor Specific Protocol"),
    (Key::Vendor(0x0403), "Future Technology Devices International, Ltd"),
    (Key::Product(0x0403, 0x6001), "FT232 Serial (UART) IC"),
    (Key::Product(0x0403, 0x6010), "FT2232C/D/H Dual UART/FIFO IC"),
    (Key::Product(0x0403, 0x6011), "FT4232H Quad HS USB-UART/FIFO IC"),
    (Key::Product(0x0403, 0x6014), "FT232H Single HS USB-UART/FIFO IC"),
    (Key::Product(0x0403, 0x6015), "Bridge(I2C/SPI/UART/FIFO)"),
    (Key::Vendor(0x0424), "Microchip Technology, Inc. (formerly SMSC)"),
    (Key::Product(0x0424, 0x2514), "USB 2.0 Hub"),
    (Key::Product(0x0424, 0x9514), "SMC9514 Hub"),
    (Key::Product(0x0424, 0xec00), "SMSC9512/9514 Fast Ethernet Adapter"),
    (Key::Vendor(0x0451), "Texas Instruments, Inc."),
    (Key::Vendor(0x046d), "Logitech, Inc."),
    (Key::Product(0x046d, 0x0825), "Webcam C270"),
    (Key::Product(0x046d, 0x082d), "HD Pro Webcam C920"),
    (Key::Product(0x046d, 0x0843), "Webcam C930e"),
    (Key::Product(0x046d, 0x0892), "C920 HD Pro Webcam"),
    (Key::Vendor(0x0483), "STMicroelectronics"),
    (Key::Product(0x0483, 0x374b), "ST-LINK/V2.1"),
    (Key::Product(0x0483, 0x5740), "Virtual COM Port"),
    (Key::Product(0x0483, 0xdf11), "STM Device in DFU Mode"),
    (Key::Vendor(0x04d8), "Microchip Technology, Inc."),
    (Key::Product(0x04d8, 0xe72b), "Beacon"),
    (Key::Vendor(0x0525), "Netchip Technology, Inc."),
    (Key::Product(0x0525, 0xa4a7), "Linux-USB Serial Gadget (CDC ACM mode)"),
    (Key::Vendor(0x05a3), "ARC International"),
    (Key::Vendor(0x05e3), "Genesys Logic, Inc."),
    (Key::Product(0x05e3, 0x0608), "Hub"),
    (Key::Product(0x05e3, 0x0610), "Hub"),
    (Key::Vendor(0x067b), "Prolific Technology, Inc."),
    (Key::Product(0x067b, 0x2303), "PL2303 Serial Port / Mobile Phone Data Cable"),
    (Key::Vendor(0x0bda), "Realtek Semiconductor Corp."),
    (Key::Vendor(0x0c45), "Microdia"),
    (Key::Vendor(0x10c4), "Silicon Labs"),
    (Key::Product(0x10c4, 0xea60), "CP210x UART Bridge"),
    (Key::Product(0x10c4, 0xea70), "CP2105 Dual UART Bridge"),
    (Key::Product(0x10c4, 0xea71), "CP2108 Quad UART Bridge"),
    (Key::Vendor(0x1209), "Generic"),
    (Key::Vendor(0x16c0), "Van Ooijen Technische Informatica"),
    (Key::Product(0x16c0, 0x0483), "Teensyduino Serial"),
    (Key::Vendor(0x1a40), "Terminus Technology Inc."),
    (Key::Product(0x1a40, 0x0101), "Hub"),
    (Key::Product(0x1a40, 0x0201), "FE 2.1 7-port Hub"),
    (Key::Vendor(0x1a86), "QinHeng Electronics"),
    (Key::Product(0x1a86, 0x5523), "CH341 in serial mode, usb to serial port converter"),
    (Key::Product(0x1a86, 0x55d3), "USB Single Serial"),
    (Key::Product(0x1a86, 0x55d4), "USB Single Serial"),
    (Key::Product(0x1a86, 0x7522), "CH340 serial converter"),
    (Key::Product(0x1a86, 0x7523), "CH340 serial converter"),
    (Key::Vendor(0x1d50), "OpenMoko, Inc."),
    (Key::Product(0x1d50, 0x6015), "Smoothieboard"),
    (Key::Product(0x1d50, 0x606f), "Geschwister Schneider CAN adapter"),
    (Key::Product(0x1d50, 0x614e), "Klipper 3d-Printer Firmware"),
    (Key::Product(0x1d50, 0x6177), "Katapult Bootloader (CDC_ACM)"),
    (Key::Vendor(0x1d6b), "Linux Foundation"),
    (Key::Product(0x1d6b, 0x0001), "1.1 root hub"),
    (Key::Product(0x1d6b, 0x0002), "2.0 root hub"),
    (Key::Product(0x1d6b, 0x0003), "3.0 root hub"),
    (Key::Vendor(0x1eaf), "Leaflabs"),
    (Key::Product(0x1eaf, 0x0003), "Maple DFU interface"),
    (Key::Product(0x1eaf, 0x0004), "Maple serial interface"),
    (Key::Vendor(0x1fc9), "NXP Semiconductors"),
    (Key::Vendor(0x2109), "VIA Labs, Inc."),
    (Key::Product(0x2109, 0x3431), "Hub"),
    (Key::Vendor(0x2341), "Arduino SA"),
    (Key::Product(0x2341, 0x0010), "Mega 2560 (CDC ACM)"),
    (Key::Product(0x2341, 0x003d), "Due Programming Port"),
    (Key::Product(0x2341, 0x003e), "Due"),
    (Key::Product(0x2341, 0x0042), "Mega 2560 R3 (CDC ACM)"),
    (Key::Product(0x2341, 0x0043), "Uno R3 (CDC ACM)"),
    (Key::Vendor(0x239a), "Adafruit"),
    (Key::Vendor(0x28e9), "GDMicroelectronics"),
    (Key::Product(0x28e9, 0x0189), "GD32 DFU Bootloader (Longan Nano)"),
    (Key::Vendor(0x2c99), "Prusa"),
    (Key::Vendor(0x2e8a), "Raspberry Pi"),
    (Key::Product(0x2e8a, 0x0003), "RP2 Boot"),
    (Key::Product(0x2e8a, 0x0004), "Picoprobe"),
    (Key::Product(0x2e8a, 0x0005), "MicroPython Board in FS mode"),
    (Key::Product(0x2e8a, 0x0009), "Pico SDK CDC UART (RP2350)"),
    (Key::Product(0x2e8a, 0x000a), "Pico SDK CDC UART (RP2040)"),
    (Key::Product(0x2e8a, 0x000c), "Debugprobe on Pico (CMSIS-DAP)"),
    (Key::Product(0x2e8a, 0x000f), "RP2350 Boot"),
    (Key::Vendor(0x303a), "Espressif"),
    (Key::Product(0x303a, 0x1001), "USB JTAG/serial debug unit"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] = b"# comment\n\n1d50  OpenMoko, Inc. (new)\n\t614e  Firmware\n\t\t00  interface\n\
        1d51  Caf\xe9\n\t614e  Other\n\nC 09  Hub\n\t00  Unused\n\t\t00  Full speed\n\t\t01  Single\n\
        C 0a  CDC Data\n\t00  Unused\n\t\t30  I.430\nAT 0100  USB Undefined\n\t00  x\n";

    fn numbers(vendor: u16, product: u16, class: u8, protocol: u8) -> Numbers {
        Numbers { vendor, product, class, subclass: 0, protocol }
    }

    fn scan(file: &[u8], wanted: &[Numbers]) -> Names {
        let mut names = Names::read(&[], wanted);
        names.scan(file);
        names
    }

    #[test]
    fn names_of_what_is_wanted() {
        let names = scan(FILE, &[numbers(0x1d50, 0x614e, 9, 1), numbers(0x1d51, 0xffff, 0x0a, 0x30)]);
        assert_eq!(names.vendor(0x1d50), Some("OpenMoko, Inc. (new)"));
        assert_eq!(names.product(0x1d50, 0x614e), Some("Firmware"));
        assert_eq!(names.vendor(0x1d51), Some("Café"));
        assert_eq!(names.product(0x1d51, 0xffff), None);
        assert_eq!(names.class(9), Some("Hub"));
        assert_eq!(names.subclass(9, 0), Some("Unused"));
        assert_eq!(names.protocol(9, 0, 1), Some("Single"));
        assert_eq!(names.protocol(0x0a, 0, 0x30), Some("I.430"));
    }

    #[test]
    fn the_built_in_table_helps_out() {
        let names = scan(b"", &[numbers(0x1a86, 0x7523, 0xff, 0)]);
        assert_eq!(names.product(0x1a86, 0x7523), Some("CH340 serial converter"));
        assert_eq!(names.class(0xff), Some("Vendor Specific Class"));
    }

    #[test]
    fn the_built_in_table_is_in_order_and_has_no_doubles() {
        let mut keys: Vec<Key> = BUILT_IN.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), BUILT_IN.len());
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            scan(&bytes, &[numbers(0, 0, 0, 0)]);
        }

        #[test]
        fn any_lines(lines in "(\t{0,3}(C )?[0-9a-f]{0,5} {0,2}[a-z]{0,3}\n){0,20}") {
            scan(lines.as_bytes(), &[numbers(0, 0, 0, 0)]);
        }
    }
}
