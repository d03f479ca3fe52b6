//! The virtual SD card: which file is open, where the print is in it, and its next line.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memchr::memchr;

use super::status::Status;

/// How much of the file is read at once.
const CHUNK: usize = 64 * 1024;

/// The longest line that is taken. A longer one ends the print with an error.
const MAX_LINE: usize = 1024 * 1024;

/// The most files that a folder is searched for.
const MAX_FILES: usize = 20_000;

/// How deep folders are searched.
const MAX_DEPTH: usize = 16;

/// What comes next of a file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::demo::klippy) enum Next {
    /// A line without its end.
    Line(String),
    /// More must be read: see [`Reading::read`].
    More,
    /// The file is over. As in Klippy, a last line without an end is not taken.
    End,
    /// The line is too long to be one.
    TooLong,
}

/// An open file.
#[derive(Debug, Clone)]
struct Open {
    path: PathBuf,
    file: Arc<File>,
    /// Bytes read from [`VirtualSdcard::position`] on.
    buffer: Vec<u8>,
    /// How many of them have been used.
    used: usize,
    over: bool,
}

/// A read that is to be done where it may block.
pub(in crate::demo::klippy) struct Reading {
    file: Arc<File>,
    offset: u64,
}

impl Reading {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// Those of reading.
    pub(in crate::demo::klippy) fn read(self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; CHUNK];
        let read = self.file.read_at(&mut bytes, self.offset)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// The card.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct VirtualSdcard {
    open: Option<Open>,
    /// Up to where the file has been printed, in bytes.
    pub(in crate::demo::klippy) position: u64,
    /// In bytes.
    pub(in crate::demo::klippy) size: u64,
    /// Whether the file is being printed.
    pub(in crate::demo::klippy) active: bool,
    /// Whether printing stops after the line at hand.
    pub(in crate::demo::klippy) must_pause: bool,
    /// Whether the line at hand comes from the file.
    pub(in crate::demo::klippy) cmd_from_sd: bool,
}

impl VirtualSdcard {
    /// A card with nothing open.
    pub(in crate::demo::klippy) fn new() -> Self {
        Self { open: None, position: 0, size: 0, active: false, must_pause: false, cmd_from_sd: false }
    }

    /// Whether a file is open.
    pub(in crate::demo::klippy) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Opens what [`find`] has found.
    pub(in crate::demo::klippy) fn load(&mut self, found: Found) {
        self.open = Some(Open {
            path: found.path,
            file: Arc::new(found.file),
            buffer: Vec::new(),
            used: 0,
            over: false,
        });
        self.position = 0;
        self.size = found.size;
    }

    /// Closes the file; position and size stay to be seen.
    pub(in crate::demo::klippy) fn close(&mut self) {
        self.open = None;
    }

    /// Goes to a position, for the next line.
    pub(in crate::demo::klippy) fn seek(&mut self, position: u64) {
        self.position = position;
        if let Some(open) = &mut self.open {
            open.buffer.clear();
            open.used = 0;
            open.over = false;
        }
    }

    /// The next line. It is counted as printed only by [`Self::advance`].
    pub(in crate::demo::klippy) fn next(&mut self) -> Next {
        let Some(open) = &mut self.open else {
            return Next::End;
        };
        let rest = &open.buffer[open.used..];
        if let Some(end) = memchr(b'\n', rest) {
            return Next::Line(String::from_utf8_lossy(&rest[..end]).into_owned());
        }
        match (rest.len() > MAX_LINE, open.over) {
            (true, _) => Next::TooLong,
            (false, true) => Next::End,
            (false, false) => Next::More,
        }
    }

    /// The line that [`Self::next`] gave has been printed.
    pub(in crate::demo::klippy) fn advance(&mut self) {
        let Some(open) = &mut self.open else {
            return;
        };
        if let Some(end) = memchr(b'\n', &open.buffer[open.used..]) {
            open.used += end + 1;
            self.position += end as u64 + 1;
        }
    }

    /// What to read after [`Next::More`].
    pub(in crate::demo::klippy) fn reading(&self) -> Option<Reading> {
        let open = self.open.as_ref()?;
        let pending = (open.buffer.len() - open.used) as u64;
        Some(Reading { file: open.file.clone(), offset: self.position + pending })
    }

    /// Takes what was read.
    pub(in crate::demo::klippy) fn feed(&mut self, bytes: &[u8]) {
        if let Some(open) = &mut self.open {
            open.over = bytes.is_empty();
            open.buffer.drain(..open.used);
            open.used = 0;
            open.buffer.extend_from_slice(bytes);
        }
    }

    /// How much has been printed, 0 to 1.
    pub(in crate::demo::klippy) fn progress(&self) -> f64 {
        if self.size > 0 { self.position as f64 / self.size as f64 } else { 0.0 }
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        let path = self.open.as_ref().map(|open| open.path.to_string_lossy());
        Status::default()
            .maybe("file_path", path.as_deref())
            .number("progress", self.progress())
            .flag("is_active", self.active)
            .int("file_position", self.position)
            .int("file_size", self.size)
    }
}

/// A file that can be opened.
pub(in crate::demo::klippy) struct Found {
    path: PathBuf,
    file: File,
    /// In bytes.
    pub(in crate::demo::klippy) size: u64,
}

