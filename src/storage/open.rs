//! Opening the database at start: check, repair, report.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::backup;
use super::disk::{self, beside};
use super::error::{Error, Result};
use super::lmdb_file::{Damage, LmdbFile};
use super::rebuild;

/// How many damaged files are kept for inspection.
const MAX_SET_ASIDE: usize = 2;
/// Extension of a file under construction. A complete one is renamed at once, so one that is found is rubbish,
/// except after [`set_aside`], where the database itself is missing.
const NEW: &str = "new";

/// What the start found and did. The warnings are for `server.info`.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// There was no database: this one is new.
    pub created: bool,
    /// The last run did not end in order.
    pub unclean: bool,
    /// Where the damaged database was put.
    pub set_aside: Option<PathBuf>,
    /// The backup that took its place.
    pub restored: Option<PathBuf>,
    /// What people should know.
    pub warnings: Vec<String>,
}

/// Makes sure that `path` holds a database that LMDB can open safely, or nothing.
pub(super) fn prepare(path: &Path, backups: Option<&Path>, report: &mut OpenReport) -> Result<()> {
    let fresh = beside(path, NEW);
    if !path.exists() && check(&fresh).is_ok() {
        // the power failed between the two renames of a repair
        disk::rename(&fresh, path)?;
    }
    let _ = std::fs::remove_file(&fresh);
    if std::fs::metadata(path).map_or(true, |found| found.len() == 0) {
        report.created = true;
        return Ok(());
    }
    match check(path) {
        Ok(file) if file.is_native() => Ok(()),
        Ok(file) => {
            rebuild_from(&file, 0, &fresh)?;
            report.warnings.push("The database came from another kind of machine and was converted.".into());
            disk::rename(&fresh, path)
        }
        Err(Damage::Io(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(Error::io(format_args!("open '{}'", path.display()), error))
        }
        Err(damage) => repair(path, &fresh, backups, &damage, report),
    }
}

/// A file that is whole.
pub(super) fn check(path: &Path) -> std::result::Result<LmdbFile, Damage> {
    let file = LmdbFile::open(path)?;
    file.check(0)?;
    Ok(file)
}

/// Puts the best that there is in place of a damaged file: its own state one commit ago, the newest good backup,
/// or nothing.
fn repair(
    path: &Path,
    fresh: &Path,
    backups: Option<&Path>,
    damage: &Damage,
    report: &mut OpenReport,
) -> Result<()> {
    log::error!("database: '{}' is damaged: {damage}", path.display());
    let older = LmdbFile::open(path).and_then(|file| {
        file.check(1)?;
        Ok(file)
    });
    let found = if older.is_ok_and(|file| rebuild_from(&file, 1, fresh).is_ok()) {
        "its last change was taken back".to_owned()
    } else if let Some(backup) = backups.and_then(|folder| newest_good(folder, fresh)) {
        let text = format!("the backup '{}' took its place", backup.display());
        report.restored = Some(backup);
        text
    } else {
        "no good backup was found, so a new one was begun".to_owned()
    };
    let aside = set_aside(path)?;
    if fresh.exists() {
        disk::rename(fresh, path)?;
    } else {
        report.created = true;
    }
    report.warnings.push(format!("The database was damaged and is kept as '{}'; {found}.", aside.display()));
    report.set_aside = Some(aside);
    Ok(())
}

fn rebuild_from(file: &LmdbFile, state: usize, target: &Path) -> Result<()> {
    rebuild::build(target, |builder| {
        let mut failed = None;
        let visited = file.visit(state, &mut |_, key, value| {
            builder.put(key.to_vec(), value.to_vec()).map_err(|error| {
                failed = Some(error);
                Damage::Header("the copy could not be written")
            })
        });
        match (failed, visited) {
            (Some(error), _) => Err(error),
            (None, Err(damage)) => Err(Error::failed("The database is damaged").caused_by(damage)),
            (None, Ok(())) => Ok(()),
        }
    })
}

/// Builds `target` from the newest backup in a folder that is whole.
fn newest_good(folder: &Path, target: &Path) -> Option<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let data = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((data.modified().ok()?, entry.path()))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).find(|path| match restore(path, target) {
        Ok(()) => true,
        Err(error) => {
            log::warn!("database: '{}' is no usable backup: {error}", path.display());
            false
        }
    })
}

/// Builds the database `target` from a backup.
pub(super) fn restore(backup: &Path, target: &Path) -> Result<()> {
    rebuild::build(target, |builder| {
        backup::read_file(backup, |entry| match backup::stored(&entry)? {
            Some((key, value)) => builder.put(key, value),
            None => Ok(()),
        })
    })
}

/// Renames a damaged file, and removes the oldest of those that were put aside before.
fn set_aside(path: &Path) -> Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let aside = beside(path, &format!("corrupt-{seconds}"));
    disk::rename(path, &aside)?;
    let mark = beside(path, "corrupt-");
    let folder = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let is_aside = |path: &PathBuf| path.to_string_lossy().starts_with(&*mark.to_string_lossy());
    let mut others: Vec<PathBuf> =
        folder.into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(is_aside).collect();
    others.sort();
    let surplus = others.len().saturating_sub(MAX_SET_ASIDE);
    for old in others.iter().take(surplus) {
        drop(std::fs::remove_file(old));
    }
    Ok(aside)
}
