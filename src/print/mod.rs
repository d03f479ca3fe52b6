//! What several parts know of a print: its state and what becomes of it, and values that are recorded with it.
//! Floor 1: knows no API and no database.

mod fields;
mod job;

use std::path::{Component, Path, PathBuf};

pub use fields::{Field, FieldOptions, Fields, Recorded, Strategy, Total};
pub use job::{Job, JobChange, JobEvent, JobState, JobStats};

/// The path of a file that is known by its path below a folder; none for one that would lie elsewhere.
pub fn file_below(folder: &Path, name: &str) -> Option<PathBuf> {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    (inside && !name.is_empty() && !name.contains('\0')).then(|| folder.join(path))
}
