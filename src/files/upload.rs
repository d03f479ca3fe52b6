//! Receiving a file (spec behaviour.md §5.4, api.md §6.2).
//!
//! Content streams into a hidden file beside where it will belong, whatever is known of its destination by
//! then: the parts of a form come in any order. When all is there, the file takes its place in one step. What it
//! replaces stays whole until then, and for good when anything fails.
//!
//! A destination that is a link to a writable file stays a link, and the file it leads to is replaced; any
//! other link is itself replaced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::action::{Action, FileAction};
use super::download::open_regular;
use super::list::{GCODES, disk_usage};
use super::ops::Job;
use super::path::{RelPath, RootPath, check_new_name, is_gcode, is_package};
use super::roots::{Level, Place, Policy, Root, failed};
use super::temp::{self, TempFile};
use super::transfer::file_target;
use crate::api::{Error, Result};
use crate::gcode::objects;
use crate::gcode::package::{self, Package, model_name};
use crate::gcode::thumbnail::Thumbnail;
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
}

impl Upload {
    /// Makes the hidden file. `root` is where the file will probably go, `size` the most
    /// that can come. Blocking.
    pub(super) fn begin(policy: &Policy, root: Option<&str>, size: Option<u64>, limit: u64) -> Result<Self> {
        if !policy.writes_allowed() {
            return Err(Error::bad_request("File write access is disabled, see the server's warnings"));
        }
        let writable = |root: &&std::sync::Arc<Root>| policy.root_level(root) == Level::Write;
        let named = |name: &str| policy.roots().iter().filter(writable).find(|root| root.name == name);
        let root = root
            .and_then(named)
            .or_else(|| named(GCODES))
            .or_else(|| policy.roots().iter().find(writable))
            .ok_or_else(|| Error::bad_request("No root is writable"))?;
        let error = |error| failed("receive a file in root", &root.name, error);
        let free = disk_usage(&root.path).map_err(error)?.free;
        if size.is_some_and(|size| size.saturating_add(HEADROOM) > free) {
            return Err(error(io::ErrorKind::StorageFull.into()));
        }
        let temp = TempFile::create_in(&root.path).map_err(error)?;
        let sink = Box::new(Sink { temp, hash: None });
        Ok(Self {
            buffer: Vec::new(),
            state: State::Idle(sink, Vec::new()),
            push: None,
            pushed: 0,
            received: 0,
            limit,
        })
    }

    /// Has the checksum computed while content comes in. Call it before the first [`write`](Self::write) when a
    /// checksum is known to be asked for; otherwise the file is read once more at the end.
    pub fn hash_as_it_comes(&mut self) {
        if let State::Idle(sink, _) = &mut self.state
            && self.received == 0
        {
            sink.hash = Some(Sha256::new());
        }
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
            sink.temp.file().sync_all().map_err(error)?;
            Ok(Received { temp: sink.temp })
        })
        .await
    }
}

fn too_large(limit: u64) -> Error {
    Error::new(413, format!("The file is larger than the {} MiB that are allowed", limit >> 20))
}

