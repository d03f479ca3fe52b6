//! Reading a file's metadata: from the bytes of an upload as they pass, or from the beginning and end of a file.

use std::io::{self, Read, Seek, SeekFrom};

use super::field::{Field, Metadata, Value};
use super::rules::{self, Sink, Window};
use super::slicers::{self, Family, Watch};
use super::thumbnail::{Extractor, Thumbnail};
use super::{bgcode, commands, flashprint, motion, objects, text};

/// Size of the window at the beginning of a file, not counting embedded pictures, and of that at its end, bytes
/// (spec behaviour.md §6.1). Only one of them is in memory at a time.
pub const WINDOW: usize = 1 << 20;

/// Bytes read from a file at a time.
const CHUNK: usize = 64 << 10;

/// Mark that some editors put before the text.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What was found in a file.
#[derive(Debug)]
pub struct Scan {
    /// The fields.
    pub metadata: Metadata,
    /// The embedded pictures as they stand in the file, in file order, not yet looked into; see [`super::thumbnail::files`].
    pub thumbnails: Vec<Thumbnail>,
}

/// Reads metadata from bytes as they pass, without keeping them: memory is [`WINDOW`] and the pictures found
/// ([`super::thumbnail::MAX_TOTAL`]), however long the file.
///
/// Pictures are found anywhere in what is fed; everything else in the first [`WINDOW`] of it and, through
/// [`Scanner::finish`], in the last.
#[derive(Debug)]
pub struct Scanner {
    extractor: Extractor,
    /// The beginning of the file without the pictures, until it is full and has been read.
    head: Vec<u8>,
    /// What has been read, once the head was full.
    reading: Option<Reading>,
    /// The picture of a file that has it in a header of its own.
    picture: Option<Thumbnail>,
    /// Bytes fed.
    fed: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the beginning of a file.
    pub fn new() -> Self {
        Scanner { extractor: Extractor::default(), head: Vec::new(), reading: None, picture: None, fed: 0 }
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.fed += bytes.len() as u64;
        let head = &mut self.head;
        let reading = &mut self.reading;
        let at_head = reading.is_none();
        self.extractor.feed(bytes, &mut |text| {
            if at_head {
                let room = WINDOW.saturating_sub(head.len());
                head.extend_from_slice(&text[..text.len().min(room)]);
            }
        });
        if at_head && self.head.len() >= WINDOW && !self.is_binary() {
            self.read_head(Window::Head);
        }
    }

    /// Whether the beginning has been read, so that only the end and pictures in between can bring anything new.
    pub fn head_is_full(&self) -> bool {
        self.reading.is_some()
    }

    /// Reads the end of the file, which must hold the bytes that were fed, and gives the result. Reads at most
    /// [`WINDOW`] from the file, and nothing if it was short enough to be read as it passed.
    ///
    /// # Errors
    /// Those of `file`.
    pub fn finish<F: Read + Seek>(mut self, file: &mut F) -> io::Result<Scan> {
        if self.is_binary() {
            return read_binary(file);
        }
        let length = self.fed;
        if self.reading.is_none() {
            self.read_head(Window::Whole);
        } else {
            let start = length.saturating_sub(WINDOW as u64);
            let tail = read_at(file, start, std::mem::take(&mut self.head), WINDOW)?;
            self.read_tail(&tail, start);
        }
        Ok(self.into_scan())
    }

    /// Whether the file is binary G-code, which is read as a file once it is complete.
    fn is_binary(&self) -> bool {
        self.head.starts_with(bgcode::MAGIC)
    }

    fn read_head(&mut self, window: Window) {
        if window == Window::Head {
            // the window ends anywhere: its last line is only part of one
            self.head
                .truncate(memchr::memrchr(b'\n', &self.head).map_or(self.head.len(), |newline| newline + 1));
        }
        let header = flashprint::Header::read(&self.head);
        let start = header.map_or(0, |header| header.start);
        let mut reading = Reading::new(&self.head[start..]);
        let extractor = &self.extractor;
        reading.window(&self.head[start..], window, |offset| extractor.locate(start + offset));
        if let Some(header) = header {
            header.note(&mut reading.sink);
            self.picture = Some(Thumbnail::embedded(header.picture.to_vec()));
        }
        self.head.clear();
        self.reading = Some(reading);
    }

