//! What G-code files say of themselves, read once and kept in the database (spec behaviour.md §5.7).
//!
//! A record belongs to a path and is good while size and time of the file are those in the record. One file is
//! read at a time, which bounds memory, and records are stored in batches, which bounds the waits for the disk.

mod follow;
mod names;
mod pictures;
mod record;
mod startup;

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::action::Stat;
use super::download::open_regular;
use super::list::GCODES;
use super::path::{RelPath, RootPath, is_gcode, is_package};
use super::roots::{Place, Policy, failed};
use crate::api::{Error, Result};
use crate::gcode;
use crate::gcode::thumbnail;
use crate::storage::{self, ReadDocuments, Storage};
use names::Names;
use record::{Known, Links};

/// The namespace that records are stored in (spec database.md §3).
pub const NAMESPACE: &str = "gcode_metadata";

/// Files that are read before their records are stored together.
const BATCH: usize = 32;

/// An entry of `server.files.thumbnails`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThumbnailInfo {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes.
    pub size: u64,
    /// The picture's path in the gcodes root.
    pub thumbnail_path: String,
}

/// When a file is read although there is a record of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// When the file is not as the record says.
    IfChanged,
    /// In any case; what the record knows of prints of the same content is kept.
    Keeping,
    /// In any case, from scratch.
    Afresh,
}

/// The metadata of all G-code files.
pub(super) struct Metadata {
    storage: Storage,
    /// Held while a file is read.
    reading: Arc<smol::lock::Mutex<()>>,
    names: Names,
}

/// A record that is to be stored.
type New = (RelPath, String);

impl Metadata {
    pub(super) fn new(storage: Storage) -> Arc<Self> {
        Arc::new(Self { storage, reading: Arc::default(), names: Names::default() })
    }

    /// The stored record of a file.
    pub(super) fn get(&self, path: &RelPath) -> Option<String> {
        if path.is_root() {
            return None;
        }
        let record = self.storage.read(|reader| reader.record(NAMESPACE, path.as_str()));
        let record = record.inspect_err(|error| log::warn!("no metadata of '{path}': {error}")).ok()??;
        Some(Box::<str>::from(record).into_string())
    }

    /// The record of a file, which is read if need be.
    ///
    /// # Errors
    /// 404 when there is no such G-code file, 500 when it cannot be read.
    pub(super) async fn of(self: &Arc<Self>, policy: &Arc<Policy>, path: &RelPath) -> Result<String> {
        match self.get(path) {
            Some(record) => Ok(record),
            None => self.refresh(policy, path, Again::IfChanged, None).await,
        }
    }

