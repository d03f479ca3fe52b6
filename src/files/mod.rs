//! Roots, paths, uploads, moves, watching, the metadata store.
//!
//! [`Files`] is the whole of it. Its functions that touch the disk do so on the blocking pool. What changes files
//! runs one at a time; reading never waits for that, and an upload only for its last step.

mod action;
mod archive;
mod arrival;
mod background;
mod busy;
mod claims;
mod download;
mod gcode_files;
mod list;
mod members;
mod metadata;
mod notice;
mod ops;
mod path;
mod range;
mod reading;
pub mod rights;
mod roots;
mod temp;
mod told;
mod transfer;
mod upload;
mod walk;
mod watch;
mod zip_writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use smol::lock::Mutex;

pub use action::{Action, FileAction, Item, SourceItem, Stat};
pub use archive::{MAX_ARCHIVED, Zipped};
pub use busy::{LoadedFile, LoadedFn};
pub use download::{Body, CHUNK, Download, content_type, disposition};
pub use list::{Directory, DiskUsage, Entry, GCODES, ListedFile, MAX_ENTRIES};
pub use metadata::{NAMESPACE, ThumbnailInfo};
pub use notice::{Change, NOTICE_DELAY, Notice, Sink};
pub use path::{RelPath, RootPath, is_gcode, is_package};
pub use range::{Conditions, Selection};
pub use roots::{Access, Root, RootInfo, Roots};
pub use upload::{BUFFER, Upload, UploadTarget};
pub use watch::{BUNDLE, LONGEST_BUNDLE, MAX_PENDING, MAX_WATCHES, PAIRING, REPEAT, SETTLE};

use crate::api::{Error, Result, Warnings};
use crate::storage::Storage;
use crate::tasks::{Spawner, unblock};
use claims::Claims;
use metadata::Metadata;
use ops::Job;
use watch::Watcher;

/// What the file manager works with.
pub struct Setup {
    /// Starts what runs in the background.
    pub spawner: Spawner,
    /// Tells which file is being printed.
    pub loaded: LoadedFn,
    /// Gets every change.
    pub sink: Sink,
    /// Gets the warnings of this part.
    pub warnings: Arc<Warnings>,
    /// How changes by other programs are seen.
    pub observer: Observer,
    /// Whether there are warnings when not everything can be watched (`enable_observer_warnings`).
    pub observer_warnings: bool,
    /// Whether objects are defined for Klipper in G-code that has none (`enable_object_processing`).
    pub define_objects: bool,
    /// The database, for the metadata of G-code.
    pub storage: Storage,
    /// The largest upload, in bytes (spec config.md §3, `max_upload_size`).
    pub max_upload: u64,
}

/// `file_system_observer` (spec config.md §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observer {
    /// The kernel tells of them.
    Inotify,
    /// Not at all; what requests change is told all the same.
    None,
}

/// The file manager. Clones are handles of the same one.
#[derive(Clone)]
pub struct Files(Arc<Inner>);

struct Inner {
    setup: Setup,
    roots: Roots,
    claims: Arc<Claims>,
    lock: Arc<Mutex<()>>,
    metadata: Arc<Metadata>,
    watcher: Option<Arc<Watcher>>,
    started: AtomicBool,
}

impl Files {
    /// A file manager without roots. Starts what works in the background.
    pub fn new(setup: Setup) -> Self {
        let claims = Arc::<Claims>::default();
        let watcher = match setup.observer {
            Observer::None => None,
            Observer::Inotify => Watcher::new(claims.clone())
                .inspect_err(|error| {
                    setup.warnings.add(format!("Changes by other programs are not seen: {error}"))
                })
                .ok()
                .map(Arc::new),
        };
        let metadata = Metadata::new(setup.storage.clone());
        let files = Self(Arc::new(Inner {
            setup,
            metadata,
            roots: Roots::default(),
            claims,
            lock: Arc::default(),
            watcher,
            started: AtomicBool::new(false),
        }));
        files.watch();
        files
    }

