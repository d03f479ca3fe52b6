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
