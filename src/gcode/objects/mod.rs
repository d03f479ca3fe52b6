//! Objects that can be left out of a print: turns the marks that slicers put around each object's commands into those of
//! Klipper's `[exclude_object]` (spec behaviour.md §6.6).
//!
//! A [`Survey`] reads the file once, best while it is being uploaded, and learns which objects there are and the outline
//! of each. [`Objects::rewrite`] then copies the file in one pass and adds the definitions before the first command and a
//! start and an end around each object. Nothing else changes, except that `M486`, which Klipper does not know, becomes a
//! comment. A file that already has such definitions is left alone, so the result of a second run is that of the first.

mod hull;
mod marks;
mod rewrite;
mod survey;

use std::io::{self, Read, Seek};

pub use survey::{Objects, Survey};

/// Most objects of one file. A file with more is left as it is.
pub const MAX_OBJECTS: usize = 1_024;
/// Most corners of an outline that is written.
pub const MAX_CORNERS: usize = 32;
/// Longest line that is looked at, bytes. Longer ones are copied, but can be no mark.
pub const MAX_LINE: usize = 4_096;
/// What the record's `file_processors` lists for a file with our definitions: the name that clients have always seen
/// for this step.
pub const PROCESSOR: &str = "preprocess_cancellation";
/// The comment before our definitions, without the `; `.
const STAMP: &str = "Objects defined for EXCLUDE_OBJECT by Perigee";
/// The comments by which [`PROCESSOR`] is recognised: ours and that of the program of this name.
pub(super) const STAMPS: [&str; 2] =
    [STAMP, "Pre-Processed for Cancel-Object support by preprocess_cancellation"];

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// The objects of a file, if it marks any and has no definitions yet.
///
/// # Errors
/// Those of `input`.
pub fn survey<R: Read + Seek>(input: &mut R) -> io::Result<Option<Objects>> {
    let mut survey = Survey::new();
    input.rewind()?;
    for_each_chunk(input, |chunk| {
        survey.feed(chunk);
        Ok(())
    })?;
    Ok(survey.finish())
}

/// Gives everything from `input` to `take`, piece by piece.
fn for_each_chunk<R: Read>(input: &mut R, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&chunk[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
