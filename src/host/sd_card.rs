//! The SD card or eMMC that the system runs from: its CID and CSD registers.
//!
//! Layout: SD Physical Layer Simplified Specification §5.2 and §5.3; JEDEC JESD84-B51 §7.2 for eMMC.

use serde::Serialize;

use super::Host;

/// How many MMC hosts are looked at.
const MAX_CARDS: u32 = 8;

/// A card (`sd_info` of spec api.md §5). Registers are shown as the kernel gives them, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SdCard {
    /// Two hexadecimal digits.
    pub manufacturer_id: String,
    /// Its name where it is known, else `Unknown`.
    pub manufacturer: &'static str,
    /// Four hexadecimal digits.
    pub oem_id: String,
    /// Five characters, six for eMMC.
    pub product_name: String,
    /// `8.0`
    pub product_revision: String,
    /// Eight hexadecimal digits.
    pub serial_number: String,
    /// Month and year: `4/2018`.
    pub manufacturer_date: String,
    /// `29.7 GiB`, or `Unknown`.
    pub capacity: String,
    /// In bytes, 0 where it is not known.
    pub total_bytes: u64,
}

impl SdCard {
    /// The first SD card, else the first eMMC. `None` where there is neither.
    pub fn of(host: &Host) -> Option<Self> {
        let device = |n: u32| format!("/sys/block/mmcblk{n}/device");
        let kind = |n: &u32| host.line(format!("{}/type", device(*n)));
        let cards: Vec<u32> = (0..MAX_CARDS).filter(|n| host.exists(format!("{}/cid", device(*n)))).collect();
        let chosen = cards.iter().find(|n| kind(n).as_deref() == Some("SD")).or(cards.first())?;
        let emmc = kind(chosen).as_deref() == Some("MMC");
        let mut card = Self::from_cid(&host.line(format!("{}/cid", device(*chosen)))?, emmc)?;
        let bytes = if emmc {
            // The CSD of an eMMC above 2 GB does not tell its size; the block layer does, in sectors.
            host.number::<u64>(format!("/sys/block/mmcblk{chosen}/size")).map(|n| n.saturating_mul(512))
        } else {
            host.line(format!("{}/csd", device(*chosen))).and_then(|csd| capacity(&csd))
        };
        card.total_bytes = bytes.unwrap_or(0);
        card.capacity = bytes.map_or_else(|| "Unknown".into(), describe);
        Some(card)
    }

    fn from_cid(text: &str, emmc: bool) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let cid = register(&text)?;
        let name = if emmc { &cid[3..9] } else { &cid[3..8] };
        // after the name: revision, serial number, date
        let rest = if emmc { &cid[9..15] } else { &cid[8..15] };
        let [revision, s0, s1, s2, s3, date @ ..] = rest else { return None };
        let (month, year) = match *date {
            // eMMC: years from 1997, which began anew in 2013
            [date] => (date >> 4, if date & 0xf < 13 { 2013 } else { 1997 } + u16::from(date & 0xf)),
            [high, low] => (low & 0xf, 2000 + (u16::from(high & 0xf) << 4 | u16::from(low >> 4))),
            _ => return None,
        };
        Some(Self {
            manufacturer_id: text.get(..2)?.into(),
            manufacturer: manufacturer(cid[0], emmc),
            oem_id: text.get(2..6)?.into(),
            product_name: name
                .iter()
                .filter(|b| b.is_ascii_graphic() || **b == b' ')
                .map(|b| char::from(*b))
                .collect(),
            product_revision: format!("{}.{}", revision >> 4, revision & 0xf),
            serial_number: format!("{s0:02x}{s1:02x}{s2:02x}{s3:02x}"),
            manufacturer_date: format!("{month}/{year}"),
            capacity: String::new(),
            total_bytes: 0,
        })
    }
}

/// The 16 bytes of a register.
fn register(text: &str) -> Option<[u8; 16]> {
    let mut bytes = [0; 16];
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Makers by their number. SD and eMMC have separate registers of makers; there is no public list of either, so
/// these are the ones that are commonly known.
fn manufacturer(id: u8, emmc: bool) -> &'static str {
    match (emmc, id) {
        (false, 0x01) => "Panasonic",
        (false, 0x02) => "Toshiba",
        (_, 0x03) => "Sandisk",
        (false, 0x1b) | (true, 0x15) => "Samsung",
        (false, 0x1d) => "AData",
        (false, 0x27) => "Phison",
        (false, 0x28) => "Lexar",
        (false, 0x31) => "Silicon Power",
        (false, 0x41) => "Kingston",
        (false, 0x74) => "PNY",
        (false, 0x82) => "Sony",
        (true, 0x11) => "Toshiba",
        (true, 0x13) | (true, 0xfe) => "Micron",
        (true, 0x45) => "Sandisk",
        (true, 0x70) => "Kingston",
        (true, 0x90) => "SK Hynix",
        _ => "Unknown",
    }
}

