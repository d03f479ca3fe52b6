//! Zip archives: `server.files.zip`.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;

use super::action::{Action, FileAction, Item};
use super::download::open_regular;
use super::ops::Job;
use super::path::{RelPath, RootPath, check_new_name};
use super::roots::{Level, Place, Policy, failed};
use super::temp::{TempFile, is_temporary};
use super::transfer::file_target;
use super::zip_writer::{Entry, ZipWriter};
use crate::api::{Error, Result};
use crate::time::{self, Civil};

/// The most files in one archive.
pub const MAX_ARCHIVED: usize = 10_000;

/// The result of `server.files.zip`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Zipped {
    /// The archive.
    pub destination: Item,
    /// Always `zip_files`.
    pub action: &'static str,
}

/// What an archive is made of. Everything is checked when the list is made, before anything is written.
pub(super) struct Contents {
    files: Vec<(String, std::path::PathBuf)>,
}

impl Contents {
    /// Collects the items: files, and of directories the files right in them (spec behaviour.md §5.5). A file
    /// that appears twice is taken once, and the archive itself is left out. Blocking.
    pub(super) fn collect(policy: &std::sync::Arc<Policy>, items: &[RootPath], dest: &Place) -> Result<Self> {
        let mut contents = Self { files: Vec::new() };
        let mut seen = HashSet::new();
        if let Ok(old) = std::fs::metadata(&dest.on_disk) {
            seen.insert((old.dev(), old.ino()));
        }
        for item in items {
            let place = policy.place(item)?;
            let real = place.to_read()?;
            let error = |error| failed("archive", &place.display(), error);
            let metadata = std::fs::metadata(&real).map_err(error)?;
            if metadata.is_dir() {
                for entry in std::fs::read_dir(&real).map_err(error)? {
                    let name = entry.map_err(error)?.file_name();
                    let path = real.join(&name);
                    let regular = std::fs::symlink_metadata(&path).ok().filter(Metadata::is_file);
                    let Some(metadata) = regular.filter(|_| !is_temporary(&name)) else { continue };
                    if policy.level(&path) != Level::Nothing {
                        contents.add(&place, Some(&name.to_string_lossy()), &path, &metadata, &mut seen)?;
                    }
                }
            } else if metadata.is_file() {
                contents.add(&place, None, &real, &metadata, &mut seen)?;
            } else {
                return Err(Error::bad_request(format!(
                    "'{}' is neither file nor directory",
                    place.display()
                )));
            }
        }
        Ok(contents)
    }

    /// Adds a file. Names begin with the name of the root's directory (spec behaviour.md §5.5).
    fn add(
        &mut self,
        place: &Place,
        child: Option<&str>,
        real: &Path,
        metadata: &Metadata,
        seen: &mut HashSet<(u64, u64)>,
    ) -> Result<()> {
        if !seen.insert((metadata.dev(), metadata.ino())) {
            return Ok(());
        }
        if self.files.len() >= MAX_ARCHIVED {
            return Err(Error::bad_request(format!("An archive holds at most {MAX_ARCHIVED} files")));
        }
        let top = place
            .root
            .path
            .file_name()
            .map_or(place.root.name.as_str().into(), |name| name.to_string_lossy());
        let path = child.map_or_else(|| place.path.clone(), |name| place.path.child(name));
        let name = format!("{top}/{path}");
        if self.files.iter().all(|(known, _)| *known != name) {
            self.files.push((name, real.to_owned()));
        }
        Ok(())
    }

    /// Writes the archive into a new file beside its destination. Stops with an error soon after `stop` is set.
    /// Blocking, and long.
    pub(super) fn write(&self, dest: &Place, store_only: bool, stop: &AtomicBool) -> Result<TempFile> {
        let real = file_target(dest)?;
        let write = || {
            let directory = real.parent().ok_or(io::ErrorKind::InvalidInput)?;
            let temp = TempFile::create_in(directory)?;
            let mut zip = ZipWriter::new(temp.file());
            for (name, path) in &self.files {
                let file = open_regular(path)?;
                let metadata = file.metadata()?;
                let entry = Entry {
                    name: name.clone(),
                    modified: time::local(metadata.mtime()),
                    mode: metadata.mode(),
                    store: store_only,
                };
                // A log may grow while it is read; what was there at first is enough.
                zip.add(entry, file, metadata.len(), &|| stop.load(Ordering::Relaxed))?;
            }
            zip.finish()?;
            Ok(temp)
        };
        write().map_err(|error| failed("write archive", &dest.display(), error))
    }
}

/// Checks where an archive is to go.
pub(super) fn destination(job: &Job, dest: &RootPath) -> Result<Place> {
    let place = job.writable(dest, 400)?;
    check_new_name(&place.path)?;
    if place.on_disk.is_dir() {
        return Err(Error::bad_request(format!("'{}' is a directory", place.display())));
    }
    Ok(place)
}

/// Puts a written archive in its place.
pub(super) fn finish(job: &Job, dest: &Place, temp: TempFile) -> Result<(Zipped, FileAction)> {
    let target = file_target(dest)?;
    job.check_idle(dest, &target)?;
    job.claim.add(&target);
    temp.replace(&target).map_err(|error| failed("write archive", &dest.display(), error))?;
    let action = job.done(Action::CreateFile, dest)?;
    Ok((Zipped { destination: action.item.clone(), action: "zip_files" }, action))
}

/// The path that an archive gets when the request names none (spec api.md §6.1).
pub(super) fn default_destination(now: std::time::SystemTime) -> RootPath {
    let Civil { year, month, day, hour, minute, second } = time::local(time::unix_ms(now).div_euclid(1000));
    let name = format!("collection-{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}.zip");
    RootPath { root: "config".to_owned(), path: RelPath::root().child(&name) }
}
