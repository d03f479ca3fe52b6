//! Which directories are watched, and where they are now.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use inotify::{WatchDescriptor, WatchMask, Watches};

use super::bundle::PAIRING;
use crate::files::path::RootPath;
use crate::files::roots::Policy;
use crate::files::walk::{self, Leftovers};

/// The most directories that are watched; the kernel keeps about 1 KiB for each.
pub const MAX_WATCHES: usize = 8192;

/// A watched directory.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: RootPath,
    /// Its true path.
    pub(super) real: PathBuf,
}

/// The watched directories.
pub(super) struct Tree {
    watches: Watches,
    nodes: HashMap<WatchDescriptor, Node>,
    /// Directories that were moved away and may turn up elsewhere.
    away: Vec<(u32, PathBuf, Instant)>,
}

/// What went wrong while directories were added to the tree.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Where this server, or the kernel, allows no more watches.
    pub(super) limit: bool,
    /// The directory to be watched is part of this root already.
    pub(super) overlaps: Option<String>,
}

impl Tree {
    pub(super) fn new(watches: Watches) -> Self {
        Self { watches, nodes: HashMap::new(), away: Vec::new() }
    }

    /// The directory that a watch is for.
    pub(super) fn node(&self, watch: &WatchDescriptor) -> Option<&Node> {
        self.nodes.get(watch)
    }

    /// Watches a directory and all below it. Blocking.
    pub(super) fn add(
        &mut self,
        policy: &Policy,
        at: &RootPath,
        real: &Path,
        leftovers: Leftovers,
    ) -> Trouble {
        let mut trouble = Trouble::default();
        let mask = WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVED_FROM
            | WatchMask::MOVED_TO
            | WatchMask::CLOSE_WRITE
            | WatchMask::ONLYDIR
            | WatchMask::EXCL_UNLINK;
        walk::directories(policy, at.clone(), real.to_owned(), leftovers, |path, real| {
            if self.nodes.len() >= MAX_WATCHES {
                trouble.limit = true;
                return false;
            }
            match self.watches.add(real, mask) {
                Ok(watch) => {
                    // The kernel gives the same watch for the same directory, whatever way led to it.
                    let known = self.nodes.get(&watch).filter(|node| node.at != *path && is_at(node, real));
                    if let Some(known) = known {
                        if path == at {
                            trouble.overlaps = Some(known.at.root.clone());
                        }
                        return false;
                    }
                    self.nodes.insert(watch, Node { at: path.clone(), real: real.to_owned() });
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::ENOMEM)) => {
                    trouble.limit = true;
                    return false;
                }
                Err(error) => log::debug!("{} is not watched: {error}", real.display()),
            }
            true
        });
        trouble
    }

    /// Stops watching what is shown as `at` or below it. Returns whether there was anything.
    pub(super) fn remove(&mut self, at: &RootPath) -> bool {
        self.remove_if(|node| node.at.root == at.root && node.at.path.is_within(&at.path))
    }

    /// Takes note that the kernel no longer watches a directory.
    pub(super) fn forget(&mut self, watch: &WatchDescriptor) {
        self.nodes.remove(watch);
    }

    /// A directory was moved away. It stays watched for [`PAIRING`].
    pub(super) fn moved_out(&mut self, real: &Path, cookie: u32, now: Instant) {
        self.away.push((cookie, real.to_owned(), now + PAIRING));
    }

    /// A directory was moved here. Returns false if it did not come from a watched one.
    pub(super) fn moved_in(&mut self, at: &RootPath, real: &Path, cookie: u32) -> bool {
        let Some(index) = self.away.iter().position(|(known, ..)| *known == cookie) else { return false };
        let (_, from, _) = self.away.swap_remove(index);
        let top = self.nodes.values().find(|node| node.real == from).map(|node| node.at.clone());
        let Some(top) = top else { return false };
        for node in self.nodes.values_mut() {
            // Directories that are reached through a link inside change their shown path only.
            if let Some(tail) = node.at.path.below(&top.path).filter(|_| node.at.root == top.root) {
                node.at = RootPath { root: at.root.clone(), path: at.path.join(&tail) };
            }
            if let Ok(tail) = node.real.strip_prefix(&from) {
                node.real = if tail.as_os_str().is_empty() { real.to_owned() } else { real.join(tail) };
            }
        }
        true
    }

    /// Gives up on directories that were moved to an unwatched place.
    pub(super) fn expire(&mut self, now: Instant) {
        let (lost, kept) = std::mem::take(&mut self.away).into_iter().partition(|(_, _, due)| *due <= now);
        self.away = kept;
        for (_, real, _) in lost {
            self.remove_if(|node| node.real.starts_with(&real));
        }
    }

    /// How many directories are watched.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    fn remove_if(&mut self, which: impl Fn(&Node) -> bool) -> bool {
        let gone: Vec<_> =
            self.nodes.iter().filter(|(_, node)| which(node)).map(|(watch, _)| watch.clone()).collect();
        for watch in &gone {
            self.nodes.remove(watch);
            // One whose directory is gone has no watch any more.
            let _: io::Result<()> = self.watches.remove(watch.clone());
        }
        !gone.is_empty()
    }
}

/// Whether a node still is where it was when it was added: then a second way to the same directory is a link, or
/// another root. Otherwise it was moved, and the new place counts.
fn is_at(node: &Node, real: &Path) -> bool {
    node.real == real || node.real.exists()
}
