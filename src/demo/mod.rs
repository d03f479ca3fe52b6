//! A printer to try Perigee on: a simulated Klippy, and a file for it to print.

pub mod klippy;

/// The name of the sample.
pub const SAMPLE_NAME: &str = "hexagonal_cup.gcode";

/// A small sliced file, in the form of PrusaSlicer, with two thumbnails and one object.
pub const SAMPLE: &str = include_str!("sample.gcode");
