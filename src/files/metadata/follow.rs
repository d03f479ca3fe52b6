//! Keeping records where their files are.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record::Known;
use super::{Again, Metadata, NAMESPACE, is_record_name, pictures, place};
use crate::api::{Error, Result};
use crate::files::action::{Action, FileAction};
use crate::files::list::{self, GCODES};
use crate::files::path::RelPath;
use crate::files::roots::Policy;
use crate::storage::ReadDocuments;
use crate::tasks::unblock;

/// Records that one write moves or removes at most.
const AT_ONCE: usize = 1000;

impl Metadata {
    /// Does to the records what was done to the files, in the order in which that happened. When this returns,
    /// the new records can be asked for.
    pub(in crate::files) async fn follow(self: &Arc<Self>, policy: &Arc<Policy>, actions: &[FileAction]) {
        // Runs of files that appeared, and of files that went, are done in one go.
        let (mut changed, mut gone) = (Vec::new(), Vec::new());
        for action in actions {
            let item = path_in_gcodes(&action.item.root, &action.item.path);
            let (came, went) = match (action.action, item) {
                (Action::CreateFile | Action::ModifyFile, Some(path)) => (vec![path], None),
                (Action::CreateDir, Some(path)) => (files_below(policy, path).await, None),
                (Action::DeleteFile, Some(path)) => (Vec::new(), Some(path)),
                _ => {
                    self.settle(policy, &mut changed, &mut gone).await;
                    if let Err(error) = self.follow_move(policy, action).await {
                        log::error!("metadata does not follow: {error}");
                    }
                    continue;
                }
            };
            if !changed.is_empty() && went.is_some() || !gone.is_empty() && !came.is_empty() {
                self.settle(policy, &mut changed, &mut gone).await;
            }
            changed.extend(came.into_iter().filter(|path| is_record_name(path.as_str())));
            gone.extend(went);
        }
        self.settle(policy, &mut changed, &mut gone).await;
    }

    async fn settle(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        changed: &mut Vec<RelPath>,
        gone: &mut Vec<RelPath>,
    ) {
        if let Err(error) = self.drop_records(policy, std::mem::take(gone)).await {
            log::error!("metadata is not removed: {error}");
        }
        self.refresh_all(policy, std::mem::take(changed), Again::IfChanged).await;
    }

