//! A machine whose files a test can change: this one's, seen through another root folder.
//!
//! Needs root and a kernel that lets it have mounts of its own. The server in it is the same process with the same
//! sockets, and everything is gone with it.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::TempDir;

/// Makes the root folder and goes into it. Arguments: the folder, who is to be there, that user's folder, the program.
const ENTER: &str = r#"
set -e
root=$1 user=$2 home=$3
shift 3
for entry in /*; do
    if [ -L "$entry" ]; then
        [ -L "$root$entry" ] || cp -P "$entry" "$root$entry"
    elif [ -d "$entry" ]; then
        case $entry in
        # the machine has its own
        /etc | /run) continue ;;
        # not what is mounted below it: this machine is there itself
        /tmp) how=--bind ;;
        *) how=--rbind ;;
        esac
        mkdir -p "$root$entry"
        mount "$how" "$entry" "$root$entry"
    fi
done
# what process 1 tells of the container that this may be
for file in environ cgroup sched; do
    mount --bind /dev/null "$root/proc/1/$file"
done
chown -R "$user:$user" "$home"
exec chroot "$root" setpriv --reuid="$user" --regid="$user" --clear-groups -- "$@"
"#;

/// A machine. Its `/etc` is a copy, its `/run` is empty, and files in `/`, which are the marks of containers, it has not.
#[derive(Debug)]
pub struct Machine {
    root: TempDir,
}

impl Machine {
    /// None where this process may not make one, which it says.
    pub fn new() -> Option<Self> {
        let mut try_mounts = Command::new("unshare");
        try_mounts.args(["--mount", "mount", "--bind", "/tmp", "/tmp"]);
        let may = nix::unistd::geteuid().is_root()
            && try_mounts.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !may {
            println!("skipped: no machine can be made here (root and mounts are needed)");
            return None;
        }
        let root = TempDir::new();
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(root.path()).status().expect("cp");
        assert!(copied.success(), "/etc can be copied");
        fs::create_dir(root.join("run")).expect("a folder");
        Some(Self { root })
    }

    /// The folder that is its root.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// Writes a file with the rights that it is to have.
    pub fn write(&self, path: &str, text: &str, mode: u32) {
        let path = self.root.write(path.trim_start_matches('/'), text);
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("the rights can be set");
    }

    /// Adds lines to a file.
    pub fn append(&self, path: &str, text: &str) {
        let path = self.root.join(path.trim_start_matches('/'));
        let before = fs::read_to_string(&path).expect("a file");
        fs::write(path, format!("{}\n{text}\n", before.trim_end())).expect("the file can be written");
    }

    /// What is to stand before a command that is to run in it, as the user of this number, who gets `home`.
    pub fn enter(&self, user: u32, home: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> =
            ["unshare", "--mount", "sh", "-c", ENTER, "sh"].map(OsString::from).into();
        words.extend([self.root().into(), user.to_string().into(), home.into()]);
        words
    }
}
