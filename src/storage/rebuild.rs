//! Building a database file from entries: compaction, restoring, and taking over a file of another machine.

use std::path::{Path, PathBuf};

use super::disk;
use super::environment::{Environment, Failure, MAX_MAP, Purpose};
use super::error::{Error, Result};

/// A transaction of the builder is committed when it holds this many bytes.
const BATCH: usize = 256 << 10;

/// Takes entries for the new file.
pub(super) struct Builder {
    target: PathBuf,
    environment: Environment,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Builder {
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        self.bytes += key.len() + value.len();
        self.entries.push((key, value));
        if self.bytes < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        loop {
            let entries = self.entries.iter().map(|(key, value)| (key.as_slice(), Some(value.as_slice())));
            match self.environment.commit(entries) {
                Ok(()) => break,
                // SAFETY: the builder alone has the environment, and its transaction is over.
                Err(Failure::MapFull) => unsafe { self.environment.grow(self.bytes, MAX_MAP) }?,
                Err(Failure::Short(error)) => return Err(disk::cut_short(&self.target, error)),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Stuck) => return Err(Error::failed("The new database could not be written")),
            }
        }
        self.entries.clear();
        self.bytes = 0;
        Ok(())
    }
}

/// Makes a database at `target` (which must not be open) of what `fill` puts in. The file is complete and on
/// disk when this returns; after an error there is none.
pub(super) fn build(target: &Path, fill: impl FnOnce(&mut Builder) -> Result<()>) -> Result<()> {
    let _ = std::fs::remove_file(target);
    let environment = Environment::open(target, Purpose::Building)?;
    let mut builder = Builder { target: target.to_owned(), environment, entries: Vec::new(), bytes: 0 };
    let built = fill(&mut builder).and_then(|()| builder.flush()).and_then(|()| builder.environment.sync());
    builder.environment.close();
    built.and_then(|()| disk::sync_parent(target)).inspect_err(|_| drop(std::fs::remove_file(target)))
}
