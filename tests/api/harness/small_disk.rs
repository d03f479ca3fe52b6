//! A disk that fills up, or that can be made read-only.

use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A small file system over a folder, for as long as it lives.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many MiB. None where this process may not mount anything, which it says.
    pub fn over(folder: &Path, mebibytes: usize) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        let size = format!("size={mebibytes}m");
        match mount(Some("none"), folder, Some("tmpfs"), MsFlags::empty(), Some(&*size)) {
            Ok(()) => Some(Self(folder.to_owned())),
            Err(error) => {
                println!("skipped: no small disk can be made here ({error})");
                None
            }
        }
    }

    /// Forbids writing, as the kernel does after errors of a disk, or allows it again. Files that are open for
    /// writing keep a disk from it.
    pub fn set_read_only(&self, read_only: bool) -> nix::Result<()> {
        let flags = if read_only { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT | flags, None::<&str>)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
