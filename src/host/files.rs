//! Reading the small files of `/proc` and `/sys`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

/// The most that is read of one file. The longest real one is `/proc/cpuinfo` of a many-core server.
const MAX_FILE: u64 = 1024 * 1024;
/// The most names taken from one folder.
const MAX_NAMES: usize = 4096;

/// A Linux machine, seen through the folder that holds its `/proc`, `/sys`, `/dev` and `/etc`.
///
/// Cheap to clone. Paths given to its methods are absolute paths on that machine.
#[derive(Clone, Debug)]
pub struct Host {
    root: Arc<Path>,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// A machine whose root folder is `root`; [`Host::default`] is the one that this process runs on.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into().into() }
    }

    /// Whether it is the machine that this process runs on.
    pub fn is_this(&self) -> bool {
        *self.root == *Path::new("/")
    }

    /// Where a path of that machine is found from here.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The first MiB of a file, or `None` where it cannot be read.
    pub(crate) fn bytes(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let file = File::open(self.path(path)).ok()?;
        // the kernel's files have no size to go by, and rarely more than a page
        let mut bytes = Vec::with_capacity(4096);
        match file.take(MAX_FILE).read_to_end(&mut bytes) {
            Ok(_) => Some(bytes),
            // Some attributes fail half way (a device that is being removed): what came counts.
            Err(_) if !bytes.is_empty() => Some(bytes),
            Err(_) => None,
        }
    }

    /// A file as text; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let bytes = self.bytes(path)?;
        Some(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    /// The value of a one-line attribute: without the NUL of device tree strings and the blanks around it.
    /// `None` where it is missing or empty.
    pub(crate) fn line(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = self.text(path)?;
        let value = text.split(['\n', '\0']).next().unwrap_or_default().trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// The number in a one-line attribute.
    pub(crate) fn number<T: FromStr>(&self, path: impl AsRef<Path>) -> Option<T> {
        self.line(path)?.parse().ok()
    }

    /// The hexadecimal number in a one-line attribute, with or without `0x`.
    pub(crate) fn hex(&self, path: impl AsRef<Path>) -> Option<u64> {
        parse_hex(&self.line(path)?)
    }

    /// The names in a folder, sorted; none where it cannot be read. A name that is not UTF-8 is left out: no
    /// kernel object or device node that is used here has one.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.take(MAX_NAMES).filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        names
    }

    /// The last part of what a symbolic link points to, which in sysfs names a driver, a bus or a device.
    pub(crate) fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    /// Whether a path exists (links are followed).
    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }
}

/// A hexadecimal number with or without `0x` before it.
pub(crate) fn parse_hex(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    // from_str_radix would take a sign
    if digits.starts_with(['+', '-']) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_line() {
        let dir = std::env::temp_dir().join(format!("perigee-host-files-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("d")).unwrap();
        std::fs::write(dir.join("tree"), b"Raspberry Pi 4\0").unwrap();
        std::fs::write(dir.join("number"), b" 42\n").unwrap();
        std::fs::write(dir.join("latin"), b"caf\xe9\n").unwrap();
        std::fs::write(dir.join("empty"), b"\n").unwrap();
        std::os::unix::fs::symlink("../x/driver-name", dir.join("link")).unwrap();
        let host = Host::at(&dir);
        assert_eq!(host.line("/tree").as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(host.number::<u32>("/number"), Some(42));
        assert_eq!(host.hex("/number"), Some(0x42));
        assert_eq!(host.line("/latin").as_deref(), Some("caf\u{fffd}"));
        assert_eq!(host.line("/empty"), None);
        assert_eq!(host.line("/missing"), None);
        assert_eq!(host.line("/d"), None);
        assert_eq!(host.link_name("/link").as_deref(), Some("driver-name"));
        assert_eq!(host.names("/"), ["d", "empty", "latin", "link", "number", "tree"]);
        assert!(host.names("/number").is_empty());
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(parse_hex("0x50005\n"), Some(0x50005));
        assert_eq!(parse_hex("ff"), Some(255));
        assert_eq!(parse_hex("+1"), None);
        assert_eq!(parse_hex(""), None);
        assert_eq!(parse_hex("0x"), None);
    }
}
