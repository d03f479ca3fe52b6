//! Paths as clients write them: `root/directory/name`, cleaned lexically before any file system call.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::api::{Error, Result};

/// The longest path that is taken, in bytes. The system's own limit, 4096, is for the whole path, with where the
/// root lies and the names of temporary files.
pub(super) const MAX_PATH: usize = 3072;

/// A path inside a root: components joined by `/`, none of them empty, `.` or `..`, no NUL byte. Empty for the
/// root itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(String);

impl RelPath {
    /// The root itself.
    pub const fn root() -> Self {
        Self(String::new())
    }

    /// Cleans a path that is relative to a root; leading slashes are ignored (spec api.md §6.2).
    ///
    /// # Errors
    /// 400 when `..` would leave the root or the text holds a NUL byte.
    pub fn parse(text: &str) -> Result<Self> {
        Ok(Self(clean(text)?.join("/")))
    }

    /// The path, without a slash at either end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the top.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// The last component; none for the root.
    pub fn name(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|name| !name.is_empty())
    }

    /// What is left without the last component; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or_else(String::new, |(parent, _)| parent.to_owned())))
    }

    /// This path with one more component, which must be a plain name.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        debug_assert!(!name.is_empty() && !name.contains('/'));
        self.append(name)
    }

    /// This path followed by `tail`.
    #[must_use]
    pub fn join(&self, tail: &Self) -> Self {
        if tail.is_root() { self.clone() } else { self.append(&tail.0) }
    }

    /// Whether this path is `ancestor` or lies below it, compared component by component: `ab/c` is not below
    /// `a`.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.below(ancestor).is_some()
    }

    /// What follows `ancestor` in this path, if it is `ancestor` or lies below it.
    pub fn below(&self, ancestor: &Self) -> Option<Self> {
        if ancestor.is_root() {
            return Some(self.clone());
        }
        match self.0.strip_prefix(&ancestor.0)? {
            "" => Some(Self::root()),
            rest => rest.strip_prefix('/').map(|rest| Self(rest.to_owned())),
        }
    }

    /// The path in the file system, below the directory `base`.
    pub fn under(&self, base: &Path) -> PathBuf {
        if self.is_root() { base.to_owned() } else { base.join(&self.0) }
    }

    fn append(&self, tail: &str) -> Self {
        if self.is_root() { Self(tail.to_owned()) } else { Self(format!("{}/{tail}", self.0)) }
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A root and a path inside it, which clients write as `root/path`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootPath {
    /// The name of the root; whether there is such a root is not known here.
    pub root: String,
    /// The path inside it.
    pub path: RelPath,
}

impl RootPath {
    /// Cleans `root/path`. The first component that is left after cleaning names the root, so
    /// `gcodes/../config/a` means `config/a` (spec api.md §6.1).
    ///
    /// # Errors
    /// 400 when nothing is left, when `..` would go above the roots, or the text holds a NUL byte.
    pub fn parse(text: &str) -> Result<Self> {
        let parts = clean(text)?;
        let (root, rest) = parts
            .split_first()
            .ok_or_else(|| Error::bad_request(format!("Invalid path: '{text}' names no root")))?;
        Ok(Self { root: (*root).to_owned(), path: RelPath(rest.join("/")) })
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_root() { f.write_str(&self.root) } else { write!(f, "{}/{}", self.root, self.path) }
    }
}

/// Refuses a name that nobody wants to create by intent: control characters would break out of the G-code
/// line that starts a print, and of log lines.
pub(super) fn check_new_name(path: &RelPath) -> Result<()> {
    if path.as_str().chars().any(char::is_control) {
        return Err(Error::bad_request("Invalid path: control characters are not allowed in names"));
    }
    Ok(())
}

/// Splits a path and resolves `.` and `..` lexically, without looking at the file system.
fn clean(text: &str) -> Result<Vec<&str>> {
    if text.len() > MAX_PATH {
        // before anything of it is made: the system would refuse it halfway
        return Err(Error::bad_request(format!("The path is longer than {MAX_PATH} bytes")));
    }
    if text.contains('\0') {
        return Err(Error::bad_request("Invalid path: it holds a NUL byte"));
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(Error::bad_request(format!("Invalid path: '{text}' leads out of the roots")));
                }
            }
            name => parts.push(name),
        }
    }
    Ok(parts)
}

/// Extensions that make a file in the gcodes root a G-code file, in lower case (spec behaviour.md §5.4).
const GCODE_EXTENSIONS: [&str; 5] = ["gcode", "g", "gco", "ufp", "nc"];

/// Whether a file name has an extension of G-code. Letter case does not matter.
pub fn is_gcode(name: &str) -> bool {
    extension(name).is_some_and(|ext| GCODE_EXTENSIONS.iter().any(|known| ext.eq_ignore_ascii_case(known)))
}

