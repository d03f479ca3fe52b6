//! One process per database, and how the last one ended.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Mutex;

use nix::fcntl::{Flock, FlockArg};

use super::error::{Error, Kind, Result};
use crate::sync::lock;

/// How much of the lock file is read to name its owner, in bytes.
const MAX_OWNER: u64 = 20;

/// What taking the lock tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// The last owner did not stop in order.
    pub(super) unclean: bool,
    /// The file system lets nobody write.
    pub(super) read_only: bool,
}

/// The lock on a data folder, held until it is released or dropped; the kernel releases it with the process, however that
/// ends. The file holds the owner's process id while it runs and is emptied at the end of an orderly stop.
pub(super) struct DirLock {
    file: Mutex<Option<Flock<File>>>,
}

impl DirLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// Unavailable when another process holds it.
    pub(super) fn take(path: &Path) -> Result<(Self, Owner)> {
        let io = |error| Error::io(format_args!("open '{}'", path.display()), error);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let read_only =
            opened.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ReadOnlyFilesystem);
        let file = if read_only { File::open(path) } else { opened }.map_err(io)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(mut file, errno)| {
            let mut owner = String::new();
            // who it is only helps; the lock itself is what counts
            let _ = Read::take(&mut file, MAX_OWNER).read_to_string(&mut owner);
            match errno {
                nix::errno::Errno::EWOULDBLOCK => Error::new(
                    Kind::Unavailable,
                    format!("The database is used by another process (pid {})", owner.trim()),
                ),
                other => Error::io(format_args!("lock '{}'", path.display()), other.into()),
            }
        })?;
        let unclean = file.metadata().map_err(io)?.len() > 0;
        if !read_only {
            file.set_len(0).map_err(io)?;
            file.seek(SeekFrom::Start(0)).map_err(io)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(io)?;
            file.sync_all().map_err(io)?;
        }
        Ok((Self { file: Mutex::new(Some(file)) }, Owner { unclean, read_only }))
    }

    /// Notes an orderly stop and gives the lock back. Should that be lost, the next start looks at the file more closely; nothing else.
    pub(super) fn release(&self) {
        if let Some(file) = lock(&self.file).take()
            && let Err(error) = file.set_len(0)
            // which a file has that was opened on a read-only disk: it holds no owner either
            && error.kind() != std::io::ErrorKind::InvalidInput
        {
            log::warn!("database: the lock file could not be emptied: {error}");
        }
    }
}
