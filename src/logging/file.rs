//! The log file: `moonraker.log`, bounded, begun anew each day (spec behaviour.md §1, row "Log files").
//!
//! Failures never reach the callers of the log: what cannot be written is counted, and said when it can be.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::Level;

use super::header::Header;
use super::line::Line;
use crate::time;

/// Bytes of the log file: at this size a new one is begun.
pub const MAX_FILE: u64 = 4 * 1024 * 1024;
/// Old files that are kept.
pub const BACKUPS: usize = 2;
/// Milliseconds between two looks whether the file is still there.
const LOOK_AFTER: i64 = 10_000;

/// The log file, which may be missing for a while.
pub(super) struct LogFile {
    path: PathBuf,
    header: Arc<Header>,
    structured: bool,
    limit: u64,
    open: Option<Open>,
    /// Lines that are not yet written.
    buffer: String,
    /// Lines that could not be written, and why not.
    lost: u64,
    failure: Option<io::Error>,
    looked_at: i64,
}

struct Open {
    file: File,
    identity: (u64, u64),
    size: u64,
    /// The local day for which the file is. A clock that goes back does not change it.
    day: (u16, u8, u8),
    /// Whether the last write broke off within a line.
    torn: bool,
}

impl LogFile {
    /// Opens or makes the file, and its folder. If that fails it is tried again now and then; see
    /// [`LogFile::failure`].
    pub(super) fn new(path: &Path, header: Arc<Header>, structured: bool, now: i64) -> Self {
        Self::with_limit(path, header, structured, now, MAX_FILE)
    }

    fn with_limit(path: &Path, header: Arc<Header>, structured: bool, now: i64, limit: u64) -> Self {
        let mut this = Self {
            path: path.into(),
            header,
            structured,
            limit,
            open: None,
            buffer: String::new(),
            lost: 0,
            failure: None,
            looked_at: now,
        };
        this.reopen(now);
        this
    }

