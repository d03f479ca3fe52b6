//! A simulated Klippy: Klipper's host program with a printer that is not there, on a real unix socket and in
//! Klippy's own protocol (JSON and the byte 0x03, spec behaviour.md §2).
//!
//! It behaves like a printer: moves take their time, heaters warm up, files of the virtual SD card are printed, G-code
//! is run one script after the other, errors are Klippy's own. [`Simulator`] runs it in a thread; `perigee demo` and
//! the tests use the same. What only a test may do, it does through [`Controls`].
//!
//! The way of a request: `connection` (frames) → `endpoints` → at once, or `queries` (at the next tick), or
//! `gcode::runner` (in turn) → `printer` (the models, which know no sockets and never wait) → `world` (who gets what).

mod clock;
mod connection;
mod controls;
mod endpoints;
mod faults;
mod gcode;
mod notify;
mod options;
mod printer;
mod queries;
mod record;
mod request;
mod simulator;
#[cfg(test)]
mod tests;
mod world;

pub use controls::{Controls, PATIENCE};
pub use options::{Options, RECORD, TICK};
pub use printer::{PRINTER_CFG, State};
pub use record::Received;
pub use simulator::Simulator;
