//! The file that is being printed must not change under Klippy.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::list::GCODES;
use super::path::RelPath;
use super::roots::Place;
use crate::api::{Error, Result};

/// The file that Klippy has loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedFile {
    /// Its path in the gcodes root.
    pub path: String,
    /// Whether Klippy is ready and the print is running or paused (spec behaviour.md §5.3).
    pub active: bool,
}

/// Tells which file Klippy has loaded at the moment of the call. Must return at once.
pub type LoadedFn = Arc<dyn Fn() -> Option<LoadedFile> + Send + Sync>;

/// Refuses with 403 when the place is the file that is being printed, or a directory that it lies in.
/// `real` is the true path of the place.
pub(super) fn check_not_in_use(loaded: &LoadedFn, place: &Place, real: &Path) -> Result<()> {
    let Some(loaded) = loaded().filter(|loaded| loaded.active) else { return Ok(()) };
    let Ok(path) = RelPath::parse(&loaded.path) else { return Ok(()) };
    let by_name = place.root.name == GCODES && path.is_within(&place.path);
    // The same file may have been asked for through a link.
    let by_truth = || {
        let gcodes = place.policy.root(GCODES).ok();
        gcodes
            .and_then(|root| fs::canonicalize(path.under(&root.path)).ok())
            .is_some_and(|p| p.starts_with(real))
    };
    if !path.is_root() && (by_name || by_truth()) {
        return Err(Error::forbidden(format!("'{}' is in use by the running print", place.display())));
    }
    Ok(())
}
