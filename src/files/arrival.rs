//! A file that was received whole on its way to its place: out of its package, with its objects defined.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::path::Path;

use super::action::{Action, FileAction};
use super::download::open_regular;
use super::list::GCODES;
use super::ops::Job;
use super::path::{RootPath, is_gcode, is_package};
use super::reading::{Found, Read};
use super::roots::{Place, failed};
use super::temp::{self, TempFile};
use super::transfer::file_target;
use super::upload::too_large;
use crate::api::{Error, Result};
use crate::gcode::Scan;
use crate::gcode::objects::{self, Objects};
use crate::gcode::package::{self, Package, model_name};

/// A file that was received whole and has no place yet.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) temp: TempFile,
    /// What it is, if it was read on the way.
    pub(super) found: Option<Found>,
}

/// A file that took its place.
pub(super) struct Placed {
    pub(super) action: FileAction,
    /// The topmost directory that was made for it.
    pub(super) made: Option<FileAction>,
    /// What its metadata is, if it was read on the way.
    pub(super) scan: Option<Scan>,
}

impl Received {
    /// Prepares a file for its place: takes the G-code out of a package, and, if `objects`, defines its objects
    /// for Klipper. Needs no lock. Blocking.
    pub(super) fn prepare(self, at: RootPath, limit: u64, objects: bool) -> Result<Ready> {
        let mut ready = Ready { temp: self.temp, at, scan: None };
        if ready.at.root != GCODES {
            return Ok(ready);
        }
        let is_package = ready.at.path.name().is_some_and(is_package);
        let found = if is_package { Some(ready.unpack(limit, objects)?) } else { self.found };
        ready.take(found, objects)?;
        Ok(ready)
    }
}

/// A file with its content final, about to take its place.
pub(super) struct Ready {
    temp: TempFile,
    at: RootPath,
    scan: Option<Scan>,
}

impl Ready {
    fn unpack(&mut self, limit: u64, objects: bool) -> Result<Found> {
        let (temp, found) = unpack(self.temp.file(), self.directory(), limit, objects)?;
        self.temp = temp;
        if let (Some(parent), Some(name)) = (self.at.path.parent(), self.at.path.name().and_then(model_name))
        {
            self.at.path = parent.child(&name);
        }
        Ok(found)
    }

    /// Takes over what was found in G-code, and defines its objects if that is wanted.
    fn take(&mut self, found: Option<Found>, objects: bool) -> Result<()> {
        let error = |error| failed("define objects in", &self.at.to_string(), error);
        let is_gcode = self.at.path.name().is_some_and(is_gcode);
        let (objects, scan) = match found {
            Some(found) => (found.objects, found.scan),
            None if objects && is_gcode => (objects::survey(&mut self.temp.file()).map_err(error)?, None),
            None => (None, None),
        };
        self.scan = scan;
        if let Some(objects) = objects.filter(|_| is_gcode) {
            let defined = define_objects(&objects, self.temp.file(), self.directory());
            (self.temp, self.scan) = defined.map_err(error)?;
        }
        Ok(())
    }

    fn directory(&self) -> &Path {
        self.temp.path().parent().unwrap_or(Path::new("/"))
    }

    /// Puts the file in its place, making directories on the way. Blocking, one at a time.
    pub(super) fn place(self, job: &Job) -> Result<Placed> {
        let place = job.writable(&self.at, 400)?;
        let made = make_directories(job, &place)?;
        let target = file_target(&place)?;
        if target.is_dir() {
            return Err(Error::bad_request(format!("'{}' is a directory", place.display())));
        }
        job.check_idle(&place, &target)?;
        job.claim.add(&target);
        self.temp.resemble(&target);
        self.temp.replace(&target).map_err(|error| failed("store", &place.display(), error))?;
        let action = job.done(Action::CreateFile, &place)?;
        Ok(Placed { action, made, scan: self.scan })
    }
}

