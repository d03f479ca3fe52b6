//! Receiving a file (spec behaviour.md §5.4, api.md §6.2).
//!
//! Content streams into a hidden file beside where it will belong, whatever is known of its destination by
//! then: the parts of a form come in any order. When all is there, the file takes its place in one step. What it
//! replaces stays whole until then, and for good when anything fails.
//!
//! A destination that is a link to a writable file stays a link, and the file it leads to is replaced; any
//! other link is itself replaced.

use std::io::{self, Write};

use sha2::{Digest, Sha256};

use super::arrival::Received;
use super::list::{GCODES, disk_usage};
use super::path::{RelPath, RootPath, check_new_name, is_gcode, is_package};
use super::reading::Reading;
use super::roots::{Level, Policy, Root, failed};
use super::temp::TempFile;
use crate::api::{Error, Result};
use crate::tasks::{Blocking, unblock};

/// Bytes that are collected before they are written. One such buffer fills while another is being written, so
/// an upload takes twice this.
pub const BUFFER: usize = 256 << 10;

/// What must stay free on the file system after an upload, in bytes: room for the metadata and a log line.
const HEADROOM: u64 = 1 << 20;

/// Bytes after which what was written is pushed to the disk, while more comes in: so the disk and the network work
/// at the same time, and the wait at the end is short.
const PUSH_EVERY: u64 = 8 << 20;

/// Where an upload is to go, as the form says it.
#[derive(Debug, Clone, Default)]
pub struct UploadTarget {
    /// The root; upper case letters are taken as lower case, empty means `gcodes`.
    pub root: String,
    /// A directory in the root; made if it is missing.
    pub path: String,
    /// The file's name, which may begin with a path, too.
    pub filename: String,
    /// SHA-256 of the content, hexadecimal.
    pub checksum: Option<String>,
}

impl UploadTarget {
    /// The name of the root.
    pub fn root_name(&self) -> String {
        if self.root.is_empty() { GCODES.to_owned() } else { self.root.to_lowercase() }
    }
}

/// A file that is being received. Dropped before it is finished, it leaves nothing.
#[derive(Debug)]
pub struct Upload {
    buffer: Vec<u8>,
    state: State,
    /// What is being pushed to the disk, beside the writing.
    push: Option<Blocking<io::Result<()>>>,
    pushed: u64,
    received: u64,
    limit: u64,
}

#[derive(Debug)]
enum State {
    /// Nothing is being written; here is the other buffer.
    Idle(Box<Sink>, Vec<u8>),
    Writing(Blocking<io::Result<(Box<Sink>, Vec<u8>)>>),
    Failed,
}

/// Where the bytes go. Lives on the blocking pool while it works.
#[derive(Debug)]
struct Sink {
    temp: TempFile,
    hash: Option<Sha256>,
    reading: Option<Reading>,
}

impl Upload {
    /// Makes the hidden file. `target` is what is known so far, `size` the most that can come, and `objects` says whether
    /// to look for them. Blocking.
    pub(super) fn begin(
        policy: &Policy,
        target: &UploadTarget,
        size: Option<u64>,
        limit: u64,
        objects: bool,
    ) -> Result<Self> {
        if !policy.writes_allowed() {
            return Err(Error::bad_request("File write access is disabled, see the server's warnings"));
        }
        let writable = |root: &&std::sync::Arc<Root>| policy.root_level(root) == Level::Write;
        let named = |name: &str| policy.roots().iter().filter(writable).find(|root| root.name == name);
        let root = named(&target.root.to_lowercase())
            .or_else(|| named(GCODES))
            .or_else(|| policy.roots().iter().find(writable))
            .ok_or_else(|| Error::bad_request("No root is writable"))?;
        let error = |error| failed("receive a file in root", &root.name, error);
        let free = disk_usage(&root.path).map_err(error)?.free;
        if size.is_some_and(|size| size.saturating_add(HEADROOM) > free) {
            return Err(error(io::ErrorKind::StorageFull.into()));
        }
        let temp = TempFile::create_in(&root.path).map_err(error)?;
        // A checksum that comes after the content has the file read once more at the end.
        let hash = target.checksum.as_ref().map(|_| Sha256::new());
        let is_read = root.name == GCODES && is_gcode(&target.filename) && !is_package(&target.filename);
        let sink = Box::new(Sink { temp, hash, reading: is_read.then(|| Reading::new(objects)) });
        Ok(Self {
            buffer: Vec::new(),
            state: State::Idle(sink, Vec::new()),
            push: None,
            pushed: 0,
            received: 0,
            limit,
        })
    }

