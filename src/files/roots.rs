//! The directories that clients see, and what may be done in them.
//!
//! # The rule for symbolic links
//! Clients cannot make links, so a link was put there by somebody who owns the machine (a USB stick, a shared
//! library of prints). Hence:
//! - Links are followed for reading, also out of a root, unless the true path is reserved without reading.
//! - Nothing is created, replaced or deleted through a directory link that leaves every writable root: what is
//!   behind it shows permissions `r`.
//! - Deleting or moving a link affects the link, never what it points to.
//! - Replacing a file through a link: see [`upload`](super::upload).
//!
//! Whatever is compared, is compared by path components, on true paths (spec behaviour.md §26).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::path::{RelPath, RootPath};
use crate::api::{Error, Result};
use crate::sync::lock;

/// What clients may do in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// List and download.
    Read,
    /// Also upload, move, delete.
    Write,
}

/// A directory that clients see under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// The first component of paths in it.
    pub name: String,
    /// The true path of the directory: no links in it.
    pub path: PathBuf,
    /// What the root was registered for.
    pub access: Access,
}

/// An entry of `server.files.roots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RootInfo {
    /// The name.
    pub name: String,
    /// The directory.
    pub path: String,
    /// `r` or `rw`.
    pub permissions: &'static str,
}

/// How much may be done with one path. The order is that of growing rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Nothing,
    Read,
    Write,
}

impl Level {
    /// The permissions text of an item (spec api.md §6.3).
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Read => "r",
            Self::Write => "rw",
        }
    }
}

#[derive(Debug, Clone)]
struct Reserved {
    name: String,
    paths: Vec<PathBuf>,
    level: Level,
}

/// The roots, reserved paths and single files at one moment. Cheap to hold: changes make a new one.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    roots: Vec<Arc<Root>>,
    reserved: Vec<Reserved>,
    files: Vec<(String, PathBuf)>,
    writes_off: bool,
}

/// The registry of roots, reserved paths, and files that are served by name.
#[derive(Debug, Default)]
pub struct Roots {
    policy: Mutex<Arc<Policy>>,
}

impl Roots {
    /// Registers the directory `path` as root `name`, or changes where an existing root leads. Blocking.
    ///
    /// # Errors
    /// The text of a warning when the path is not a directory that can be read; nothing is registered then
    /// (spec behaviour.md §5.1).
    pub(super) fn register(
        &self,
        name: &str,
        path: &Path,
        access: Access,
    ) -> std::result::Result<Arc<Root>, String> {
        let warn = |why: &dyn std::fmt::Display| {
            format!("Root '{name}' is not available: {}: {why}", path.display())
        };
        let real = fs::canonicalize(path).map_err(|error| warn(&error))?;
        fs::read_dir(&real).map_err(|error| warn(&error))?;
        if access == Access::Write {
            use nix::unistd::{AccessFlags, access as check};
            if check(&real, AccessFlags::W_OK).is_err() {
                log::warn!("no permission to write in root '{name}', {}", real.display());
            }
        }
        let root = Arc::new(Root { name: name.to_owned(), path: real, access });
        self.change(|policy| match policy.roots.iter_mut().find(|known| known.name == name) {
            Some(known) => *known = root.clone(),
            None => policy.roots.push(root.clone()),
        });
        Ok(root)
    }

    /// Forgets a root.
    pub(super) fn unregister(&self, name: &str) {
        self.change(|policy| policy.roots.retain(|root| root.name != name));
    }

    /// Keeps clients out of `path` and what is below it (spec behaviour.md §5.1): without `readable` they cannot
    /// even look. The path may not exist yet. The same name again replaces the former path. Blocking.
    pub fn reserve(&self, name: &str, path: &Path, readable: bool) {
        let mut paths = vec![path.to_owned()];
        if let Ok(real) = fs::canonicalize(path)
            && real != path
        {
            paths.push(real);
        }
        let level = if readable { Level::Read } else { Level::Nothing };
        self.change(|policy| {
            policy.reserved.retain(|known| known.name != name);
            policy.reserved.push(Reserved { name: name.to_owned(), paths, level });
        });
    }

    /// Lifts the reservation of this name.
    pub fn release(&self, name: &str) {
        self.change(|policy| policy.reserved.retain(|known| known.name != name));
    }

    /// Switches all write access off or on again (spec behaviour.md §5.1, failed install validation).
    pub fn allow_writes(&self, allowed: bool) {
        self.change(|policy| policy.writes_off = !allowed);
    }

