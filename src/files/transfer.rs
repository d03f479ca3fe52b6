//! Moving and copying. All blocking, one at a time.

use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::action::{Action, FileAction};
use super::ops::{Job, check_no_reserved};
use super::path::{RootPath, check_new_name};
use super::roots::{Level, Place, Policy, failed};
use super::temp::{self, TempDir, TempFile, is_temporary};
use crate::api::{Error, Result};

/// How deep a copied tree may be.
const MAX_DEPTH: usize = 64;

/// `server.files.move`. An existing directory as `dest` is moved into.
pub(super) fn move_item(job: &Job, source: &RootPath, dest: &RootPath) -> Result<FileAction> {
    let from = job.writable(source, 400)?;
    let from_real = from.to_write()?;
    let error = |error| failed("move", &from.display(), error);
    let metadata = fs::symlink_metadata(&from_real).map_err(error)?;
    let to = destination(job, dest, &from)?;
    let to_real = to.to_write()?;
    // A link to a directory is told as a directory.
    let is_dir = fs::metadata(&from_real).unwrap_or_else(|_| metadata.clone()).is_dir();
    if to_real.starts_with(&from_real) {
        let into = if to_real == from_real { "onto" } else { "into" };
        return Err(Error::bad_request(format!("'{}' cannot be moved {into} itself", from.display())));
    }
    job.check_idle(&from, &from_real)?;
    job.check_idle(&to, &to_real)?;
    if metadata.is_dir() {
        check_no_reserved(&from, &from_real)?;
    }
    job.claim.add(&from_real);
    job.claim.add(&to_real);
    relocate(&job.policy, &from_real, &to_real, &metadata).map_err(error)?;
    let action = if is_dir { Action::MoveDir } else { Action::MoveFile };
    let origin = RootPath { root: from.root.name.clone(), path: from.path.clone() };
    Ok(job.done(action, &to)?.from(&origin))
}

/// `server.files.copy`. An existing directory as `dest` is copied into. Times and modes are kept.
pub(super) fn copy_item(job: &Job, source: &RootPath, dest: &RootPath) -> Result<FileAction> {
    let from = job.policy.place(source)?;
    if from.path.is_root() {
        return Err(Error::bad_request(format!("Root '{}' itself cannot be copied", from.root.name)));
    }
    let from_real = from.to_read()?;
    let metadata = fs::metadata(&from_real).map_err(|error| failed("copy", &from.display(), error))?;
    let to = destination(job, dest, &from)?;
    let error = |error| failed("copy to", &to.display(), error);
    if metadata.is_dir() {
        let to_real = to.to_write()?;
        if to_real.starts_with(&from_real) {
            return Err(Error::bad_request(format!("'{}' cannot be copied into itself", from.display())));
        }
        if fs::symlink_metadata(&to_real).is_ok() {
            return Err(error(io::ErrorKind::AlreadyExists.into()));
        }
        job.claim.add(&to_real);
        copy_directory(&job.policy, &from_real, &to_real).map_err(error)?;
        return job.done(Action::CreateDir, &to);
    }
    if !metadata.is_file() {
        return Err(Error::bad_request(format!("'{}' is neither file nor directory", from.display())));
    }
    let target = file_target(&to)?;
    if target == from_real {
        return Err(Error::bad_request(format!("'{}' cannot be copied onto itself", from.display())));
    }
    let action = if target.exists() { Action::ModifyFile } else { Action::CreateFile };
    job.check_idle(&to, &target)?;
    job.claim.add(&target);
    copy_file(&from_real, &target).map_err(error)?;
    job.done(action, &to)
}

/// Where a new file is to be put for this place. A link there is followed if it leads to a file that may be
/// written; otherwise the link itself is replaced (spec behaviour.md §5.4, and the rule in [`super::roots`]).
pub(super) fn file_target(place: &Place) -> Result<PathBuf> {
    let real = place.to_write()?;
    let is_link = fs::symlink_metadata(&real).is_ok_and(|metadata| metadata.is_symlink());
    if is_link
        && let Ok(target) = fs::canonicalize(&real)
        && target.is_file()
        && place.policy.level(&target) == Level::Write
    {
        return Ok(target);
    }
    Ok(real)
}

