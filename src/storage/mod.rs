//! The database: JSON documents in namespaces and rows in tables, on LMDB.
//!
//! - [`Storage::read`] runs a closure on the last committed state, at once, on the caller's thread.
//! - [`Storage::write`] runs a closure that changes something; all of it happens or nothing. When the future is
//!   ready the change is on disk. Writes that come together share one commit ([`group`]).
//! - Documents are JSON text from end to end ([`document`]): they are never decoded to be stored, found or changed.
//!
//! The file is `<data>/database/perigee.mdb`, beside it `perigee.lock`. See [`environment`] for the promises on
//! durability and why there is no LMDB lock file, and [`open`] for what happens to a damaged file.

mod backup;
mod core;
mod disk;
mod document;
mod environment;
mod error;
#[cfg(feature = "import")]
pub mod export;
mod group;
mod guard;
pub mod history;
#[cfg(feature = "import")]
pub mod import;
mod key;
mod lmdb_file;
mod lock;
mod namespace;
mod open;
mod path;
mod rebuild;
pub mod record;
#[cfg(feature = "import")]
mod sqlite_file;
mod table;
pub mod users;
mod view;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use smol::channel;
use smol::lock::Semaphore;

pub use backup::{Entry as BackupEntry, read_file as read_backup};
pub use error::{Error, Kind, Result};
pub use guard::{Access, Use};
pub use key::{MAX_KEY, MAX_NAMESPACE, MAX_TABLE_KEY};
pub use namespace::ReadDocuments;
pub use open::OpenReport;
pub use path::{KeyPath, Segment};
pub use table::{Rows, Table, id, number, scan_table};
pub use view::{MAX_VALUE, MAX_WRITE, Read, Reader, Writer};

use self::core::Core;
use group::{Call, Group, MAX_QUEUED};
use guard::Guards;
use lock::DirLock;

/// The file's name in the database folder.
pub const FILE_NAME: &str = "perigee.mdb";
const LOCK_NAME: &str = "perigee.lock";

/// How a database is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where backups lie: the newest good one takes the place of a damaged database.
    pub backups: Option<PathBuf>,
    /// Largest size of the file, in bytes.
    pub limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { backups: None, limit: environment::MAX_MAP }
    }
}

/// The open database. Clones share it.
#[derive(Clone)]
pub struct Storage {
    core: Arc<Core>,
    group: Arc<Group>,
    places: Arc<Semaphore>,
    guards: Arc<Mutex<Guards>>,
    lock: Option<Arc<DirLock>>,
}

/// Sizes of the file before and after a compaction, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Compaction {
    /// Before.
    pub previous_size: u64,
    /// After.
    pub new_size: u64,
}

