//! How a call gets in and an event gets out: HTTP, websocket, unix socket.

mod calls;
pub mod http;
mod rate;
mod stall;
pub mod unix_socket;

pub use rate::{BURST as STRANGER_BURST, DEFAULT_RATE as DEFAULT_STRANGER_RATE, Rates};
pub use stall::STALL_TIMEOUT;

use std::sync::Arc;

use crate::api::{Connections, Table};
use crate::auth::Auth;
use crate::tasks::Spawner;

/// What every transport works with.
#[derive(Clone)]
pub struct Context {
    /// All endpoints.
    pub table: Arc<Table>,
    /// All lasting connections.
    pub connections: Arc<Connections>,
    /// Who may do what.
    pub auth: Arc<Auth>,
    /// How often strangers may ask.
    pub rates: Arc<Rates>,
    /// Starts tasks of this run of the server.
    pub spawner: Spawner,
}

/// The longest JSON-RPC message that a websocket takes, and the longest body of an ordinary HTTP request, in
/// bytes (spec api.md §0.6).
pub const MAX_MESSAGE: usize = 10 * 1024 * 1024;
