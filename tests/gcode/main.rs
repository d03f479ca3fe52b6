//! The readers of sliced files against the corpus and the results of the reference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test helper that fails is a test that fails")]

mod support {
    use std::path::{Path, PathBuf};

    /// The corpus of sliced files, beside the repository or where `PERIGEE_SHARED` says; absent in a user's clone.
    pub(crate) fn corpus() -> Option<PathBuf> {
        let shared = match std::env::var_os("PERIGEE_SHARED") {
            Some(path) => PathBuf::from(path),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        };
        let corpus = shared.join("gcode");
        if corpus.is_dir() {
            return Some(corpus);
        }
        eprintln!("skipped: no corpus at {}", corpus.display());
        None
    }

    /// Every reference result: the file's path within the corpus and the JSON.
    pub(crate) fn references(corpus: &Path) -> Vec<(String, serde_json::Value)> {
        let root = corpus.join("reference");
        let mut found = Vec::new();
        let mut directories = vec![root.clone()];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                    let json = serde_json::from_str(
                        &std::fs::read_to_string(&path).unwrap().replace(": Infinity", ": \"Infinity\""),
                    );
                    found.push((name.strip_suffix(".json").unwrap().to_owned(), json.unwrap()));
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

mod fixtures;
mod objects;
mod reference;
