//! Looking: all files of a root, the entries of a directory.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::action::Stat;
use super::members::members;
use super::path::{RelPath, is_gcode};
use super::roots::{EntryLevels, Level, Place, Policy, Root, failed, name_on_disk};
use super::temp::is_temporary;
use crate::api::Result;
use crate::json;

/// The most entries that one answer lists; what is beyond is left out with a line in the log. At 200 bytes
/// each this bounds an answer to 20 MB, which no printer comes near.
pub const MAX_ENTRIES: usize = 100_000;

/// The name of the root whose files are G-code.
pub const GCODES: &str = "gcodes";

/// A file in the result of `server.files.list`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedFile {
    /// The path in the root.
    pub path: String,
    /// Time of the last change, seconds since 1970.
    pub modified: f64,
    /// Bytes.
    pub size: u64,
    /// `rw`, `r`, or empty.
    pub permissions: &'static str,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name, without a path.
    pub name: String,
    /// Time of the last change, seconds since 1970.
    pub modified: f64,
    /// Bytes.
    pub size: u64,
    /// `rw`, `r`, or empty.
    pub permissions: &'static str,
    /// The stored metadata of a G-code file, a JSON object; only in an extended listing.
    pub metadata: Option<String>,
}

/// How full the file system is that a directory lies in. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DiskUsage {
    /// Its size.
    pub total: u64,
    /// What files take.
    pub used: u64,
    /// What may still be taken without being root.
    pub free: u64,
}

/// The result of `server.files.get_directory`.
#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    /// The directories in it, in no order.
    pub dirs: Vec<Entry>,
    /// The files in it, in no order.
    pub files: Vec<Entry>,
    /// How full its file system is.
    pub disk_usage: DiskUsage,
    /// The name of the root it lies in.
    pub root: String,
    /// What may be done in that root, `r` or `rw`.
    pub permissions: &'static str,
}

impl Directory {
    /// The JSON text. Metadata records are put in as they are stored, not decoded and encoded again.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct RootOf<'a> {
            name: &'a str,
            permissions: &'a str,
        }
        let mut out = String::with_capacity(256 + 128 * (self.dirs.len() + self.files.len()));
        out.push_str("{\"dirs\":[");
        push_entries(&mut out, &self.dirs, "dirname");
        out.push_str("],\"files\":[");
        push_entries(&mut out, &self.files, "filename");
        out.push_str("],\"disk_usage\":");
        out.push_str(&json::to_text(&self.disk_usage));
        out.push_str(",\"root_info\":");
        out.push_str(&json::to_text(&RootOf { name: &self.root, permissions: self.permissions }));
        out.push('}');
        out
    }
}

fn push_entries(out: &mut String, entries: &[Entry], name_key: &str) {
    use std::fmt::Write;
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let (size, permissions) = (entry.size, entry.permissions);
        out.push_str("{\"modified\":");
        out.push_str(&json::to_text(&entry.modified));
        let _ = write!(out, ",\"size\":{size},\"permissions\":\"{permissions}\",\"{name_key}\":");
        json::push_quoted(out, &entry.name);
        for (key, value) in entry.metadata.as_deref().map(members).into_iter().flatten() {
            // Both are told of the file itself.
            if !matches!(key, "\"size\"" | "\"modified\"") {
                out.push(',');
                out.push_str(key);
                out.push(':');
                out.push_str(value);
            }
        }
        out.push('}');
    }
}

/// All files of a root, sorted by path without regard to letter case (spec behaviour.md §5.5). In the gcodes
/// root only G-code. Directory links are followed, each directory is listed once. Blocking.
pub(super) fn list(policy: &Policy, root: &Root) -> Result<Vec<ListedFile>> {
    list_below(policy, root, &RelPath::root())
}

/// As [`list`], of one directory of a root.
pub(super) fn list_below(policy: &Policy, root: &Root, top: &RelPath) -> Result<Vec<ListedFile>> {
    let top_path = name_on_disk(&root.path, top);
    let Ok(top_real) = fs::canonicalize(&top_path) else { return Ok(Vec::new()) };
    let only_gcode = root.name == GCODES;
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    // (where it is, its true path, how paths in it begin)
    let prefix = if top.is_root() { String::new() } else { format!("{top}/") };
    let mut open: Vec<(PathBuf, PathBuf, String)> = vec![(top_path, top_real, prefix)];
    while let Some((directory, real, prefix)) = open.pop() {
        let Ok(metadata) = fs::metadata(&directory) else { continue };
        if !seen.insert((metadata.dev(), metadata.ino())) {
            continue;
        }
        let listed = |name: &OsStr| !only_gcode || is_gcode(&name.to_string_lossy());
        let result = each_entry(policy, &directory, &real, listed, |found| {
            if found.is_dir {
                if found.level != Level::Nothing {
                    open.push((
                        directory.join(found.os_name),
                        found.real,
                        format!("{prefix}{}/", found.name),
                    ));
                }
            } else {
                files.push(ListedFile {
                    path: format!("{prefix}{}", found.name),
                    modified: found.stat.modified,
                    size: found.stat.size,
                    permissions: found.level.text(),
                });
            }
            files.len() + open.len() < MAX_ENTRIES
        });
        match result {
            Ok(true) => {}
            Ok(false) => {
                log::warn!("root '{}' has more than {MAX_ENTRIES} files, the rest is not listed", root.name);
                break;
            }
            // A directory that went away or cannot be opened does not hide the others.
            Err(error) => log::debug!("{} is not listed: {error}", directory.display()),
        }
    }
    files.sort_by_cached_key(|file| file.path.to_lowercase());
    Ok(files)
}

