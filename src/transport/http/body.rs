//! Bodies of requests and responses, between hyper's and http-types' forms.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::io::{AsyncBufRead, AsyncRead};
use futures_lite::{FutureExt, ready};
use http_types::Body;
use hyper::body::{Body as HyperBody, Bytes, Frame, Incoming, SizeHint};
use smol::Timer;
use tide::http as http_types;

/// How long a client may send nothing in the midst of a body.
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a streamed response is handed to hyper at once.
const CHUNK: usize = 64 * 1024;

/// Reads the body of a request.
pub(super) struct RequestBody {
    incoming: Incoming,
    chunk: Bytes,
    deadline: Option<Timer>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming, chunk: Bytes::new(), deadline: None }
    }

    /// Fetches the next chunk if there is none; an empty one is the end.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.chunk.is_empty() {
            match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.deadline = None;
                    self.chunk = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => break,
                Poll::Pending => {
                    let timer = self.deadline.get_or_insert_with(|| Timer::after(BODY_STALL_TIMEOUT));
                    ready!(timer.poll(context));
                    let late = io::Error::new(io::ErrorKind::TimedOut, "the client stopped sending");
                    return Poll::Ready(Err(late));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for RequestBody {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_chunk(context))?;
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Poll::Ready(Ok(count))
    }
}

impl AsyncBufRead for RequestBody {
    fn poll_fill_buf(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        ready!(self.poll_chunk(context))?;
        Poll::Ready(Ok(&self.get_mut().chunk))
    }

    fn consume(mut self: Pin<&mut Self>, count: usize) {
        let count = count.min(self.chunk.len());
        let _ = self.chunk.split_to(count);
    }
}

/// A body on its way out.
pub(super) enum ResponseBody {
    /// All of it.
    Whole(Option<Bytes>),
    /// Read as it is sent.
    Stream(Box<Body>, Option<u64>),
}

impl ResponseBody {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }

    /// Takes over a body; a short one is read at once.
    ///
    /// # Errors
    /// Those of reading.
    pub(super) async fn take(body: Body) -> io::Result<Self> {
        match body.len() {
            Some(0) => Ok(Self::empty()),
            Some(length) if length <= CHUNK => {
                let bytes = body.into_bytes().await.map_err(|error| io::Error::other(error.into_inner()))?;
                Ok(Self::Whole(Some(bytes.into())))
            }
            length => Ok(Self::Stream(Box::new(body), length.map(|length| length as u64))),
        }
    }
}

impl HyperBody for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body, rest) => {
                let mut body = Pin::new(&mut **body);
                let filled = ready!(body.as_mut().poll_fill_buf(context))?;
                let count = filled.len().min(CHUNK);
                if count == 0 {
                    return Poll::Ready(None);
                }
                let bytes = Bytes::copy_from_slice(&filled[..count]);
                body.consume(count);
                if let Some(rest) = rest {
                    *rest = rest.saturating_sub(count as u64);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None) | Self::Stream(_, Some(0)))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(_, Some(rest)) => SizeHint::with_exact(*rest),
            Self::Stream(_, None) => SizeHint::default(),
        }
    }
}
