//! Moving in from Moonraker: its SQLite database (v0.9 and later), its LMDB database (before), and the text backups
//! of either. Blocking.
//!
//! Nothing in the old files is changed. What Perigee has already is kept, so an import can be repeated, and goes on
//! where a former one was cut off: each write of some hundred records is one commit. Records that cannot be taken
//! are left and reported, never a reason to stop.

mod legacy;
mod sink;
mod sqlite;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lmdb_file::{Damage, LmdbFile};
use super::sqlite_file;
use super::{BackupEntry, Error, KeyPath, ReadDocuments, Result, Storage, backup};
use crate::json;
use sink::Sink;

pub use sink::{Count, Report};

/// File of Moonraker v0.9 and later.
const SQLITE_NAME: &str = "moonraker-sql.db";
/// File of Moonraker before.
const LMDB_NAME: &str = "data.mdb";
/// Where it is noted that somebody has moved in, in the storage's own namespace.
const NOTE: (&str, &str) = ("database", "moved_in");

/// What can be moved in from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Moonraker v0.9 and later.
    Sqlite(PathBuf),
    /// Moonraker before.
    Lmdb(PathBuf),
    /// A backup as text, by Moonraker's tool or by Perigee.
    Text(PathBuf),
}

impl Source {
    /// Finds out what a path is: a file of one of the kinds, the folder that holds one, or a data folder.
    ///
    /// # Errors
    /// NotFound when there is nothing, BadRequest for a file of another kind.
    pub fn find(path: &Path) -> Result<Self> {
        let io = |error| Error::io(format_args!("open '{}'", path.display()), error);
        if std::fs::metadata(path).map_err(io)?.is_dir() {
            let inside = [path.to_owned(), path.join("database")];
            let found = inside.iter().find_map(|folder| Self::in_folder(folder));
            let nothing =
                || Error::not_found(format!("There is no database of Moonraker in '{}'", path.display()));
            return found.ok_or_else(nothing);
        }
        let mut head = [0; 32];
        let read = File::open(path).and_then(|mut file| file.read(&mut head)).map_err(io)?;
        let path = path.to_owned();
        match head.get(..read).unwrap_or_default() {
            head if head.starts_with(sqlite_file::MAGIC) => Ok(Self::Sqlite(path)),
            [b'+', b'0'..=b'9', ..] => Ok(Self::Text(path)),
            _ if LmdbFile::open(&path).is_ok() => Ok(Self::Lmdb(path)),
            _ => Err(Error::bad_request(format!(
                "'{}' is neither a database nor a text backup of Moonraker",
                path.display()
            ))),
        }
    }

    /// The database of Moonraker in a folder: the newer kind, if there are both.
    pub fn in_folder(folder: &Path) -> Option<Self> {
        let (sqlite, lmdb) = (folder.join(SQLITE_NAME), folder.join(LMDB_NAME));
        if sqlite.is_file() {
            return Some(Self::Sqlite(sqlite));
        }
        lmdb.is_file().then_some(Self::Lmdb(lmdb))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Sqlite(path) | Self::Lmdb(path) | Self::Text(path) => path,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Sqlite(_) => "SQLite database",
            Self::Lmdb(_) => "LMDB database",
            Self::Text(_) => "text backup",
        };
        write!(f, "{kind} '{}'", self.path().display())
    }
}

/// Takes over what a source holds and Perigee does not have yet.
///
/// # Errors
/// When the source cannot be read or the database not be written; what was taken by then stays.
pub fn run(storage: &Storage, source: &Source) -> Result<Report> {
    let mut sink = Sink::new(storage)?;
    match source {
        Source::Sqlite(path) => sqlite::read(path, &mut sink)?,
        Source::Lmdb(path) => {
            read_lmdb(path, |namespace, key, value| legacy::take(namespace, key, value, &mut sink))?;
        }
        Source::Text(path) => {
            // damage is found before anything is taken
            backup::read_file(path, |_| Ok(()))?;
            backup::read_file(path, |BackupEntry { name, table, key, value }| match table {
                true => sink.row(name, key, value),
                false => legacy::take(name, key, value, &mut sink),
            })?;
        }
    }
    sink.finish()
}

/// Calls `take` with namespace, key and value of every record of an LMDB database.
fn read_lmdb(path: &Path, mut take: impl FnMut(&str, &[u8], &[u8]) -> Result<()>) -> Result<()> {
    let damaged = |damage| Error::bad_request(format!("'{}' is damaged", path.display())).caused_by(damage);
    let file = LmdbFile::open(path).map_err(damaged)?;
    // the newest state that is whole: a crash may have left the last one half written
    let state = match file.check(0) {
        Ok(()) => 0,
        Err(damage) => file.check(1).map(|()| 1).map_err(|_| damaged(damage))?,
    };
    let mut failed = None;
    let visited = file.visit(state, &mut |namespace, key, value| {
        let namespace = namespace.and_then(|name| std::str::from_utf8(name).ok());
        let Some(namespace) = namespace else { return Ok(()) };
        take(namespace, key, value).map_err(|error| {
            failed = Some(error);
            Damage::Header("reading was stopped")
        })
    });
    match (failed, visited) {
        (Some(error), _) => Err(error),
        (None, visited) => visited.map_err(damaged),
    }
}

/// The note of a move.
#[derive(Serialize, Deserialize)]
struct Note {
    source: String,
    finished: bool,
}

/// Moves in at the first start on a data folder of Moonraker's: `created` says that there was no database of
/// Perigee's, `folders` are looked into in their order. Also ends a move that was cut off. None when there is
/// nothing to do.
///
/// # Errors
/// As [`run`]. The next start tries again.
pub fn first_start(storage: &Storage, created: bool, folders: &[PathBuf]) -> Result<Option<Report>> {
    let key = KeyPath::record_key(NOTE.1)?;
    let note = storage.read(|view| match view.item(NOTE.0, &key) {
        Ok(note) => Ok(serde_json::from_str::<Note>(note.get()).ok()),
        Err(error) if error.status() == 404 => Ok(None),
        Err(error) => Err(error),
    })?;
    let source = match note {
        Some(Note { finished: true, .. }) => return Ok(None),
        Some(Note { source, .. }) => Source::find(Path::new(&source)).ok(),
        None if created => folders.iter().find_map(|folder| Source::in_folder(folder)),
        None => None,
    };
    let Some(source) = source else { return Ok(None) };
    let note = |finished| Note { source: source.path().to_string_lossy().into_owned(), finished };
    write_note(storage, &note(false))?;
    let report = run(storage, &source)?;
    write_note(storage, &note(true))?;
    Ok(Some(report))
}

fn write_note(storage: &Storage, note: &Note) -> Result<()> {
    let note = json::to_raw(note);
    storage.write_blocking(move |writer| writer.put_record(NOTE.0, NOTE.1, &note))
}