/// Bytes that the CSD of an SD card tells.
fn capacity(text: &str) -> Option<u64> {
    let csd = register(text)?;
    let at = |index: usize| u64::from(csd[index]);
    match csd[0] >> 6 {
        // up to 2 GB
        0 => {
            let size = (at(6) & 0x3) << 10 | at(7) << 2 | at(8) >> 6;
            let multiplier = (at(9) & 0x3) << 1 | at(10) >> 7;
            Some((size + 1) << (multiplier + 2 + (at(5) & 0xf)))
        }
        // SDHC and SDXC count in 512 KiB
        1 => Some((((at(7) & 0x3f) << 16 | at(8) << 8 | at(9)) + 1) << 19),
        // SDUC
        2 => Some((((at(6) & 0xf) << 24 | at(7) << 16 | at(8) << 8 | at(9)) + 1) << 19),
        _ => None,
    }
}

fn describe(bytes: u64) -> String {
    const MIB: f64 = 1024.0 * 1024.0;
    let mib = bytes as f64 / MIB;
    match mib {
        m if m < 2048.0 => format!("{m:.1} MiB"),
        m if m < 2048.0 * 1024.0 => format!("{:.1} GiB", m / 1024.0),
        m => format!("{:.1} TiB", m / MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;
    use proptest::prelude::*;

    const CID: &str = "0353445355333247800046ba4601244b";
    const CSD: &str = "400e00325b590000edc87f800a404009";

    #[test]
    fn an_sd_card() {
        let tree = Tree::unpack(&format!(
            "@@ /sys/block/mmcblk0/device/cid\n{CID}\n@@ /sys/block/mmcblk0/device/csd\n{CSD}\n"
        ));
        let card = SdCard::of(tree.host()).unwrap();
        assert_eq!((card.manufacturer, card.manufacturer_id.as_str()), ("Sandisk", "03"));
        assert_eq!((card.oem_id.as_str(), card.product_name.as_str()), ("5344", "SU32G"));
        assert_eq!((card.product_revision.as_str(), card.serial_number.as_str()), ("8.0", "0046ba46"));
        assert_eq!(card.manufacturer_date, "4/2018");
        assert_eq!((card.capacity.as_str(), card.total_bytes), ("29.7 GiB", 31_914_983_424));
    }

    #[test]
    fn an_emmc_tells_its_size_elsewhere() {
        let tree = Tree::unpack(
            "@@ /sys/block/mmcblk0/device/cid\n150100424a5444345206d1a2b3c46500\n\
             @@ /sys/block/mmcblk0/device/type\nMMC\n@@ /sys/block/mmcblk0/size\n61071360\n",
        );
        let card = SdCard::of(tree.host()).unwrap();
        assert_eq!((card.manufacturer, card.product_name.as_str()), ("Samsung", "BJTD4R"));
        assert_eq!((card.product_revision.as_str(), card.serial_number.as_str()), ("0.6", "d1a2b3c4"));
        assert_eq!(card.manufacturer_date, "6/2018");
        assert_eq!(card.capacity, "29.1 GiB");
    }

    #[test]
    fn the_card_comes_before_the_emmc() {
        let tree = Tree::unpack(&format!(
            "@@ /sys/block/mmcblk0/device/cid\n150100424a5444345206d1a2b3c46500\n\
             @@ /sys/block/mmcblk0/device/type\nMMC\n\
             @@ /sys/block/mmcblk1/device/cid\n{CID}\n@@ /sys/block/mmcblk1/device/type\nSD\n"
        ));
        let card = SdCard::of(tree.host()).unwrap();
        assert_eq!((card.product_name.as_str(), card.capacity.as_str()), ("SU32G", "Unknown"));
    }

    #[test]
    fn capacities_of_all_generations() {
        // 2 GB card: READ_BL_LEN 10, C_SIZE 3779, C_MULT 7
        assert_eq!(capacity("002600325b5a83b0eeffffff80000000").map(|b| b >> 20), Some(1890));
        assert_eq!(capacity("800e00325b590100000000000a404009"), Some((1 << 24 << 19) + (1 << 19)));
        assert_eq!(capacity("c00e00325b590000edc87f800a404009"), None);
        assert_eq!(capacity("40"), None);
        assert_eq!(describe(5 << 40), "5.0 TiB");
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = SdCard::from_cid(&text, false);
            let _ = capacity(&text);
        }

        #[test]
        fn any_register(bytes: [u8; 16], emmc: bool) {
            let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
            prop_assert!(SdCard::from_cid(&text, emmc).is_some());
            let _ = capacity(&text).map(describe);
        }
    }
}
