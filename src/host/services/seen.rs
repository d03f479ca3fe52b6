//! Whether what states are read from is still as it was: a `stat` of each folder in place of all the files that may be
//! in it, because it is looked at every few seconds for years.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use super::super::Host;
use crate::sync::lock;

/// How long it is believed that nothing has changed: a script that was edited in its place may name another file now.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Within the same tick of the kernel's clock a second change leaves no trace, so a time that is as young as this is
/// not relied on.
const SETTLED: Duration = Duration::from_secs(1);

/// What was there at the last look.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Option<Look>>);

/// What one look at the states goes by.
#[derive(Debug)]
pub(super) struct Look {
    at: Instant,
    /// How many services are followed: one more has files of its own.
    services: usize,
    places: Vec<Place>,
    /// Folders below `/proc` of processes that run.
    processes: Vec<PathBuf>,
}

/// A folder or a file.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// `None` where it is missing.
    stamp: Option<Stamp>,
}

/// Device, inode and time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    id: (u64, u64),
    modified: SystemTime,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { id: (metadata.dev(), metadata.ino()), modified: metadata.modified().ok()? })
    }

    fn is_young(&self) -> bool {
        let now = SystemTime::now();
        // the clock of a board without a battery jumps
        let apart = now.duration_since(self.modified).unwrap_or_else(|error| error.duration());
        apart < SETTLED
    }
}

impl Seen {
    /// Whether the states of so many services are those of the last look.
    pub(super) fn still(&self, services: usize) -> bool {
        lock(&self.0).as_ref().is_some_and(|look| {
            look.services == services
                && look.at.elapsed() < LOOK_AGAIN
                && look.places.iter().all(|place| Stamp::of(&place.path) == place.stamp)
                && look.processes.iter().all(|folder| folder.exists())
        })
    }

    /// Keeps what a look went by.
    pub(super) fn keep(&self, look: Look) {
        *lock(&self.0) = look.settled();
    }

    /// The next look is at everything.
    pub(super) fn forget(&self) {
        *lock(&self.0) = None;
    }
}

impl Look {
    /// Begins a look at so many services.
    pub(super) fn new(services: usize) -> Self {
        Self { at: Instant::now(), services, places: Vec::new(), processes: Vec::new() }
    }

    /// Notes a folder or a file. Do that before it is read, so that a change in between is seen next time.
    pub(super) fn note(&mut self, path: PathBuf) {
        if !self.places.iter().any(|place| place.path == path) {
            let stamp = Stamp::of(&path);
            self.places.push(Place { path, stamp });
        }
    }

    /// Notes the folder of a file that may come into being.
    pub(super) fn note_folder(&mut self, file: &Path) {
        if let Some(folder) = file.parent() {
            self.note(folder.to_owned());
        }
    }

    /// Notes a process that runs.
    pub(super) fn note_process(&mut self, host: &Host, pid: u32) {
        self.processes.push(host.path(format!("/proc/{pid}")));
    }

    /// Only what is needed to see a change; `None` where something changed just now.
    fn settled(mut self) -> Option<Self> {
        if self.places.iter().any(|place| place.stamp.is_some_and(|stamp| stamp.is_young())) {
            return None;
        }
        // What is missing shows in its folder when it comes.
        let there: Vec<PathBuf> = self
            .places
            .iter()
            .filter(|place| place.stamp.is_some())
            .map(|place| place.path.clone())
            .collect();
        let shows = |path: &Path| path.parent().is_some_and(|parent| there.iter().any(|p| p == parent));
        self.places.retain(|place| place.stamp.is_some() || !shows(&place.path));
        // /var/run is mostly a link to /run
        let mut ids = Vec::new();
        self.places.retain(|place| {
            let Some(stamp) = place.stamp else { return true };
            let new = !ids.contains(&stamp.id);
            ids.push(stamp.id);
            new
        });
        Some(self)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    /// Makes everything in a folder older than what is not relied on.
    pub(in super::super) fn age(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => age(&entry.path()),
                kind if kind.is_file() => set_age(&entry.path()),
                _ => {}
            }
        }
        set_age(folder);
    }

    fn set_age(path: &Path) {
        let time = SystemTime::now() - 2 * SETTLED;
        fs::File::open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn changes_show() {
        let tree = Tree::unpack("@@ /run/x.pid\n1\n@@ /var/run -> ../run\n@@ /proc/7/stat\n");
        let (host, seen) = (tree.host(), Seen::default());
        let look = || {
            let mut look = Look::new(1);
            for file in ["/run/x.pid", "/var/run/x.pid", "/run/x/x.pid"] {
                look.note_folder(&host.path(file));
            }
            look.note(host.path("/run/x.pid"));
            look.note_process(host, 7);
            seen.keep(look);
        };
        assert!(!seen.still(1));
        age(tree.folder());
        look();
        assert!(seen.still(1) && !seen.still(2));
        // the folder and the file, not the link and not what is missing
        assert_eq!(lock(&seen.0).as_ref().unwrap().places.len(), 2);

        // a folder in which another file may come into being
        fs::create_dir(host.path("/run/x")).unwrap();
        assert!(!seen.still(1));
        look();
        assert!(!seen.still(1), "it was made within the last second");
        age(tree.folder());
        look();
        assert!(seen.still(1));
        fs::write(host.path("/run/x/x.pid"), "1").unwrap();
        assert!(!seen.still(1));

        // a file that is written in its place, and a process that ends
        age(tree.folder());
        look();
        assert!(seen.still(1));
        fs::write(host.path("/run/x.pid"), "2").unwrap();
        assert!(!seen.still(1));
        age(tree.folder());
        look();
        fs::remove_dir_all(host.path("/proc/7")).unwrap();
        assert!(!seen.still(1));
        seen.forget();
        assert!(!seen.still(1));
    }
}