/// Where something goes: `dest`, or into it if it is a directory.
fn destination(job: &Job, dest: &RootPath, from: &Place) -> Result<Place> {
    let mut place = job.writable(dest, 400)?;
    let is_itself = place.root == from.root && place.path == from.path;
    if place.on_disk.is_dir()
        && !is_itself
        && let Some(name) = from.path.name()
    {
        place = job.policy.place_in(place.root.clone(), place.path.child(name))?;
    }
    check_new_name(&place.path)?;
    Ok(place)
}

/// Moves something, also to another file system.
fn relocate(policy: &Policy, from: &Path, to: &Path, metadata: &Metadata) -> io::Result<()> {
    if metadata.is_symlink() && from.parent() != to.parent() {
        return move_link(from, to);
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {}
        Err(error) => return Err(error),
        Ok(()) => {
            temp::sync_parent(to)?;
            return if from.parent() == to.parent() { Ok(()) } else { temp::sync_parent(from) };
        }
    }
    if metadata.is_dir() {
        if to.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        copy_directory(policy, from, to)?;
        fs::remove_dir_all(from)
    } else {
        copy_file(from, to)?;
        fs::remove_file(from)
    }
}

/// A link that is moved still leads to the same place.
fn move_link(from: &Path, to: &Path) -> io::Result<()> {
    let target = fs::read_link(from)?;
    let directory = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    // Built in a directory of its own, since a link cannot be made over an existing name.
    let scratch = TempDir::create_in(directory)?;
    let link = scratch.path().join("link");
    symlink(from.parent().unwrap_or(Path::new("/")).join(target), &link)?;
    fs::rename(&link, to)?;
    temp::sync_parent(to)?;
    fs::remove_file(from)
}

/// Copies the content of a file with times and mode; `to` is replaced whole or not at all.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let directory = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let copy = TempFile::create_in(directory)?;
    fill(from, copy.file())?;
    copy.replace(to)
}

fn fill(from: &Path, mut to: &File) -> io::Result<()> {
    let mut source = super::download::open_regular(from)?;
    let metadata = source.metadata()?;
    io::copy(&mut source, &mut to)?;
    to.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o777))?;
    to.set_times(FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?))
}

/// Copies a tree; `to` appears with all its content or not at all. Links are copied as what they lead to,
/// reserved paths, sockets and devices are left out.
fn copy_directory(policy: &Policy, from: &Path, to: &Path) -> io::Result<()> {
    let directory = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let copy = TempDir::create_in(directory)?;
    fill_directory(policy, &mut vec![from.to_owned()], copy.path())?;
    copy.become_dir(to)
}

/// `above` are the true paths of the directories on the way down, the last being the one to copy: a link to any
/// of them would form a circle, and is left out.
fn fill_directory(policy: &Policy, above: &mut Vec<PathBuf>, to: &Path) -> io::Result<()> {
    if above.len() > MAX_DEPTH {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    let Some(from) = above.last().cloned() else { return Ok(()) };
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        let Ok(real) = fs::canonicalize(entry.path()) else { continue };
        let metadata = fs::metadata(&real)?;
        if is_temporary(&entry.file_name()) || policy.level(&real) == Level::Nothing {
            continue;
        }
        let target = to.join(entry.file_name());
        if metadata.is_dir() {
            if !above.contains(&real) {
                fs::create_dir(&target)?;
                above.push(real);
                fill_directory(policy, above, &target)?;
                above.pop();
            }
        } else if metadata.is_file() {
            fill(&real, &File::create_new(&target)?)?;
        }
    }
    let metadata = fs::metadata(&from)?;
    let times = FileTimes::new().set_accessed(metadata.accessed()?).set_modified(metadata.modified()?);
    let directory = File::open(to)?;
    directory.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o777))?;
    directory.set_times(times)
}
