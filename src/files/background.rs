//! What the file manager does without being asked: seeing changes by other programs, and telling of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::action::{Action, FileAction};
use super::list::GCODES;
use super::path::{RelPath, RootPath, has_extension, is_gcode};
use super::roots::{Access, Root};
use super::watch::Fact;
use super::{Files, arrival, told, walk};
use crate::api::Result;
use crate::tasks::unblock;

/// Changes that wait to be told; the watcher waits when there are so many.
const FACTS: usize = 256;

/// Changes that are told together.
const FACTS_AT_ONCE: usize = 64;

impl Files {
    /// Starts what passes on changes by other programs.
    pub(super) fn watch(&self) {
        let Some(watcher) = self.0.watcher.clone() else { return };
        let (sender, facts) = smol::channel::bounded(FACTS);
        let inner = self.0.clone();
        self.0.setup.spawner.spawn(watcher.run(move || inner.roots.now(), sender));
        let files = self.clone();
        self.0.setup.spawner.spawn(async move {
            while let Ok(first) = facts.recv().await {
                // What came meanwhile is done together: it shares the waits for the disk.
                let more = std::iter::from_fn(|| facts.try_recv().ok());
                let batch = std::iter::once(first).chain(more).take(FACTS_AT_ONCE).collect();
                files.tell(batch).await;
            }
        });
    }

    /// Tells of changes by other programs, in their order, when their metadata is there.
    async fn tell(&self, facts: Vec<Fact>) {
        let everything = facts.contains(&Fact::Everything);
        let policy = self.0.roots.now();
        let actions = unblock(move || {
            let actions = facts.into_iter().filter_map(|fact| told::action(&policy, fact));
            actions.collect::<Vec<_>>()
        })
        .await;
        let actions = self.prepare(actions).await;
        self.0.metadata.follow(&self.0.roots.now(), &actions).await;
        actions.iter().for_each(|action| (self.0.setup.sink)(action));
        if everything {
            for root in self.0.roots.now().roots().iter().filter(|root| root.access == Access::Write) {
                self.look_again(root.clone()).await;
            }
        }
    }

    /// Does with files that were put into the gcodes root what is done with uploads: takes the G-code out of
    /// packages, which are not told themselves, and defines objects.
    async fn prepare(&self, actions: Vec<FileAction>) -> Vec<FileAction> {
        let mut prepared = Vec::with_capacity(actions.len());
        for action in actions {
            let is_new = matches!(action.action, Action::CreateFile | Action::ModifyFile);
            if action.item.root == GCODES && has_extension(&action.item.path, "ufp") {
                let unpacked = if is_new { self.unpack_dropped(&action.item.path).await } else { None };
                prepared.extend(unpacked);
            } else if is_new
                && self.0.setup.define_objects
                && action.item.root == GCODES
                && is_gcode(&action.item.path)
            {
                let defined = self.define_objects(&action.item.path, action.action).await;
                prepared.push(defined.unwrap_or(action));
            } else {
                prepared.push(action);
            }
        }
        prepared
    }

    /// Replaces a package by the G-code in it.
    async fn unpack_dropped(&self, path: &str) -> Option<FileAction> {
        let (limit, objects) = (self.0.setup.max_upload, self.0.setup.define_objects);
        let at = RootPath { root: GCODES.to_owned(), path: RelPath::parse(path).ok()? };
        let shown = at.to_string();
        let placed = self.exclusive(move |job| arrival::unpack_in_place(job, &at, limit, objects)).await;
        let placed = placed.inspect_err(|error| log::warn!("'{shown}' stays a package: {error}")).ok()?;
        self.read_upload(&placed.action.item, placed.scan).await;
        Some(placed.action)
    }

    /// Rewrites a file with its objects defined, if it has any that are not. Returns what to tell then.
    pub(super) async fn define_objects(&self, path: &str, kind: Action) -> Option<FileAction> {
        let at = RootPath { root: GCODES.to_owned(), path: RelPath::parse(path).ok()? };
        let shown = at.to_string();
        let defined = self.exclusive(move |job| arrival::define_objects_in_place(job, &at, kind)).await;
        defined.inspect_err(|error| log::info!("no objects are defined in '{shown}': {error}")).ok()?
    }