    /// Follows what is no change of one file in its place.
    async fn follow_move(self: &Arc<Self>, policy: &Arc<Policy>, action: &FileAction) -> Result<()> {
        let item = path_in_gcodes(&action.item.root, &action.item.path);
        let source =
            action.source_item.as_ref().and_then(|source| path_in_gcodes(&source.root, &source.path));
        match (action.action, source, item) {
            (Action::DeleteDir, _, Some(path)) => self.drop_records(policy, self.keys_below(&path)).await,
            (Action::MoveFile, Some(from), Some(to)) => self.file_moved(policy, from, to).await,
            (Action::MoveFile, Some(from), None) => self.drop_records(policy, vec![from]).await,
            (Action::MoveDir, Some(from), Some(to)) => self.directory_moved(policy, from, to).await,
            (Action::MoveDir, Some(from), None) => self.drop_records(policy, self.keys_below(&from)).await,
            (Action::MoveFile, None, Some(to)) if is_record_name(to.as_str()) => {
                self.refresh_all(policy, vec![to], Again::IfChanged).await;
                Ok(())
            }
            (Action::MoveDir, None, Some(to)) => {
                self.refresh_all(policy, files_below(policy, to).await, Again::IfChanged).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes records and the pictures that they name.
    pub(super) async fn drop_records(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        paths: Vec<RelPath>,
    ) -> Result<()> {
        if paths.is_empty() {
            return Ok(());
        }
        let (this, policy) = (self.clone(), policy.clone());
        let paths = unblock(move || {
            for path in &paths {
                if let Some(known) = this.get(path).and_then(|record| Known::of(&record)) {
                    this.names.disown(path, &known.thumbnails);
                    if let Some(directory) = directory_of(&policy, path) {
                        pictures::remove(&directory, &known.thumbnails);
                    }
                }
            }
            paths
        })
        .await;
        for some in paths.chunks(AT_ONCE) {
            let some = some.to_vec();
            let written = self.storage.write(move |writer| {
                some.iter().try_for_each(|path| writer.delete_record(NAMESPACE, path.as_str()).map(drop))
            });
            written.await.map_err(Error::from)?;
        }
        Ok(())
    }

    /// A renamed file keeps its record, and in the same directory also its pictures, with their old names: clients
    /// go on showing them (spec behaviour.md §5.7). In another directory it is read anew where pictures of the
    /// same names are in the way.
    async fn file_moved(self: &Arc<Self>, policy: &Arc<Policy>, from: RelPath, to: RelPath) -> Result<()> {
        let known = self.get(&from).and_then(|record| Known::of(&record));
        let (Some(known), true) = (known, is_record_name(to.as_str())) else {
            self.drop_records(policy, vec![from]).await?;
            if is_record_name(to.as_str()) {
                self.refresh_all(policy, vec![to], Again::IfChanged).await;
            }
            return Ok(());
        };
        // What was there was replaced.
        self.drop_record_of_replaced(policy, &to, &known).await?;
        let (this, there) = (self.clone(), policy.clone());
        let (source, target) = (from.clone(), to.clone());
        let pictures_are_there = unblock(move || {
            this.names.disown(&source, &known.thumbnails);
            let directories = directory_of(&there, &source).zip(directory_of(&there, &target));
            let moved = directories.is_some_and(|(old, new)| {
                let moved = old == new || pictures::move_to(&old, &new, &known.thumbnails).is_ok();
                if !moved {
                    pictures::remove(&old, &known.thumbnails);
                }
                moved
            });
            if moved {
                this.names.own(&target, &known.thumbnails);
            }
            moved
        })
        .await;
        self.move_records(vec![(from, to.clone())]).await?;
        if !pictures_are_there {
            self.refresh(policy, &to, Again::Keeping, None).await?;
        }
        Ok(())
    }

    /// Removes the pictures of a file that another one took the place of, unless they are that one's.
    async fn drop_record_of_replaced(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        path: &RelPath,
        by: &Known,
    ) -> Result<()> {
        let Some(old) = self.get(path).and_then(|record| Known::of(&record)) else { return Ok(()) };
        let kept: HashSet<_> = by.thumbnails.iter().map(|picture| picture.relative_path.clone()).collect();
        let (this, policy, path) = (self.clone(), policy.clone(), path.clone());
        unblock(move || {
            this.names.disown(&path, &old.thumbnails);
            if let Some(directory) = directory_of(&policy, &path) {
                pictures::remove(
                    &directory,
                    old.thumbnails.iter().filter(|p| !kept.contains(&p.relative_path)),
                );
            }
        })
        .await;
        Ok(())
    }

    /// Pictures went along with their directory.
    async fn directory_moved(
        self: &Arc<Self>,
        policy: &Arc<Policy>,
        from: RelPath,
        to: RelPath,
    ) -> Result<()> {
        let moves: Vec<_> = self
            .keys_below(&from)
            .into_iter()
            .filter_map(|old| Some((old.clone(), to.join(&old.below(&from)?))))
            .collect();
        for (old, new) in &moves {
            if let Some(known) = self.get(old).and_then(|record| Known::of(&record)) {
                self.names.disown(old, &known.thumbnails);
                self.names.own(new, &known.thumbnails);
            }
        }
        for some in moves.chunks(AT_ONCE) {
            self.move_records(some.to_vec()).await?;
        }
        // Files that had no record yet.
        self.refresh_all(policy, files_below(policy, to).await, Again::IfChanged).await;
        Ok(())
    }

    async fn move_records(&self, moves: Vec<(RelPath, RelPath)>) -> Result<()> {
        let written = self.storage.write(move |writer| {
            moves.iter().try_for_each(|(from, to)| {
                writer.move_record(NAMESPACE, from.as_str(), to.as_str()).map(drop)
            })
        });
        written.await.map_err(Error::from)
    }

    /// The paths of all records in a directory and below it.
    fn keys_below(&self, directory: &RelPath) -> Vec<RelPath> {
        let mut keys = Vec::new();
        let visited = self.storage.read(|reader| {
            reader.each_record(NAMESPACE, &mut |key, _| {
                keys.extend(RelPath::parse(key).ok().filter(|path| path.is_within(directory)));
                Ok(ControlFlow::Continue(()))
            })
        });
        if let Err(error) = visited {
            log::warn!("cannot look for metadata: {error}");
        }
        keys
    }
}

/// The G-code files in a directory of the gcodes root and below it.
async fn files_below(policy: &Arc<Policy>, directory: RelPath) -> Vec<RelPath> {
    let policy = policy.clone();
    unblock(move || {
        let listed = policy.root(GCODES).and_then(|root| list::list_below(&policy, &root, &directory));
        let paths = listed.unwrap_or_default().into_iter().filter(|file| is_record_name(&file.path));
        paths.filter_map(|file| RelPath::parse(&file.path).ok()).collect()
    })
    .await
}

/// The path in the gcodes root, if it is one.
fn path_in_gcodes(root: &str, path: &str) -> Option<RelPath> {
    if root == GCODES { RelPath::parse(path).ok() } else { None }
}

fn directory_of(policy: &Arc<Policy>, path: &RelPath) -> Option<PathBuf> {
    place(policy, path)?.on_disk.parent().map(Path::to_owned)
}