    /// Serves one file by a name of its own, in place of a root: `klippy.log` (spec api.md §1).
    pub fn register_file(&self, name: &str, path: &Path) {
        self.change(|policy| {
            policy.files.retain(|(known, _)| known != name);
            policy.files.push((name.to_owned(), path.to_owned()));
        });
    }

    /// The root of this name.
    ///
    /// # Errors
    /// 400 when there is none.
    pub fn get(&self, name: &str) -> Result<Arc<Root>> {
        self.now().root(name)
    }

    /// The names of all roots, in the order of registration.
    pub fn names(&self) -> Vec<String> {
        self.now().roots.iter().map(|root| root.name.clone()).collect()
    }

    /// The result of `server.files.roots`.
    pub fn list(&self) -> Vec<RootInfo> {
        let policy = self.now();
        let info = |root: &Arc<Root>| RootInfo {
            name: root.name.clone(),
            path: root.path.to_string_lossy().into_owned(),
            permissions: policy.root_level(root).text(),
        };
        policy.roots.iter().map(info).collect()
    }

    /// The present state.
    pub(super) fn now(&self) -> Arc<Policy> {
        lock(&self.policy).clone()
    }

    fn change(&self, edit: impl FnOnce(&mut Policy)) {
        edit(Arc::make_mut(&mut lock(&self.policy)));
    }
}

impl Policy {
    /// The root of this name; 400 when there is none.
    pub(super) fn root(&self, name: &str) -> Result<Arc<Root>> {
        let root = self.roots.iter().find(|root| root.name == name);
        root.cloned().ok_or_else(|| Error::bad_request(format!("Invalid root: '{name}' is not registered")))
    }

    /// All roots.
    pub(super) fn roots(&self) -> &[Arc<Root>] {
        &self.roots
    }

    /// The file that is served under a name of its own.
    pub(super) fn file(&self, name: &str) -> Option<&Path> {
        self.files.iter().find(|(known, _)| known == name).map(|(_, path)| path.as_path())
    }

    /// Whether clients may write at all.
    pub(super) fn writes_allowed(&self) -> bool {
        !self.writes_off
    }

    /// What may be done in a root as a whole.
    pub(super) fn root_level(&self, root: &Root) -> Level {
        if root.access == Access::Write && !self.writes_off { Level::Write } else { Level::Read }
    }

    /// What may be done with a true path.
    pub(super) fn level(&self, real: &Path) -> Level {
        if real.components().any(|part| part.as_os_str() == ".git") {
            return Level::Nothing;
        }
        let reserved =
            self.reserved_paths().filter(|(path, _)| real.starts_with(path)).map(|(_, level)| level);
        reserved.fold(self.level_of_roots(real), Level::min)
    }

    /// What may be done with the entries of a directory, of which `real` is the true path.
    pub(super) fn entries_of(&self, real: &Path) -> EntryLevels<'_> {
        let special = self
            .reserved_paths()
            .filter(|(path, _)| path.parent() == Some(real))
            .filter_map(|(path, level)| Some((path.file_name()?, level)))
            .collect();
        EntryLevels { level: self.level(real), special }
    }

    /// Whether a true path is reserved in any way.
    pub(super) fn is_reserved(&self, real: &Path) -> bool {
        real.components().any(|part| part.as_os_str() == ".git")
            || self.reserved_paths().any(|(path, _)| real.starts_with(path))
    }

    /// Whether a reserved path lies below this true path: it must not be moved or deleted with it.
    pub(super) fn reserved_below(&self, real: &Path) -> bool {
        self.reserved_paths().any(|(path, _)| path.starts_with(real))
    }

    fn level_of_roots(&self, real: &Path) -> Level {
        let writable =
            |root: &Arc<Root>| self.root_level(root) == Level::Write && real.starts_with(&root.path);
        if self.roots.iter().any(writable) { Level::Write } else { Level::Read }
    }

    fn reserved_paths(&self) -> impl Iterator<Item = (&Path, Level)> {
        self.reserved.iter().flat_map(|r| r.paths.iter().map(move |path| (path.as_path(), r.level)))
    }

    /// Finds a path among the roots.
    pub(super) fn place(self: &Arc<Self>, at: &RootPath) -> Result<Place> {
        self.place_in(self.root(&at.root)?, at.path.clone())
    }

    /// Finds a path in a root; 403 when its text alone shows that it may not be looked at.
    pub(super) fn place_in(self: &Arc<Self>, root: Arc<Root>, path: RelPath) -> Result<Place> {
        let on_disk = name_on_disk(&root.path, &path);
        if self.level(&on_disk) == Level::Nothing {
            return Err(forbidden(&root, &path, "access"));
        }
        Ok(Place { policy: self.clone(), root, path, on_disk })
    }
}