    fn read_tail(&mut self, tail: &[u8], start: u64) {
        let Some(reading) = &mut self.reading else { return };
        // the window begins anywhere: its first line is only part of one
        let skipped = memchr::memchr(b'\n', tail).map_or(tail.len(), |newline| newline + 1);
        reading.window(&tail[skipped..], Window::Foot, |offset| start + (skipped + offset) as u64);
    }

    fn into_scan(self) -> Scan {
        let mut thumbnails = self.extractor.finish();
        thumbnails.extend(self.picture);
        let metadata = self.reading.map(Reading::finish).unwrap_or_default();
        Scan { metadata, thumbnails }
    }
}

/// Reads the metadata of a file from its beginning and its end: about two [`WINDOW`]s and the pictures, whatever its
/// size. Pictures that stand in neither are not found; the rest is as with [`Scanner`].
///
/// # Errors
/// Those of `file`.
pub fn read<F: Read + Seek>(file: &mut F) -> io::Result<Scan> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut scanner = Scanner::new();
    let mut chunk = vec![0; CHUNK];
    while !scanner.head_is_full() && !scanner.is_binary() {
        let count = read_some(file, &mut chunk)?;
        if count == 0 {
            break;
        }
        scanner.feed(&chunk[..count]);
    }
    drop(chunk);
    if scanner.is_binary() {
        return read_binary(file);
    }
    if scanner.head_is_full() {
        let start = length.saturating_sub(WINDOW as u64);
        let tail = read_at(file, start, std::mem::take(&mut scanner.head), WINDOW)?;
        let fresh = scanner.fed.saturating_sub(start);
        if scanner.fed < start {
            scanner.extractor.skip();
        }
        let unseen = tail.get(usize::try_from(fresh).unwrap_or(usize::MAX)..).unwrap_or_default();
        scanner.extractor.feed(unseen, &mut |_| {});
        scanner.read_tail(&tail, start);
    } else {
        scanner.read_head(Window::Whole);
    }
    Ok(scanner.into_scan())
}

/// Reads the metadata blocks of binary G-code.
fn read_binary<F: Read + Seek>(file: &mut F) -> io::Result<Scan> {
    let bgcode::Binary { sink, thumbnails } = bgcode::read(file)?;
    Ok(Scan { metadata: record(sink), thumbnails })
}

/// The record of what was found, with the fields that every file has.
fn record(mut sink: Sink) -> Metadata {
    sink.set_default(Field::Slicer, Value::Text("Unknown".to_owned()));
    sink.set_default(Field::SlicerVersion, Value::Text("?".to_owned()));
    sink.into_metadata()
}

