//! What the file manager does without being asked: seeing changes by other programs, and telling of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::roots::{Access, Root};
use super::watch::Fact;
use super::{Files, told, walk};
use crate::api::Result;

/// Changes that wait to be told; the watcher waits when there are so many.
const FACTS: usize = 256;

impl Files {
    /// Starts what passes on changes by other programs.
    pub(super) fn watch(&self) {
        let Some(watcher) = self.0.watcher.clone() else { return };
        let (sender, facts) = smol::channel::bounded(FACTS);
        let inner = self.0.clone();
        self.0.setup.spawner.spawn(watcher.run(move || inner.roots.now(), sender));
        let files = self.clone();
        self.0.setup.spawner.spawn(async move {
            while let Ok(fact) = facts.recv().await {
                files.tell(fact).await;
            }
        });
    }

    /// Tells of a change by another program.
    async fn tell(&self, fact: Fact) {
        if fact == Fact::Everything {
            for root in self.0.roots.now().roots().iter().filter(|root| root.access == Access::Write) {
                self.look_again(root.clone()).await;
            }
            return;
        }
        let policy = self.0.roots.now();
        if let Some(action) = smol::unblock(move || told::action(&policy, fact)).await {
            (self.0.setup.sink)(&action);
        }
    }

    /// Registers a directory as root `name`, or lets an existing root lead elsewhere. Clients are told once the
    /// server runs.
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
        let root = smol::unblock(move || inner.roots.register(&name, &path, access)).await?;
        self.look_again(root).await;
        Ok(())
    }

    /// Forgets a root.
    pub async fn unregister_root(&self, name: &str) {
        self.0.roots.unregister(name);
        if let Some(watcher) = self.0.watcher.clone() {
            let name = name.to_owned();
            smol::unblock(move || watcher.remove_root(&name)).await;
        }
    }

    /// From now on clients are told when a root is registered or looked at again.
    pub fn start(&self) {
        self.0.running.store(true, Ordering::Relaxed);
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
        let (policy, watcher, watched) = (self.0.roots.now(), self.0.watcher.clone(), root.clone());
        let warning = smol::unblock(move || match watcher {
            _ if watched.access != Access::Write => None,
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
        if self.0.running.load(Ordering::Relaxed) {
            let policy = self.0.roots.now();
            let update = smol::unblock(move || told::root_update(&policy, &root)).await;
            (self.0.setup.sink)(&update);
        }
    }
}