/// Takes the G-code out of a package, into a new file in `directory`, and reads it on the way. The picture of the package
/// is among those of the metadata. Blocking.
fn unpack(package: &File, directory: &Path, limit: u64, objects: bool) -> Result<(TempFile, Found)> {
    let refused = |error: package::Error| match error {
        package::Error::Io(error) => failed("unpack", "the package", error),
        package::Error::TooLarge => too_large(limit),
        error => Error::bad_request(error.to_string()).caused_by(error),
    };
    let mut package = Package::open(package).map_err(refused)?;
    let temp = TempFile::create_in(directory).map_err(|error| failed("unpack", "the package", error))?;
    let mut read = Read::new(temp.file(), objects);
    package.extract_model(&mut read, limit).map_err(refused)?;
    let mut found = read.finish();
    if let Some(scan) = &mut found.scan {
        scan.thumbnails.extend(package.thumbnail());
    }
    Ok((temp, found))
}

/// A file with its objects defined, as a new file in `directory`, and what its metadata is now. Blocking.
fn define_objects(
    objects: &Objects,
    mut file: &File,
    directory: &Path,
) -> io::Result<(TempFile, Option<Scan>)> {
    let temp = TempFile::create_in(directory)?;
    let mut output = io::BufWriter::new(Read::new(temp.file(), false));
    file.rewind()?;
    objects.rewrite(&mut file, &mut output)?;
    let read = output.into_inner().map_err(io::IntoInnerError::into_error)?;
    let scan = read.finish().scan;
    Ok((temp, scan))
}

/// Replaces a package in the gcodes root by the G-code in it. Blocking, one at a time.
pub(super) fn unpack_in_place(job: &Job, at: &RootPath, limit: u64, objects: bool) -> Result<Placed> {
    let source = job.writable(at, 400)?;
    let package = source.to_write()?;
    let directory = package.parent().unwrap_or(Path::new("/"));
    let file = open_regular(&package).map_err(|error| failed("open", &source.display(), error))?;
    let (temp, found) = unpack(&file, directory, limit, objects)?;
    let name = at.path.name().and_then(model_name).unwrap_or_default();
    let path = at.path.parent().unwrap_or_default().child(&name);
    let mut ready = Ready { temp, at: RootPath { root: at.root.clone(), path }, scan: None };
    ready.take(Some(found), objects)?;
    let placed = ready.place(job)?;
    job.claim.add(&package);
    fs::remove_file(&package).map_err(|error| failed("remove", &source.display(), error))?;
    Ok(placed)
}

/// Defines the objects of a file in the gcodes root, if that changes it. Blocking, one at a time.
pub(super) fn define_objects_in_place(job: &Job, at: &RootPath, kind: Action) -> Result<Option<FileAction>> {
    let place = job.writable(at, 400)?;
    let target = file_target(&place)?;
    job.check_idle(&place, &target)?;
    let directory = target.parent().unwrap_or(Path::new("/"));
    let error = |error| failed("define objects in", &place.display(), error);
    let file = open_regular(&target).map_err(error)?;
    let Some(objects) = objects::survey(&mut &file).map_err(error)? else { return Ok(None) };
    let (temp, _) = define_objects(&objects, &file, directory).map_err(error)?;
    job.claim.add(&target);
    temp.resemble(&target);
    temp.replace(&target).map_err(error)?;
    job.done(kind, &place).map(Some)
}

/// Makes the directories that a file is to lie in; returns what clients are to know of it.
fn make_directories(job: &Job, place: &Place) -> Result<Option<FileAction>> {
    let mut missing = Vec::new();
    let mut directory = place.path.parent();
    while let Some(path) = directory.filter(|path| !path.is_root() && !path.under(&place.root.path).exists())
    {
        directory = path.parent();
        missing.push(path);
    }
    let mut top = None;
    for path in missing.into_iter().rev() {
        let place = job.policy.place_in(place.root.clone(), path)?;
        let real = place.to_write()?;
        job.claim.add(&real);
        let made = fs::create_dir(&real).and_then(|()| temp::sync_parent(&real));
        made.map_err(|error| failed("create directory", &place.display(), error))?;
        if top.is_none() {
            top = Some(job.done(Action::CreateDir, &place)?);
        }
    }
    Ok(top)
}
