//! The parts of the API: one file or folder each. Those that a printer can do without are behind the Cargo
//! feature of their own name.

pub mod authorization;
#[cfg(test)]
mod bench;
pub mod connection;
pub mod data_store;
pub mod database;
#[cfg(feature = "extensions")]
pub mod extensions;
pub mod files;
pub mod machine;
#[cfg(feature = "octoprint_compat")]
pub mod octoprint_compat;
pub mod printer;
pub mod proc_stats;
pub mod server;
#[cfg(feature = "webcam")]
pub mod webcam;
