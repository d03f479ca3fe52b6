//! A small file by each slicer, and the record that clients get for it (`<slicer>.json` beside `<slicer>.gcode`).

use std::fs::{self, File};
use std::path::Path;

use perigee::gcode::{self, Scanner};

#[test]
fn every_slicer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gcode/fixtures");
    let mut failed = Vec::new();
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "gcode") {
            let scan = gcode::read(&mut File::open(&path).unwrap()).unwrap();
            let record = serde_json::to_string_pretty(&scan.metadata).unwrap();
            let expected = fs::read_to_string(path.with_extension("json")).unwrap_or_default();
            if record.trim() != expected.trim() {
                failed.push(format!("{}:\n{record}", path.display()));
            }
            count += 1;
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(count > 20);
}

/// An upload gives what a file gives, whatever the size of the pieces it comes in.
#[test]
fn in_pieces() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gcode/fixtures");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        let whole = gcode::read(&mut File::open(&path).unwrap()).unwrap().metadata;
        for size in [1, 7, 64] {
            let mut scanner = Scanner::new();
            text.chunks(size).for_each(|piece| scanner.feed(piece));
            let pieces = scanner.finish(&mut File::open(&path).unwrap()).unwrap().metadata;
            assert_eq!(pieces, whole, "{} by {size}", path.display());
        }
    }
}
