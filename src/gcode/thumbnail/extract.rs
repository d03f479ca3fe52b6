//! Finding pictures in the text of a file as it streams by.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use memchr::{memchr, memmem, memrchr};

use super::{MAX_TOTAL, Thumbnail};
use crate::gcode::text;

/// Most pictures looked for in one file. After them the text is passed on as it is.
const MAX_BLOCKS: usize = 64;
/// Longest line that can begin a picture, bytes.
const MAX_MARKER: usize = 160;
/// Longest line of a picture, bytes: all of it on one line.
const MAX_LINE: usize = MAX_TOTAL / 3 * 4;
/// What a line that begins a picture contains.
const BEGIN: &[u8] = b" begin ";
/// A picture that stands on one line, as Snapmaker's slicers write it.
const DATA_URI: &[u8] = b"thumbnail: data:image/";
/// The formats that a picture's tag can name; the bytes themselves decide later.
const TAGS: [&[u8]; 4] = [b"png", b"jpg", b"jpeg", b"qoi"];

/// Base64 as slicers write it: padded or not, and not always with zero bits at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Takes pictures out of text that is fed in pieces, and passes the rest on.
#[derive(Debug, Default, Clone)]
pub(in crate::gcode) struct Extractor {
    found: Vec<Thumbnail>,
    /// Bytes of the pictures found.
    total: usize,
    /// Pictures begun.
    blocks: usize,
    /// The picture being read.
    block: Option<Block>,
    /// The beginning of a line that was cut by the end of a piece.
    line: Vec<u8>,
    /// Whether the rest of the line is of no interest.
    skipping: bool,
    /// Bytes passed on.
    passed: u64,
    /// Where text was taken out: bytes passed on before, and bytes taken out in all.
    removed: Vec<(u64, u64)>,
}

impl Extractor {
    /// Takes the next piece of text. Gives everything but the pictures' own lines to `pass`.
    pub(in crate::gcode) fn feed(&mut self, piece: &[u8], pass: &mut dyn FnMut(&[u8])) {
        let mut rest = piece;
        while !rest.is_empty() {
            let cut = !self.line.is_empty() || self.skipping;
            rest = match (&self.block, cut) {
                (Some(_), _) => self.block_line(rest, pass),
                (None, true) => self.cut_line(rest, pass),
                (None, false) => self.whole_lines(rest, pass),
            };
        }
    }

    /// Leaves out text: what is fed next begins somewhere else, perhaps within a line.
    pub(in crate::gcode) fn skip(&mut self) {
        self.block = None;
        self.line.clear();
        self.skipping = true;
    }

    /// Where in the file the byte stands that was passed on as number `offset`.
    pub(in crate::gcode) fn locate(&self, offset: usize) -> u64 {
        let offset = offset as u64;
        let before = self.removed.iter().rev().find(|(passed, _)| *passed <= offset);
        offset + before.map_or(0, |(_, removed)| *removed)
    }

    /// The pictures found.
    pub(in crate::gcode) fn finish(self) -> Vec<Thumbnail> {
        self.found
    }

    fn pass(&mut self, text: &[u8], pass: &mut dyn FnMut(&[u8])) {
        self.passed += text.len() as u64;
        pass(text);
    }