    /// Brings the record of one file up to date. `scan` is what was read of it on its way.
    ///
    /// # Errors
    /// 404 when there is no such G-code file, 500 when it cannot be read.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        path: &RelPath,
        again: Again,
        scan: Option<gcode::Scan>,
    ) -> Result<String> {
        let permit = self.reading.lock_arc().await;
        let (this, policy, path) = (self.clone(), policy.clone(), path.clone());
        let (record, is_new) = smol::unblock(move || {
            let examined = this.examine(&policy, &path, again, scan);
            drop(permit);
            examined.map(|(record, is_new)| (record.clone(), is_new.then_some((path, record))))
        })
        .await?;
        // With a broken database there is still something to show.
        if let Err(error) = self.store(is_new.into_iter().collect()).await {
            log::error!("metadata is not stored: {error}");
        }
        Ok(record)
    }

    /// Brings the records of many files up to date. What cannot be read is logged.
    pub(super) async fn refresh_all(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        paths: Vec<RelPath>,
        again: Again,
    ) {
        let mut paths = paths.into_iter();
        loop {
            let batch: Vec<_> = paths.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            let permit = self.reading.lock_arc().await;
            let (this, policy) = (self.clone(), policy.clone());
            let new = smol::unblock(move || {
                let examine = |path: RelPath| match this.examine(&policy, &path, again, None) {
                    Ok((record, true)) => Some((path, record)),
                    Ok(_) => None,
                    Err(error) => {
                        log::info!("{error}");
                        None
                    }
                };
                let new = batch.into_iter().filter_map(examine).collect();
                drop(permit);
                new
            })
            .await;
            if let Err(error) = self.store(new).await {
                log::error!("metadata is not stored: {error}");
            }
        }
    }

    /// Notes the last print of a file in its record, if it has one.
    pub(super) async fn note_print(
        &self,
        path: &RelPath,
        start: Option<f64>,
        job_id: Option<&str>,
    ) -> Result<()> {
        match self.get(path) {
            Some(record) => {
                self.store(vec![(path.clone(), record::with_print(&record, start, job_id))]).await
            }
            None => Ok(()),
        }
    }

    /// The pictures of a file; none if nothing is known of it.
    pub(super) fn thumbnails(&self, path: &RelPath) -> Vec<ThumbnailInfo> {
        let known = self.get(path).and_then(|record| Known::of(&record));
        let info = |picture: &record::Picture| {
            let relative = RelPath::parse(&picture.relative_path).ok()?;
            Some(ThumbnailInfo {
                width: picture.width,
                height: picture.height,
                size: picture.size,
                thumbnail_path: path.parent()?.join(&relative).as_str().to_owned(),
            })
        };
        known.iter().flat_map(|known| &known.thumbnails).filter_map(info).collect()
    }

    /// Stores records, on disk when this returns.
    async fn store(&self, records: Vec<New>) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let written = self.storage.write(move |writer| {
            for (path, record) in &records {
                let raw: &RawValue = serde_json::from_str(record)
                    .map_err(|error| storage::Error::failed("A record is not JSON").caused_by(error))?;
                writer.put_record(NAMESPACE, path.as_str(), raw)?;
            }
            Ok(())
        });
        written.await.map_err(Error::from)
    }

    /// The record of a file as it is now, and whether that is to be stored. Blocking.
    fn examine(
        &self,
        policy: &Arc<Policy>,
        path: &RelPath,
        again: Again,
        scan: Option<gcode::Scan>,
    ) -> Result<(String, bool)> {
        let missing = || Error::not_found(format!("Metadata not available for '{path}'"));
        let place =
            place(policy, path).filter(|_| path.name().is_some_and(is_record_name)).ok_or_else(missing)?;
        let real = place.to_read().map_err(|error| if error.status() == 403 { error } else { missing() })?;
        let stat = Stat::from(&fs::metadata(&real).ok().filter(fs::Metadata::is_file).ok_or_else(missing)?);
        let old = self.get(path);
        let known = old.as_deref().and_then(Known::of);
        if let Some((old, known)) = old.zip(known.as_ref())
            && again == Again::IfChanged
            && known.fits(&stat)
        {
            return Ok((old, false));
        }
        let same = known.as_ref().filter(|known| again == Again::Keeping && known.fits(&stat));
        let links = same.map(Known::links).unwrap_or_default();
        match self.read(&place, &real, &stat, known.as_ref(), links, scan) {
            Ok(record) => Ok((record, true)),
            Err(error) if again == Again::Afresh => {
                Err(failed("read the metadata of", &place.display(), error))
            }
            Err(error) => {
                log::warn!("cannot read the metadata of '{path}': {error}");
                Ok((record::of_unreadable(&stat), true))
            }
        }
    }

    /// Reads a file, and writes its pictures. Blocking.
    fn read(
        &self,
        place: &Place,
        real: &Path,
        stat: &Stat,
        known: Option<&Known>,
        links: Links,
        scan: Option<gcode::Scan>,
    ) -> io::Result<String> {
        // The pictures lie beside the path that clients know, also where that is a link.
        let directory = place.on_disk.parent().unwrap_or(real);
        let old = known.map(|known| known.thumbnails.as_slice()).unwrap_or_default();
        let base = self.names.free_base(&place.path, old);
        let gcode::Scan { mut metadata, mut thumbnails } = match scan {
            Some(scan) => scan,
            None => gcode::read(&mut open_regular(real)?)?,
        };
        if thumbnails.is_empty() {
            thumbnails.extend(pictures::of_package(directory, &base));
        }
        let files = thumbnail::files(thumbnails, &base);
        self.names.disown(&place.path, old);
        metadata.thumbnails = if place.policy.is_reserved(real) {
            Vec::new()
        } else {
            pictures::write(directory, &files).unwrap_or_else(|error| {
                log::debug!("no thumbnails beside {}: {error}", place.on_disk.display());
                Vec::new()
            })
        };
        let written: HashSet<_> =
            metadata.thumbnails.iter().map(|entry| entry.relative_path.as_str()).collect();
        pictures::remove(directory, old.iter().filter(|old| !written.contains(old.relative_path.as_str())));
        Ok(record::of_file(stat, &metadata, links))
    }
}

/// The record of a file as clients get it.
pub(super) fn filename(record: &str, path: &RelPath) -> String {
    record::with_filename(record, path.as_str())
}

/// Whether a file of this name has a record: G-code that is not packed.
fn is_record_name(name: &str) -> bool {
    is_gcode(name) && !is_package(name)
}

fn place(policy: &Arc<Policy>, path: &RelPath) -> Option<Place> {
    policy.place(&RootPath { root: GCODES.to_owned(), path: path.clone() }).ok()
}
