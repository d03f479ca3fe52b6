//! Bodies of requests and responses, between hyper's and http-types' forms.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::io::{AsyncBufRead, AsyncBufReadExt};
use futures_lite::{FutureExt, Stream, ready};
use http_types::Body;
use hyper::body::{Body as HyperBody, Bytes, Frame, Incoming, SizeHint};
use smol::Timer;
use tide::http as http_types;

/// How long a client may send nothing in the midst of a body.
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of a streamed response is handed to hyper at once.
const CHUNK: usize = 64 * 1024;

/// The body of a request, as the pieces in which it comes. Handlers find it in the request: it does not go through
/// http-types' reader, which would copy it twice.
pub(super) struct RequestBody {
    incoming: Incoming,
    deadline: Option<Timer>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self { incoming, deadline: None }
    }
}

impl Stream for RequestBody {
    type Item = io::Result<Bytes>;

    /// The next piece, which is never empty.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.deadline = None;
                    if let Some(piece) = frame.into_data().ok().filter(|piece| !piece.is_empty()) {
                        return Poll::Ready(Some(Ok(piece)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    let timer = self.deadline.get_or_insert_with(|| Timer::after(BODY_STALL_TIMEOUT));
                    ready!(timer.poll(context));
                    let late = io::Error::new(io::ErrorKind::TimedOut, "the client stopped sending");
                    return Poll::Ready(Some(Err(late)));
                }
            }
        }
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
            Some(length) if length <= CHUNK => Ok(Self::Whole(Some(read_whole(body, length).await?))),
            length => Ok(Self::Stream(Box::new(body), length.map(|length| length as u64))),
        }
    }
}

/// Reads a body of this length, mostly in one piece.
async fn read_whole(mut body: Body, length: usize) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        let filled = body.fill_buf().await?;
        if filled.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let count = filled.len().min(length - bytes.len());
        bytes.extend_from_slice(&filled[..count]);
        body.consume(count);
    }
    Ok(bytes.into())
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
