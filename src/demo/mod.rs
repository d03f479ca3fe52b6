//! A printer to try Perigee on: a simulated Klippy, and a file for it to print.

#[cfg(feature = "can")]
pub mod can_node;
pub mod klippy;

/// The name of the sample.
pub const SAMPLE_NAME: &str = "ring_and_cube.gcode";

/// The file that the demo prints: a ring and a cube, with thumbnails, object names and layers, in the manner of
/// PrusaSlicer. It fits [`klippy::PRINTER_CFG`], whose macros it uses.
pub const SAMPLE_GCODE: &str = include_str!("sample.gcode");
