//! Machines for tests: a text file that unpacks to a tree of `/proc`, `/sys`, `/dev` and `/etc`.
//!
//! A line `@@ /path` starts a file, `@@ /path -> target` is a symbolic link, `@@ /path/` an empty folder. What
//! follows up to the next such line is the file's content, in which `\0` stands for a NUL byte; content that starts
//! with `#!` makes a program.
//! `tests/fixtures/host/capture.sh` writes this form of a running machine.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Host;

/// An unpacked tree, removed at the end.
pub(crate) struct Tree {
    folder: PathBuf,
    host: Host,
}

impl Tree {
    pub(crate) fn unpack(text: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("perigee-host-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let tree = Self { host: Host::at(&folder), folder };
        for entry in format!("\n{text}").split("\n@@ ").skip(1) {
            let (head, content) = entry.split_once('\n').unwrap_or((entry, ""));
            tree.add(head, content);
        }
        tree
    }

    fn add(&self, head: &str, content: &str) {
        let (path, target) =
            head.split_once(" -> ").map_or((head, None), |(path, target)| (path, Some(target)));
        let place = self.host.path(path);
        let parent = place.parent().unwrap();
        std::fs::create_dir_all(parent).unwrap();
        if let Some(target) = target {
            // a capture has some twice
            let _ = std::fs::remove_file(&place);
            symlink(target, place).unwrap();
        } else if path.ends_with('/') {
            std::fs::create_dir_all(place).unwrap();
        } else {
            // split took the newline before the next head; files of the device tree have none
            let content = content.strip_suffix('\n').unwrap_or(content);
            let newline = if content.is_empty() || content.ends_with("\\0") { "" } else { "\n" };
            std::fs::write(&place, format!("{content}{newline}").replace("\\0", "\0")).unwrap();
            if content.starts_with("#!") {
                std::fs::set_permissions(place, Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