impl Storage {
    /// Opens the database in the folder `dir`, which is made if it is missing. Checks the file first and repairs
    /// what it can; the report says what was done.
    ///
    /// # Errors
    /// Unavailable when another process uses it; Failed or Full when the disk does not let us.
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, OpenReport)> {
        std::fs::create_dir_all(dir)
            .map_err(|error| Error::io(format_args!("create '{}'", dir.display()), error))?;
        let (lock, unclean) = DirLock::take(&dir.join(LOCK_NAME))?;
        let mut report = OpenReport { unclean, ..OpenReport::default() };
        let path = dir.join(FILE_NAME);
        open::prepare(&path, options.backups.as_deref(), &mut report)?;
        let core = Core::open(&path, options.limit)?;
        if report.created {
            disk::sync_parent(&path)?;
        }
        let guards = core.read(Guards::load)?;
        Ok((Self::with(core, guards, Some(Arc::new(lock))), report))
    }

    /// A database that could not be opened: everything ends with this error, which is made Unavailable. So the
    /// server can run without it.
    pub fn closed(reason: &Error) -> Self {
        let reason = Error::new(Kind::Unavailable, format!("There is no database: {}", reason.message()));
        Self::with(Core::closed(reason), Guards::default(), None)
    }

    fn with(core: Core, guards: Guards, lock: Option<Arc<DirLock>>) -> Self {
        let core = Arc::new(core);
        Self {
            group: Arc::new(Group::new(Arc::clone(&core))),
            core,
            places: Arc::new(Semaphore::new(MAX_QUEUED)),
            guards: Arc::new(Mutex::new(guards)),
            lock,
        }
    }

    /// Runs `read` on the last committed state. It should be short: other readers wait for it, and it runs on
    /// the calling thread.
    ///
    /// # Errors
    /// Those of `read`; Unavailable after [`Storage::close`].
    pub fn read<T>(&self, read: impl FnOnce(&Reader<'_>) -> Result<T>) -> Result<T> {
        self.core.read(read)
    }

    /// Makes a change. When the future is ready with Ok, all of it is on disk; with Err, nothing of it is.
    /// Dropping the future does not stop a write that has been queued.
    ///
    /// # Errors
    /// Those of `write`; Full or Failed when it could not be committed; Unavailable after [`Storage::close`].
    pub async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Result<T> + Send + 'static,
    {
        let _place = self.places.acquire().await;
        let (caller, answer) = channel::bounded(1);
        self.group.write(Box::new(Call::new(write, caller)));
        answer.recv().await.unwrap_or_else(|_| Err(Error::failed("The write was given up")))
    }

    /// [`Storage::write`] for callers that may wait: at start, at stop, on the blocking pool.
    ///
    /// # Errors
    /// As [`Storage::write`].
    pub fn write_blocking<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Result<T> + Send + 'static,
    {
        smol::block_on(self.write(write))
    }

    /// Runs something in the writer's place, on the blocking pool.
    async fn chore<T: Send + 'static>(
        &self,
        chore: impl FnOnce(&Core) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _place = self.places.acquire().await;
        let (caller, answer) = channel::bounded(1);
        // a caller that has gone away wants no answer
        self.group.chore(Box::new(move |core| drop(caller.try_send(chore(core)))));
        answer.recv().await.unwrap_or_else(|_| Err(Error::failed("The work was given up")))
    }

    /// Writes the database anew without its free pages. Writes wait meanwhile, reads do not.
    ///
    /// # Errors
    /// Full when there is no room for the second file; the database is unchanged then.
    pub async fn compact(&self) -> Result<Compaction> {
        self.chore(|core| {
            let snapshot = core.snapshot()?;
            let size = || std::fs::metadata(core.path()).map_or(0, |found| found.len());
            let previous_size = size();
            let fresh = disk::beside(core.path(), "compact");
            rebuild::build(&fresh, |builder| {
                let all = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
                Reader(&snapshot).parts().scan(&all, false, &mut |key, value| {
                    builder.put(key.to_vec(), value.to_vec())?;
                    Ok(std::ops::ControlFlow::Continue(()))
                })
            })?;
            drop(snapshot);
            core.swap(|| disk::rename(&fresh, core.path()))?;
            Ok(Compaction { previous_size, new_size: size() })
        })
        .await
    }

    /// Writes a backup to `path`, whose folder must exist. Portable text; see [`read_backup`].
    ///
    /// # Errors
    /// Full or Failed when the file could not be written; there is no half backup then.
    pub async fn backup(&self, path: PathBuf) -> Result<()> {
        self.chore(move |core| {
            let snapshot = core.snapshot()?;
            backup::write_file(&path, &Reader(&snapshot).parts())
        })
        .await
    }

    /// Puts the content of a backup in place of the database's. The backup is read whole before anything changes.
    ///
    /// # Errors
    /// BadRequest when it is no good backup; the database is unchanged then.
    pub async fn restore(&self, backup: PathBuf) -> Result<()> {
        let guards = Arc::clone(&self.guards);
        self.chore(move |core| {
            let fresh = disk::beside(core.path(), "restore");
            open::restore(&backup, &fresh)?;
            core.swap(|| disk::rename(&fresh, core.path()))?;
            *crate::sync::lock(&guards) = core.read(Guards::load)?;
            Ok(())
        })
        .await
    }

    /// Size of the file, in bytes.
    pub fn size(&self) -> u64 {
        std::fs::metadata(self.core.path()).map_or(0, |found| found.len())
    }

    /// When the file last changed, where the file system tells.
    pub fn changed(&self) -> Option<std::time::SystemTime> {
        std::fs::metadata(self.core.path()).and_then(|found| found.modified()).ok()
    }

    /// Ends what is queued, closes the file and notes that the stop was in order.
    pub async fn close(&self) {
        let lock = self.lock.clone();
        let closed = self.chore(move |core| {
            core.close();
            if let Some(lock) = lock {
                lock.release();
            }
            Ok(())
        });
        if let Err(error) = closed.await {
            log::error!("database: not closed in order: {error}");
        }
    }
}

#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;
