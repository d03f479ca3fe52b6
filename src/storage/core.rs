//! The open file: the one shared read transaction, commits, and swapping the file for another.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::disk;
use super::environment::{Environment, Failure, Purpose};
use super::error::{Error, Kind, Result};
use super::view::{Pending, Reader, Snapshot};
use crate::sync::lock;

/// How often a commit is tried again after the map has grown or the environment was opened anew.
const MAX_TRIES: usize = 12;

/// What readers and the writer share.
pub(super) struct Core {
    path: PathBuf,
    limit: usize,
    purpose: Purpose,
    state: Mutex<Option<Open>>,
    /// Why there is nothing, if it is not because of [`Core::close`].
    reason: Option<Error>,
}

struct Open {
    /// Dropped before the environment, which waits for it.
    snapshot: Option<Snapshot>,
    environment: Environment,
}

impl Open {
    fn new(environment: Environment) -> Result<Self> {
        Ok(Self { snapshot: Some(environment.snapshot()?), environment })
    }
}

impl Core {
    /// Opens the file at `path`. `limit` bounds the map, in bytes.
    pub(super) fn open(path: &Path, limit: usize, purpose: Purpose) -> Result<Self> {
        let open = Open::new(Environment::open(path, purpose)?)?;
        Ok(Self { path: path.to_owned(), limit, purpose, state: Mutex::new(Some(open)), reason: None })
    }

    /// Stands for a file that could not be opened.
    pub(super) fn closed(reason: Error) -> Self {
        let purpose = Purpose::Reading;
        Self { path: PathBuf::new(), limit: 0, purpose, state: Mutex::new(None), reason: Some(reason) }
    }

    fn unavailable(&self) -> Error {
        let closed = || Error::new(Kind::Unavailable, "The database is closed");
        self.reason.clone().unwrap_or_else(closed)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `read` on the state after the last acknowledged commit. Waits for no commit.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        let state = lock(&self.state);
        let snapshot =
            state.as_ref().and_then(|open| open.snapshot.as_ref()).ok_or_else(|| self.unavailable())?;
        read(&Reader(snapshot))
    }

    /// A read transaction of the writer's own. It must end before the next [`Core::commit`] or swap.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        lock(&self.state).as_ref().ok_or_else(|| self.unavailable())?.environment.snapshot()
    }

    /// Makes changes durable, then visible to readers. Only the one writer calls this.
    pub(super) fn commit(&self, pending: &Pending) -> Result<()> {
        for _ in 0..MAX_TRIES {
            let environment =
                lock(&self.state).as_ref().ok_or_else(|| self.unavailable())?.environment.clone();
            let outcome = environment.commit(pending.iter());
            drop(environment);
            match outcome {
                Ok(()) => return self.renew(|_| Ok(())),
                // SAFETY: `renew` has ended the shared snapshot and holds the lock that a new one needs; the
                // writer's own transactions are over.
                Err(Failure::MapFull) => {
                    self.renew(|open| unsafe { open.grow(pending.bytes(), self.limit) })?
                }
                Err(Failure::Stuck) => self.swap(|| Ok(()))?,
                Err(Failure::Short(error)) => return Err(disk::cut_short(&self.path, error)),
                Err(Failure::Other(error)) => return Err(error),
            }
        }
        Err(Error::failed("The database could not be written"))
    }

    /// Ends the shared read transaction, runs `change`, and begins a new one.
    fn renew(&self, change: impl FnOnce(&Environment) -> Result<()>) -> Result<()> {
        let mut state = lock(&self.state);
        let open = state.as_mut().ok_or_else(|| self.unavailable())?;
        open.snapshot = None;
        let outcome = change(&open.environment);
        open.snapshot = Some(open.environment.snapshot()?);
        outcome
    }

    /// Closes the file, runs `exchange` (which may put another in its place), and opens it again. Readers wait.
    pub(super) fn swap(&self, exchange: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = lock(&self.state);
        if let Some(Open { snapshot, environment }) = state.take() {
            drop(snapshot);
            environment.close();
        }
        if self.reason.is_some() {
            return Err(self.unavailable());
        }
        let outcome = exchange();
        // a disk that went read-only can be read all the same
        let environment = Environment::open(&self.path, self.purpose)
            .or_else(|error| Environment::open(&self.path, Purpose::Reading).map_err(|_| error))?;
        *state = Some(Open::new(environment)?);
        outcome
    }

    /// Closes the file for good. Reads and writes fail from now on.
    pub(super) fn close(&self) {
        if let Some(Open { snapshot, environment }) = lock(&self.state).take() {
            drop(snapshot);
            environment.close();
        }
    }
}
