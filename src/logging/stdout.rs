//! The log on standard output, for a console or a journal.

use std::io;
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Bytes that a pipe takes without waiting once it says it is ready (PIPE_BUF of Linux).
const CHUNK: usize = 4096;
/// Milliseconds to wait for a reader that is slow.
const PATIENCE: u16 = 100;

/// Standard output, or what stands for it in a test.
pub(super) struct Stdout<F> {
    to: F,
    /// Whether the reader was too slow, and is not waited for until it has caught up.
    stalled: bool,
}

impl<F: AsFd> Stdout<F> {
    pub(super) fn new(to: F) -> Self {
        Self { to, stalled: false }
    }

    /// Writes text; leaves out what nobody takes.
    pub(super) fn write(&mut self, text: &str) {
        for chunk in text.as_bytes().chunks(CHUNK) {
            if !self.ready() || nix::unistd::write(self.to.as_fd(), chunk).is_err() {
                return;
            }
        }
    }

    fn ready(&mut self) -> bool {
        let patience = if self.stalled { PollTimeout::ZERO } else { PollTimeout::from(PATIENCE) };
        let ready = poll(&mut [PollFd::new(self.to.as_fd(), PollFlags::POLLOUT)], patience);
        self.stalled = !matches!(ready, Ok(count) if count > 0);
        !self.stalled
    }
}

/// The process's standard output.
pub(super) fn process() -> Stdout<io::Stdout> {
    Stdout::new(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::{Duration, Instant};

    #[test]
    fn a_reader_that_does_not_read_is_not_waited_for_twice() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut stdout = Stdout::new(writer);
        let began = Instant::now();
        for _ in 0..100 {
            stdout.write(&"x".repeat(10_000));
        }
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(stdout.stalled);
        assert!(reader.read(&mut [0; 32_768]).unwrap() > 4096);
        stdout.write("y");
        assert!(!stdout.stalled);
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        Stdout::new(writer).write("x");
    }
}