/// Whether a file name is that of a package, an archive with G-code in it: those of Ultimaker, and of
/// BambuStudio and its kin with their double extension. Other `.3mf` files are models that nobody has sliced.
pub fn is_package(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    extension(name).is_some() && (lower.ends_with(".ufp") || lower.ends_with(".gcode.3mf"))
}

/// Whether a path has this extension, in letters of any case.
pub(super) fn has_extension(path: &str, wanted: &str) -> bool {
    extension(path).is_some_and(|found| found.eq_ignore_ascii_case(wanted))
}

/// What follows the last dot of a path's last component. A name that begins with its only dot has none.
pub(super) fn extension(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ext)| ext)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rel(text: &str) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    #[test]
    fn root_paths_are_cleaned_before_the_root_is_read() {
        for (text, root, path) in [
            ("gcodes", "gcodes", ""),
            ("/gcodes/", "gcodes", ""),
            ("gcodes//a/./b/", "gcodes", "a/b"),
            ("gcodes/../config/x.cfg", "config", "x.cfg"),
            ("gcodes/a/../../config", "config", ""),
            ("gcodes/a b/\u{e4}", "gcodes", "a b/\u{e4}"),
            ("gcodes/...", "gcodes", "..."),
        ] {
            let parsed = RootPath::parse(text).unwrap();
            assert_eq!((parsed.root.as_str(), parsed.path.as_str()), (root, path), "{text}");
        }
        for text in ["", "/", ".", "..", "../etc", "/../gcodes", "gcodes/../..", "gcodes/..", "gcodes/a\0b"] {
            assert_eq!(RootPath::parse(text).unwrap_err().status(), 400, "{text:?}");
        }
    }

    #[test]
    fn a_path_in_a_root_cannot_leave_it() {
        assert_eq!(rel("/a/../b").as_str(), "b");
        assert!(RelPath::parse("../gcodes_old/x").is_err());
        assert!(RelPath::parse("a/../../b").is_err());
    }

    #[test]
    fn a_path_has_a_longest_length() {
        assert!(RelPath::parse(&"a/".repeat(MAX_PATH / 2)).is_ok());
        let error = RelPath::parse(&"a".repeat(MAX_PATH + 1)).unwrap_err();
        assert!(error.status() == 400 && error.to_string().contains("3072"));
    }

    #[test]
    fn paths_compare_by_components() {
        assert!(!rel("ab/c").is_within(&rel("a")));
        assert!(rel("a/c").is_within(&rel("a")));
        assert!(rel("a").is_within(&RelPath::root()));
        assert_eq!(rel("a/b/c").below(&rel("a")), Some(rel("b/c")));
        assert_eq!(rel("a").below(&rel("a")), Some(RelPath::root()));
        assert_eq!(rel("a/b").parent(), Some(rel("a")));
        assert_eq!(rel("a").parent(), Some(RelPath::root()));
        assert_eq!(RelPath::root().parent(), None);
        assert_eq!(rel("a/b").name(), Some("b"));
        assert_eq!(RelPath::root().name(), None);
    }

    #[test]
    fn gcode_extensions_ignore_case() {
        for name in ["a.gcode", "dir/A.GCO", "x.g", "x.nc", "x.UFP", "two.dots.gcode"] {
            assert!(is_gcode(name), "{name}");
        }
        for name in ["gcode", ".gcode", "a.gcode.bak", "dir.g/a", "a.txt"] {
            assert!(!is_gcode(name), "{name}");
        }
        assert!(is_package("a.UFP") && is_package("a.GCODE.3mf"));
        assert!(!is_package("a.gcode") && !is_package("a.3mf") && !is_package(".ufp"));
    }

    #[test]
    fn control_characters_are_refused_in_new_names() {
        assert!(check_new_name(&rel("a\nM112")).is_err());
        assert!(check_new_name(&rel("a b\u{e9}")).is_ok());
    }

    proptest! {
        #[test]
        fn cleaned_paths_are_clean_and_stay_so(text in "[a/.\\x00 \u{e9}]{0,24}") {
            if let Ok(path) = RelPath::parse(&text) {
                for part in path.components() {
                    prop_assert!(!part.is_empty() && part != "." && part != ".." && !part.contains('\0'));
                }
                prop_assert_eq!(&RelPath::parse(path.as_str()).unwrap(), &path);
                prop_assert!(path.under(Path::new("/r")).starts_with("/r"));
                prop_assert_eq!(path.components().count(), path.under(Path::new("/")).components().count() - 1);
            }
        }

        #[test]
        fn below_is_the_inverse_of_join(base in "[ab/]{0,8}", tail in "[ab/]{0,8}") {
            let (base, tail) = (rel(&base), rel(&tail));
            prop_assert_eq!(base.join(&tail).below(&base), Some(tail));
        }
    }
}