    /// Bytes received so far.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes. Waits only while both buffers are full.
    ///
    /// # Errors
    /// 413 above the largest size; what the disk said, 507 when it is full. The upload has failed then and
    /// accepts nothing more.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if self.received > self.limit {
            self.state = State::Failed;
            return Err(too_large(self.limit));
        }
        while !bytes.is_empty() {
            self.buffer.reserve_exact(BUFFER.saturating_sub(self.buffer.len()));
            let room = BUFFER.saturating_sub(self.buffer.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() >= BUFFER {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Sends the content somewhere else from now on.
    #[cfg(test)]
    pub(super) fn write_to_for_test(&mut self, path: &str) {
        if let State::Idle(sink, _) = &mut self.state {
            sink.temp.write_to_for_test(path);
        }
    }

    /// Hands the buffer to the blocking pool, after the one before.
    async fn flush(&mut self) -> Result<()> {
        let (sink, empty) = self.settle().await?;
        if self.received.saturating_sub(self.pushed) >= PUSH_EVERY {
            self.push(&sink).await.map_err(|error| failed("receive", "the file", error))?;
        }
        let full = std::mem::replace(&mut self.buffer, empty);
        self.state = State::Writing(unblock(move || sink.write(full)));
        Ok(())
    }

    /// Begins to push to the disk what was written, when the push before is done.
    async fn push(&mut self, sink: &Sink) -> io::Result<()> {
        if let Some(before) = self.push.take() {
            before.await?;
        }
        self.pushed = self.received;
        let file = sink.temp.file().try_clone()?;
        self.push = Some(unblock(move || file.sync_data()));
        Ok(())
    }

    /// Waits until nothing is being written.
    async fn settle(&mut self) -> Result<(Box<Sink>, Vec<u8>)> {
        let done = match std::mem::replace(&mut self.state, State::Failed) {
            State::Idle(sink, empty) => Ok((sink, empty)),
            State::Writing(task) => task.await,
            State::Failed => Err(io::ErrorKind::BrokenPipe.into()),
        };
        done.map_err(|error| failed("receive", "the file", error))
    }

    /// Writes what is left, checks the checksum, and has it all on disk.
    pub(super) async fn complete(mut self, checksum: Option<String>) -> Result<Received> {
        let (sink, _) = self.settle().await?;
        if let Some(push) = self.push.take() {
            push.await.map_err(|error| failed("receive", "the file", error))?;
        }
        let rest = std::mem::take(&mut self.buffer);
        unblock(move || {
            let error = |error| failed("receive", "the file", error);
            let (mut sink, _) = sink.write(rest).map_err(error)?;
            if let Some(wanted) = checksum {
                let actual = sink.digest().map_err(error)?;
                if !actual.eq_ignore_ascii_case(wanted.trim()) {
                    return Err(Error::new(
                        422,
                        format!("Checksum mismatch: expected {wanted}, got {actual}"),
                    ));
                }
            }
            let found = sink.reading.map(|reading| reading.finish(sink.temp.file()));
            sink.temp.file().sync_all().map_err(error)?;
            Ok(Received { temp: sink.temp, found })
        })
        .await
    }
}

pub(super) fn too_large(limit: u64) -> Error {
    Error::new(413, format!("The file is larger than the {} MiB that are allowed", limit >> 20))
}

impl Sink {
    fn write(mut self: Box<Self>, mut buffer: Vec<u8>) -> io::Result<(Box<Self>, Vec<u8>)> {
        self.temp.file().write_all(&buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer);
        }
        if let Some(reading) = &mut self.reading {
            reading.feed(&buffer);
        }
        buffer.clear();
        Ok((self, buffer))
    }

    /// SHA-256 of all that was written, hexadecimal.
    fn digest(&mut self) -> io::Result<String> {
        use std::fmt::Write as _;
        use std::io::{Read, Seek};
        let hash = match self.hash.take() {
            Some(hash) => hash,
            None => {
                let mut file = self.temp.file();
                file.rewind()?;
                let (mut hash, mut buffer) = (Sha256::new(), vec![0; super::download::CHUNK]);
                loop {
                    let length = file.read(&mut buffer)?;
                    if length == 0 {
                        break;
                    }
                    hash.update(buffer.get(..length).unwrap_or_default());
                }
                hash
            }
        };
        Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

/// The place that a form describes: inside its root, or it is refused.
pub(super) fn destination(target: &UploadTarget) -> Result<RootPath> {
    let root = target.root_name();
    let name = RelPath::parse(&target.filename)?;
    if name.is_root() || target.filename.ends_with('/') {
        return Err(Error::bad_request("The upload has no file name"));
    }
    let path = RelPath::parse(&format!("{}/{}", target.path, target.filename))?;
    check_new_name(&path)?;
    Ok(RootPath { root, path })
}