impl Sink {
    fn write(mut self: Box<Self>, mut buffer: Vec<u8>) -> io::Result<(Box<Self>, Vec<u8>)> {
        self.temp.file().write_all(&buffer)?;
        if let Some(hash) = &mut self.hash {
            hash.update(&buffer);
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

/// A file that was received whole and has no place yet.
#[derive(Debug)]
pub(super) struct Received {
    temp: TempFile,
}

/// A file that took its place.
pub(super) struct Placed {
    pub(super) action: FileAction,
    /// The topmost directory that was made for it.
    pub(super) made: Option<FileAction>,
    /// The picture that came with a package.
    pub(super) picture: Option<Thumbnail>,
}

/// The place that a form describes: inside its root, or it is refused.
pub(super) fn destination(target: &UploadTarget) -> Result<RootPath> {
    let root = if target.root.is_empty() { GCODES.to_owned() } else { target.root.to_lowercase() };
    let name = RelPath::parse(&target.filename)?;
    if name.is_root() || target.filename.ends_with('/') {
        return Err(Error::bad_request("The upload has no file name"));
    }
    let path = RelPath::parse(&format!("{}/{}", target.path, target.filename))?;
    check_new_name(&path)?;
    Ok(RootPath { root, path })
}

impl Received {
    /// Prepares a file for its place: takes the G-code out of a package, and, if `objects`, defines its objects
    /// for Klipper. Needs no lock. Blocking.
    pub(super) fn prepare(self, at: RootPath, limit: u64, objects: bool) -> Result<Ready> {
        let mut ready = Ready { temp: self.temp, at, picture: None };
        if ready.at.root != GCODES {
            return Ok(ready);
        }
        if ready.at.path.name().is_some_and(is_package) {
            ready.unpack(limit)?;
        }
        if objects && ready.at.path.name().is_some_and(is_gcode) {
            ready.define_objects()?;
        }
        Ok(ready)
    }
}

/// A file with its content final, about to take its place.
pub(super) struct Ready {
    temp: TempFile,
    at: RootPath,
    picture: Option<Thumbnail>,
}

impl Ready {
    fn unpack(&mut self, limit: u64) -> Result<()> {
        let (temp, picture) = unpack(self.temp.file(), self.directory(), limit)?;
        (self.temp, self.picture) = (temp, picture);
        if let (Some(parent), Some(name)) = (self.at.path.parent(), self.at.path.name().and_then(model_name))
        {
            self.at.path = parent.child(&name);
        }
        Ok(())
    }

    fn define_objects(&mut self) -> Result<()> {
        let defined = define_objects(self.temp.file(), self.directory());
        if let Some(temp) =
            defined.map_err(|error| failed("define objects in", &self.at.to_string(), error))?
        {
            self.temp = temp;
        }
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.temp.path().parent().unwrap_or(Path::new("/"))
    }

    /// Puts the file in its place, making directories on the way. Blocking, one at a time.
    pub(super) fn place(self, job: &Job) -> Result<Placed> {
        let place = job.writable(&self.at, 400)?;
        let made = make_directories(job, &place)?;
        let target = file_target(&place)?;
        if target.is_dir() {
            return Err(Error::bad_request(format!("'{}' is a directory", place.display())));
        }
        job.check_idle(&place, &target)?;
        job.claim.add(&target);
        self.temp.resemble(&target);
        self.temp.replace(&target).map_err(|error| failed("store", &place.display(), error))?;
        let action = job.done(Action::CreateFile, &place)?;
        Ok(Placed { action, made, picture: self.picture })
    }
}

/// Takes the G-code out of a package, into a new file in `directory`, and the picture beside it. Blocking.
pub(super) fn unpack(package: &File, directory: &Path, limit: u64) -> Result<(TempFile, Option<Thumbnail>)> {
    let refused = |error: package::Error| match error {
        package::Error::Io(error) => failed("unpack", "the package", error),
        package::Error::TooLarge => too_large(limit),
        error => Error::bad_request(error.to_string()).caused_by(error),
    };
    let mut package = Package::open(package).map_err(refused)?;
    let temp = TempFile::create_in(directory).map_err(|error| failed("unpack", "the package", error))?;
    package.extract_model(&mut temp.file(), limit).map_err(refused)?;
    Ok((temp, package.thumbnail()))
}

/// The file with its objects defined, if it has any that are not, as a new file in `directory`. Blocking.
fn define_objects(mut file: &File, directory: &Path) -> io::Result<Option<TempFile>> {
    let temp = TempFile::create_in(directory)?;
    let mut output = io::BufWriter::new(temp.file());
    let changed = objects::process(&mut file, &mut output)?;
    output.flush()?;
    drop(output);
    Ok(changed.then_some(temp))
}

/// Replaces a package in the gcodes root by the G-code in it. Blocking, one at a time.
pub(super) fn unpack_in_place(job: &Job, at: &RootPath, limit: u64) -> Result<Placed> {
    let source = job.writable(at, 400)?;
    let package = source.to_write()?;
    let directory = package.parent().unwrap_or(Path::new("/"));
    let file = open_regular(&package).map_err(|error| failed("open", &source.display(), error))?;
    let (temp, picture) = unpack(&file, directory, limit)?;
    let name = at.path.name().and_then(model_name).unwrap_or_default();
    let path = at.path.parent().unwrap_or_default().child(&name);
    let placed = Ready { temp, at: RootPath { root: at.root.clone(), path }, picture }.place(job)?;
    job.claim.add(&package);
    fs::remove_file(&package).map_err(|error| failed("remove", &source.display(), error))?;
    Ok(placed)
}

/// Defines the objects of a file in the gcodes root, if that changes it. Blocking, one at a time.
pub(super) fn define_objects_in_place(job: &Job, at: &RootPath, kind: Action) -> Result<Option<FileAction>> {
    let place = job.writable(at, 400)?;
    let target = file_target(&place)?;
    job.check_idle(&place, &target)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let error = |error| failed("define objects in", &place.display(), error);
    let file = open_regular(&target).map_err(error)?;
    let Some(temp) = define_objects(&file, directory).map_err(error)? else { return Ok(None) };
    job.claim.add(&target);
    temp.resemble(&target);
    temp.replace(&target).map_err(error)?;
    job.done(kind, &place).map(Some)
}

/// Makes the directories that a file is to lie in; returns what clients are to know of it.
fn make_directories(job: &Job, place: &Place) -> Result<Option<FileAction>> {
    let mut missing = Vec::new();
    let mut directory = place.path.parent();
    while let Some(path) = directory.filter(|path| !path.is_root() && !path.under(&place.root.path).exists())
    {
        directory = path.parent();
        missing.push(path);
    }
    let mut top = None;
    for path in missing.into_iter().rev() {
        let place = job.policy.place_in(place.root.clone(), path)?;
        let real = place.to_write()?;
        job.claim.add(&real);
        let made = fs::create_dir(&real).and_then(|()| temp::sync_parent(&real));
        made.map_err(|error| failed("create directory", &place.display(), error))?;
        if top.is_none() {
            top = Some(job.done(Action::CreateDir, &place)?);
        }
    }
    Ok(top)
}