    /// Starts the work: removes what a killed server left, watches the roots, reads G-code that is not known yet.
    /// Then, and whenever a root is registered later, clients are told to look at it.
    pub fn start(&self) {
        self.0.started.store(true, Ordering::Relaxed);
        let files = self.clone();
        self.0.setup.spawner.spawn(async move { files.begin().await });
    }

    /// What [`start`](Self::start) starts.
    pub(super) async fn begin(&self) {
        let roots = self.0.roots.now().roots().to_vec();
        for root in &roots {
            self.watch_root(root).await;
        }
        for root in &roots {
            if self.catch_up(root).await {
                self.tell_root(root).await;
            }
        }
    }

    /// Registers a directory as root `name`, or lets an existing root lead elsewhere. After the start, clients are
    /// told.
    ///
    /// # Errors
    /// The text of a warning when it is no directory that can be read; nothing is registered then.
    pub async fn register_root(
        &self,
        name: &str,
        path: impl Into<PathBuf>,
        access: Access,
    ) -> std::result::Result<(), String> {
        let (inner, name, path) = (self.0.clone(), name.to_owned(), path.into());
        let root = unblock(move || inner.roots.register(&name, &path, access)).await?;
        if self.0.started.load(Ordering::Relaxed) {
            self.look_again(root).await;
        }
        Ok(())
    }

    /// As [`register_root`](Self::register_root), for callers that cannot wait. What cannot be registered is
    /// logged.
    pub fn add_root(&self, name: &'static str, path: impl Into<PathBuf>, access: Access) {
        let (files, path) = (self.clone(), path.into());
        self.0.setup.spawner.spawn(async move {
            if let Err(warning) = files.register_root(name, path, access).await {
                log::info!("{warning}");
            }
        });
    }

    /// Forgets a root.
    pub async fn unregister_root(&self, name: &str) {
        self.0.roots.unregister(name);
        if let Some(watcher) = self.0.watcher.clone() {
            let name = name.to_owned();
            unblock(move || watcher.remove_root(&name)).await;
        }
    }

    /// Looks at a root afresh: for changes that nobody was told of, as on network file systems.
    ///
    /// # Errors
    /// 400 for an unknown root.
    pub async fn rescan(&self, root: &str) -> Result<()> {
        self.look_again(self.0.roots.get(root)?).await;
        Ok(())
    }

    async fn look_again(&self, root: Arc<Root>) {
        self.watch_root(&root).await;
        self.catch_up(&root).await;
        self.tell_root(&root).await;
    }

    /// Watches a root, and removes what was left unfinished in it.
    async fn watch_root(&self, root: &Arc<Root>) {
        if root.access != Access::Write {
            return;
        }
        let (policy, watcher, watched) = (self.0.roots.now(), self.0.watcher.clone(), root.clone());
        let warning = unblock(move || match watcher {
            Some(watcher) => watcher.add_root(&policy, &watched),
            None => {
                walk::sweep(&policy, &watched);
                None
            }
        })
        .await;
        if let Some(warning) = warning.filter(|_| self.0.setup.observer_warnings) {
            self.0.setup.warnings.set(format!("observer {}", root.name), warning);
        }
    }

    /// Reads what is new in the root of G-code. Whether there was anything.
    async fn catch_up(&self, root: &Root) -> bool {
        if root.name != GCODES {
            return false;
        }
        let changed = self.0.metadata.catch_up(&self.0.roots.now()).await;
        changed.inspect_err(|error| log::error!("metadata is not up to date: {error}")).unwrap_or(false)
    }

    async fn tell_root(&self, root: &Arc<Root>) {
        let (policy, root) = (self.0.roots.now(), root.clone());
        let update = unblock(move || told::root_update(&policy, &root)).await;
        (self.0.setup.sink)(&update);
    }
}