    /// Looks for the beginning of a picture in the whole lines of `text`; keeps the beginning of the last, cut one.
    fn whole_lines<'a>(&mut self, text: &'a [u8], pass: &mut dyn FnMut(&[u8])) -> &'a [u8] {
        let whole = memrchr(b'\n', text).map_or(0, |newline| newline + 1);
        let mut from = 0;
        while let Some((start, end)) = self.candidate(&text[..whole], from) {
            if self.begins(&text[start..end]) {
                self.pass(&text[..=end], pass);
                return &text[end + 1..];
            }
            from = end;
        }
        self.pass(text, pass);
        self.keep(&text[whole..]);
        &[]
    }

    /// The next line of `text`, from an offset on, that might begin a picture: its start and its newline.
    fn candidate(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.blocks >= MAX_BLOCKS {
            return None;
        }
        let search = &text[from..];
        let marker = memmem::find(search, BEGIN);
        let near = &search[..marker.unwrap_or(search.len())];
        let at = from + memmem::find(near, DATA_URI).or(marker)?;
        let start = memrchr(b'\n', &text[..at]).map_or(0, |newline| newline + 1);
        Some((start, at + memchr(b'\n', &text[at..])?))
    }

    /// Completes a line whose beginning came in an earlier piece.
    fn cut_line<'a>(&mut self, text: &'a [u8], pass: &mut dyn FnMut(&[u8])) -> &'a [u8] {
        let Some(newline) = memchr(b'\n', text) else {
            self.pass(text, pass);
            self.keep(text);
            return &[];
        };
        self.pass(&text[..=newline], pass);
        let mut line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.skipping) && self.blocks < MAX_BLOCKS {
            line.extend_from_slice(&text[..newline]);
            self.begins(&line);
        }
        &text[newline + 1..]
    }

    /// Keeps a piece of a line in case that it begins a picture.
    fn keep(&mut self, text: &[u8]) {
        if self.skipping {
            return;
        }
        self.line.extend_from_slice(text);
        let limit = if is_data_uri(&self.line) { MAX_LINE } else { MAX_MARKER };
        if self.line.len() > limit {
            self.line = Vec::new();
            self.skipping = true;
        }
    }

    /// Whether `line` begins a picture, whose lines then follow. Takes one that stands on the line itself.
    fn begins(&mut self, line: &[u8]) -> bool {
        let Some(comment) = text::comment(line) else { return false };
        if let Some(uri) = comment.strip_prefix(DATA_URI) {
            self.blocks += 1;
            let mut block = Block::default();
            let data = memmem::find(uri, b"base64,").map_or(&[][..], |at| &uri[at + b"base64,".len()..]);
            if block.decode(data, MAX_TOTAL.saturating_sub(self.total)) {
                self.complete(block);
            }
            return false;
        }
        let Some(at) = memmem::find(comment, BEGIN).filter(|_| line.len() <= MAX_MARKER) else {
            return false;
        };
        let tag = &comment[..at];
        let known = tag.to_ascii_lowercase().starts_with(b"thumbnail")
            || TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag));
        if known && text::numbers(&comment[at..]).len() >= 2 {
            self.blocks += 1;
            self.block = Some(Block { tag: tag.to_owned(), ..Block::default() });
        }
        self.block.is_some()
    }

    /// Reads one line of a picture. A line that cannot be one ends it without result.
    fn block_line<'a>(&mut self, text: &'a [u8], pass: &mut dyn FnMut(&[u8])) -> &'a [u8] {
        let Some(newline) = memchr(b'\n', text) else {
            if self.line.len() + text.len() > MAX_LINE {
                self.skip();
                self.take_out(text.len());
            } else {
                self.line.extend_from_slice(text);
            }
            return &[];
        };
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(&text[..=newline]);
        match self.block.as_mut().map(|block| block.read(&line, MAX_TOTAL.saturating_sub(self.total))) {
            Some(Progress::More) => self.take_out(line.len()),
            Some(Progress::Complete) => {
                self.take_out(line.len());
                if let Some(block) = self.block.take() {
                    self.complete(block);
                }
            }
            Some(Progress::Broken) | None => {
                self.block = None;
                self.pass(&line, pass);
                if self.blocks < MAX_BLOCKS {
                    self.begins(line.strip_suffix(b"\n").unwrap_or(&line));
                }
            }
        }
        line.clear();
        self.line = line;
        &text[newline + 1..]
    }

    /// Notes that text was not passed on.
    fn take_out(&mut self, length: usize) {
        let before = self.removed.last().map_or(0, |(_, removed)| *removed);
        match self.removed.last_mut() {
            Some((passed, removed)) if *passed == self.passed => *removed += length as u64,
            _ => self.removed.push((self.passed, before + length as u64)),
        }
    }

    fn complete(&mut self, mut block: Block) {
        block.finish();
        if !block.data.is_empty() {
            self.total += block.data.len();
            self.found.push(Thumbnail::embedded(block.data));
        }
    }
}

fn is_data_uri(line: &[u8]) -> bool {
    text::comment(line).is_some_and(|comment| comment.starts_with(DATA_URI))
}

/// What a line is to the picture being read.
enum Progress {
    /// Part of it.
    More,
    /// Its end.
    Complete,
    /// Nothing that can stand there.
    Broken,
}

/// A picture being read.
#[derive(Debug, Default, Clone)]
struct Block {
    /// What stands before `begin`, and again before `end`.
    tag: Vec<u8>,
    /// Base64 characters that do not make up a group of four yet.
    pending: Vec<u8>,
    data: Vec<u8>,
    /// Whether it was too large.
    dropped: bool,
}

impl Block {
    /// Reads one line, keeping at most `room` bytes.
    fn read(&mut self, line: &[u8], room: usize) -> Progress {
        let Some(comment) = text::comment(line.trim_ascii_end()) else { return Progress::Broken };
        // some begin with `thumbnail_QOI` and end with `thumbnail`
        let ends = comment.strip_suffix(b" end").is_some_and(|tag| tag == self.tag || tag == b"thumbnail");
        if ends {
            Progress::Complete
        } else if self.decode(comment, room) {
            Progress::More
        } else {
            Progress::Broken
        }
    }

    /// Decodes more base64. Whether it was such.
    fn decode(&mut self, text: &[u8], room: usize) -> bool {
        self.pending.extend_from_slice(text);
        let length = if text.ends_with(b"=") { self.pending.len() } else { self.pending.len() / 4 * 4 };
        let decoded = BASE64.decode_vec(&self.pending[..length], &mut self.data).is_ok();
        self.pending.drain(..length);
        if self.dropped || self.data.len() > room {
            self.dropped = true;
            self.data = Vec::new();
        }
        decoded
    }

    /// Decodes what is left of base64 without padding.
    fn finish(&mut self) {
        if !self.dropped && BASE64.decode_vec(&self.pending, &mut self.data).is_err() {
            self.data = Vec::new();
        }
    }
}
