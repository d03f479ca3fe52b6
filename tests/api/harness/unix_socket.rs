//! A client of the server's unix socket: JSON and the byte 0x03, both ways.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::rpc::{Client, Received, Wire};
use super::{PATIENCE, eventually};

/// The byte that ends a message.
pub const END: u8 = 0x03;

/// A JSON-RPC client over a unix socket.
pub type UnixClient = Client<Framed>;

/// A unix socket with framing.
#[derive(Debug)]
pub struct Framed {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Framed {
    /// Connects, waiting for the socket to appear.
    pub fn connect(path: &Path) -> Self {
        let stream = eventually("the unix socket", || UnixStream::connect(path).ok());
        Self::from(stream)
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }
}

impl From<UnixStream> for Framed {
    fn from(stream: UnixStream) -> Self {
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
        Self { stream, unread: Vec::new() }
    }
}

impl Wire for Framed {
    fn send(&mut self, message: &str) {
        let mut bytes = message.as_bytes().to_vec();
        bytes.push(END);
        self.stream.write_all(&bytes).expect("the socket takes a message");
    }

    fn receive(&mut self, deadline: Instant) -> Received {
        let mut searched = 0;
        loop {
            let found = self.unread[searched..].iter().position(|byte| *byte == END);
            if let Some(end) = found.map(|end| searched + end) {
                let mut message: Vec<u8> = self.unread.drain(..=end).collect();
                message.pop();
                return Received::Message(String::from_utf8(message).expect("a message in UTF-8"));
            }
            searched = self.unread.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::Nothing;
            }
            let timeout = left.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(timeout)).expect("a time-out can be set");
            let mut chunk = vec![0; 64 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Received::Closed(None, String::new()),
                Ok(read) => self.unread.extend(&chunk[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Received::Closed(None, error.to_string()),
            }
        }
    }
}
