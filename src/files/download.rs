//! Files for static GETs (spec api.md §1).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures_lite::{AsyncBufRead, AsyncRead};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::path::{RelPath, RootPath, extension};
use super::range::{Conditions, Selection, whole_seconds};
use super::roots::{Policy, failed};
use crate::api::{Error, Result};
use crate::tasks::{Blocking, unblock};

/// How much of a file is read at once (spec api.md §1), and all that a download holds in memory.
pub const CHUNK: usize = 64 << 10;

/// What may stand unencoded in an extended header value (RFC 8187 §3.2.1, `attr-char`).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// A file that was opened for a client. It stays readable if it is replaced or deleted meanwhile.
#[derive(Debug)]
pub struct Download {
    file: File,
    name: String,
    length: u64,
    modified: SystemTime,
}

impl Download {
    /// Opens `root/path`, or a file that is registered under the one name given. Blocking.
    pub(super) fn open(policy: &Arc<Policy>, path: &str) -> Result<Self> {
        if let Some(file) = RelPath::parse(path).ok().and_then(|name| policy.file(name.as_str())) {
            return Self::of(file, path);
        }
        let real = RootPath::parse(path).and_then(|at| policy.place(&at)?.to_read());
        Self::of(&real.map_err(not_found_unless_forbidden)?, path)
    }

    /// Opens a regular file by its true path; `shown` is what the client asked for. Blocking.
    ///
    /// # Errors
    /// 404 when there is none, or it is not a regular file.
    pub fn of(real: &Path, shown: &str) -> Result<Self> {
        let error = |error| not_found_unless_forbidden(failed("open", shown, error));
        let file = open_regular(real).map_err(error)?;
        let metadata = file.metadata().map_err(error)?;
        let name = shown.rsplit('/').next().unwrap_or(shown).to_owned();
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(Self { file, name, length: metadata.len(), modified })
    }

    /// Bytes in the whole file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// What to answer to a request with these headers.
    pub fn select(&self, conditions: &Conditions<'_>) -> Selection {
        Selection::of(conditions, self.length, self.modified)
    }

    /// The headers that go with every answer. `Content-Range` and `Content-Length` depend on the selection.
    pub fn headers(&self) -> [(&'static str, String); 5] {
        [
            ("Content-Type", content_type(&self.name).to_owned()),
            ("Content-Disposition", disposition(&self.name)),
            ("Last-Modified", httpdate::fmt_http_date(whole_seconds(self.modified))),
            ("Accept-Ranges", "bytes".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
        ]
    }

    /// The bytes of a selection and their number. One that has no body gives none.
    pub fn into_body(self, selection: Selection) -> Body {
        let (start, end) = match selection {
            Selection::Whole => (0, self.length),
            Selection::Part { start, end } => (start, end),
            Selection::NotModified | Selection::Unsatisfiable => (0, 0),
        };
        Body { state: State::Idle(Box::new(Chunk::new(self.file, start))), left: end.saturating_sub(start) }
    }
}

/// A missing file is 404 for a download, where other file requests answer 400; so is what is not a file.
fn not_found_unless_forbidden(error: Error) -> Error {
    match error.status() {
        403 | 500.. => error,
        _ => Error::not_found("File not found").caused_by(error),
    }
}

/// Opens a file for reading if it is a regular one. A pipe or device does not block, and is refused.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The media type of a file, by its extension. Text is what printers mostly have.
pub fn content_type(name: &str) -> &'static str {
    let extension = extension(name).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "gcode" | "g" | "gco" | "nc" | "cfg" | "conf" | "log" | "txt" | "md" | "ini" => "text/plain",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "ico" => "image/x-icon",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "js" | "mjs" => "text/javascript",
        "wasm" => "application/wasm",
        "webmanifest" => "application/manifest+json",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "csv" => "text/csv",
        "xml" => "application/xml",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        _ => "application/octet-stream",
    }
}

/// The value of `Content-Disposition`: always an attachment, so that a browser never runs what somebody
/// uploaded. The name goes in ASCII for old clients and in UTF-8 (RFC 6266 §4.3).
pub fn disposition(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR_CHAR))
}

/// The bytes of a download, read a chunk at a time on the blocking pool. Exactly [`len`](Self::len) bytes: what
/// a growing log gets meanwhile is not sent, and a file that shrank ends with an error.
#[derive(Debug)]
pub struct Body {
    state: State,
    left: u64,
}

#[derive(Debug)]
enum State {
    Idle(Box<Chunk>),
    Reading(Blocking<io::Result<Box<Chunk>>>),
    Failed,
}

#[derive(Debug)]
struct Chunk {
    file: File,
    seek_to: Option<u64>,
    buffer: Vec<u8>,
    consumed: usize,
}

impl Chunk {
    fn new(file: File, start: u64) -> Self {
        Self { file, seek_to: Some(start), buffer: Vec::new(), consumed: 0 }
    }

    fn unread(&self) -> &[u8] {
        self.buffer.get(self.consumed..).unwrap_or_default()
    }

    fn read(mut self: Box<Self>, most: u64) -> io::Result<Box<Self>> {
        if let Some(start) = self.seek_to.take() {
            self.file.seek(SeekFrom::Start(start))?;
        }
        self.buffer.clear();
        self.consumed = 0;
        // The buffer is taken once, and reused.
        self.buffer.reserve_exact(CHUNK);
        let most = most.min(CHUNK as u64);
        (&self.file).take(most).read_to_end(&mut self.buffer)?;
        if self.buffer.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(self) }
    }
}

impl Body {
    /// Bytes that are still to come.
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether nothing is to come.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }
}

impl AsyncBufRead for Body {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        loop {
            match std::mem::replace(&mut this.state, State::Failed) {
                State::Idle(chunk) if this.left == 0 || !chunk.unread().is_empty() => {
                    this.state = State::Idle(chunk);
                    break;
                }
                State::Idle(chunk) => {
                    let most = this.left;
                    this.state = State::Reading(unblock(move || chunk.read(most)));
                }
                State::Reading(mut task) => match Pin::new(&mut task).poll(context) {
                    Poll::Ready(chunk) => this.state = State::Idle(chunk?),
                    Poll::Pending => {
                        this.state = State::Reading(task);
                        return Poll::Pending;
                    }
                },
                State::Failed => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        match &this.state {
            State::Idle(chunk) if this.left > 0 => Poll::Ready(Ok(chunk.unread())),
            _ => Poll::Ready(Ok(&[])),
        }
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        if let State::Idle(chunk) = &mut self.state {
            let amount = amount.min(chunk.unread().len());
            chunk.consumed += amount;
            self.left = self.left.saturating_sub(amount as u64);
        }
    }
}

impl AsyncRead for Body {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let available = ready!(self.as_mut().poll_fill_buf(context))?;
        let amount = available.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..amount), available.get(..amount)) {
            to.copy_from_slice(from);
        }
        self.consume(amount);
        Poll::Ready(Ok(amount))
    }
}
