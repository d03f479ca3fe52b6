//! The file manager's answers about G-code: metadata and thumbnails.

use super::action::{Action, Item};
use super::list::GCODES;
use super::metadata::{Again, ThumbnailInfo, filename};
use super::path::{RelPath, is_gcode};
use super::{Files, RootPath, Stat};
use crate::api::{Error, Result};
use crate::gcode::Scan;
use crate::tasks::unblock;

impl Files {
    /// `server.files.metadata`: the record of a file in the gcodes root, with its `filename`, as JSON. A file that
    /// was not read yet is read now.
    ///
    /// # Errors
    /// 404 when there is no such G-code file.
    pub async fn metadata(&self, path: &str) -> Result<String> {
        let path = RelPath::parse(path)?;
        let record = self.0.metadata.of(&self.0.roots.now(), &path).await?;
        Ok(filename(&record, &path))
    }

    /// `server.files.metascan`: as [`metadata`](Self::metadata), but the file is read in any case, and what was
    /// known of it is forgotten. Its objects are defined if that is wanted of uploads.
    ///
    /// # Errors
    /// 404 when there is no such file, 400 when it is no G-code, 500 when it cannot be read.
    pub async fn metascan(&self, path: &str) -> Result<String> {
        let path = RelPath::parse(path)?;
        if !path.name().is_some_and(is_gcode) {
            return Err(Error::bad_request(format!("'{path}' is not a G-code file")));
        }
        if self.0.setup.define_objects
            && let Some(action) = self.define_objects(&path.to_string(), Action::ModifyFile).await
        {
            drop(self.notice(vec![action]));
        }
        let record = self.0.metadata.refresh(&self.0.roots.now(), &path, Again::Afresh, None).await?;
        Ok(filename(&record, &path))
    }

    /// `server.files.thumbnails`: the pictures of a file in the gcodes root; none of one that is not known.
    ///
    /// # Errors
    /// 400 for a path that cannot be.
    pub async fn thumbnails(&self, path: &str) -> Result<Vec<ThumbnailInfo>> {
        let path = RelPath::parse(path)?;
        match self.0.metadata.of(&self.0.roots.now(), &path).await {
            Ok(_) => Ok(self.0.metadata.thumbnails(&path)),
            Err(error) if error.status() == 404 => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The stored record of a file in the gcodes root, as JSON, for what a print's history is to remember. Returns
    /// at once.
    pub fn record(&self, path: &str) -> Option<String> {
        self.0.metadata.get(&RelPath::parse(path).ok()?)
    }

    /// Notes in a file's record when it was last printed (seconds since 1970) and as which job. Of a file without a
    /// record nothing is noted.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn note_print(&self, path: &str, start: Option<f64>, job_id: Option<&str>) -> Result<()> {
        self.0.metadata.note_print(&RelPath::parse(path)?, start, job_id).await
    }

    /// Size and time of a file, `root/path`.
    ///
    /// # Errors
    /// 400 when there is none, 403 when it may not be read.
    pub async fn stat(&self, path: &str) -> Result<Stat> {
        let (policy, at) = (self.0.roots.now(), RootPath::parse(path)?);
        unblock(move || {
            let place = policy.place(&at)?;
            let metadata = std::fs::metadata(place.to_read()?);
            let metadata =
                metadata.map_err(|error| super::roots::failed("inspect", &place.display(), error))?;
            Ok(Stat::from(&metadata))
        })
        .await
    }

    /// Reads what was uploaded, if it is G-code. `scan` is what was read as it came.
    pub(super) async fn read_upload(&self, item: &Item, scan: Option<Scan>) {
        let Ok(path) = RelPath::parse(&item.path) else { return };
        if item.root == GCODES && is_gcode(&item.path) {
            let read = self.0.metadata.refresh(&self.0.roots.now(), &path, Again::Afresh, scan).await;
            if let Err(error) = read {
                log::warn!("{error}");
            }
        }
    }
}
