//! How Klippy is doing (spec behaviour.md §2.3).

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::message::Info;

/// What state Klippy is in, as `server.info` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KlippyState {
    /// There is no socket.
    #[default]
    Disconnected,
    /// There is a socket, and the handshake has not come to its end.
    Startup,
    /// The printer can be used.
    Ready,
    /// Klippy could not start the printer, most often because of its configuration.
    Error,
    /// The printer was stopped and needs a restart.
    Shutdown,
}

impl KlippyState {
    /// Reads Klippy's word for a state, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Disconnected, Self::Startup, Self::Ready, Self::Error, Self::Shutdown];
        all.into_iter().find(|state| state.name().eq_ignore_ascii_case(text))
    }

    /// The word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Startup => "startup",
            Self::Ready => "ready",
            Self::Error => "error",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for KlippyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The process at the other end of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its process id.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Peer {
    /// Asks the kernel. None for process 1: then a service manager holds the socket for Klippy.
    pub fn of(socket: &impl AsFd) -> Option<Self> {
        let credentials = getsockopt(socket, PeerCredentials).ok()?;
        (credentials.pid() > 1).then(|| Self {
            pid: credentials.pid(),
            uid: credentials.uid(),
            gid: credentials.gid(),
        })
    }
}

/// What is known of Klippy while it is connected.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What clients are told.
    pub(super) state: KlippyState,
    /// What Klippy says of it.
    pub(super) message: String,
    pub(super) info: Info,
    pub(super) peer: Option<Peer>,
    /// Parts that front-ends need and this printer's configuration lacks.
    pub(super) missing: Vec<String>,
    /// Klippy's endpoints; kept when it disconnects (spec api.md §0.2).
    pub(super) endpoints: Option<BTreeSet<String>>,
    /// Remote methods are being registered, or have been: one that comes now is registered at once.
    pub(super) takes_methods: bool,
    /// The handshake is through.
    pub(super) initialized: bool,
    /// A shutdown was seen before the handshake was through.
    pub(super) shutdown_seen: bool,
}

impl Session {
    /// Back to the state without a socket.
    pub(super) fn reset(&mut self) {
        *self = Self { endpoints: self.endpoints.take(), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_read_in_any_case() {
        assert_eq!(KlippyState::parse("READY"), Some(KlippyState::Ready));
        assert_eq!(KlippyState::parse("printing"), None);
    }

    #[test]
    fn the_peer_of_a_socket_is_known() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(Peer::of(&one).unwrap().pid, std::process::id() as i32);
    }
}
