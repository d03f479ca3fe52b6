use std::io::Cursor;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use proptest::prelude::*;

use super::*;

/// One member of an archive that a test makes.
struct Entry<'a> {
    name: &'a str,
    data: &'a [u8],
    method: u16,
    /// Size that the directory claims, if not the true one.
    claims: Option<u32>,
}

impl<'a> Entry<'a> {
    fn new(name: &'a str, data: &'a [u8]) -> Self {
        Entry { name, data, method: 8, claims: None }
    }
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let mut crc = Crc::new();
        crc.update(entry.data);
        let packed = if entry.method == 8 {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(entry.data).unwrap();
            encoder.finish().unwrap()
        } else {
            entry.data.to_vec()
        };
        let mut common = Vec::new();
        common.extend([20u16, 0, entry.method, 0, 0].iter().flat_map(|field| field.to_le_bytes()));
        let size = entry.claims.unwrap_or(entry.data.len() as u32);
        common.extend([crc.sum(), packed.len() as u32, size].iter().flat_map(|field| field.to_le_bytes()));
        common.extend([entry.name.len() as u16, 0].iter().flat_map(|field| field.to_le_bytes()));
        let offset = file.len() as u32;
        file.extend_from_slice(b"PK\x03\x04");
        file.extend_from_slice(&common);
        file.extend_from_slice(entry.name.as_bytes());
        file.extend_from_slice(&packed);
        directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        directory.extend_from_slice(&common);
        directory.extend_from_slice(&[0; 10]);
        directory.extend_from_slice(&offset.to_le_bytes());
        directory.extend_from_slice(entry.name.as_bytes());
    }
    let start = file.len() as u32;
    file.extend_from_slice(&directory);
    file.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    file.extend([entries.len() as u16; 2].iter().flat_map(|count| count.to_le_bytes()));
    file.extend_from_slice(&(directory.len() as u32).to_le_bytes());
    file.extend_from_slice(&start.to_le_bytes());
    file.extend_from_slice(&[0; 2]);
    file
}

fn model(file: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    Package::open(Cursor::new(file))?.extract_model(&mut out, 1 << 30)?;
    Ok(out)
}

#[test]
fn names() {
    assert_eq!(model_name("a.ufp").as_deref(), Some("a.gcode"));
    assert_eq!(model_name("b.c.gcode.3MF").as_deref(), Some("b.c.gcode"));
    assert_eq!(model_name("a.gcode"), None);
    assert_eq!(model_name(".ufp"), None);
}

#[test]
fn ufp_with_and_without_leading_slash() {
    for slash in ["/", ""] {
        let names = [format!("{slash}3D/model.gcode"), format!("{slash}Metadata/thumbnail.png")];
        let file =
            archive(&[Entry::new(&names[0], b"G28\n"), Entry { method: 0, ..Entry::new(&names[1], b"png") }]);
        assert_eq!(model(&file).unwrap(), b"G28\n");
        let mut package = Package::open(Cursor::new(&file)).unwrap();
        assert_eq!(package.model_size(), 4);
        assert_eq!(package.thumbnail(), Some(Thumbnail::of_package(b"png".to_vec())));
    }
}

#[test]
fn the_first_plate_of_a_3mf() {
    let file = archive(&[
        Entry::new("Metadata/plate_2.gcode", b"two"),
        Entry::new("Metadata/plate_1.png", b"picture of one"),
        Entry::new("Metadata/plate_1.gcode", b"one"),
        Entry::new("Metadata/plate_1_small.png", b"small"),
    ]);
    assert_eq!(model(&file).unwrap(), b"one");
    let picture = Package::open(Cursor::new(&file)).unwrap().thumbnail();
    assert_eq!(picture.unwrap().data, b"picture of one");
}

#[test]
fn what_is_refused_and_why() {
    let said = |file: &[u8]| model(file).map(|model| model.len()).unwrap_err().to_string();
    assert_eq!(said(b""), "not a package: no zip archive");
    assert_eq!(said(b"G28\n"), "not a package: no zip archive");
    assert_eq!(said(&archive(&[])), "the package contains no G-code");
    let climbing = archive(&[Entry::new("3D/model.gcode", b"G28"), Entry::new("a/../../b", b"")]);
    assert_eq!(said(&climbing), "the package is refused: it contains the unsafe path \"a/../../b\"");
    let bomb = archive(&[Entry::new("3D/model.gcode", &vec![b'\n'; 4 << 20])]);
    assert_eq!(said(&bomb), "the package is refused: it would grow more than 100 times");
    let method = archive(&[Entry { method: 14, ..Entry::new("3D/model.gcode", b"G28") }]);
    assert_eq!(said(&method), "the package uses compression method 14, only deflate is supported");
    let good = archive(&[Entry::new("3D/model.gcode", b"G28")]);
    assert_eq!(said(&good[..good.len() - 8]), "the package is damaged or incomplete");
    let lying = archive(&[Entry { claims: Some(2), ..Entry::new("3D/model.gcode", b"G28") }]);
    assert_eq!(said(&lying), "the package is damaged or incomplete");
    let mut out = Vec::new();
    let tight = Package::open(Cursor::new(&good)).unwrap().extract_model(&mut out, 2);
    assert!(matches!(tight, Err(Error::TooLarge)));
}

proptest! {
    #[test]
    fn damaged_archives_give_errors(at in 0usize..200, byte: u8, cut in 0usize..200) {
        let mut file = archive(&[Entry::new("3D/model.gcode", b"G28\nG1 X1\n"), Entry::new("Metadata/thumbnail.png", b"x")]);
        if let Some(place) = file.get_mut(at) {
            *place = byte;
        }
        file.truncate(file.len().saturating_sub(cut / 4));
        let _ = model(&file);
    }

    #[test]
    fn any_bytes_give_errors(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = model(&bytes);
        let _ = model(&[b"PK\x05\x06", bytes.as_slice()].concat());
    }
}
