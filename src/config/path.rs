//! Paths as people write them in configurations and on command lines.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::unistd::User;

/// Replaces a leading `~` by `home` and a leading `~name` by that user's home folder. Without a home folder,
/// or with a user that does not exist, the path stays as it is.
pub fn expand_home(path: &Path, home: Option<&Path>) -> PathBuf {
    let mut parts = path.components();
    let user = match parts.next() {
        Some(Component::Normal(first)) => first.as_bytes().strip_prefix(b"~"),
        _ => None,
    };
    let folder = match user {
        None => None,
        Some(b"") => home.map(Path::to_path_buf),
        Some(name) => user_home(OsStr::from_bytes(name)),
    };
    match folder {
        Some(folder) if parts.as_path().as_os_str().is_empty() => folder,
        Some(folder) => folder.join(parts.as_path()),
        None => path.to_path_buf(),
    }
}

fn user_home(name: &OsStr) -> Option<PathBuf> {
    User::from_name(name.to_str()?).ok().flatten().map(|user| user.dir)
}

/// The path made absolute, without `.` and `..`, symlinks followed as far as the path exists.
pub fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut existing = path.as_path();
    loop {
        if let Ok(real) = existing.canonicalize() {
            let rest = path.strip_prefix(existing).unwrap_or(Path::new(""));
            return rest.components().fold(real, apply);
        }
        match existing.parent() {
            Some(parent) => existing = parent,
            None => return path.components().fold(PathBuf::new(), apply),
        }
    }
}

fn apply(mut path: PathBuf, part: Component<'_>) -> PathBuf {
    match part {
        Component::ParentDir => {
            path.pop();
        }
        Component::CurDir => {}
        part => path.push(part),
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_folders() {
        let expand = |path: &str| expand_home(Path::new(path), Some(Path::new("/home/pi")));
        assert_eq!(expand("~"), Path::new("/home/pi"));
        assert_eq!(expand("~/printer_data/x"), Path::new("/home/pi/printer_data/x"));
        assert_eq!(expand("/a/~/b"), Path::new("/a/~/b"));
        assert_eq!(expand("a~"), Path::new("a~"));
        assert_eq!(expand(""), Path::new(""));
        assert_eq!(expand("~no-such-user/x"), Path::new("~no-such-user/x"));
        assert_eq!(expand("~root/x").file_name().unwrap(), "x");
        assert_eq!(expand_home(Path::new("~/x"), None), Path::new("~/x"));
    }

    #[test]
    fn links_are_followed_as_far_as_they_go() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("there")).unwrap();
        std::os::unix::fs::symlink("there", real.join("link")).unwrap();
        assert_eq!(resolve(&real.join("link/a/../b")), real.join("there/b"));
        assert_eq!(resolve(&real.join("link/../x")), real.join("x"));
        assert!(resolve(Path::new("relative")).is_absolute());
        assert_eq!(resolve(Path::new("/")), Path::new("/"));
        assert_eq!(resolve(Path::new("/no-such/./x/..")), Path::new("/no-such"));
    }
}
