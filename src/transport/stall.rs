//! Peers that do not read what they are sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::{FutureExt, ready};
use smol::Timer;

/// How long a peer may take no byte of what waits for it, before the connection is given up. What it holds is
/// bounded, but it should not be held for ever.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream whose writes fail when the peer takes nothing for [`STALL_TIMEOUT`].
pub(super) struct Unstalled<S> {
    stream: S,
    limit: Duration,
    deadline: Option<Timer>,
}

impl<S> Unstalled<S> {
    pub(super) fn new(stream: S) -> Self {
        Self::within(stream, STALL_TIMEOUT)
    }

    fn within(stream: S, limit: Duration) -> Self {
        Self { stream, limit, deadline: None }
    }

    /// Passes on the outcome of a write; while it waits, the clock runs.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.deadline = None;
            return outcome;
        }
        let limit = self.limit;
        ready!(self.deadline.get_or_insert_with(|| Timer::after(limit)).poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.watch(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use async_io::Async;
    use futures_lite::io::AsyncWriteExt;

    use super::*;

    #[test]
    fn a_peer_that_never_reads_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut ours = Unstalled::within(Async::new(ours).unwrap(), Duration::from_millis(20));
        let outcome = smol::block_on(async { ours.write_all(&vec![0; 16 << 20]).await });
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