/// Gives the stored record of a G-code file by its path in the gcodes root.
pub(super) type Records<'a> = &'a dyn Fn(&RelPath) -> Option<String>;

/// The entries of one directory; with `records` an extended listing. Blocking.
pub(super) fn directory(place: &Place, records: Option<Records<'_>>) -> Result<Directory> {
    let real = place.to_read()?;
    let mut listing = Directory {
        dirs: Vec::new(),
        files: Vec::new(),
        disk_usage: disk_usage(&real).map_err(|error| failed("open", &place.display(), error))?,
        root: place.root.name.clone(),
        permissions: place.policy.root_level(&place.root).text(),
    };
    let records = records.filter(|_| place.root.name == GCODES);
    let every = |_: &OsStr| true;
    let complete = each_entry(&place.policy, &real, &real, every, |found| {
        let records = records.filter(|_| !found.is_dir && is_gcode(found.name));
        let metadata = records.and_then(|record| record(&place.path.child(found.name)));
        let entry = Entry {
            name: found.name.to_owned(),
            modified: found.stat.modified,
            size: found.stat.size,
            permissions: found.level.text(),
            metadata,
        };
        if found.is_dir {
            listing.dirs.push(entry)
        } else {
            listing.files.push(entry)
        }
        listing.dirs.len() + listing.files.len() < MAX_ENTRIES
    })
    .map_err(|error| failed("list", &place.display(), error))?;
    if !complete {
        log::warn!("'{}' has more than {MAX_ENTRIES} entries, the rest is not listed", place.display());
    }
    Ok(listing)
}

/// How full the file system of this path is.
pub(super) fn disk_usage(path: &Path) -> std::io::Result<DiskUsage> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    // The field types differ between 32 and 64 bit targets.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
    let (unit, all, unused, available) = (
        stat.fragment_size() as u64,
        stat.blocks() as u64,
        stat.blocks_free() as u64,
        stat.blocks_available() as u64,
    );
    let bytes = |blocks: u64| blocks.saturating_mul(unit);
    Ok(DiskUsage { total: bytes(all), used: bytes(all.saturating_sub(unused)), free: bytes(available) })
}

/// An entry as [`each_entry`] finds it.
struct Found<'a> {
    os_name: &'a OsStr,
    name: &'a str,
    is_dir: bool,
    stat: Stat,
    level: Level,
    /// The true path, if a directory.
    real: PathBuf,
}

/// Calls `visit` for every directory in `directory` that clients get to see, and every file of which `listed` takes the
/// name, until it returns false; returns whether it never did. Links are shown as what they lead to; what leads nowhere,
/// and sockets and devices, are left out.
fn each_entry(
    policy: &Policy,
    directory: &Path,
    real: &Path,
    listed: impl Fn(&OsStr) -> bool,
    mut visit: impl FnMut(Found<'_>) -> bool,
) -> std::io::Result<bool> {
    let levels = policy.entries_of(real);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let os_name = entry.file_name();
        // Thumbnails are in the folder of G-code, too. What is not listed is not looked at.
        let passed_over = || entry.file_type().is_ok_and(|kind| kind.is_file()) && !listed(&os_name);
        if is_temporary(&os_name) || passed_over() {
            continue;
        }
        let inspected = inspect(policy, &levels, real, &entry, &os_name);
        let Some((metadata, level, true_path)) = inspected else { continue };
        if !metadata.is_dir() && (!metadata.is_file() || !listed(&os_name)) {
            continue;
        }
        let name = os_name.to_string_lossy();
        let (is_dir, stat) = (metadata.is_dir(), Stat::from(&metadata));
        if !visit(Found { os_name: &os_name, name: &name, is_dir, stat, level, real: true_path }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What an entry is, links followed, what may be done with it, and its true path if it is a directory.
fn inspect(
    policy: &Policy,
    levels: &EntryLevels<'_>,
    real: &Path,
    entry: &fs::DirEntry,
    name: &OsStr,
) -> Option<(Metadata, Level, PathBuf)> {
    if !entry.file_type().ok()?.is_symlink() {
        let metadata = entry.metadata().ok()?;
        let true_path = if metadata.is_dir() { real.join(name) } else { PathBuf::new() };
        return Some((metadata, levels.of(name), true_path));
    }
    let target = fs::canonicalize(entry.path()).ok()?;
    let metadata = fs::metadata(&target).ok()?;
    let level = levels.of(name).min(policy.level(&target));
    // A linked file is told as read-only (spec behaviour.md §5.1).
    let level = if metadata.is_dir() { level } else { level.min(Level::Read) };
    Some((metadata, level, target))
}