/// Looks for a file by its name below the folder, if need be without regard to capitals. May block.
///
/// # Errors
/// Klippy's message.
pub(in crate::demo::klippy) fn find(folder: &Path, name: &str, subfolders: bool) -> Result<Found, String> {
    let error = || "Unable to open file".to_owned();
    let files = list(folder, subfolders)?;
    let known = files.iter().find(|(file, _)| file == name).or_else(|| {
        let lower = name.to_lowercase();
        files.iter().find(|(file, _)| file.to_lowercase() == lower)
    });
    let path = folder.join(&known.ok_or_else(error)?.0);
    let file = File::open(&path).map_err(|_| error())?;
    let size = file.metadata().map_err(|_| error())?.len();
    Ok(Found { path, file, size })
}

/// The files on the card with their sizes, sorted: all in the folder itself that are not hidden, or those with a
/// G-code extension in it and below. May block.
///
/// # Errors
/// Klippy's message.
pub(in crate::demo::klippy) fn list(folder: &Path, subfolders: bool) -> Result<Vec<(String, u64)>, String> {
    let mut files = Vec::new();
    let result = collect(folder, "", subfolders, 0, &mut files);
    if result.is_err() && !subfolders {
        return Err("Unable to get file list".to_owned());
    }
    files.sort_by_key(|(name, _)| name.to_lowercase());
    Ok(files)
}

fn collect(
    folder: &Path,
    prefix: &str,
    subfolders: bool,
    depth: usize,
    files: &mut Vec<(String, u64)>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let (Ok(meta), true) = (fs::metadata(entry.path()), files.len() < MAX_FILES) else {
            continue;
        };
        let name_here = format!("{prefix}{name}");
        if meta.is_dir() {
            if subfolders && depth < MAX_DEPTH {
                // a folder that cannot be read is as good as empty
                let _ = collect(&entry.path(), &format!("{name_here}/"), subfolders, depth + 1, files);
            }
        } else if subfolders {
            let extension = name.rsplit_once('.').map_or(name.as_str(), |(_, extension)| extension);
            if matches!(extension, "gcode" | "g" | "gco") {
                files.push((name_here, meta.len()));
            }
        } else if !name.starts_with('.') {
            files.push((name_here, meta.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("perigee-sdcard-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub")).unwrap();
        folder
    }

    /// All lines of the card's file, with the position after each.
    fn lines(card: &mut VirtualSdcard) -> Vec<(String, u64)> {
        let mut lines = Vec::new();
        loop {
            match card.next() {
                Next::Line(line) => {
                    card.advance();
                    lines.push((line, card.position));
                }
                Next::More => {
                    let bytes = card.reading().unwrap().read().unwrap();
                    card.feed(&bytes);
                }
                Next::End | Next::TooLong => return lines,
            }
        }
    }

    #[test]
    fn files_are_found_without_regard_to_capitals_and_listed_in_order() {
        let folder = folder("find");
        fs::write(folder.join("b.gcode"), "G28\n").unwrap();
        fs::write(folder.join("A.GCODE"), "").unwrap();
        fs::write(folder.join(".hidden.gcode"), "").unwrap();
        fs::write(folder.join("sub/c.g"), "G1").unwrap();
        assert_eq!(list(&folder, false).unwrap(), [("A.GCODE".to_owned(), 0), ("b.gcode".to_owned(), 4)]);
        let below = list(&folder, true).unwrap();
        assert_eq!(
            below.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            [".hidden.gcode", "b.gcode", "sub/c.g"]
        );
        assert_eq!(find(&folder, "SUB/C.G", true).unwrap().size, 2);
        assert_eq!(find(&folder, "none.gcode", true).err().unwrap(), "Unable to open file");
        assert_eq!(list(&folder.join("none"), false).unwrap_err(), "Unable to get file list");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_last_line_needs_an_end_and_seeking_works() {
        let folder = folder("seek");
        fs::write(folder.join("a.gcode"), "one\ntwo\r\nthree").unwrap();
        let mut card = VirtualSdcard::new();
        card.load(find(&folder, "a.gcode", false).unwrap());
        assert_eq!(lines(&mut card), [("one".to_owned(), 4), ("two\r".to_owned(), 9)]);
        assert_eq!(card.progress(), 9.0 / 14.0);
        card.seek(4);
        assert_eq!(lines(&mut card), [("two\r".to_owned(), 9)]);
        card.close();
        assert_eq!((card.next(), card.position), (Next::End, 9));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_line_has_a_longest_length() {
        let folder = folder("long");
        fs::write(folder.join("a.gcode"), vec![b'x'; 2 * MAX_LINE]).unwrap();
        let mut card = VirtualSdcard::new();
        card.load(find(&folder, "a.gcode", false).unwrap());
        assert!(lines(&mut card).is_empty());
        assert_eq!(card.next(), Next::TooLong);
        fs::remove_dir_all(&folder).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn lines_come_out_as_they_are_in_the_file(lengths in prop::collection::vec(0..400usize, 0..900)) {
            let folder = folder("lines");
            let lines_in: Vec<String> =
                lengths.iter().enumerate().map(|(number, length)| format!("{number}{}", "x".repeat(*length))).collect();
            let text: String = lines_in.iter().map(|line| format!("{line}\n")).collect();
            fs::write(folder.join("a.gcode"), &text).unwrap();
            let mut card = VirtualSdcard::new();
            card.load(find(&folder, "a.gcode", false).unwrap());
            let out: Vec<String> = lines(&mut card).into_iter().map(|(line, _)| line).collect();
            prop_assert_eq!(out, lines_in);
            prop_assert_eq!(card.position, text.len() as u64);
            fs::remove_dir_all(&folder).unwrap();
        }
    }
}
