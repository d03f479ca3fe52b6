//! What several parts know of a print: its state and what becomes of it.

mod job;

use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

pub use job::{Job, JobChange, JobEvent, JobState, JobStats};

/// The path of a file that is known by its path below a folder; none for one that would lie elsewhere.
pub fn file_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !name.is_empty() && !name.contains('\0')).then(|| folder.join(path))
}

/// What takes files that are to be printed when the printer is free.
pub trait PrintQueue: Send + Sync {
    /// Puts a file at the end, by its path below `gcodes`, for a user. Says whether it is there now; why it is not
    /// goes to the log.
    fn enqueue(
        &self,
        filename: String,
        user: Option<Arc<str>>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>>;
}
