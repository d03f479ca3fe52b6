//! Reading G-code while it is being written to a file, so that it need not be read again.

use std::fs::File;
use std::io::{self, Write};

use crate::gcode::objects::{Objects, Survey};
use crate::gcode::{Scan, Scanner};

/// Reads G-code piece by piece.
#[derive(Debug)]
pub(super) struct Reading {
    scanner: Scanner,
    survey: Option<Survey>,
}

/// What a reading found.
#[derive(Debug)]
pub(super) struct Found {
    /// What the metadata is; nothing if the end of the file could not be read.
    pub(super) scan: Option<Scan>,
    /// The objects that it marks and does not define for Klipper; nothing if there are none, or were not looked for.
    pub(super) objects: Option<Objects>,
}

impl Reading {
    /// Reads the metadata, and learns of the objects if `objects`.
    pub(super) fn new(objects: bool) -> Self {
        Self { scanner: Scanner::new(), survey: objects.then(Survey::new) }
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        self.scanner.feed(piece);
        if let Some(survey) = &mut self.survey {
            survey.feed(piece);
        }
    }

    /// What was found. `file` holds all that was fed.
    pub(super) fn finish(self, mut file: &File) -> Found {
        Found { scan: self.scanner.finish(&mut file).ok(), objects: self.survey.and_then(Survey::finish) }
    }
}

/// Writes G-code to a file, and reads it on the way.
pub(super) struct Read<'f> {
    file: &'f File,
    reading: Reading,
}

impl<'f> Read<'f> {
    /// Writes to `file`, which is empty.
    pub(super) fn new(file: &'f File, objects: bool) -> Self {
        Self { file, reading: Reading::new(objects) }
    }

    /// What was found.
    pub(super) fn finish(self) -> Found {
        self.reading.finish(self.file)
    }
}

impl Write for Read<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.reading.feed(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
