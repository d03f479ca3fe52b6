//! The LMDB environment: flags, growth, commits. The one place with `unsafe` in the storage.
//!
//! # Why `NO_LOCK` is right here
//! LMDB's own lock file serves several processes. It needs robust mutexes in shared memory (which user-mode
//! emulators lack) or named semaphores in /dev/shm (which small boards lack), and can be left behind by a crash.
//! Perigee is the only user of its file, which [`super::lock`] makes sure of, so what LMDB asks of a program that
//! locks by itself is kept instead:
//! - one writer at a time: only the drain loop of [`super::group`] writes, and there is one;
//! - no reader older than the last commit while a write transaction runs: the one shared read transaction is
//!   replaced after each commit, under its mutex, before the commit is acknowledged and before the next write
//!   begins; the drain loop's own read transaction ends before its write begins;
//! - no transaction is live while the map moves: growing takes the mutex and ends the shared read transaction
//!   (both in [`super::core`]).
//!
//! So a read waits for no commit and no fsync, only for another read.
//!
//! # Durability
//! No `NO_SYNC`, no `NO_META_SYNC`, no `WRITE_MAP`: a commit returns after the data pages are synced and the meta
//! page is written through (`O_DSYNC`). What is acknowledged survives a power cut; a torn commit leaves the old
//! meta page in force. Without `WRITE_MAP` the map is read-only, so a stray pointer cannot damage the file, and a
//! full disk is an error of `pwrite`, not a SIGBUS.

use std::io;
use std::path::Path;

use heed::{Env, EnvFlags, EnvOpenOptions, MdbError, WithoutTls};

use super::error::{Error, Kind, Result};
use super::view::{Snapshot, Tree};

/// First size of the map, in bytes. It is address space, not memory: pages count when they are touched.
const FIRST_MAP: usize = 2 << 20;
/// Largest size of the map, hence of the database. 32-bit boards have 3 GiB of address space for everything.
pub(super) const MAX_MAP: usize = if cfg!(target_pointer_width = "32") { 128 << 20 } else { 1 << 30 };
/// Map sizes are multiples of this: the largest page size of any Linux (64 KiB).
const MAP_STEP: usize = 64 << 10;

/// Why a set of changes is not on disk.
pub(super) enum Failure {
    /// The map is too small for them.
    MapFull,
    /// LMDB will not write until the environment is opened anew (a meta page could not be written).
    Stuck,
    /// The disk took a part of them. LMDB does not ask why: it may be full, or broken.
    Short(io::Error),
    /// Anything else.
    Other(Error),
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        match error {
            heed::Error::Mdb(MdbError::MapFull) => Self::MapFull,
            heed::Error::Mdb(MdbError::Panic | MdbError::BadTxn) => Self::Stuck,
            heed::Error::Io(error) if error.raw_os_error() == Some(libc::EIO) => Self::Short(error),
            other => Self::Other(other.into()),
        }
    }
}

/// What an environment is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading only: the disk lets nobody write.
    Reading,
    /// Writing; every commit reaches the disk before it returns.
    Writing,
    /// Filling a file that nobody uses yet: its builder syncs it once, at the end.
    Building,
}

/// An open environment and its one tree. Clones share it.
#[derive(Clone)]
pub(super) struct Environment {
    env: Env<WithoutTls>,
    tree: Tree,
    purpose: Purpose,
}

impl Environment {
    /// Opens the file at `path`, which may be missing. No other process may have it open.
    pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Self> {
        let size = std::fs::metadata(path).map_or(0, |found| usize::try_from(found.len()).unwrap_or(MAX_MAP));
        let mut flags = EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK | EnvFlags::NO_READ_AHEAD;
        flags |= match purpose {
            Purpose::Reading => EnvFlags::READ_ONLY,
            Purpose::Writing => EnvFlags::empty(),
            Purpose::Building => EnvFlags::NO_SYNC,
        };
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(round_up(size.saturating_add(size / 2).max(FIRST_MAP)));
        // SAFETY: the rules of NO_LOCK are kept, see the module's documentation; NO_SYNC is only used for a file
        // under construction; no other process has the file (super::lock).
        let env = unsafe {
            options.flags(flags);
            options.open(path)
        };
        let what = format_args!("open '{}'", path.display());
        let env = env.map_err(|error| match error {
            heed::Error::Io(error) => Error::io(what, error),
            other => Error::failed(format!("Failed to {what}")).caused_by(other),
        })?;
        let txn = env.read_txn()?;
        let tree = env.open_database(&txn, None)?.ok_or_else(|| Error::failed("The database has no root"))?;
        drop(txn);
        Ok(Self { env, tree, purpose })
    }

    /// The state after the last commit.
    pub(super) fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot { txn: self.env.clone().static_read_txn()?, tree: self.tree })
    }

    /// Makes changes in one transaction. When it returns they are on disk.
    pub(super) fn commit<'a>(
        &self,
        changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    ) -> std::result::Result<(), Failure> {
        if self.purpose == Purpose::Reading {
            return Err(Failure::Other(Error::io(
                "use the database",
                io::ErrorKind::ReadOnlyFilesystem.into(),
            )));
        }
        let mut txn = self.env.write_txn()?;
        for (key, value) in changes {
            match value {
                Some(value) => self.tree.put(&mut txn, key, value)?,
                None => drop(self.tree.delete(&mut txn, key)?),
            }
        }
        Ok(txn.commit()?)
    }

    /// Makes room for at least `needed` more bytes, but for no more than `limit` in all.
    ///
    /// # Errors
    /// Full at the limit.
    ///
    /// # Safety
    /// No transaction of this environment is live, and none begins before this returns.
    pub(super) unsafe fn grow(&self, needed: usize, limit: usize) -> Result<()> {
        let map = self.map_size();
        let wanted = round_up((map * 2).max(map.saturating_add(needed * 2))).min(round_up(limit));
        if wanted <= map {
            return Err(Error::new(Kind::Full, format!("The database is full ({} MiB)", limit >> 20)));
        }
        // SAFETY: as the caller promises.
        unsafe { self.env.resize(wanted) }?;
        log::debug!("database: map grown from {map} to {wanted} bytes");
        Ok(())
    }

    /// Bytes of address space that the map takes.
    pub(super) fn map_size(&self) -> usize {
        self.env.info().map_size
    }

    /// Syncs a file that was built with [`Purpose::Building`].
    pub(super) fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    /// Closes the environment. All clones and snapshots must be gone, or this waits for them.
    pub(super) fn close(self) {
        self.env.prepare_for_closing().wait();
    }
}

fn round_up(size: usize) -> usize {
    size.div_ceil(MAP_STEP) * MAP_STEP
}
