//! A backup a day, so that a damaged database can be replaced by one that is nearly up to date.

use std::path::{Path, PathBuf};
use std::sync::Weak;
use std::time::{Duration, SystemTime};

use super::{Database, backups};
use crate::tasks::unblock;

/// How often it is seen whether a backup is due.
const LOOK: Duration = Duration::from_secs(3600);
/// How long after the start that is done first: not while everything else starts.
const FIRST_LOOK: Duration = Duration::from_secs(300);
/// How old the newest backup may be.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// How many of them are kept.
pub(super) const KEPT: usize = 3;
/// What their names begin with.
const PREFIX: &str = "automatic";

pub(super) async fn run(database: Weak<Database>) {
    let mut wait = FIRST_LOOK;
    loop {
        smol::Timer::after(wait).await;
        wait = LOOK;
        let Some(database) = database.upgrade() else { return };
        if let Err(error) = database.back_up_if_due(SystemTime::now()).await {
            log::warn!("The daily backup of the database failed: {error}");
        }
    }
}

impl Database {
    /// Makes a backup if the newest one of its kind is old and the database has changed since. While a print
    /// runs it waits.
    pub(super) async fn back_up_if_due(&self, now: SystemTime) -> crate::api::Result<()> {
        let folder = self.backups.folder().to_owned();
        let made = unblock(move || automatic(&folder)).await;
        let newest = made.last().map(|(time, _)| *time);
        let is_fresh = newest.is_some_and(|time| now.duration_since(time).unwrap_or_default() < AGE);
        let is_same = newest.is_some_and(|time| self.storage.changed().is_some_and(|changed| changed < time));
        if is_fresh || is_same || self.klippy.is_printing() {
            return Ok(());
        }
        let _alone = self.busy.lock().await;
        let path = self.backups.path(&backups::default_name(PREFIX))?;
        self.backups.make_folder_of(&path).await?;
        self.storage.backup(path).await?;
        let surplus = (made.len() + 1).saturating_sub(KEPT);
        let old: Vec<PathBuf> = made.into_iter().take(surplus).map(|(_, path)| path).collect();
        unblock(move || old.iter().for_each(|path| drop(std::fs::remove_file(path)))).await;
        Ok(())
    }
}

/// The automatic backups with their times, oldest first.
fn automatic(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_ours = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PREFIX) && name.ends_with(backups::EXTENSION)
    };
    let mut found: Vec<(SystemTime, PathBuf)> = entries
        .filter(|entry| is_ours(&entry.path()))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    found.sort();
    found
}
