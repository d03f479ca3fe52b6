//! Connections whose bytes may be encrypted or not. Floor 0.

use futures_lite::io::{AsyncRead, AsyncWrite};

/// What bytes come and go through: a socket, or TLS over one.
pub type Stream = Box<dyn Duplex>;

/// Both ways of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for S {}
