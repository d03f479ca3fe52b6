//! Field by field comparison with the reference's results. Each difference stands in `differences.txt` under its reason;
//! one that is not listed there, or is listed but gone, fails.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use perigee::gcode::package::{self, Package};
use perigee::gcode::{self, Scan, Scanner, thumbnail};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::support;

/// The reviewed differences: `# reason`, then lines `file | field | reference | ours`, values shortened.
const DIFFERENCES: &str = include_str!("differences.txt");

/// What clients would get for a file, and the pictures written; an error is a field of its own.
fn ours(path: &Path) -> (Map<String, Value>, Vec<thumbnail::File>) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let (scan, base) = match read(path, name) {
        Ok(scan) => scan,
        Err(error) => return (Map::from_iter([("error".to_owned(), error.to_string().into())]), Vec::new()),
    };
    let Scan { mut metadata, thumbnails } = scan;
    let files = thumbnail::files(thumbnails, &base);
    metadata.thumbnails = files.iter().map(thumbnail::File::entry).collect();
    match serde_json::to_value(&metadata).unwrap() {
        Value::Object(map) => (map, files),
        other => panic!("{other}"),
    }
}

fn read(path: &Path, name: &str) -> Result<(Scan, String), package::Error> {
    let mut file = File::open(path).unwrap();
    let Some(model) = package::model_name(name) else {
        return Ok((gcode::read(&mut file)?, thumbnail::base(name).to_owned()));
    };
    let mut package = Package::open(file)?;
    let mut text = Vec::new();
    package.extract_model(&mut text, 1 << 30)?;
    let mut scan = gcode::read(&mut Cursor::new(text))?;
    scan.thumbnails.extend(package.thumbnail());
    Ok((scan, thumbnail::base(&model).to_owned()))
}

/// What the reference gives, with its crashes as an error.
fn theirs(reference: &Value) -> Map<String, Value> {
    let run = &reference["plain"];
    match run["metadata"].as_object() {
        Some(metadata) if run["rc"] == 0 => metadata.clone(),
        _ => Map::from_iter([("error".to_owned(), "crashed".into())]),
    }
}

/// One line for each field that differs.
fn differences(name: &str, theirs: &Map<String, Value>, ours: &Map<String, Value>) -> Vec<String> {
    let failed = theirs.contains_key("error") || ours.contains_key("error");
    let fields: BTreeSet<&String> =
        theirs.keys().chain(ours.keys()).filter(|field| *field != "size").collect();
    let mut found = Vec::new();
    for field in fields.into_iter().filter(|field| !failed || *field == "error") {
        let (theirs, ours) = (theirs.get(field).map(comparable), ours.get(field).map(comparable));
        if theirs != ours {
            let show = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), short);
            found.push(format!("{name} | {field} | {} | {}", show(&theirs), show(&ours)));
        }
    }
    found
}

/// A value as it is compared: miniatures are made by different programs, so their sizes differ.
fn comparable(value: &Value) -> Value {
    let mut value = value.clone();
    for entry in value.as_array_mut().into_iter().flatten() {
        if entry["relative_path"].as_str().is_some_and(|path| path.ends_with("-32x32.png")) {
            entry["size"] = Value::Null;
        }
    }
    value
}

/// A value in one short line.
fn short(value: &Value) -> String {
    let text = value.to_string().replace(" | ", " ");
    match text.char_indices().nth(160) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

#[test]
fn corpus_matches_the_reference() {
    let Some(corpus) = support::corpus() else { return };
    let mut found = BTreeSet::new();
    for (name, reference) in support::references(&corpus) {
        let path = corpus.join("files").join(&name);
        if path.exists() {
            found.extend(differences(&name, &theirs(&reference), &ours(&path).0));
        }
    }
    let listed: BTreeSet<String> = DIFFERENCES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    let unlisted: Vec<&String> = found.difference(&listed).collect();
    let gone: Vec<&String> = listed.difference(&found).collect();
    assert!(unlisted.is_empty() && gone.is_empty(), "not listed: {unlisted:#?}\nlisted but gone: {gone:#?}");
}

#[test]
fn uploads_give_what_files_give() {
    let Some(corpus) = support::corpus() else { return };
    for (name, _) in support::references(&corpus) {
        let path = corpus.join("files").join(&name);
        if !path.exists() {
            continue;
        }
        let mut scanner = Scanner::new();
        std::fs::read(&path).unwrap().chunks(5_000).for_each(|piece| scanner.feed(piece));
        let upload = scanner.finish(&mut File::open(&path).unwrap()).unwrap();
        let file = gcode::read(&mut File::open(&path).unwrap()).unwrap();
        assert_eq!(upload.metadata, file.metadata, "{name}");
        assert_eq!(upload.thumbnails, file.thumbnails, "{name}");
    }
}

#[test]
fn pictures_have_the_pixels_of_the_reference() {
    let Some(corpus) = support::corpus() else { return };
    let mut compared = 0;
    for (name, reference) in support::references(&corpus) {
        let path = corpus.join("files").join(&name);
        if !path.exists() {
            continue;
        }
        let files = ours(&path).1;
        for picture in reference["plain"]["thumbs"].as_array().into_iter().flatten() {
            let file = files.iter().find(|file| picture["name"] == file.name.as_str());
            let Some(file) =
                file.filter(|file| picture["format"] == "PNG" && !file.name.ends_with("-32x32.png"))
            else {
                continue;
            };
            assert_eq!(picture["pixels_sha256"], hash_of_pixels(&file.data).as_str(), "{name} {}", file.name);
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

/// SHA-256 of a PNG's pixels as RGBA.
fn hash_of_pixels(data: &[u8]) -> String {
    let mut decoder = png::Decoder::new(Cursor::new(data));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::ALPHA);
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    pixels.truncate(info.buffer_size());
    Sha256::digest(&pixels).iter().map(|byte| format!("{byte:02x}")).collect()
}
