//! What the tests need to drive the real binary from outside: the process, a simulated printer, and small
//! blocking clients. Every wait is for a condition and has a deadline.

pub mod case;
pub mod http;
pub mod machine;
pub mod multipart;
pub mod noise;
pub mod pattern;
pub mod rpc;
pub mod seed;
pub mod server;
pub mod small_disk;
pub mod temp;
pub mod unix_socket;
pub mod websocket;

use std::time::{Duration, Instant};

pub use http::{Http, Request, Response};
pub use multipart::Multipart;
pub use noise::Noise;
pub use rpc::{Client, RpcError};
pub use server::{Perigee, Setup};
pub use small_disk::{FileDisk, SmallDisk};
pub use temp::TempDir;
pub use unix_socket::UnixClient;
pub use websocket::WsClient;

/// How long anything may take before a test gives up. Long, because many tests share few cores; what takes
/// this long is a failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer. Panics, with `what` was waited for, after [`PATIENCE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, ask)
}

/// The same with a time of its own.
pub fn eventually_within<T>(patience: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(3));
    }
}
