//! How this server is installed on the machine: what it uses and may not open, what does not outlive the machine.
//!
//! Nothing here is changed, and nothing is guessed: what is told is so, and names what to do about it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use nix::unistd::{AccessFlags, access};

use super::devices::nodes;
use super::user::{group_name, user_name};
use super::{Host, Throttled};

/// `linux/magic.h`
const RAMFS_MAGIC: u32 = 0x8584_58f6;

/// Devices of this machine that are of no use, since this process may not open them, in sentences: cameras in one,
/// the firmware of a Raspberry Pi in another. May block.
pub fn closed_devices(host: &Host) -> Vec<String> {
    let cameras = nodes(host, "video4linux", "v4l").into_iter().map(|node| format!("/dev/{}", node.name));
    let camera = cameras.into_iter().find(|path| is_closed(host, path, AccessFlags::R_OK));
    let mailbox = Some("/dev/vcio".to_owned());
    let both = AccessFlags::R_OK | AccessFlags::W_OK;
    // where the kernel tells of throttling the mailbox is not needed
    let mailbox = mailbox.filter(|path| is_closed(host, path, both) && Throttled::of(host).is_none());
    let told = [(camera, "cameras cannot be listed"), (mailbox, "throttling of the CPU is not seen")];
    told.into_iter().filter_map(|(path, without)| Some(sentence(host, &path?, without))).collect()
}

fn is_closed(host: &Host, path: &str, mode: AccessFlags) -> bool {
    access(&host.path(path), mode) == Err(nix::errno::Errno::EACCES)
}

fn sentence(host: &Host, path: &str, without: &str) -> String {
    let user = user_name(host);
    let group = std::fs::metadata(host.path(path)).map_or(0, |metadata| metadata.gid());
    let what_to_do = match group_name(host, group) {
        Some(group) if group != "root" => {
            format!("sudo usermod -aG {group} {user}, then restart the service")
        }
        _ => "a rule of udev has to give it to a group of this user".to_owned(),
    };
    format!("{without}: user {user} may not open {path} ({what_to_do})")
}

/// Whether what is in a folder is lost when the machine is switched off. May block.
pub fn is_in_memory(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|about| is_memory(about.filesystem_type()))
}

fn is_memory(kind: FsType) -> bool {
    // The type of the number differs from system to system; its 32 bits do not.
    kind == TMPFS_MAGIC || kind.0 as u32 == RAMFS_MAGIC
}

/// The configuration in the data folder, if the one that is used lies elsewhere: front-ends show and edit what nobody
/// reads. May block.
pub fn unread_configuration(data_path: &Path, used: &Path) -> Option<PathBuf> {
    let folder = data_path.join("config");
    let usual = folder.join("moonraker.conf");
    let real = |path: &Path| path.canonicalize().ok();
    let shown = used.parent().and_then(real).zip(real(&folder)).is_some_and(|(a, b)| a.starts_with(b));
    (!shown && usual.is_file() && real(&usual) != real(used)).then_some(usual)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn devices_that_may_not_be_opened() {
        let id = nix::unistd::getegid();
        let tree = Tree::unpack(&format!(
            "@@ /sys/class/video4linux/video0/name\nx\n@@ /dev/video0\n@@ /dev/vcio\n@@ /etc/group\nvideo:x:{id}:\n"
        ));
        assert_eq!(closed_devices(tree.host()), Vec::<String>::new());
        for node in ["dev/video0", "dev/vcio"] {
            std::fs::set_permissions(tree.folder().join(node), Permissions::from_mode(0o000)).unwrap();
        }
        // root may open everything
        if nix::unistd::geteuid().is_root() {
            assert_eq!(closed_devices(tree.host()), Vec::<String>::new());
        } else {
            let [camera, firmware] = closed_devices(tree.host()).try_into().unwrap();
            assert!(camera.contains("/dev/video0") && firmware.contains("/dev/vcio"));
        }
        let told = sentence(tree.host(), "/dev/video0", "cameras cannot be listed");
        let user = user_name(tree.host());
        assert!(told.contains(&format!("(sudo usermod -aG video {user}, then")), "{told}");
        std::fs::write(tree.folder().join("etc/group"), format!("root:x:{id}:\n")).unwrap();
        assert!(sentence(tree.host(), "/dev/video0", "x").contains("a rule of udev"));
    }

    #[test]
    fn memory_and_disks() {
        assert!(is_memory(TMPFS_MAGIC));
        assert!(!is_memory(nix::sys::statfs::EXT4_SUPER_MAGIC));
        assert!(!is_in_memory(Path::new("/proc")));
        assert!(!is_in_memory(Path::new("/nonexistent")));
    }

    #[test]
    fn a_configuration_that_nobody_reads() {
        let tree = Tree::unpack("@@ /data/config/\n@@ /etc/printer.conf\n");
        let (data, other) = (tree.folder().join("data"), tree.folder().join("etc/printer.conf"));
        let usual = data.join("config/moonraker.conf");
        assert_eq!(unread_configuration(&data, &other), None);
        std::fs::write(&usual, "").unwrap();
        assert_eq!(unread_configuration(&data, &other), Some(usual.clone()));
        assert_eq!(unread_configuration(&data, &usual), None);
        // another one in the folder that is shown
        assert_eq!(unread_configuration(&data, &data.join("config/second.conf")), None);
        std::fs::remove_file(&usual).unwrap();
        symlink(&other, &usual).unwrap();
        assert_eq!(unread_configuration(&data, &other), None);
    }
}
