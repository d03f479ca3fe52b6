//! A printer to try Perigee on: a simulated Klippy, and the command that starts it with a server.

pub mod klippy;

/// The file that the demo prints: a ring and a cube, with thumbnails, object names and layers, in the manner of
/// PrusaSlicer. It fits [`klippy::PRINTER_CFG`], whose macros it uses.
pub const SAMPLE_GCODE: &str = include_str!("sample.gcode");
