//! From what the watcher saw to what clients are told: the file system is asked once more, because between the
//! two everything may have changed again.

use std::fs;
use std::sync::Arc;

use super::action::{Action, FileAction, Item, Stat};
use super::path::RootPath;
use super::roots::{Policy, Root};
use super::watch::Fact;

/// The change to tell; none when it is not true any more. Blocking.
pub(super) fn action(policy: &Arc<Policy>, fact: Fact) -> Option<FileAction> {
    match fact {
        Fact::Created { at, is_dir } => {
            present(policy, kind(is_dir, Action::CreateDir, Action::CreateFile), &at)
        }
        Fact::Modified { at } => present(policy, Action::ModifyFile, &at),
        Fact::Deleted { at, is_dir } => {
            let place = policy.place(&at).ok()?;
            let gone = fs::symlink_metadata(&place.on_disk).is_err();
            gone.then(|| FileAction::gone(kind(is_dir, Action::DeleteDir, Action::DeleteFile), &at))
        }
        Fact::Moved { from, to, is_dir } => {
            let action = kind(is_dir, Action::MoveDir, Action::MoveFile);
            // Also if it is gone from there by now: what comes next begins there.
            let there = present(policy, action, &to).unwrap_or_else(|| FileAction::gone(action, &to));
            Some(there.from(&from))
        }
        Fact::Everything => None,
    }
}

/// The change of a root as a whole.
pub(super) fn root_update(policy: &Policy, root: &Root) -> FileAction {
    let stat =
        fs::metadata(&root.path).map_or(Stat { modified: 0.0, size: 0 }, |metadata| Stat::from(&metadata));
    let at = RootPath::of_root(&root.name);
    let item = Item::new(&at.root, &at.path, &stat, policy.root_level(root));
    FileAction { action: Action::RootUpdate, item, source_item: None }
}

fn present(policy: &Arc<Policy>, action: Action, at: &RootPath) -> Option<FileAction> {
    FileAction::now(action, &policy.place(at).ok()?).ok()
}

fn kind(is_dir: bool, directory: Action, file: Action) -> Action {
    if is_dir { directory } else { file }
}
