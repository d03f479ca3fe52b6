//! The parts of the API: one file or folder each. Those that a printer can do without are behind the Cargo
//! feature of their own name.

#[cfg(feature = "announcements")]
pub mod announcements;
pub mod authorization;
#[cfg(test)]
mod bench;
pub mod connection;
pub mod data_store;
pub mod database;
#[cfg(feature = "extensions")]
pub mod extensions;
pub mod files;
#[cfg(feature = "history")]
pub mod history;
#[cfg(feature = "job_queue")]
pub mod job_queue;
pub mod job_state;
pub mod machine;
#[cfg(feature = "octoprint_compat")]
pub mod octoprint_compat;
pub mod printer;
pub mod proc_stats;
pub mod server;
#[cfg(feature = "webcam")]
pub mod webcam;
