//! At the start: what changed while nobody looked.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::record::Known;
use super::{Again, Metadata, NAMESPACE, is_record_name, pictures, place};
use crate::api::{Error, Result};
use crate::files::action::Stat;
use crate::files::list::{self, GCODES};
use crate::files::path::RelPath;
use crate::files::roots::Policy;
use crate::json;
use crate::storage::{KeyPath, ReadDocuments};
use crate::tasks::unblock;

/// The version of records that Moonraker writes, too; others are thrown away (spec behaviour.md §5.7).
const VERSION: u32 = 3;

/// Where that is stored: namespace and key.
const VERSION_KEY: (&str, &str) = ("moonraker", "file_manager.metadata_version");

/// Records that one write removes at most.
const PRUNE: usize = 1000;

/// What [`Metadata::survey`] found.
#[derive(Debug, Default, PartialEq)]
struct Survey {
    /// Files without a good record.
    stale: Vec<RelPath>,
    /// Records without a file.
    orphans: Vec<RelPath>,
}

impl Metadata {
    /// Compares all records with the files there are, drops those without a file and reads files without one.
    /// Returns whether anything was to be done.
    pub(in crate::files) async fn catch_up(self: &Arc<Self>, policy: &Arc<Policy>) -> Result<bool> {
        self.check_version().await?;
        let (this, there) = (self.clone(), policy.clone());
        let Survey { stale, orphans } = unblock(move || this.survey(&there)).await?;
        let changed = !stale.is_empty() || !orphans.is_empty();
        if changed {
            log::info!("{} G-code files to be read, {} records without a file", stale.len(), orphans.len());
        }
        for some in orphans.chunks(PRUNE) {
            self.drop_records(policy, some.to_vec()).await?;
        }
        self.refresh_all(policy, stale, Again::Keeping).await;
        Ok(changed)
    }

    /// Drops records of another version.
    async fn check_version(&self) -> Result<()> {
        let (namespace, key) = VERSION_KEY;
        let path = KeyPath::parse(key).map_err(Error::from)?;
        let stored_version = self.storage.read(|reader| reader.item(namespace, &path)).ok();
        if stored_version.as_ref().is_some_and(|version| version.get() == VERSION.to_string()) {
            return Ok(());
        }
        let written = self.storage.write(move |writer| {
            if stored_version.is_some() {
                writer.clear_namespace(NAMESPACE)?;
            }
            writer.insert_item(namespace, &path, &json::to_raw(&VERSION))
        });
        written.await.map_err(Error::from)
    }

    /// Blocking.
    fn survey(&self, policy: &Arc<Policy>) -> Result<Survey> {
        let listed = list::list(policy, &*policy.root(GCODES)?)?;
        let stat = |file: &list::ListedFile| Stat { modified: file.modified, size: file.size };
        let names = listed.iter().filter(|file| is_record_name(&file.path));
        let files: HashMap<_, _> = names.clone().map(|file| (file.path.as_str(), stat(file))).collect();
        let (mut orphans, mut fitting) = (Vec::new(), Vec::new());
        let visited = self.storage.read(|reader| {
            reader.each_record(NAMESPACE, &mut |key, record| {
                if let Ok(path) = RelPath::parse(key) {
                    match files.get(key) {
                        None => orphans.push(path),
                        Some(stat) => {
                            fitting.extend(Known::of(record).filter(|k| k.fits(stat)).map(|k| (path, k)))
                        }
                    }
                }
                Ok(ControlFlow::Continue(()))
            })
        });
        visited.map_err(Error::from)?;
        if listed.is_empty() {
            // More likely a disk that is not there yet than a user who deleted everything by hand.
            orphans.clear();
        }
        let good: HashSet<_> = fitting
            .into_iter()
            .filter(|(path, known)| self.has_pictures(policy, path, known))
            .map(|(path, _)| path)
            .collect();
        let stale =
            names.filter_map(|file| RelPath::parse(&file.path).ok()).filter(|path| !good.contains(path));
        Ok(Survey { stale: stale.collect(), orphans })
    }

    /// Whether the pictures that a record names are there. If so, they are taken note of.
    fn has_pictures(&self, policy: &Arc<Policy>, path: &RelPath, known: &Known) -> bool {
        let place = place(policy, path);
        let directory = place.as_ref().and_then(|place| place.on_disk.parent());
        let whole = directory.is_some_and(|directory| pictures::are_whole(directory, &known.thumbnails));
        if whole {
            self.names.own(path, &known.thumbnails);
        }
        whole
    }
}