    /// The roots and reserved paths.
    pub fn roots(&self) -> &Roots {
        &self.0.roots
    }

    /// `server.files.list`: every file of a root.
    ///
    /// # Errors
    /// 400 for an unknown root.
    pub async fn list(&self, root: &str) -> Result<Vec<ListedFile>> {
        let policy = self.0.roots.now();
        let root = policy.root(root)?;
        unblock(move || list::list(&policy, &root)).await
    }

    /// `server.files.get_directory`: the entries of `root/path`; if `extended`, with the metadata of G-code.
    ///
    /// # Errors
    /// 400 for what is no directory, 403 for a reserved one.
    pub async fn directory(&self, path: &str, extended: bool) -> Result<Directory> {
        let (policy, at) = (self.0.roots.now(), RootPath::parse(path)?);
        let metadata = extended.then(|| self.0.metadata.clone());
        unblock(move || {
            let place = policy.place(&at)?;
            match metadata {
                Some(metadata) => list::directory(&place, Some(&|path| metadata.get(path))),
                None => list::directory(&place, None),
            }
        })
        .await
    }

    /// Opens a file for a static GET: `root/path`, or the name of a file that is registered by itself.
    ///
    /// # Errors
    /// 404 when there is no such regular file, 403 when it is reserved.
    pub async fn download(&self, path: &str) -> Result<Download> {
        let (policy, path) = (self.0.roots.now(), path.to_owned());
        unblock(move || Download::open(&policy, &path)).await
    }

    /// `server.files.post_directory`.
    ///
    /// # Errors
    /// 400 when it exists or its parent does not, 405 in a read-only root, 403 when reserved.
    pub async fn create_directory(&self, path: &str) -> Result<Change> {
        let at = RootPath::parse(path)?;
        let action = self.exclusive(move |job| ops::create_directory(job, &at)).await?;
        Ok(self.change(action).await)
    }

    /// `server.files.delete_directory`; with `force` also one that is not empty.
    ///
    /// # Errors
    /// 400 for a root, what is missing or not empty; 403 when in use (only with `force`) or reserved; 405 in a
    /// read-only root.
    pub async fn delete_directory(&self, path: &str, force: bool) -> Result<Change> {
        let at = RootPath::parse(path)?;
        let action = self.exclusive(move |job| ops::delete_directory(job, &at, force)).await?;
        Ok(self.change(action).await)
    }

    /// `server.files.delete_file`.
    ///
    /// # Errors
    /// 400 when there is no such file, 403 when in use or reserved, 405 in a read-only root.
    pub async fn delete_file(&self, path: &str) -> Result<Change> {
        let at = RootPath::parse(path)?;
        let action = self.exclusive(move |job| ops::delete_file(job, &at)).await?;
        Ok(self.change(action).await)
    }

    /// `server.files.move`.
    ///
    /// # Errors
    /// 400 when the source is missing or a root read-only, 403 when in use or reserved.
    pub async fn move_item(&self, source: &str, dest: &str) -> Result<Change> {
        let (source, dest) = (RootPath::parse(source)?, RootPath::parse(dest)?);
        let action = self.exclusive(move |job| transfer::move_item(job, &source, &dest)).await?;
        Ok(self.change(action).await)
    }

    /// `server.files.copy`.
    ///
    /// # Errors
    /// 400 when the source is missing or the destination's root read-only, 403 when the destination is in use
    /// or reserved.
    pub async fn copy_item(&self, source: &str, dest: &str) -> Result<Change> {
        let (source, dest) = (RootPath::parse(source)?, RootPath::parse(dest)?);
        let action = self.exclusive(move |job| transfer::copy_item(job, &source, &dest)).await?;
        Ok(self.change(action).await)
    }

