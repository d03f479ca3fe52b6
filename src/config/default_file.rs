//! The configuration of a printer that has none.

use std::io;
use std::path::Path;

use crate::atomic_file;

/// What is written: a commented configuration with which a typical printer works at once.
pub const TEXT: &str = include_str!("default.conf");

/// Writes the default configuration if there is nothing at `path`, with its folder if need be. Returns whether
/// it did.
pub fn write_if_missing(path: &Path) -> io::Result<bool> {
    // A link that leads nowhere is somebody's configuration on a disk that is not there now.
    if path.symlink_metadata().is_ok() {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    atomic_file::write(path, TEXT.as_bytes(), 0o644)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Variables};
    use std::fs;

    #[test]
    fn it_is_written_once_and_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config/moonraker.conf");
        assert!(write_if_missing(&path).unwrap());
        assert!(!write_if_missing(&path).unwrap());
        let config = Config::read(&path, &Variables::new("/home/pi/printer_data".into())).unwrap();
        let server = config.section("server");
        let socket = server.path("klippy_uds_address").required().unwrap();
        assert_eq!(socket, Path::new("/home/pi/printer_data/comms/klippy.sock"));
        assert_eq!(server.int::<u16>("port").required().unwrap(), 7125);
        assert_eq!(server.string("host").required().unwrap(), "0.0.0.0");
        let origins: Vec<String> = config.section("authorization").list("cors_domains").required().unwrap();
        assert!(origins.contains(&"*.local".to_owned()));
        let trusted: Vec<String> =
            config.section("authorization").list("trusted_clients").required().unwrap();
        assert!(trusted.contains(&"192.168.0.0/16".to_owned()));
        assert!(config.has_section("octoprint_compat"));
    }

    #[test]
    fn a_dangling_link_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("moonraker.conf");
        std::os::unix::fs::symlink("/no-such/disk", &path).unwrap();
        assert!(!write_if_missing(&path).unwrap());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }
}
