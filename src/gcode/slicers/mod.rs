//! What is known of each slicer: how to recognise it and where it writes which field. One file per family.

use super::field::{Field, Value};
use super::rules::{Rule, Sink, Window};
use super::text;

mod cura;
mod ideamaker;
mod kisslicer;
mod others;
mod prusa;
mod simplify3d;

pub(super) use prusa::PRUSA;

/// A family of slicers that write their fields alike.
#[derive(Debug)]
pub(super) struct Family {
    /// Its table of fields.
    table: &'static [Rule],
    /// A table that is used after the first.
    more: &'static [Rule],
    /// Reads what takes more than one line; called for every line of a window.
    pub(super) watch: fn(&mut Watch, &[u8], Window, &mut Sink),
    /// Derives fields from others once everything has been read.
    pub(super) finish: fn(&Watch, &mut Sink),
}

impl Family {
    /// A family that is described by tables alone.
    const fn plain(table: &'static [Rule], more: &'static [Rule]) -> Family {
        Family { table, more, watch: |_, _, _, _| {}, finish: |_, _| {} }
    }

    /// The rows of its tables, in order.
    pub(super) fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        self.table.iter().chain(self.more)
    }
}

/// What a family's `watch` remembers between lines.
#[derive(Debug, Default)]
pub(super) struct Watch {
    prusa: prusa::State,
    simplify3d: simplify3d::State,
    ideamaker: ideamaker::State,
}

/// A slicer's own statement of who it is. The version may also come from a line of its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: Option<String>,
}

impl Identity {
    /// The identity in the `Producer` of binary G-code: a name and, as the last word, a version.
    pub(super) fn of_producer(producer: &[u8]) -> Identity {
        let producer = producer.trim_ascii();
        match producer.iter().rposition(|byte| *byte == b' ') {
            Some(space) => Identity::new(&producer[..space], Some(&producer[space + 1..])),
            None => Identity::new(producer, None),
        }
    }

    /// Sets the record's slicer and, if it is known already, its version.
    pub(super) fn note(self, sink: &mut Sink) {
        sink.set(Field::Slicer, Value::Text(self.name));
        if let Some(version) = self.version {
            sink.set(Field::SlicerVersion, Value::Text(version));
        }
    }

    fn new(name: &[u8], version: Option<&[u8]>) -> Identity {
        let version = version.map(text::text).filter(|version| !version.is_empty());
        Identity { name: text::text(name), version }
    }
}

/// Recognises a family by a comment (its text without `;`).
type Identify = fn(&[u8]) -> Option<(Identity, &'static Family)>;

/// The families; the first that claims a line has it.
const FAMILIES: [Identify; 6] = [
    prusa::identify,
    cura::identify,
    simplify3d::identify,
    kisslicer::identify,
    ideamaker::identify,
    others::identify,
];

/// Longest comment that can be a signature, bytes.
const MAX_SIGNATURE: usize = 256;

/// Whose file it is, from the comments of its beginning: the first that is a known signature, or else the first that
/// says in plain words what made the file, or else nobody's.
pub(super) fn identify<'a>(comments: impl Iterator<Item = &'a [u8]>) -> (Identity, &'static Family) {
    let mut claim = None;
    for comment in comments.filter(|comment| comment.len() <= MAX_SIGNATURE) {
        if let Some(known) = FAMILIES.iter().find_map(|identify| identify(comment)) {
            return known;
        }
        if claim.is_none() {
            claim = others::claim(comment);
        }
    }
    claim.unwrap_or_else(|| (Identity::new(b"Unknown", None), &others::UNKNOWN))
}

#[cfg(test)]
mod tests;
