//! The folder of the database's backups.

use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use crate::api::{Error, Result};
use crate::tasks::unblock;
use crate::time;

/// Extension of the backups that are made here.
pub(super) const EXTENSION: &str = "backup";

/// A name for a backup that is made now.
pub(super) fn default_name(prefix: &str) -> String {
    let now = time::local(time::unix_ms(SystemTime::now()).div_euclid(1000));
    format!("{prefix}-{}.{EXTENSION}", now.file_stamp())
}

/// The folder.
#[derive(Clone)]
pub(super) struct Backups(PathBuf);

impl Backups {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Names of the files in it, sorted.
    pub(super) async fn list(&self) -> Vec<String> {
        let folder = self.0.clone();
        unblock(move || {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
            let mut names: Vec<String> =
                files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort_unstable();
            names
        })
        .await
    }

    /// The path of a backup by its name, which may lie in a folder below.
    ///
    /// # Errors
    /// 400 when it would lie elsewhere.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf> {
        let mut inside = PathBuf::new();
        for component in Path::new(name).components() {
            match component {
                Component::Normal(part) => inside.push(part),
                Component::CurDir => {}
                Component::ParentDir if inside.pop() => {}
                _ => inside.clear(),
            }
            if inside.as_os_str().is_empty() && component != Component::CurDir {
                return Err(Error::bad_request(format!("Backup '{name}' lies outside of the backup folder")));
            }
        }
        match name.contains('\0') || name.ends_with('/') || inside.as_os_str().is_empty() {
            true => Err(Error::bad_request("Invalid backup name")),
            false => Ok(self.0.join(inside)),
        }
    }

    pub(super) async fn make_folder_of(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(&self.0).to_owned();
        let made = unblock(move || std::fs::create_dir_all(folder)).await;
        made.map_err(|error| Error::from_io("create the backup folder", error))
    }

    /// # Errors
    /// 400 when there is no such file.
    pub(super) async fn check_exists(&self, path: &Path) -> Result<()> {
        let found = path.to_owned();
        match unblock(move || found.is_file()).await {
            true => Ok(()),
            false => Err(Error::bad_request(format!("Backup '{}' does not exist", path.display()))),
        }
    }

    /// # Errors
    /// 404 when there is no such file.
    pub(super) async fn delete(&self, path: &Path) -> Result<()> {
        let file = path.to_owned();
        let outcome = unblock(move || match file.is_file() {
            true => std::fs::remove_file(file),
            false => Err(std::io::ErrorKind::NotFound.into()),
        });
        outcome
            .await
            .map_err(|error| Error::from_io(format_args!("delete backup '{}'", path.display()), error))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_folder() {
        let backups = Backups::new("/b".into());
        for (name, path) in [("a.db", "/b/a.db"), ("x/./y", "/b/x/y"), ("./a", "/b/a"), ("x/../y", "/b/y")] {
            // a path that leaves the folder on its way is refused although it comes back
            assert_eq!(backups.path(name).ok(), (!name.contains("..")).then(|| path.into()), "{name}");
        }
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/../../x", "/b/x", "a/", "a\0b"] {
            assert_eq!(backups.path(name).unwrap_err().status(), 400, "{name}");
        }
    }
}