    /// Why the file cannot be written at this time.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref()
    }

    /// Adds a line, which [`LogFile::flush`] writes.
    pub(super) fn append(&mut self, line: &Line) {
        self.look(line.time);
        let day = time::local(line.time.div_euclid(1000)).date();
        if let Some(open) = &mut self.open {
            let full = open.size + self.buffer.len() as u64 + line.text.len() as u64 > self.limit;
            if full || day > open.day {
                open.day = open.day.max(day);
                // A full file that cannot be renamed is emptied, so that it stays bounded whatever happens.
                if self.rollover(line.time).is_err() && full {
                    self.empty(line.time);
                }
            }
        }
        if self.structured {
            line.structured(&mut self.buffer);
        } else {
            line.plain(&mut self.buffer);
        }
    }

    /// Writes what was added.
    pub(super) fn flush(&mut self, now: i64) {
        if self.buffer.is_empty() {
            return;
        }
        let Some(open) = &mut self.open else {
            self.lost += self.buffer.lines().count() as u64;
            self.buffer.clear();
            return;
        };
        let mut text = String::new();
        if open.torn {
            text.push('\n');
        }
        if self.lost > 0 {
            let reason = self.failure.take().map_or_else(String::new, |error| format!(": {error}"));
            let notice =
                Line::own(now, Level::Warn, format!("{} lines of the log were lost{reason}", self.lost));
            if self.structured { notice.structured(&mut text) } else { notice.plain(&mut text) }
        }
        let extra = text.len();
        text.push_str(&self.buffer);
        self.buffer.clear();
        let (written, failure) = write(&mut open.file, text.as_bytes());
        open.size += written as u64;
        match failure {
            None => (self.lost, open.torn) = (0, false),
            Some(error) => {
                open.torn =
                    if written > 0 { !text[..].as_bytes()[..written].ends_with(b"\n") } else { open.torn };
                let rest = text.as_bytes().get(written.max(extra)..).unwrap_or_default();
                self.lost += memchr::memchr_iter(b'\n', rest).count() as u64;
                self.failure = Some(error);
            }
        }
    }

    /// Begins a new file; the old one is named after the moment: `moonraker.log.YYYY-mm-dd_HH-MM-SS`. Keeps
    /// [`BACKUPS`] old ones. Returns the old one's path.
    pub(super) fn rollover(&mut self, now: i64) -> io::Result<PathBuf> {
        self.flush(now);
        let old = self.free_name(now)?;
        fs::rename(&self.path, &old)?;
        self.open = None;
        self.prune(&old);
        self.reopen(now);
        match &self.failure {
            Some(error) if self.open.is_none() => Err(io::Error::new(error.kind(), error.to_string())),
            _ => Ok(old),
        }
    }

    fn free_name(&self, now: i64) -> io::Result<PathBuf> {
        let stamp = time::local(now.div_euclid(1000)).file_stamp();
        let name = |number: u32| {
            let mut name = OsString::from(self.path.file_name().unwrap_or_default());
            name.push(".");
            name.push(&stamp);
            if number > 0 {
                name.push(format!("-{number}"));
            }
            self.path.with_file_name(name)
        };
        (0..10)
            .map(name)
            .find(|path| path.symlink_metadata().is_err())
            .ok_or(io::ErrorKind::AlreadyExists.into())
    }

    /// Removes old files but the newest, one of which is `newest` whatever the clock says.
    fn prune(&self, newest: &Path) {
        let (Some(folder), Some(name)) = (self.path.parent(), self.path.file_name()) else { return };
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut old: Vec<PathBuf> = entries
            .flatten()
            .filter(|entry| is_backup(name, &entry.file_name()))
            .map(|entry| entry.path())
            .filter(|path| path != newest)
            .collect();
        old.sort();
        let surplus = old.len().saturating_sub(BACKUPS - 1);
        for path in old.into_iter().take(surplus) {
            let _ = fs::remove_file(path);
        }
    }

    fn empty(&mut self, now: i64) {
        let Some(open) = &mut self.open else { return };
        if open.file.set_len(0).is_ok() {
            (open.size, open.torn) = (0, false);
            self.write_header(now);
        }
    }

    /// Sees now and then whether the file was removed or replaced under us, or can be made at last.
    fn look(&mut self, now: i64) {
        if (now - self.looked_at).abs() < LOOK_AFTER {
            return;
        }
        self.looked_at = now;
        let there = fs::metadata(&self.path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
        if there.is_none() || there != self.open.as_ref().map(|open| open.identity) {
            self.flush(now);
            self.reopen(now);
        }
    }

    fn reopen(&mut self, now: i64) {
        match open(&self.path, now) {
            Ok(open) => {
                self.open = Some(open);
                self.write_header(now);
            }
            Err(error) => {
                self.open = None;
                self.failure = Some(error);
            }
        }
    }

    fn write_header(&mut self, now: i64) {
        let text = self.header.text(now.div_euclid(1000));
        let mut out = String::new();
        if self.structured {
            Line::own(now, Level::Info, text).structured(&mut out);
        } else {
            out = text;
        }
        // Before what waits to be written.
        self.buffer.insert_str(0, &out);
        self.flush(now);
    }
}

fn open(path: &Path, now: i64) -> io::Result<Open> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Opening a fifo would wait for its reader; for a regular file the flag means nothing.
    let file =
        OpenOptions::new().append(true).create(true).mode(0o644).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    let size = metadata.size();
    let begun = if size > 0 { metadata.mtime() } else { now.div_euclid(1000) };
    let identity = (metadata.dev(), metadata.ino());
    Ok(Open { file, identity, size, day: time::local(begun).date(), torn: false })
}

/// Writes as much as goes.
fn write(file: &mut File, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

/// Whether a file is one that we, or Moonraker, have named `<log>.YYYY-mm-dd...`.
fn is_backup(log: &OsStr, name: &OsStr) -> bool {
    let rest = name.as_bytes().strip_prefix(log.as_bytes()).and_then(|rest| rest.strip_prefix(b"."));
    let Some(date) = rest.and_then(|rest| rest.get(..10)) else { return false };
    date.iter()
        .enumerate()
        .all(|(i, byte)| if i == 4 || i == 7 { *byte == b'-' } else { byte.is_ascii_digit() })
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
