//! A folder for one test, and data of real servers in it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Options, Storage};

/// Removed when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("perigee-storage-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the database in the folder, with its backups in `backups`.
    pub(crate) fn open(&self) -> Storage {
        Storage::open(&self.0, &self.options()).unwrap().0
    }

    pub(crate) fn options(&self) -> Options {
        Options { backups: Some(self.0.join("backups")), ..Options::default() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Unpacks a file of `tests/fixtures/moonraker`, with the journal that may lie beside it; gives its path.
pub(crate) fn fixture(scratch: &Scratch, name: &str) -> PathBuf {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/moonraker").join(name);
    let unpack = |suffix: &str| {
        let bytes = std::fs::read(super::disk::with_suffix(&packed, &format!("{suffix}.gz"))).ok()?;
        let mut out = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut out).unwrap();
        let file_name = packed.file_name().unwrap().to_str().unwrap();
        let path = scratch.path().join(format!("{file_name}{suffix}"));
        std::fs::write(&path, out).unwrap();
        Some(path)
    };
    unpack("-journal");
    unpack("").unwrap_or_else(|| panic!("there is no fixture {name}"))
}
