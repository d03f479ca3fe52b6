//! Files and directories that are not finished: made beside their target, in the same file system, and moved
//! onto it when they are whole. A power cut leaves the old content or the new, never a part.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

/// How the name of everything unfinished begins. Such names are neither listed nor watched.
const PREFIX: &str = ".perigee-tmp-";

/// How many names are tried before giving up. A second one is only needed where a sweep took the first for a leftover, and
/// a sweep that begins again and again may do so several times in a row.
const ATTEMPTS: u32 = 100;

/// Whether this is the name of something unfinished.
pub(super) fn is_temporary(name: &OsStr) -> bool {
    name.as_bytes().starts_with(PREFIX.as_bytes())
}

/// A file under construction. Dropped without [`replace`](Self::replace), it is removed.
#[derive(Debug)]
pub(super) struct TempFile {
    /// Locked, so that [`sweep`] of another server in the same directory leaves it alone; not on file systems
    /// without locks.
    file: Locked,
    name: Unfinished,
}

/// A directory under construction. Dropped without [`become_dir`](Self::become_dir), it is removed.
#[derive(Debug)]
pub(super) struct TempDir {
    lock: Locked,
    name: Unfinished,
}

#[derive(Debug)]
enum Locked {
    Yes(Flock<File>),
    No(File),
}

impl Locked {
    /// Locks what was just made. `AlreadyExists` if a [`sweep_entry`] was there first, for which it looks like a leftover
    /// until it is locked: it is gone, or will be at once.
    fn new(file: File) -> io::Result<Self> {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) if locked.metadata()?.nlink() == 0 => Err(io::ErrorKind::AlreadyExists.into()),
            Ok(locked) => Ok(Self::Yes(locked)),
            Err((_, Errno::EWOULDBLOCK)) => Err(io::ErrorKind::AlreadyExists.into()),
            Err((file, _)) => Ok(Self::No(file)),
        }
    }

    fn file(&self) -> &File {
        match self {
            Self::Yes(locked) => locked,
            Self::No(file) => file,
        }
    }
}

/// A path that is removed when this is dropped, unless it was renamed.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    renamed: bool,
}

impl Unfinished {
    /// Calls `make` with new names in `directory` until one is free.
    fn create<T>(directory: &Path, make: impl Fn(&Path) -> io::Result<T>) -> io::Result<(Self, T)> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..ATTEMPTS {
            let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = directory.join(format!("{PREFIX}{:x}-{number:x}-{nanos:x}", std::process::id()));
            match make(&path) {
                Ok(made) => return Ok((Self { path, renamed: false }, made)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.renamed {
            remove(&self.path);
        }
    }
}

impl TempFile {
    /// Makes an empty file in `directory`, for reading and writing.
    pub(super) fn create_in(directory: &Path) -> io::Result<Self> {
        let (name, file) = Unfinished::create(directory, |path| {
            Locked::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?)
        })?;
        Ok(Self { file, name })
    }

    /// The file.
    pub(super) fn file(&self) -> &File {
        self.file.file()
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.name.path
    }

    /// Sends the content somewhere else from now on.
    #[cfg(test)]
    pub(super) fn write_to_for_test(&mut self, path: &str) {
        self.file = Locked::No(OpenOptions::new().write(true).open(path).unwrap());
    }

    /// Takes over owner and mode of the file that this one will replace, as far as we may: the configuration
    /// stays writable for Klipper when this server runs as another user.
    pub(super) fn resemble(&self, target: &Path) {
        if let Some(old) = fs::symlink_metadata(target).ok().filter(Metadata::is_file) {
            adopt(self.file(), &old);
        }
    }

    /// Puts the file in the place of `target`, on disk when this returns. A target in another file system gets
    /// a copy.
    pub(super) fn replace(self, target: &Path) -> io::Result<()> {
        let parent = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let metadata = self.file().metadata()?;
        if fs::metadata(parent)?.dev() == metadata.dev() {
            self.file().sync_all()?;
            self.name.rename(target)?;
            return sync_parent(target);
        }
        let copy = Self::create_in(parent)?;
        io::copy(&mut File::open(self.path())?, &mut copy.file())?;
        adopt(copy.file(), &metadata);
        copy.file().sync_all()?;
        copy.name.rename(target)?;
        sync_parent(target)
    }

    /// Puts the file in the place of `target`, whole for every reader, but on disk only when the system gets to
    /// it. For what can be made again.
    pub(super) fn replace_unsynced(self, target: &Path) -> io::Result<()> {
        self.name.rename(target)
    }
}

impl TempDir {
    /// Makes an empty directory in `directory`.
    pub(super) fn create_in(directory: &Path) -> io::Result<Self> {
        let (name, lock) = Unfinished::create(directory, |path| {
            fs::create_dir(path)?;
            let swept = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => io::ErrorKind::AlreadyExists.into(),
                _ => error,
            };
            Locked::new(File::open(path).map_err(swept)?)
        })?;
        Ok(Self { lock, name })
    }