    /// `server.files.zip`: an archive of `items` at `dest`, or under a name with the time in the config root.
    /// When the caller goes away, the work stops.
    ///
    /// # Errors
    /// 400 for items or destinations that cannot be, 403 for reserved ones.
    pub async fn zip(
        &self,
        items: &[String],
        dest: Option<&str>,
        store_only: bool,
    ) -> Result<(Zipped, Notice)> {
        let items: Vec<_> = items.iter().map(|item| RootPath::parse(item)).collect::<Result<_>>()?;
        if items.is_empty() {
            return Err(Error::bad_request("No items to archive"));
        }
        let dest =
            dest.map_or_else(|| Ok(archive::default_destination(SystemTime::now())), RootPath::parse)?;
        let stop = StopOnDrop::default();
        let stopped = stop.0.clone();
        let job = self.job();
        // Packing may take minutes and changes nothing, so others are not made to wait.
        let (place, temp) = unblock(move || {
            let place = archive::destination(&job, &dest)?;
            let contents = archive::Contents::collect(&job.policy, &items, &place)?;
            let temp = contents.write(&place, store_only, &stopped)?;
            Ok::<_, Error>((place, temp))
        })
        .await?;
        let (zipped, action) = self.exclusive(move |job| archive::finish(job, &place, temp)).await?;
        Ok((zipped, self.notice(vec![action])))
    }

    /// Begins to receive a file. `target` and `size` are what is known already, if anything: they decide where the
    /// content is collected, what is computed while it comes in, and whether there is room for it. `size` may be more
    /// than will come.
    ///
    /// # Errors
    /// 400 when nothing can be written, 413 when it is too large, 507 when the disk is too full.
    pub async fn begin_upload(&self, target: &UploadTarget, size: Option<u64>) -> Result<Upload> {
        let (policy, setup) = (self.0.roots.now(), &self.0.setup);
        let (limit, objects) = (setup.max_upload, setup.define_objects);
        let target = target.clone();
        unblock(move || Upload::begin(&policy, &target, size, limit, objects)).await
    }

    /// Gives a received file its place.
    ///
    /// # Errors
    /// 422 when the checksum differs; 400 for a missing name, an unknown or read-only root, or a path out of
    /// it; 403 when the place is reserved or in use; 507 when the disk is full.
    pub async fn finish_upload(&self, upload: Upload, target: &UploadTarget) -> Result<Change> {
        let at = upload::destination(target)?;
        let received = upload.complete(target.checksum.clone()).await?;
        let (limit, objects) = (self.0.setup.max_upload, self.0.setup.define_objects);
        let ready = unblock(move || received.prepare(at, limit, objects)).await?;
        let placed = self.exclusive(move |job| ready.place(job)).await?;
        let mut actions: Vec<_> = placed.made.into_iter().collect();
        actions.push(placed.action.clone());
        self.read_upload(&placed.action.item, placed.scan).await;
        Ok(Change { action: placed.action, notice: self.notice(actions) })
    }

    /// Does work that changes files on the blocking pool, alone. It goes on to its end even if the caller goes
    /// away.
    async fn exclusive<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Job) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let guard = self.0.lock.lock_arc().await;
        let (job, watcher) = (self.job(), self.0.watcher.clone());
        unblock(move || {
            let result = work(&job);
            // While the paths are claimed, so that the watcher does not tell of them, too.
            if let Some(watcher) = watcher {
                watcher.drain(&job.policy);
            }
            drop(job);
            drop(guard);
            result
        })
        .await
    }

    fn job(&self) -> Job {
        Job { policy: self.0.roots.now(), loaded: self.0.setup.loaded.clone(), claim: self.0.claims.begin() }
    }

    /// What is done after a change: metadata follows, and the others are told.
    async fn change(&self, action: FileAction) -> Change {
        self.0.metadata.follow(&self.0.roots.now(), std::slice::from_ref(&action)).await;
        Change { notice: self.notice(vec![action.clone()]), action }
    }

    fn notice(&self, actions: Vec<FileAction>) -> Notice {
        Notice::new(actions, &self.0.setup.sink, &self.0.setup.spawner)
    }
}

/// Set when dropped.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
