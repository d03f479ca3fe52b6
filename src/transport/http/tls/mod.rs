//! TLS: the pair of certificate and key, and the start of encrypted connections.

#[cfg(feature = "tls")]
mod acceptor;
#[cfg(not(feature = "tls"))]
#[path = "none.rs"]
mod acceptor;
#[cfg(feature = "tls")]
mod pair;

use std::path::PathBuf;
use std::time::Duration;

pub use acceptor::Tls;

/// How long a client may take to agree on encryption.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of certificate and key (spec config.md §1).
const NAMES: [&str; 2] = ["moonraker.cert", "moonraker.key"];

/// Where certificate and key are.
#[derive(Debug, Clone, Default)]
pub struct TlsOptions {
    /// The folder with `moonraker.cert` and `moonraker.key`.
    pub folder: PathBuf,
    /// Others, where those are missing.
    pub others: Option<(PathBuf, PathBuf)>,
    /// Whether a pair is to be made where there is none.
    pub make: bool,
}
