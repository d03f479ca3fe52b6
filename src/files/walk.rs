//! Going through the directories of a root.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::list::GCODES;
use super::path::{RelPath, RootPath};
use super::roots::{Policy, Root};
use super::temp::{self, is_temporary};

/// The name of the directories that thumbnails are kept in.
pub(super) const THUMBS: &str = ".thumbs";

/// What to do with unfinished files that are met on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// Nothing.
    Leave,
    /// Remove those that nobody works on.
    Sweep,
}

/// Calls `enter` for a directory and for all below it, links followed, reserved ones and those of thumbnails
/// left out. It gets the path and the true path, and says whether to go on into that directory: which it must
/// refuse for one that it has seen, or a circle of links would never end. Blocking.
pub(super) fn directories(
    policy: &Policy,
    top: RootPath,
    real: PathBuf,
    leftovers: Leftovers,
    mut enter: impl FnMut(&RootPath, &Path) -> bool,
) {
    let mut open = vec![(top, real)];
    while let Some((at, real)) = open.pop() {
        if policy.is_reserved(&real) || !enter(&at, &real) {
            continue;
        }
        let Ok(entries) = fs::read_dir(&real) else { continue };
        for entry in entries.flatten() {
            let (os_name, Ok(kind)) = (entry.file_name(), entry.file_type()) else { continue };
            if is_temporary(&os_name) {
                if leftovers == Leftovers::Sweep {
                    temp::sweep_entry(&entry.path());
                }
                continue;
            }
            let child = at.child(&os_name.to_string_lossy());
            if is_thumbs(&child) {
                if leftovers == Leftovers::Sweep {
                    temp::sweep_directory(&entry.path());
                }
                continue;
            }
            if kind.is_dir() {
                open.push((child, entry.path()));
            } else if kind.is_symlink()
                && let Ok(target) = fs::canonicalize(entry.path())
                && target.is_dir()
            {
                open.push((child, target));
            }
        }
    }
}

/// Removes what a killed server left unfinished in a root. Blocking.
pub(super) fn sweep(policy: &Policy, root: &Root) {
    let mut seen = HashSet::new();
    directories(policy, RootPath::of_root(&root.name), root.path.clone(), Leftovers::Sweep, |_, real| {
        fs::metadata(real).is_ok_and(|metadata| seen.insert((metadata.dev(), metadata.ino())))
    });
}

/// Whether a directory holds thumbnails, which come and go with their G-code and are not told.
pub(super) fn is_thumbs(at: &RootPath) -> bool {
    at.root == GCODES && at.path.name() == Some(THUMBS)
}

impl RootPath {
    /// This path with one more component.
    pub(super) fn child(&self, name: &str) -> Self {
        Self { root: self.root.clone(), path: self.path.child(name) }
    }

    /// The root itself.
    pub(super) fn of_root(root: &str) -> Self {
        Self { root: root.to_owned(), path: RelPath::root() }
    }
}
