//! What is known of each slicer: how to recognise it and where it writes which field. One file per family.

use super::rules::{Rule, Sink, Window};
use super::text;

mod prusa;

/// A family of slicers that write their fields alike.
#[derive(Debug)]
pub(super) struct Family {
    /// Its table of fields.
    pub(super) table: &'static [Rule],
    /// Reads what takes more than one line; called for every line of a window.
    pub(super) watch: fn(&mut Watch, &[u8], Window, &mut Sink),
    /// Derives fields from others once everything has been read.
    pub(super) finish: fn(&mut Sink),
}

/// What a family's `watch` remembers between lines.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Lines still to come in which the awaited one may stand.
    awaited: u8,
}

/// A slicer's own statement of who it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: String,
}

/// The slicer that claims a comment (its text without `;`) as its signature.
pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    prusa::identify(comment)
}

/// The family of files that no slicer claims.
pub(super) static UNKNOWN: Family = Family { table: &[], watch: |_, _, _, _| {}, finish: |_| {} };

impl Identity {
    /// The identity of files that no slicer claims.
    pub(super) fn unknown() -> Identity {
        Identity { name: "Unknown".to_owned(), version: "?".to_owned() }
    }

    fn new(name: &[u8], version: &[u8]) -> Identity {
        Identity { name: text::utf8(name), version: text::utf8(version) }
    }
}
