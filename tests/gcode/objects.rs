//! The object pass on the corpus: it does what the reference does, and the metadata stays what it was.

use std::collections::BTreeSet;
use std::io::Cursor;

use perigee::gcode::{self, Field, objects};

use crate::support;

/// Files whose objects we mark and the reference does not: it misses marks of BambuStudio, and `M486` in the files of
/// PrusaSlicer for Marlin and RepRapFirmware, which begin with it.
const MORE: [&str; 4] = [
    "real/BambuStudio/plate_1Or.gcode",
    "real/synthetic_fixture_BambuStudio/orca-bambu-style-sample.gcode",
    "sliced/ps2.9.2-marlin-m486-labels.gcode",
    "sliced/ps2.9.2-rrf-m486-labels.gcode",
];

/// The file with its objects marked, if there is anything to do.
fn processed(file: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    let found = objects::survey(&mut Cursor::new(file)).unwrap()?;
    found.rewrite(&mut Cursor::new(file), &mut output).unwrap();
    Some(output)
}

#[test]
fn the_same_files_as_the_reference() {
    let Some(corpus) = support::corpus() else { return };
    let mut ours = BTreeSet::new();
    let mut theirs = BTreeSet::new();
    for (name, reference) in support::references(&corpus) {
        let path = corpus.join("files").join(&name);
        if name.starts_with("ufp/") || !path.exists() {
            continue;
        }
        let has_done = |run: &str| {
            reference[run]["metadata"]["file_processors"] == serde_json::json!([objects::PROCESSOR])
        };
        if has_done("objects") && !has_done("plain") {
            theirs.insert(name.clone());
        }
        let before = std::fs::read(&path).unwrap();
        let Some(after) = processed(&before) else { continue };
        assert_eq!(processed(&after), None, "{name} a second time");
        assert_eq!(processed(&before).as_ref(), Some(&after), "{name} once more");
        same_metadata(&name, &before, &after);
        ours.insert(name);
    }
    theirs.extend(MORE.map(str::to_owned));
    let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!((only(&ours, &theirs), only(&theirs, &ours)), (vec![], vec![]), "only ours, only theirs");
}

/// Nothing but the offsets of the commands may change, and the record says what was done.
fn same_metadata(name: &str, before: &[u8], after: &[u8]) {
    let read = |file: &[u8]| gcode::read(&mut Cursor::new(file)).unwrap();
    let (before, after) = (read(before), read(after));
    assert_eq!(after.metadata.file_processors, [objects::PROCESSOR], "{name}");
    assert_eq!(before.thumbnails, after.thumbnails, "{name}");
    for field in Field::ALL {
        if !matches!(field, Field::GcodeStartByte | Field::GcodeEndByte) {
            assert_eq!(before.metadata.get(field), after.metadata.get(field), "{name} {field:?}");
        }
    }
}

/// Name and extent (left, front, right, back) of each object defined in a file.
fn definitions(file: &[u8]) -> Vec<(String, [f64; 4])> {
    let text = String::from_utf8_lossy(file);
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("EXCLUDE_OBJECT_DEFINE NAME=")) {
        let word = |key: &str| line.split(' ').find_map(|word| word.strip_prefix(key)).unwrap();
        let polygon: Vec<(f64, f64)> = serde_json::from_str(word("POLYGON=")).unwrap();
        let mut extent = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        for (x, y) in polygon {
            extent = [extent[0].min(x), extent[1].min(y), extent[2].max(x), extent[3].max(y)];
        }
        found.push((word("NAME=").to_owned(), extent));
    }
    found
}

#[test]
fn objects_stand_where_the_reference_puts_them() {
    let Some(corpus) = support::corpus() else { return };
    let folder = corpus.join("files/real/ideaMaker");
    let theirs = definitions(&std::fs::read(folder.join("ideamaker~1.gcode")).unwrap());
    let ours = definitions(&processed(&std::fs::read(folder.join("ideamaker.gcode")).unwrap()).unwrap());
    assert_eq!(theirs.len(), 4);
    assert_eq!(ours.len(), theirs.len());
    for ((our_name, our_extent), (their_name, their_extent)) in ours.iter().zip(&theirs) {
        assert_eq!(our_name, their_name);
        for (a, b) in our_extent.iter().zip(their_extent) {
            assert!((a - b).abs() < 0.01, "{our_name}: {our_extent:?} {their_extent:?}");
        }
    }
}
