//! A disk that fills up, and one that breaks.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// A small file system in memory over a folder, for as long as it lives.
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

    /// Gives it another size.
    pub fn resize(&self, mebibytes: usize) {
        let size = format!("size={mebibytes}m");
        mount(None::<&str>, &self.0, None::<&str>, MsFlags::MS_REMOUNT, Some(&*size)).expect("another size");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

/// A file system of its own (ext4 on a file) over a folder, for as long as it lives.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    device: String,
}

impl FileDisk {
    /// One of so many MiB, in this file. None where this process cannot make one, which it says.
    pub fn over(folder: &Path, file: &Path, mebibytes: u64) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a folder");
        std::fs::File::create(file)
            .and_then(|file| file.set_len(mebibytes << 20))
            .expect("a file for the disk");
        let file = file.to_str().expect("a path in UTF-8");
        let made = run("mkfs.ext4", &["-q", "-O", "^has_journal", file])
            .and_then(|_| run("losetup", &["--find", "--show", file]));
        let disk = made.map(|device| Self { folder: folder.to_owned(), device: device.trim().to_owned() });
        match disk.and_then(|disk| disk.mount().map(|()| disk)) {
            Ok(disk) => Some(disk),
            Err(error) => {
                println!("skipped: no disk can be made here ({error})");
                None
            }
        }
    }

    fn mount(&self) -> Result<(), String> {
        let options = Some("errors=remount-ro");
        mount(Some(&*self.device), &self.folder, Some("ext4"), MsFlags::empty(), options)
            .map_err(|error| error.to_string())
    }

    /// The name of the device that it is on.
    pub fn name(&self) -> &str {
        self.device.trim_start_matches("/dev/")
    }

    /// The kernel finds an error in the file system, and forbids writing. False where it has no way to be told.
    pub fn fail(&self) -> bool {
        std::fs::write(format!("/sys/fs/ext4/{}/trigger_fs_error", self.name()), "test").is_ok()
    }

    /// Mounts it anew, as a restart of the machine does. Nobody may use it meanwhile.
    pub fn remount(&self) {
        umount2(&self.folder, MntFlags::empty()).expect("nobody uses the disk");
        // the error is noted in the file system; looking it over takes that away
        let _ = Command::new("e2fsck").args(["-fy", &self.device]).output();
        self.mount().expect("the disk is mounted again");
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        let _ = umount2(&self.folder, MntFlags::MNT_DETACH);
        let _ = run("losetup", &["--detach", &self.device]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