/// What may be done with the entries of one directory.
pub(super) struct EntryLevels<'a> {
    level: Level,
    special: Vec<(&'a OsStr, Level)>,
}

impl EntryLevels<'_> {
    /// What may be done with the entry of this name (itself, not what it links to).
    pub(super) fn of(&self, name: &OsStr) -> Level {
        if name == ".git" {
            return Level::Nothing;
        }
        let special = self.special.iter().filter(|(known, _)| *known == name).map(|(_, level)| *level);
        special.fold(self.level, Level::min)
    }
}

/// A path in a root, and where that is in the file system.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) policy: Arc<Policy>,
    pub(super) root: Arc<Root>,
    pub(super) path: RelPath,
    /// The path below the root's directory. Links in it are not resolved.
    pub(super) on_disk: PathBuf,
}

impl Place {
    /// The text `root/path`.
    pub(super) fn display(&self) -> String {
        RootPath { root: self.root.name.clone(), path: self.path.clone() }.to_string()
    }

    /// The true path, all links resolved, if that may be read.
    ///
    /// # Errors
    /// 403 when it is reserved; what [`failed`] makes of an error of the file system.
    pub(super) fn to_read(&self) -> Result<PathBuf> {
        let real = fs::canonicalize(&self.on_disk).map_err(|error| failed("open", &self.display(), error))?;
        if self.policy.level(&real) == Level::Nothing {
            return Err(self.forbidden("access"));
        }
        Ok(real)
    }

    /// The true path of the directory that holds this, with the name added: what is created, replaced or
    /// removed. A link in the last place is not followed.
    ///
    /// # Errors
    /// 400 for a root itself, 403 when the path is reserved or a link leads out of the writable roots; what
    /// [`failed`] makes of an error of the file system. Whether the named root is writable is not checked.
    pub(super) fn to_write(&self) -> Result<PathBuf> {
        let (Some(parent), Some(name)) = (self.on_disk.parent(), self.on_disk.file_name()) else {
            return Err(Error::bad_request(format!("'{}' cannot be changed", self.display())));
        };
        if self.path.is_root() {
            return Err(Error::bad_request(format!("Root '{}' itself cannot be changed", self.root.name)));
        }
        let real = fs::canonicalize(parent).map_err(|error| failed("find", &self.display(), error))?;
        self.check_write(&real.join(name))?;
        Ok(real.join(name))
    }

    /// Refuses a true path that may not be written with 403.
    pub(super) fn check_write(&self, real: &Path) -> Result<()> {
        if self.policy.level(real) == Level::Write { Ok(()) } else { Err(self.forbidden("change")) }
    }

    /// The 403 for this path.
    pub(super) fn forbidden(&self, what: &str) -> Error {
        forbidden(&self.root, &self.path, what)
    }
}

fn forbidden(root: &Root, path: &RelPath, what: &str) -> Error {
    let at = RootPath { root: root.name.clone(), path: path.clone() };
    Error::forbidden(format!("Not permitted to {what} '{at}'"))
}

/// The error for a path of a file request that the file system refused: as [`Error::from_io`], but a missing
/// path is the request's fault (400), as in the reference (spec api.md §6.1).
pub(super) fn failed(what: &str, path: &str, error: io::Error) -> Error {
    // A link that leads in a circle leads nowhere.
    if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP) {
        return Error::bad_request(format!("Failed to {what} '{path}': does not exist")).caused_by(error);
    }
    Error::from_io(format_args!("{what} '{path}'"), error)
}

/// Where a path lies below `base`. A name on disk that is not UTF-8 is shown to clients with replacement
/// characters; a component with those that does not exist as such is looked up among the names of its
/// directory, so that such files can still be read, renamed and deleted.
pub(super) fn name_on_disk(base: &Path, path: &RelPath) -> PathBuf {
    if !path.as_str().contains(char::REPLACEMENT_CHARACTER) {
        return path.under(base);
    }
    let mut found = base.to_owned();
    for part in path.components() {
        let plain = found.join(part);
        let exists = !part.contains(char::REPLACEMENT_CHARACTER) || fs::symlink_metadata(&plain).is_ok();
        found = if exists { plain } else { entry_shown_as(&found, part).unwrap_or(plain) };
    }
    found
}

fn entry_shown_as(directory: &Path, shown: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten();
    entries
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy() == shown)
        .min()
        .map(|n| directory.join(n))
}