    /// Where it is now.
    pub(super) fn path(&self) -> &Path {
        &self.name.path
    }

    /// Gives the directory its name, which must be free, on disk with all content when this returns.
    pub(super) fn become_dir(self, target: &Path) -> io::Result<()> {
        // One call for the whole file system, instead of one per file.
        nix::unistd::syncfs(self.lock.file())?;
        self.name.rename(target)?;
        sync_parent(target)
    }
}

/// Removes what a server left unfinished in a directory when it was killed. What a running one works on is
/// locked, and stays.
pub(super) fn sweep_entry(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    if let Ok(Locked::Yes(_still)) = Locked::new(file) {
        log::info!("removing {}, which an interrupted transfer left", path.display());
        remove(path);
    }
}

/// As [`sweep_entry`], of everything in a directory.
pub(super) fn sweep_directory(directory: &Path) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| is_temporary(&entry.file_name())).for_each(|entry| sweep_entry(&entry.path()));
}

/// Writes the entries of the directory that holds `path` to disk.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Gives a new file mode and owner of the file that it will replace, where we may. What is right already is not
/// touched, which would cost another write to the disk.
fn adopt(new: &File, old: &Metadata) {
    let Ok(is) = new.metadata() else { return };
    if (is.uid(), is.gid()) != (old.uid(), old.gid()) {
        let _ = fchown(new, Some(old.uid()), Some(old.gid()));
    }
    if is.mode() & 0o777 != old.mode() & 0o777 {
        let _ = new.set_permissions(fs::Permissions::from_mode(old.mode() & 0o777));
    }
}

fn remove(path: &Path) {
    let is_dir = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let result = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        log::warn!("cannot remove {}: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_dropped_file_leaves_nothing_and_a_finished_one_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a");
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();

        let temp = TempFile::create_in(dir.path()).unwrap();
        temp.file().write_all(b"half").unwrap();
        drop(temp);
        assert_eq!(names(dir.path()), ["a"]);

        let temp = TempFile::create_in(dir.path()).unwrap();
        temp.file().write_all(b"new").unwrap();
        temp.resemble(&target);
        temp.replace(&target).unwrap();
        assert_eq!(names(dir.path()), ["a"]);
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o640);
    }

    #[test]
    fn a_target_in_another_file_system_gets_a_copy() {
        let (Ok(there), here) = (tempfile::tempdir_in("/dev/shm"), tempfile::tempdir().unwrap()) else {
            return;
        };
        let temp = TempFile::create_in(here.path()).unwrap();
        temp.file().write_all(b"new").unwrap();
        temp.replace(&there.path().join("a")).unwrap();
        assert_eq!(fs::read(there.path().join("a")).unwrap(), b"new");
        assert_eq!((names(there.path()).len(), names(here.path()).len()), (1, 0));
    }

    #[test]
    fn sweeping_spares_what_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let (used, used_dir) =
            (TempFile::create_in(dir.path()).unwrap(), TempDir::create_in(dir.path()).unwrap());
        let stale = dir.path().join(format!("{PREFIX}1"));
        fs::write(&stale, "x").unwrap();
        let stale_dir = dir.path().join(format!("{PREFIX}2"));
        fs::create_dir_all(stale_dir.join("sub")).unwrap();
        for name in names(dir.path()) {
            assert!(is_temporary(OsStr::new(&name)));
            sweep_entry(&dir.path().join(name));
        }
        assert!(used.path().exists() && used_dir.path().exists());
        assert!(!stale.exists() && !stale_dir.exists());
        used_dir.become_dir(&dir.path().join("d")).unwrap();
        assert!(dir.path().join("d").is_dir());
    }

    #[test]
    fn sweeping_spares_what_is_just_being_made() {
        let dir = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    sweep_directory(dir.path());
                }
            });
            let made = || -> io::Result<bool> {
                let (file, made) = (TempFile::create_in(dir.path())?, TempDir::create_in(dir.path())?);
                Ok(file.path().exists() && made.path().exists())
            };
            let swept = (0..2_000).map(|_| made()).find(|outcome| !matches!(outcome, Ok(true)));
            done.store(true, Ordering::Relaxed);
            assert!(swept.is_none(), "{swept:?}");
        });
    }
}
