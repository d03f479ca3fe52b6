//! Learning which objects a file has, and where they stand.

use std::collections::HashMap;

use memchr::memchr;

use super::hull::{self, Hull, Point};
use super::marks::{self, Kind, Mark};
use super::{MAX_LINE, MAX_OBJECTS};
use crate::gcode::motion::{self, Move};

/// Longest name of an object, bytes.
const MAX_NAME: usize = 96;

/// Reads a file piece by piece and learns its objects. Memory depends on the number of objects only.
#[derive(Debug, Default)]
pub struct Survey {
    /// The beginning of a line that was cut by the end of a piece.
    line: Vec<u8>,
    /// Whether the line is too long to matter.
    skipping: bool,
    kind: Option<Kind>,
    /// Index of each object by the name or number that the file gives it.
    known: HashMap<Vec<u8>, usize>,
    objects: Vec<Object>,
    current: Option<usize>,
    /// The file needs nothing, or cannot be handled.
    refused: bool,
    at: Point,
    relative: bool,
}

#[derive(Debug)]
struct Object {
    /// What the file calls it.
    label: Vec<u8>,
    hull: Hull,
}

/// The objects of a file, ready to be written into it.
#[derive(Debug)]
pub struct Objects {
    pub(super) kind: Kind,
    /// Name in Klipper of each object, by what the file calls it.
    pub(super) names: HashMap<Vec<u8>, String>,
    /// The commands that define them.
    pub(super) definitions: Vec<String>,
}

impl Survey {
    /// A survey at the beginning of a file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut rest = piece;
        if !self.line.is_empty() || self.skipping {
            let newline = memchr(b'\n', rest);
            let end = newline.unwrap_or(rest.len());
            if self.line.len() + end > MAX_LINE {
                self.line.clear();
                self.skipping = true;
            } else if !self.skipping {
                self.line.extend_from_slice(&rest[..end]);
            }
            let Some(newline) = newline else { return };
            if !std::mem::take(&mut self.skipping) {
                let line = std::mem::take(&mut self.line);
                self.read_line(&line);
            }
            rest = &rest[newline + 1..];
        }
        while !self.refused {
            let Some(newline) = memchr(b'\n', rest) else {
                self.skipping = rest.len() > MAX_LINE;
                if !self.skipping {
                    self.line.extend_from_slice(rest);
                }
                return;
            };
            self.read_line(&rest[..newline]);
            rest = &rest[newline + 1..];
        }
    }

    /// The objects, unless there are none, or too many, or the file defines them itself.
    pub fn finish(mut self) -> Option<Objects> {
        let last = std::mem::take(&mut self.line);
        self.read_line(&last);
        if self.refused || self.objects.is_empty() {
            return None;
        }
        let mut names = Vec::new();
        let mut definitions = Vec::new();
        for object in &mut self.objects {
            let name = free_name(&object.label, &names);
            definitions.push(definition(&name, object.hull.corners()));
            names.push(name);
        }
        let names = self.known.into_iter().filter_map(|(label, at)| Some((label, names.get(at)?.clone())));
        Some(Objects { kind: self.kind?, names: names.collect(), definitions })
    }

    fn read_line(&mut self, line: &[u8]) {
        if line.len() > MAX_LINE {
            return;
        }
        match line.first() {
            Some(b'G' | b'g') => self.read_move(line),
            Some(b';' | b'M' | b'm' | b'E' | b'e' | b'D' | b'd') => {
                if let Some(mark) = marks::read(line.strip_suffix(b"\r").unwrap_or(line)) {
                    self.read_mark(&mark);
                }
            }
            _ => {}
        }
    }

    fn read_move(&mut self, line: &[u8]) {
        let Some((code, words)) = motion::g_code(line) else { return };
        match code {
            0..=3 => {
                let Move { x, y, extrudes, .. } = Move::parse(words);
                let (old_x, old_y) = if self.relative { self.at } else { (0.0, 0.0) };
                if let Some(x) = x {
                    self.at.0 = old_x + x;
                }
                if let Some(y) = y {
                    self.at.1 = old_y + y;
                }
                if let Some(object) = self.current
                    && (x.is_some() || y.is_some())
                    && extrudes == Some(true)
                {
                    self.objects[object].hull.add(self.at);
                }
            }
            90 => self.relative = false,
            91 => self.relative = true,
            _ => {}
        }
    }

    fn read_mark(&mut self, mark: &Mark<'_>) {
        if *mark == Mark::Done {
            self.refused = true;
            return;
        }
        let kind = mark.kind();
        let names_one = matches!(mark, Mark::Numbered { number: Some(0..), .. });
        match (self.kind, kind) {
            // M486 is the more precise kind: what the comments said before does not count
            (Some(Kind::Comments), Kind::M486) if names_one => {
                *self = Survey { at: self.at, relative: self.relative, ..Survey::default() };
            }
            (Some(held), kind) if held != kind => return,
            _ => {}
        }
        match *mark {
            Mark::End => self.current = None,
            Mark::Start(label) => self.enter(label, kind),
            Mark::Numbered { number, name } => {
                if let Some(number) = number {
                    self.current = None;
                    if number >= 0 {
                        self.enter(number.to_string().as_bytes(), kind);
                    }
                }
                if let (Some(object), Some(name)) = (self.current, name) {
                    self.objects[object].label = name.to_owned();
                }
            }
            Mark::Done => {}
        }
    }

    fn enter(&mut self, label: &[u8], kind: Kind) {
        self.kind = Some(kind);
        let next = self.objects.len();
        let object = match self.known.get(label) {
            Some(object) => *object,
            None if next >= MAX_OBJECTS => {
                self.refused = true;
                return;
            }
            None => {
                self.known.insert(label.to_owned(), next);
                self.objects.push(Object { label: label.to_owned(), hull: Hull::default() });
                next
            }
        };
        self.current = Some(object);
    }
}

/// A name that Klipper's parser takes as one word: letters, digits, `_` and `-`, different from those taken even
/// without regard to case, as Klipper compares them.
fn free_name(label: &[u8], taken: &[String]) -> String {
    let mut name = String::new();
    for byte in label.iter().take(MAX_NAME) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => name.push(*byte as char),
            _ if name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    let name = name.trim_matches('_');
    let name = if name.is_empty() { "object" } else { name };
    let free = |name: &String| !taken.iter().any(|other| other.eq_ignore_ascii_case(name));
    std::iter::once(name.to_owned())
        .chain((2..).map(|count| format!("{name}_{count}")))
        .find(free)
        .unwrap_or_default()
}

/// The command that defines an object.
fn definition(name: &str, corners: &[Point]) -> String {
    let show = |(x, y): Point| format!("{:.3},{:.3}", x + 0.0, y + 0.0);
    let mut command = format!("EXCLUDE_OBJECT_DEFINE NAME={name}");
    if let Some(centre) = hull::centre(corners) {
        command += &format!(" CENTER={}", show(centre));
    }
    if corners.len() > 2 {
        let corners: Vec<String> = corners.iter().map(|corner| format!("[{}]", show(*corner))).collect();
        command += &format!(" POLYGON=[{}]", corners.join(","));
    }
    command
}
