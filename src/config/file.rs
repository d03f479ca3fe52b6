//! Reading a small text file that may be anything: a folder, a fifo, binary, huge.

use std::fs::{Metadata, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A text and what the file system says of its file.
pub(super) struct TextFile {
    pub(super) text: String,
    pub(super) metadata: Metadata,
}

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// Whether there is nothing of that name.
    pub(super) missing: bool,
    /// The line, if the contents are at fault.
    pub(super) line: Option<u32>,
    /// A sentence without the file's name.
    pub(super) reason: String,
}

impl Unreadable {
    fn new(reason: impl Into<String>) -> Self {
        Self { missing: false, line: None, reason: reason.into() }
    }

    fn in_line(before: &[u8], reason: &str) -> Self {
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        Self { line: Some(u32::try_from(lines).map_or(u32::MAX, |lines| lines + 1)), ..Self::new(reason) }
    }
}

/// Reads a regular file of at most `limit` bytes of UTF-8 without NUL. Opening a fifo would wait for its other
/// end, hence `O_NONBLOCK`; for regular files the flag means nothing.
pub(super) fn read_text(path: &Path, limit: usize) -> Result<TextFile, Unreadable> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = opened.map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unreadable { missing: true, ..Unreadable::new("the file does not exist") },
        ErrorKind::PermissionDenied => Unreadable::new("no permission to read the file"),
        _ => Unreadable::new(error.to_string()),
    })?;
    let metadata = file.metadata().map_err(|error| Unreadable::new(error.to_string()))?;
    if metadata.is_dir() {
        return Err(Unreadable::new("is a directory"));
    }
    if !metadata.is_file() {
        return Err(Unreadable::new("is not a regular file"));
    }
    let mut bytes = Vec::new();
    let most = (limit as u64).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(|error| Unreadable::new(error.to_string()))?;
    if bytes.len() > limit {
        return Err(Unreadable::new(format!("is larger than {} KiB", limit / 1024)));
    }
    if let Some(nul) = memchr::memchr(0, &bytes) {
        return Err(Unreadable::in_line(&bytes[..nul], "contains a NUL byte"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(TextFile { text, metadata }),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            Err(Unreadable::in_line(&error.as_bytes()[..valid], "is not UTF-8 text"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn texts_and_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_text(&path, 10).map(|file| file.text).map_err(|error| (error.line, error.reason))
        };
        assert_eq!(read(b"ten bytes!"), Ok("ten bytes!".into()));
        assert_eq!(read(b"eleven byte"), Err((None, "is larger than 0 KiB".into())));
        assert_eq!(read(b"a\nb\xffc"), Err((Some(2), "is not UTF-8 text".into())));
        assert_eq!(read(b"a\n\n\0"), Err((Some(3), "contains a NUL byte".into())));

        let reason = |path: &Path| read_text(path, 10).err().map(|error| error.reason);
        assert_eq!(reason(folder.path()), Some("is a directory".into()));
        assert_eq!(reason(Path::new("/dev/null")), Some("is not a regular file".into()));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(reason(&fifo), Some("is not a regular file".into()));
        assert!(read_text(&folder.path().join("none"), 10).is_err_and(|error| error.missing));
    }
}
