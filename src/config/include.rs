//! Which files `[include <path>]` names (spec config.md §2).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many directory entries one include may look at, so that `**` over a large tree ends.
pub const MAX_ENTRIES: usize = 10_000;
/// How deeply `**` descends.
pub const MAX_DEPTH: usize = 16;

/// The files that `pattern` matches, sorted; at least one, else the reason.
///
/// Relative patterns start at `base` and may have wildcards anywhere: `*` and `?` within a name, `**` for
/// folders of any depth (symlinks to folders are not descended into). Absolute ones may have them in the last
/// part only. A leading dot needs no literal dot, and `[` stands for itself: a header ends at the first `]`.
pub(super) fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let path = Path::new(pattern);
    let mut walk = Walk { found: Vec::new(), entries: 0 };
    if path.is_absolute() {
        let name = path.file_name().ok_or("not a file")?;
        let folder = path.parent().unwrap_or(path);
        walk.matching(&fs::canonicalize(folder).unwrap_or_else(|_| folder.into()), &[name])?;
    } else {
        let parts: Vec<&OsStr> =
            path.components().map(|part| part.as_os_str()).filter(|part| *part != ".").collect();
        if parts.is_empty() {
            return Err("names no file".into());
        }
        walk.matching(base, &parts)?;
    }
    if walk.found.is_empty() {
        return Err("no file matches".into());
    }
    walk.found.sort();
    walk.found.dedup();
    Ok(walk.found)
}

struct Walk {
    found: Vec<PathBuf>,
    entries: usize,
}

impl Walk {
    fn matching(&mut self, folder: &Path, parts: &[&OsStr]) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else {
            self.found.push(folder.into());
            return Ok(());
        };
        if *part == "**" {
            return self.descend(folder, rest, 0);
        }
        if !part.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?')) {
            let next = folder.join(part);
            return if next.symlink_metadata().is_ok() { self.matching(&next, rest) } else { Ok(()) };
        }
        for (name, is_folder) in self.list(folder)? {
            let next = folder.join(&name);
            let fits = wildcard(part.as_bytes(), name.as_bytes());
            if fits && (rest.is_empty() || is_folder || next.is_dir()) {
                self.matching(&next, rest)?;
            }
        }
        Ok(())
    }

    fn descend(&mut self, folder: &Path, rest: &[&OsStr], depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("'**' goes more than {MAX_DEPTH} folders deep"));
        }
        self.matching(folder, rest)?;
        for (name, is_folder) in self.list(folder)? {
            if is_folder {
                self.descend(&folder.join(name), rest, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Names in a folder, and whether each is a folder itself (not a link to one). One that cannot be read
    /// has none.
    fn list(&mut self, folder: &Path) -> Result<Vec<(OsString, bool)>, String> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries.flatten() {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(format!("more than {MAX_ENTRIES} files to look at"));
            }
            names.push((entry.file_name(), entry.file_type().is_ok_and(|kind| kind.is_dir())));
        }
        Ok(names)
    }
}

/// Whether `name` fits `pattern`, in which `*` is any run of bytes and `?` any one character.
///
/// Keeps only the last `*` to go back to, so it takes at most the product of the lengths.
fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, n));
            }
            Some(b'?') => {
                p += 1;
                n += character(&name[n..]);
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                (p, n) = (star, from + 1);
                retry = Some((star, from + 1));
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// Bytes of the first character of text that may not be UTF-8, in which case a byte is a character.
fn character(bytes: &[u8]) -> usize {
    let width = bytes.first().map_or(1, |first| first.leading_ones().clamp(1, 4) as usize);
    bytes.get(..width).and_then(|start| str::from_utf8(start).ok()).map_or(1, str::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards() {
        for (pattern, name, fits) in [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("conf[0-9", "conf[0-9", true),
            ("conf[0-9", "conf1", false),
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            assert_eq!(wildcard(pattern.as_bytes(), name.as_bytes()), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hard_pattern_is_quick() {
        assert!(!wildcard("*a".repeat(50).as_bytes(), "a".repeat(49).repeat(100).replace('a', "b").as_bytes()));
        assert!(!wildcard(format!("{}c", "*a".repeat(50)).as_bytes(), "a".repeat(5_000).as_bytes()));
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for name in ["b.conf", "a.conf", "c.txt", "sub/d.conf", "sub/deep/e.conf", ".hidden.conf"] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        std::os::unix::fs::symlink(root.path(), root.path().join("sub/loop")).unwrap();
        root
    }

    fn names(root: &Path, pattern: &str) -> Vec<String> {
        let found = expand(root, pattern).unwrap_or_default();
        found.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect()
    }

    #[test]
    fn relative_patterns() {
        let root = tree();
        let root = root.path();
        assert_eq!(names(root, "a.conf"), ["a.conf"]);
        assert_eq!(names(root, "./a.conf"), ["a.conf"]);
        assert_eq!(names(root, "*.conf"), [".hidden.conf", "a.conf", "b.conf"]);
        assert_eq!(names(root, "sub/*.conf"), ["sub/d.conf"]);
        assert_eq!(names(root, "*/?.conf"), ["sub/d.conf"]);
        assert_eq!(names(root, "**/e.conf"), ["sub/deep/e.conf"]);
        assert_eq!(
            names(root, "**/*.conf"),
            [".hidden.conf", "a.conf", "b.conf", "sub/d.conf", "sub/deep/e.conf"]
        );
        assert_eq!(names(root, "**/**/d.conf"), ["sub/d.conf"], "each file once");
        assert!(expand(root, "none*").is_err());
        assert!(expand(root, "missing.conf").is_err());
        assert!(expand(root, ".").is_err());
    }

    #[test]
    fn absolute_patterns_have_wildcards_in_the_last_part_only() {
        let root = tree();
        let root = &fs::canonicalize(root.path()).unwrap();
        assert_eq!(names(root, root.join("sub/*.conf").to_str().unwrap()), ["sub/d.conf"]);
        assert_eq!(names(root, root.join("*/d.conf").to_str().unwrap()), [""; 0]);
        assert!(expand(root, "/").is_err());
    }

    #[test]
    fn too_many_entries_are_an_error() {
        let mut walk = Walk { found: Vec::new(), entries: MAX_ENTRIES };
        assert!(walk.matching(tree().path(), &[OsStr::new("*")]).is_err());
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/".repeat(MAX_DEPTH + 1))).unwrap();
        assert!(expand(root.path(), "**/x.conf").unwrap_err().contains("deep"));
    }

    proptest! {
        #[test]
        fn matching_never_panics(pattern: Vec<u8>, name: Vec<u8>) {
            wildcard(&pattern, &name);
            prop_assert!(wildcard(b"*", &name));
        }
    }
}