/// One `read`, repeated if a signal came in between.
fn read_some<F: Read>(file: &mut F, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match file.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Reads up to `length` bytes from `start` into `buffer`.
fn read_at<F: Read + Seek>(
    file: &mut F,
    start: u64,
    mut buffer: Vec<u8>,
    length: usize,
) -> io::Result<Vec<u8>> {
    buffer.clear();
    file.seek(SeekFrom::Start(start))?;
    file.take(length as u64).read_to_end(&mut buffer)?;
    Ok(buffer)
}

/// The state of reading one file.
#[derive(Debug)]
struct Reading {
    family: &'static Family,
    watch: Watch,
    sink: Sink,
    processors: Vec<String>,
    start: Option<u64>,
    end: Option<u64>,
}

impl Reading {
    /// Finds out whose file it is from its beginning.
    fn new(head: &[u8]) -> Self {
        let head = head.strip_prefix(BOM).unwrap_or(head);
        let (identity, family) =
            slicers::identify(text::lines(head).filter_map(|line| text::comment(line.bytes)));
        let mut sink = Sink::default();
        identity.note(&mut sink);
        Reading { family, watch: Watch::default(), sink, processors: Vec::new(), start: None, end: None }
    }

    /// Reads one window. `locate` turns an offset in `bytes` into one in the file.
    fn window(&mut self, bytes: &[u8], window: Window, locate: impl Fn(usize) -> u64) {
        let mut last = None;
        for line in text::lines(bytes) {
            (self.family.watch)(&mut self.watch, line.bytes, window, &mut self.sink);
            if let Some(comment) = text::comment(line.bytes) {
                rules::apply(self.family.rules(), comment, window, &mut self.sink);
                self.note_processor(comment);
            } else if commands::is_command(line.bytes) && line.bytes.last() != Some(&0) {
                last = Some(line.next);
                if self.start.is_none() {
                    self.start = Some(locate(line.start).saturating_sub(1));
                }
            }
            if window != Window::Foot && !line.bytes.starts_with(b";") {
                commands::temperature(line.bytes, &mut self.sink);
            }
        }
        let missing = |field| self.sink.get(field).is_none();
        if missing(Field::ObjectHeight) || missing(Field::FirstLayerHeight) && window != Window::Foot {
            motion::heights(bytes, window, &mut self.sink);
        }
        if let Some(last) = last {
            self.end = Some(locate(last - 1) + 1);
        }
    }

    /// Notes the stamp of a program that has marked the file's objects.
    fn note_processor(&mut self, comment: &[u8]) {
        if objects::STAMPS.iter().any(|stamp| comment.starts_with(stamp.as_bytes()))
            && self.processors.is_empty()
        {
            self.processors.push(objects::PROCESSOR.to_owned());
        }
    }

    fn finish(mut self) -> Metadata {
        (self.family.finish)(&self.watch, &mut self.sink);
        for (field, offset) in [(Field::GcodeStartByte, self.start), (Field::GcodeEndByte, self.end)] {
            if let Some(offset) = offset.and_then(|offset| i64::try_from(offset).ok()) {
                self.sink.set(field, Value::Int(offset));
            }
        }
        let mut metadata = record(self.sink);
        metadata.file_processors = self.processors;
        metadata
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "; generated by PrusaSlicer 2.9.2 on 2026-01-02 at 03:04:05\nM109 S215\n";
    const PICTURE: &str = "; thumbnail begin 1x1 8\n; cGljdHVyZQ==\n; thumbnail end\n";
    const FOOTER: &str = "M84\n; filament used [mm] = 12.5\n; layer_height = 0.2\n";

    /// A file of about `size` bytes with a picture in the middle and a setting that stands in neither window.
    fn file(size: usize) -> Vec<u8> {
        let filler = "G1 X10.125 Y20.25 E.015\n".repeat(size / 48);
        [HEADER, &filler, PICTURE, "; nozzle_diameter = 0.4\n", &filler, FOOTER].concat().into_bytes()
    }

    /// What an upload of `text` gives.
    fn upload(text: &[u8], size: usize) -> Scan {
        let mut scanner = Scanner::new();
        text.chunks(size).for_each(|piece| scanner.feed(piece));
        scanner.finish(&mut Cursor::new(text)).unwrap()
    }

    /// A file that counts the bytes read from it.
    struct Counted(Cursor<Vec<u8>>, usize);

    impl Read for Counted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1 += count;
            Ok(count)
        }
    }

    impl Seek for Counted {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.0.seek(to)
        }
    }

    #[test]
    fn a_large_file_is_read_at_both_ends() {
        let text = file(5 * WINDOW);
        let mut counted = Counted(Cursor::new(text.clone()), 0);
        let found = read(&mut counted).unwrap();
        assert!(counted.1 <= 2 * WINDOW + CHUNK, "{}", counted.1);
        let number = |field| found.metadata.get(field).and_then(Value::number);
        assert_eq!(number(Field::FirstLayerExtrTemp), Some(215.0));
        assert_eq!(number(Field::FilamentTotal), Some(12.5));
        assert_eq!(number(Field::NozzleDiameter), None);
        assert_eq!(number(Field::GcodeStartByte), Some(58.0));
        assert_eq!(number(Field::GcodeEndByte), Some((text.len() - FOOTER.len() + 4) as f64));
        assert!(found.thumbnails.is_empty());
        // as an upload, the picture in the middle is seen as well
        let uploaded = upload(&text, 10_000);
        assert_eq!(uploaded.metadata, found.metadata);
        assert_eq!(uploaded.thumbnails, [Thumbnail::embedded(b"picture".to_vec())]);
    }

    #[test]
    fn an_upload_gives_what_the_file_gives() {
        for size in [0, 100, WINDOW - 9, WINDOW, WINDOW + 9, 2 * WINDOW - 9, 2 * WINDOW + 9] {
            let text = [PICTURE.as_bytes(), &file(size), PICTURE.as_bytes()].concat();
            let found = read(&mut Cursor::new(&text)).unwrap();
            let uploaded = upload(&text, 4_000);
            assert_eq!(uploaded.metadata, found.metadata, "{size}");
            assert_eq!(uploaded.thumbnails, found.thumbnails, "{size}");
            assert_eq!(found.thumbnails.len(), 3, "{size}");
        }
    }

    #[test]
    fn pictures_take_no_room_in_the_window() {
        let lines = format!("; {}\n", "QUJD".repeat(19)).repeat(WINDOW / 60);
        let text = format!("; thumbnail begin 9x9 1\n{lines}; thumbnail end\n{HEADER}G1 X1\n{FOOTER}");
        let found = read(&mut Cursor::new(&text)).unwrap();
        assert_eq!(found.thumbnails.len(), 1);
        assert_eq!(found.metadata.get(Field::Slicer), Some(&Value::Text("PrusaSlicer".to_owned())));
        let start = text.find("\nM109").unwrap() as i64;
        assert_eq!(found.metadata.get(Field::GcodeStartByte), Some(&Value::Int(start)));
    }

    /// Each of these takes the reference seconds to minutes, or more with the size.
    #[test]
    fn hostile_text_is_no_harm() {
        let digits = "9".repeat(100_000);
        let texts = [
            "; thumbnail begin 32x32 400\n; AAAA\n".repeat(10_000),
            format!("; thumbnail begin 32x32 400\n; {}", "A".repeat(WINDOW)),
            format!("{HEADER}; first_layer_height = {digits}\n"),
            format!("G1 Z{digits}\n"),
            format!(
                "; Simplify3D(R) Version 5.0\n{}",
                ";   temperatureController,E\n;   temperatureType,extruder\n".repeat(9_000)
            ),
            ";".repeat(WINDOW / 4),
            ";=".repeat(WINDOW / 8),
            "\n".repeat(2 * WINDOW + 1),
            "\0".repeat(2 * WINDOW + 1),
            format!("{HEADER}; extruder_colour = {}", "\"a\";".repeat(WINDOW / 2)),
            " on ".repeat(WINDOW / 8),
        ];
        for text in texts {
            let found = read(&mut Cursor::new(&text)).unwrap();
            serde_json::to_string(&found.metadata).unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..400), size in 1usize..50) {
            let found = read(&mut Cursor::new(&text)).unwrap();
            prop_assert_eq!(upload(&text, size).metadata, found.metadata);
        }

        #[test]
        fn any_lines_of_any_slicer(
            lines in prop::collection::vec(prop_oneof![
                "; ?(generated by|Generated with|Sliced by|BambuStudio|KISSlicer|<IceSL) ?[ -~]{0,30}",
                "; ?[a-zA-Z_ \\[\\]#.0-9]{1,20} ?[=:,] ?[ -~]{0,20}",
                "[GMTgm][0-9]{1,3}( [XYZESPT]-?[0-9.]{0,6}){0,4}",
                "[^\n]{0,20}",
            ], 0..40),
        ) {
            let text = lines.join("\n");
            let found = read(&mut Cursor::new(&text)).unwrap();
            let json = serde_json::to_string(&found.metadata).unwrap();
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
        }
    }
}
