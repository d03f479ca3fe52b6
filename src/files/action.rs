//! What a change of a file or directory looks like to clients.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;

use serde::Serialize;

use super::path::{RelPath, RootPath};
use super::roots::{Level, Place};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A file is there that was not, or was replaced by an upload.
    CreateFile,
    /// A directory is there that was not; nothing is said of what came with it.
    CreateDir,
    /// A file is gone.
    DeleteFile,
    /// A directory is gone, with all below it.
    DeleteDir,
    /// A file has another path.
    MoveFile,
    /// A directory has another path, with all below it.
    MoveDir,
    /// A file has other content.
    ModifyFile,
    /// Anything in a root may have changed: clients list it again.
    RootUpdate,
}

/// The file or directory that was changed (spec api.md §6.3). Of one that is gone only the path is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Item {
    /// Time of the last change, seconds since 1970.
    pub modified: f64,
    /// Bytes.
    pub size: u64,
    /// `rw`, `r`, or empty.
    pub permissions: &'static str,
    /// The path in the root; `.` for the root itself.
    pub path: String,
    /// The root.
    pub root: String,
}

/// Where something was before it was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceItem {
    /// The path in the root.
    pub path: String,
    /// The root.
    pub root: String,
}

/// A change: what file requests answer, and the argument of `notify_filelist_changed` (spec api.md §6.3).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileAction {
    /// What was done.
    pub action: Action,
    /// To what.
    pub item: Item,
    /// Where it was before; only of moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_item: Option<SourceItem>,
}

impl FileAction {
    /// A change of something that is there now. Links are told as what they lead to; one that leads nowhere is
    /// told as itself. Blocking.
    pub(super) fn now(action: Action, place: &Place) -> io::Result<Self> {
        let entry = fs::symlink_metadata(&place.on_disk)?;
        let metadata = if entry.is_symlink() { fs::metadata(&place.on_disk).ok() } else { None };
        let metadata = metadata.as_ref().unwrap_or(&entry);
        let level = fs::canonicalize(&place.on_disk).map_or(Level::Read, |real| place.policy.level(&real));
        // A linked file is told as read-only (spec behaviour.md §5.1).
        let level = if entry.is_symlink() && !metadata.is_dir() { level.min(Level::Read) } else { level };
        Ok(Self {
            action,
            item: Item::new(&place.root.name, &place.path, &metadata.into(), level),
            source_item: None,
        })
    }

    /// A change that left nothing.
    pub(super) fn gone(action: Action, at: &RootPath) -> Self {
        let item = Item {
            modified: 0.0,
            size: 0,
            permissions: "",
            path: at.path.as_str().to_owned(),
            root: at.root.clone(),
        };
        Self { action, item, source_item: None }
    }

    /// Adds where it came from.
    #[must_use]
    pub(super) fn from(mut self, source: &RootPath) -> Self {
        self.source_item =
            Some(SourceItem { path: source.path.as_str().to_owned(), root: source.root.clone() });
        self
    }
}

impl Item {
    pub(super) fn new(root: &str, path: &RelPath, stat: &Stat, level: Level) -> Self {
        let path = if path.is_root() { "." } else { path.as_str() };
        Self {
            modified: stat.modified,
            size: stat.size,
            permissions: level.text(),
            path: path.to_owned(),
            root: root.to_owned(),
        }
    }
}

/// The two facts about a file that tell whether it is still the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// Time of the last change in seconds since 1970, rounded as Python rounds it: records that Moonraker
    /// stored compare equal.
    pub modified: f64,
    /// Bytes.
    pub size: u64,
}

impl From<&Metadata> for Stat {
    fn from(metadata: &Metadata) -> Self {
        // CPython computes st_mtime with these very operations (Modules/posixmodule.c, fill_time).
        #[expect(clippy::cast_precision_loss, reason = "that is the format")]
        let modified = metadata.mtime() as f64 + 1e-9 * metadata.mtime_nsec() as f64;
        Self { modified, size: metadata.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_the_documented_form() {
        let at = |text| RootPath::parse(text).unwrap();
        let mut action =
            FileAction::gone(Action::MoveFile, &at("gcodes/b.gcode")).from(&at("config/a.gcode"));
        action.item = Item::new(
            "gcodes",
            &at("gcodes/b.gcode").path,
            &Stat { modified: 1615077020.2025201, size: 7 },
            Level::Write,
        );
        assert_eq!(
            serde_json::to_string(&action).unwrap(),
            concat!(
                r#"{"action":"move_file","item":{"modified":1615077020.2025201,"size":7,"permissions":"rw","#,
                r#""path":"b.gcode","root":"gcodes"},"source_item":{"path":"a.gcode","root":"config"}}"#
            )
        );
        assert_eq!(
            Item::new("gcodes", &RelPath::root(), &Stat { modified: 0.0, size: 0 }, Level::Read).path,
            "."
        );
    }
}
