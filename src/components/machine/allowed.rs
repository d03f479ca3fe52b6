//! Which services may be managed: the file `moonraker.asvc` in the data folder.

use std::io::{ErrorKind, Write};
use std::path::Path;

use super::allowed_file;

/// The largest file that is read.
const MAX_FILE: usize = 64 * 1024;

/// What a new file holds (spec behaviour.md §12).
const DEFAULT: &str = "klipper_mcu\nwebcamd\nMoonCord\nKlipperScreen\nmoonraker-telegram-bot\nmoonraker-obico\n\
    sonar\ncrowsnest\noctoeverywhere\nratos-configurator\n";

/// The allowed services.
#[derive(Debug)]
pub(super) struct Allowed(Vec<String>);

impl Allowed {
    /// Reads the file, or makes it. Without it the services that it would hold are allowed.
    pub(super) fn read(data_path: &Path) -> Self {
        let path = allowed_file(data_path);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_FILE)]).into_owned(),
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    create(&path);
                } else {
                    log::warn!("{} cannot be read: {error}", path.display());
                }
                DEFAULT.to_owned()
            }
        };
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let names = text.lines().map(|line| line.trim()).filter(|line| !line.is_empty());
        Self(names.map(|name| name.strip_suffix(".service").unwrap_or(name).to_owned()).collect())
    }

    /// Whether a service is in the file.
    pub(super) fn lists(&self, name: &str) -> bool {
        self.0.iter().any(|allowed| allowed == name)
    }

    /// Whether a service may be managed: those of the file, and all instances of Klipper and of this server.
    pub(super) fn allows(&self, name: &str) -> bool {
        self.lists(name) || ["klipper", "moonraker", "perigee"].iter().any(|base| is_instance(name, base))
    }
}

/// `klipper`, `klipper2`, `klipper-2`, `klipper_2`, `klipper-voron`, `klipper@2`: names of instances, as
/// installers give them. `klippership` is another service.
fn is_instance(name: &str, base: &str) -> bool {
    let Some(rest) = name.strip_prefix(base) else { return false };
    match rest.as_bytes().first() {
        None => true,
        Some(b'-' | b'_' | b'@') => true,
        Some(_) => rest.bytes().all(|b| b.is_ascii_digit()),
    }
}

fn create(path: &Path) {
    let made = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    if let Err(error) = made.and_then(|mut file| file.write_all(DEFAULT.as_bytes())) {
        log::warn!("{} cannot be made: {error}", path.display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances() {
        for name in
            ["klipper", "klipper-1", "klipper_1", "klipper2", "klipper@x", "moonraker", "moonraker-obico"]
        {
            assert!(Allowed::parse("").allows(name), "{name}");
        }
        for name in ["klippership", "ssh", "klippe", ""] {
            assert!(!Allowed::parse("").allows(name), "{name}");
        }
    }

    #[test]
    fn the_file_is_made_and_read() {
        let folder = std::env::temp_dir().join(format!("perigee-asvc-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(Allowed::read(&folder).lists("crowsnest"));
        assert_eq!(std::fs::read_to_string(allowed_file(&folder)).unwrap(), DEFAULT);
        std::fs::write(allowed_file(&folder), b" a.service \r\n\r\n\xff\nb").unwrap();
        let allowed = Allowed::read(&folder);
        assert!(allowed.allows("a") && allowed.allows("b") && !allowed.allows("crowsnest"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
