//! Who makes a call, over what, and what they may do.

use std::net::IpAddr;
use std::sync::Arc;

use super::connection::Connection;

/// The way a call came in (spec api.md §0.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// An HTTP request of its own path.
    Http,
    /// JSON-RPC in the body of an HTTP request.
    HttpJsonRpc,
    /// A JSON-RPC message on a websocket.
    Websocket,
    /// A JSON-RPC message on the unix socket.
    UnixSocket,
    /// Another part of this program.
    Internal,
}

impl Transport {
    /// The name that error messages use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http | Self::HttpJsonRpc => "HTTP",
            Self::Websocket => "WEBSOCKET",
            Self::UnixSocket => "UNIX SOCKET",
            Self::Internal => "INTERNAL",
        }
    }
}

/// What a caller may do; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May only call what is open to everybody.
    Anonymous,
    /// May look.
    ReadOnly,
    /// May run the printer and change files.
    Operator,
    /// May do everything.
    Admin,
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user name, where there is one: history records it with each print.
    pub user: Option<Arc<str>>,
    /// What they may do.
    pub role: Role,
}

impl Identity {
    /// A peer that proved to be on this machine: a process on the unix socket, or a part of this program.
    pub fn local() -> Self {
        Self { user: None, role: Role::Admin }
    }

    /// A peer that is trusted for its address (spec behaviour.md §4.1, step 5).
    pub fn trusted() -> Self {
        Self { user: Some("_TRUSTED_USER_".into()), role: Role::Admin }
    }
}

/// The maker of one call.
#[derive(Debug, Clone)]
pub struct Caller {
    /// How the call came in.
    pub transport: Transport,
    /// The peer's address; none on the unix socket and for internal calls.
    pub address: Option<IpAddr>,
    /// Who it is.
    pub identity: Identity,
    /// The connection that the call belongs to: always there on websocket and unix socket; over HTTP only when
    /// the request named one with `connection_id`.
    pub connection: Option<Arc<Connection>>,
}

impl Caller {
    /// Another part of this program.
    pub fn internal() -> Self {
        Self { transport: Transport::Internal, address: None, identity: Identity::local(), connection: None }
    }
}
