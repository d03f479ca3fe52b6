//! Files that are either the old one or the new one, whenever the power fails.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::error::{Error, Result};

/// Permissions of what is written: it holds keys and hashes of passwords.
const MODE: u32 = 0o600;
/// What a change of one record writes, in bytes: a few pages.
const SMALL_WRITE: u64 = 64 << 10;

/// Lets `write` fill a file beside `path`, syncs it, and puts it in `path`'s place.
pub(super) fn replace(path: &Path, write: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let io = |error| Error::io(format_args!("write '{}'", path.display()), error);
    let temporary = beside(path, "part");
    // what an earlier try left may have other permissions
    let _ = std::fs::remove_file(&temporary);
    let created = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&temporary);
    let written = created.map_err(io).and_then(|file| {
        write(&file)?;
        file.sync_all().map_err(io)
    });
    written.and_then(|()| rename(&temporary, path)).inspect_err(|_| drop(std::fs::remove_file(&temporary)))
}

/// The error of a write to the database at `path` of which the disk took a part only: it is full if there is no room
/// for as much as a small write needs.
pub(super) fn cut_short(path: &Path, error: io::Error) -> Error {
    // the types of these differ between 32 and 64 bit targets
    #[allow(clippy::unnecessary_cast)]
    let room = nix::sys::statvfs::statvfs(path)
        .map_or(u64::MAX, |disk| disk.blocks_available() as u64 * disk.fragment_size() as u64);
    let error = if room < SMALL_WRITE { io::ErrorKind::StorageFull.into() } else { error };
    Error::io("use the database", error)
}

/// Renames, and makes the new name durable.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|error| Error::io(format_args!("write '{}'", to.display()), error))?;
    sync_parent(to)
}

/// Makes the names in the folder of `path` durable.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let synced = File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io(format_args!("sync '{}'", parent.display()), error))
}

/// `path` with an extension more.
pub(super) fn beside(path: &Path, extension: &str) -> PathBuf {
    with_suffix(path, &format!(".{extension}"))
}

/// `path` with something at its end.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
