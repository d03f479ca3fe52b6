//! What a remote call is: endpoints, parameters, replies, errors, JSON-RPC, callers, events.
//!
//! A component declares its endpoints as rows of the [`Table`]; transports find them there and know none by
//! name.

pub mod caller;
mod coerce;
pub mod connection;
mod describe;
pub mod endpoint;
mod error;
pub mod event;
pub mod jsonrpc;
pub mod outbox;
pub mod params;
mod reply;
pub mod status;
pub mod table;
mod warnings;

pub use caller::{Caller, Identity, Proof, Role, Transport};
pub use connection::{ClientInfo, Connection, Connections};
pub use describe::Argument;
pub use endpoint::{Call, Endpoint, QueryStyle, Verb};
pub use error::{Error, Result};
pub use event::{Event, Events, Notification};
pub use params::{NoParams, Params};
pub use reply::Reply;
pub use status::StatusUpdate;
pub use table::Table;
pub use warnings::Warnings;
