//! What is wrong with a configuration, and where.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// How many errors of one reading are kept; the rest is counted. A person mends a few and tries again.
pub const MAX_ERRORS: usize = 50;

/// One thing that is wrong. `Display` gives `file:line: message`, with what is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file that has to be mended.
    pub file: Option<Arc<Path>>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// A sentence for the printer's owner.
    pub message: String,
}

impl ConfigError {
    /// An error that belongs to no place in a file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { file: None, line: None, message: message.into() }
    }

    /// An error in a file, at a line if one can be named.
    pub fn at(file: Arc<Path>, line: Option<u32>, message: impl Into<String>) -> Self {
        Self { file: Some(file), line, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some(line) = self.line {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ConfigError {}

/// Everything that is wrong, in the order of the files. Holds at most [`MAX_ERRORS`]. `Display` gives a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigErrors {
    list: Vec<ConfigError>,
    more: usize,
}

impl ConfigErrors {
    pub(super) fn push(&mut self, error: ConfigError) {
        if self.list.len() < MAX_ERRORS {
            self.list.push(error);
        } else {
            self.more += 1;
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The errors that were kept.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.list.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self { list: vec![error], more: 0 }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\n... and {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
