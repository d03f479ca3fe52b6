//! Pure readers of sliced files: what a slicer says about its own output. No I/O of its own, never panics.
//!
//! [`read`] reads the metadata of a file, [`Scanner`] that of an upload while its bytes pass, [`thumbnail::files`] makes
//! the pictures to be written from what they found, [`objects`] marks objects for Klipper, [`package`] takes G-code out
//! of archives. Nothing here opens a file or knows a path.

mod bgcode;
mod commands;
mod field;
mod flashprint;
mod heatshrink;
mod motion;
pub mod objects;
pub mod package;
mod rules;
mod scan;
mod slicers;
mod text;
pub mod thumbnail;

pub use field::{Field, Metadata, Value};
pub use scan::{Scan, Scanner, WINDOW, read};
