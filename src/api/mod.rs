//! What a remote call is: endpoints, parameters, replies, errors, JSON-RPC, callers, events.

mod error;

pub use error::{Error, Result};
