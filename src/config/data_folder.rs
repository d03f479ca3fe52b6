//! The data folder: what it must hold before anything else starts (spec config.md §1.2).

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::SystemTime;

use super::file;
use super::process::Paths;
use crate::atomic_file;

/// The file that holds the instance's id.
const UUID_FILE: &str = ".moonraker.uuid";
/// Bytes of that file that are looked at.
const MAX_UUID_FILE: usize = 1024;
/// Folders that are made, with their permissions (less the umask). Keys and password hashes are for the
/// server's user alone; Klipper, which may be another user, must get at the rest.
const FOLDERS: [(&str, u32); 7] = [
    ("config", 0o777),
    ("logs", 0o777),
    ("gcodes", 0o777),
    ("database", 0o700),
    ("comms", 0o777),
    ("certs", 0o700),
    ("misc", 0o777),
];

/// What was found or made.
#[derive(Debug)]
pub struct DataFolder {
    /// 32 hexadecimal digits that stay the same for the life of the data folder.
    pub instance_uuid: String,
    /// What could not be made or had to be mended. The server can start all the same.
    pub warnings: Vec<String>,
}

/// Makes the data folder, with its parents, and what it lacks. An error only if there can be no data folder.
pub fn prepare(paths: &Paths) -> io::Result<DataFolder> {
    make(&paths.data_path, 0o777)?;
    let mut warnings = Vec::new();
    for (name, mode) in FOLDERS {
        let folder = paths.data_path.join(name);
        if let Err(error) = make(&folder, mode) {
            warnings.push(format!("Unable to create folder {}: {error}", folder.display()));
        }
    }
    let instance_uuid = instance_uuid(&paths.data_path.join(UUID_FILE), &mut warnings)?;
    Ok(DataFolder { instance_uuid, warnings })
}

/// When something in the data folder was last written: it cannot be earlier than that now, whatever the clock says.
pub fn last_written(paths: &Paths) -> SystemTime {
    let places = ["database/data.mdb", "database", "config", "gcodes", "logs", "."];
    let times = places
        .iter()
        .map(|place| paths.data_path.join(place))
        .chain([paths.config_file.clone(), paths.log_file.clone().unwrap_or_default()])
        .filter_map(|path| fs::metadata(path).ok()?.modified().ok());
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

fn make(folder: &Path, mode: u32) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().mode(mode).create(folder)
}

/// The id in the file; a new one, kept there, if it has none.
fn instance_uuid(path: &Path, warnings: &mut Vec<String>) -> io::Result<String> {
    let is_uuid = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match file::read_text(path, MAX_UUID_FILE) {
        Ok(file) if is_uuid(file.text.trim()) => return Ok(file.text.trim().to_ascii_lowercase()),
        Err(error) if error.missing => {}
        _ => warnings.push(format!(
            "The file {} was damaged and has been made anew: the instance has a new id.",
            path.display()
        )),
    }
    let uuid = random_uuid()?;
    if let Err(error) = atomic_file::write(path, uuid.as_bytes(), 0o644) {
        warnings.push(format!("Unable to write {}: {error}", path.display()));
    }
    Ok(uuid)
}

/// A random (version 4) UUID, RFC 9562 §5.4, without dashes.
fn random_uuid() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let number = u128::from_be_bytes(bytes);
    let (version, variant) = (0xf << 76, 0b11 << 62);
    Ok(format!("{:032x}", (number & !version & !variant) | (4 << 76) | (0b10 << 62)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProcessOptions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    fn paths(data_path: PathBuf) -> Paths {
        ProcessOptions { data_path: Some(data_path), ..Default::default() }.paths(None)
    }

    #[test]
    fn everything_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path().join("home/pi/printer_data"));
        let first = prepare(&paths).unwrap();
        assert!(first.warnings.is_empty(), "{:?}", first.warnings);
        for (name, _) in FOLDERS {
            assert!(paths.data_path.join(name).is_dir(), "{name}");
        }
        let mode =
            |name: &str| fs::metadata(paths.data_path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("certs"), mode("database")), (0o700, 0o700));

        assert_eq!(first.instance_uuid.len(), 32);
        assert_eq!(&first.instance_uuid[12..13], "4");
        assert!("89ab".contains(&first.instance_uuid[16..17]));
        fs::write(paths.data_path.join(UUID_FILE), format!("{}\n", first.instance_uuid)).unwrap();
        assert_eq!(prepare(&paths).unwrap().instance_uuid, first.instance_uuid);
    }

    #[test]
    fn the_last_time_that_something_was_written() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path().join("data"));
        assert_eq!(last_written(&paths), SystemTime::UNIX_EPOCH);
        prepare(&paths).unwrap();
        let soon = SystemTime::now() + std::time::Duration::from_secs(3600);
        fs::write(paths.data_path.join("database/data.mdb"), "").unwrap();
        assert!(last_written(&paths) < soon);
        let database = File::options().write(true).open(paths.data_path.join("database/data.mdb")).unwrap();
        database.set_modified(soon).unwrap();
        assert_eq!(last_written(&paths), soon);
    }

    #[test]
    fn a_damaged_id_is_made_anew() {
        let root = tempfile::tempdir().unwrap();
        let paths = paths(root.path().into());
        for damage in [&b""[..], b"\0\0\0\0", b"not an id", &[b'a'; 31], &[b'a'; 4096]] {
            fs::write(root.path().join(UUID_FILE), damage).unwrap();
            let made = prepare(&paths).unwrap();
            assert_eq!((made.warnings.len(), made.instance_uuid.len()), (1, 32));
            assert!(prepare(&paths).unwrap().warnings.is_empty());
        }
    }

    #[test]
    fn what_is_in_the_way_is_a_warning_or_an_error() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("gcodes"), "").unwrap();
        std::os::unix::fs::symlink("/no-such/stick", root.path().join("logs")).unwrap();
        let made = prepare(&paths(root.path().into())).unwrap();
        assert_eq!(made.warnings.len(), 2, "{:?}", made.warnings);
        assert!(prepare(&paths(root.path().join("gcodes"))).is_err());
    }
}
