//! Perigee: the API server between a Klipper 3D printer and everything that talks to it.
//!
//! A module imports only from the floors below its own (README, "Design").

// floor 0
pub mod atomic_file;
pub mod duplex;
pub mod json;
pub mod sync;
pub mod tasks;
pub mod time;
// floor 1
pub mod config;
pub mod gcode;
pub mod host;
#[cfg(feature = "http_client")]
pub mod http_client;
pub mod logging;
pub mod print;
pub mod storage;
// floor 2
pub mod api;
pub mod job_fields;
// floor 3
pub mod auth;
pub mod files;
pub mod klippy;
// floor 4
pub mod components;
pub mod transport;
// floor 5
pub mod server;
// floor 6
#[cfg(feature = "demo")]
pub mod demo;
