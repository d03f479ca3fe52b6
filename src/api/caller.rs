//! Who makes a call, over what, and what they may do.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::connection::Connection;
use super::{Error, Result};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May only call what is open to everybody.
    #[serde(skip)]
    Anonymous,
    /// May look.
    ReadOnly,
    /// May run the printer and change its G-code files.
    Operator,
    /// May do everything.
    Admin,
}

impl Role {
    /// The roles that can be given to somebody, by the names that the configuration and the API use.
    pub const NAMES: [(&'static str, Self); 3] =
        [("read_only", Self::ReadOnly), ("operator", Self::Operator), ("admin", Self::Admin)];

    /// The name; that of [`Role::Anonymous`] is never shown.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, role)| *role == self).map_or("anonymous", |(name, _)| name)
    }
}

/// How somebody proved who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Not at all.
    Nothing,
    /// By being on this machine: a process on the unix socket, or a part of this program.
    Local,
    /// By their address.
    Address,
    /// With the API key that every server has one of.
    ApiKey,
    /// With the API key of this name.
    NamedKey(Arc<str>),
    /// As a user: with a password, or with a token that was got for one.
    User(Arc<str>),
}

/// Who a caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user name, where there is one: history records it with each print.
    pub user: Option<Arc<str>>,
    /// What they may do.
    pub role: Role,
    /// How they proved it.
    pub proof: Proof,
    /// When that ends, in seconds since 1970; none for never.
    pub expires: Option<u64>,
}

impl Identity {
    /// Somebody who has proved nothing.
    pub const STRANGER: Self =
        Self { user: None, role: Role::Anonymous, proof: Proof::Nothing, expires: None };

    /// Somebody with a role, and without a name.
    pub fn with_role(role: Role, proof: Proof) -> Self {
        Self { user: None, role, proof, expires: None }
    }

    /// A peer that proved to be on this machine: a process on the unix socket, or a part of this program.
    pub fn local() -> Self {
        Self::with_role(Role::Admin, Proof::Local)
    }

    /// The identity as it is now: that of a stranger once it has expired.
    #[must_use]
    pub fn now(self) -> Self {
        let expired = self.expires.is_some_and(|end| end <= crate::time::unix_seconds());
        if expired { Self::STRANGER } else { self }
    }

    /// Refuses what needs another role.
    ///
    /// # Errors
    /// 401 for a stranger, 403 for somebody with too few rights.
    pub fn require(&self, role: Role) -> Result<()> {
        match self.role {
            own if own >= role => Ok(()),
            Role::Anonymous => Err(Error::unauthorized()),
            _ => Err(Error::forbidden("This needs more rights than you have")),
        }
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

    /// The connection that the call came over, if it is a lasting one.
    pub fn own_connection(&self) -> Option<&Arc<Connection>> {
        let lasting = matches!(self.transport, Transport::Websocket | Transport::UnixSocket);
        self.connection.as_ref().filter(|_| lasting)
    }

    /// The same caller as they are now: on a lasting connection somebody may have logged in or out since.
    #[must_use]
    pub fn now(&self) -> Self {
        let identity = match self.own_connection() {
            Some(connection) => connection.identity(),
            None => self.identity.clone(),
        };
        Self { identity, ..self.clone() }
    }

    /// Logs somebody in on the connection that the call came over.
    pub fn log_in(&self, identity: &Identity) {
        if let Some(connection) = self.own_connection() {
            connection.log_in(identity.clone());
        }
    }
}
