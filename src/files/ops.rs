//! Making and removing directories, removing files. All blocking, one at a time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::action::{Action, FileAction};
use super::busy::{LoadedFn, check_not_in_use};
use super::claims::Claim;
use super::path::{RootPath, check_new_name};
use super::roots::{Level, Place, Policy, failed};
use super::temp;
use crate::api::{Error, Result};

/// What a request that changes files works with.
pub(super) struct Job {
    pub(super) policy: Arc<Policy>,
    pub(super) loaded: LoadedFn,
    pub(super) claim: Claim,
}

impl Job {
    /// A place in a writable root. `status` is what the request answers for another.
    pub(super) fn writable(&self, at: &RootPath, status: u16) -> Result<Place> {
        let place = self.policy.place(at)?;
        if !self.policy.writes_allowed() {
            return Err(Error::bad_request("File write access is disabled, see the server's warnings"));
        }
        if self.policy.root_level(&place.root) < Level::Write {
            return Err(Error::new(status, format!("Root '{}' is read-only", place.root.name)));
        }
        Ok(place)
    }

    /// Refuses what the running print uses.
    pub(super) fn check_idle(&self, place: &Place, real: &Path) -> Result<()> {
        check_not_in_use(&self.loaded, place, real)
    }

    /// The answer for something that is there now at a place.
    pub(super) fn done(&self, action: Action, place: &Place) -> Result<FileAction> {
        FileAction::now(action, place).map_err(|error| failed("inspect", &place.display(), error))
    }
}

/// `server.files.post_directory`.
pub(super) fn create_directory(job: &Job, at: &RootPath) -> Result<FileAction> {
    let place = job.writable(at, 405)?;
    check_new_name(&place.path)?;
    let real = place.to_write()?;
    job.claim.add(&real);
    let create = || fs::create_dir(&real).and_then(|()| temp::sync_parent(&real));
    create().map_err(|error| failed("create directory", &place.display(), error))?;
    job.done(Action::CreateDir, &place)
}

/// `server.files.delete_directory`. Without `force` only an empty one.
pub(super) fn delete_directory(job: &Job, at: &RootPath, force: bool) -> Result<FileAction> {
    let place = job.writable(at, 405)?;
    let real = place.to_write()?;
    let error = |error| failed("delete directory", &place.display(), error);
    if !fs::metadata(&real).map_err(error)?.is_dir() {
        return Err(Error::bad_request(format!("'{}' is not a directory", place.display())));
    }
    let is_link = fs::symlink_metadata(&real).map_err(error)?.is_symlink();
    if force && !is_link {
        job.check_idle(&place, &real)?;
        check_no_reserved(&place, &real)?;
    }
    job.claim.add(&real);
    let delete = match (is_link, force) {
        (true, _) => fs::remove_file,
        (false, true) => fs::remove_dir_all::<&PathBuf>,
        (false, false) => fs::remove_dir,
    };
    delete(&real).map_err(error)?;
    Ok(FileAction::gone(Action::DeleteDir, at))
}

/// `server.files.delete_file`.
pub(super) fn delete_file(job: &Job, at: &RootPath) -> Result<FileAction> {
    let place = job.writable(at, 405)?;
    let real = place.to_write()?;
    let error = |error| failed("delete", &place.display(), error);
    fs::symlink_metadata(&real).map_err(error)?;
    if fs::metadata(&real).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(Error::bad_request(format!("'{}' is a directory", place.display())));
    }
    job.check_idle(&place, &real)?;
    job.claim.add(&real);
    fs::remove_file(&real).map_err(error)?;
    Ok(FileAction::gone(Action::DeleteFile, at))
}

/// Refuses to move or delete a directory that a reserved path lies in.
pub(super) fn check_no_reserved(place: &Place, real: &Path) -> Result<()> {
    if place.policy.reserved_below(real) { Err(place.forbidden("change")) } else { Ok(()) }
}
