//! A configuration as its files say it: sections with options that are text, includes resolved, files merged.
//!
//! Everything is bounded, so that no file that a user or a client puts into the config folder can stop the
//! start: sizes, counts, depth, and nothing but regular files is read (opening a fifo would wait for ever).

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, ConfigErrors};
use super::file::{self, TextFile};
use super::include;
use super::line::{Line, LineReader};

/// Bytes in all files of a configuration together. Real ones have some 5 KiB.
pub const MAX_SIZE: usize = 1024 * 1024;
/// Files of a configuration, includes counted.
pub const MAX_FILES: usize = 100;
/// How deeply includes may nest.
pub const MAX_INCLUDE_DEPTH: usize = 16;
/// Sections of a configuration.
pub const MAX_SECTIONS: usize = 1000;
/// Options of a configuration, over all sections.
pub const MAX_OPTIONS: usize = 10_000;

/// The section whose options every other one has too.
pub(super) const DEFAULT: &str = "DEFAULT";

/// A configuration, merged.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// In the order they were opened; the first is the one that was asked for.
    pub(super) files: Vec<SourceFile>,
    /// In the order of first appearance.
    pub(super) sections: Vec<RawSection>,
    /// The section `DEFAULT`.
    pub(super) defaults: RawSection,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: Arc<Path>,
    /// Permission bits: a copy of the contents must not be open to more people than this.
    pub(super) mode: u32,
}

/// A section as the files say it.
#[derive(Debug, Default)]
pub(super) struct RawSection {
    pub(super) name: Arc<str>,
    /// In the order of first appearance.
    pub(super) options: Vec<RawOption>,
    /// Indices of the files in which the section stands.
    pub(super) files: Vec<usize>,
    /// The line of its first header.
    pub(super) line: u32,
}

/// An option as the files say it.
#[derive(Debug)]
pub(super) struct RawOption {
    pub(super) name: String,
    /// Lines joined by newlines; begins with one if the option's own line is empty.
    pub(super) value: String,
    pub(super) file: usize,
    pub(super) line: u32,
}

impl RawSection {
    fn find(&self, name: &str) -> Option<&RawOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

impl Source {
    /// The section of this name, `DEFAULT` excepted.
    pub(super) fn section(&self, name: &str) -> Option<&RawSection> {
        self.sections.iter().find(|section| *section.name == *name)
    }

    /// An option of a section, or else of `DEFAULT`.
    pub(super) fn option<'a>(&'a self, section: &'a RawSection, name: &str) -> Option<&'a RawOption> {
        section.find(name).or_else(|| self.defaults.find(name))
    }

    /// The options of a section: its own, then those that `DEFAULT` adds.
    pub(super) fn options<'a>(&'a self, section: &'a RawSection) -> impl Iterator<Item = &'a RawOption> {
        let added = self.defaults.options.iter().filter(|option| section.find(&option.name).is_none());
        section.options.iter().chain(added)
    }

    /// Reads a file and all that it includes.
    pub(super) fn read(path: &Path) -> Result<Self, ConfigErrors> {
        let mut loader = Loader::default();
        loader.file(path, 0, None);
        loader.finish()
    }

    /// Reads `text` as if it stood in a file at `path`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        Self::parse_text(Loader::default(), path, text)
    }

    /// As [`Source::parse`], in the plain dialect of [`LineReader::plain`] and without includes.
    pub(super) fn parse_plain(path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        Self::parse_text(Loader { plain: true, ..Loader::default() }, path, text)
    }

    fn parse_text(mut loader: Loader, path: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let file = SourceFile { path: path.into(), mode: 0o600 };
        loader.size = text.len();
        if text.len() > MAX_SIZE {
            loader.errors.push(ConfigError::at(file.path, None, too_large()));
        } else {
            loader.source.files.push(file);
            loader.text(0, text, 0);
        }
        loader.finish()
    }
}

/// Where a file was included from.
type Includer = (Arc<Path>, u32);

#[derive(Default)]
struct Loader {
    source: Source,
    errors: ConfigErrors,
    /// Device and inode of each file: no path to a file is followed twice, whatever its name.
    visited: Vec<(u64, u64)>,
    size: usize,
    options: usize,
    /// Without comments behind values, escapes and includes.
    plain: bool,
}

/// The section that lines are added to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Default,
    Section(usize),
    /// None is open, which was not yet said.
    Nothing,
    /// The header was wrong, or that none is open was said: what follows is read for its syntax alone.
    Ignored,
}

/// The place in a file.
struct Cursor {
    file: usize,
    depth: usize,
    line: u32,
    open: Open,
    /// Index of the option that a continuation belongs to.
    option: Option<usize>,
}

impl Loader {
    fn finish(self) -> Result<Source, ConfigErrors> {
        if self.errors.is_empty() { Ok(self.source) } else { Err(self.errors) }
    }

    fn file(&mut self, path: &Path, depth: usize, from: Option<Includer>) {
        let path: Arc<Path> = path.into();
        let read = self.read_text(&path).map(|(text, mode)| {
            self.source.files.push(SourceFile { path: path.clone(), mode });
            text
        });
        match read {
            Ok(text) => self.text(self.source.files.len() - 1, &text, depth),
            Err((line, reason)) => {
                let error = match from {
                    Some((includer, at)) => {
                        ConfigError::at(includer, Some(at), format!("cannot include {}: {reason}", path.display()))
                    }
                    None => ConfigError::at(path, line, reason),
                };
                self.errors.push(error);
            }
        }
    }

    /// The text and the mode of a file, or what is wrong with it and, if that can be said, in which line.
    fn read_text(&mut self, path: &Path) -> Result<(String, u32), (Option<u32>, String)> {
        if self.source.files.len() >= MAX_FILES {
            return Err((None, format!("more than {MAX_FILES} files in one configuration")));
        }
        let TextFile { text, metadata } =
            file::read_text(path, MAX_SIZE).map_err(|error| (error.line, error.reason))?;
        let identity = (metadata.dev(), metadata.ino());
        if self.visited.contains(&identity) {
            return Err((None, "recursive include: the file is already part of the configuration".into()));
        }
        self.visited.push(identity);
        self.size += text.len();
        if self.size > MAX_SIZE {
            return Err((None, too_large()));
        }
        Ok((text, metadata.mode() & 0o777))
    }

    fn text(&mut self, file: usize, text: &str, depth: usize) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = if self.plain { LineReader::plain() } else { LineReader::default() };
        let mut at = Cursor { file, depth, line: 0, open: Open::Nothing, option: None };
        for raw in text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r')) {
            at.line = at.line.saturating_add(1);
            match reader.read(raw) {
                None => {}
                Some(Line::Continuation(more)) => {
                    if let Some(option) = at.option.and_then(|i| self.open_section(at.open)?.options.get_mut(i)) {
                        option.value.push('\n');
                        option.value.push_str(more);
                    }
                }
                Some(Line::Header(name)) => {
                    at.option = None;
                    at.open = match name.strip_prefix("include ") {
                        Some(pattern) if !self.plain => self.include(&at, pattern.trim()),
                        _ => self.header(&at, name),
                    };
                }
                Some(Line::Option { name, value }) => at.option = self.option(&mut at, name, value),
                Some(Line::Malformed(reason)) => {
                    at.option = None;
                    self.error(&at, reason);
                }
            }
        }
    }

    fn error(&mut self, at: &Cursor, message: impl Into<String>) {
        let file = self.source.files.get(at.file).map(|file| file.path.clone());
        self.errors.push(ConfigError { file, line: Some(at.line), message: message.into() });
    }

    fn open_section(&mut self, open: Open) -> Option<&mut RawSection> {
        match open {
            Open::Default => Some(&mut self.source.defaults),
            Open::Section(index) => self.source.sections.get_mut(index),
            Open::Nothing | Open::Ignored => None,
        }
    }

    fn header(&mut self, at: &Cursor, name: &str) -> Open {
        let open = if name == DEFAULT {
            self.source.defaults.name = DEFAULT.into();
            Open::Default
        } else if let Some(known) = self.source.sections.iter().position(|section| *section.name == *name) {
            Open::Section(known)
        } else if self.source.sections.len() >= MAX_SECTIONS {
            self.error(at, format!("more than {MAX_SECTIONS} sections"));
            return Open::Ignored;
        } else {
            self.source.sections.push(RawSection { name: name.into(), line: at.line, ..RawSection::default() });
            Open::Section(self.source.sections.len() - 1)
        };
        let Some(section) = self.open_section(open) else { return Open::Ignored };
        if section.files.contains(&at.file) {
            self.error(at, format!("section [{name}] appears twice in this file"));
            return Open::Ignored;
        }
        section.files.push(at.file);
        open
    }

    fn option(&mut self, at: &mut Cursor, name: String, value: &str) -> Option<usize> {
        if at.open == Open::Nothing {
            self.error(at, format!("option '{name}' belongs to no section"));
            at.open = Open::Ignored;
        }
        let (file, line) = (at.file, at.line);
        let (full, open) = (self.options >= MAX_OPTIONS, at.open);
        let section = self.open_section(open)?;
        let problem = match section.options.iter_mut().position(|option| option.name == name) {
            Some(index) => match section.options.get_mut(index) {
                Some(known) if known.file != file => {
                    (known.value, known.file, known.line) = (value.to_owned(), file, line);
                    return Some(index);
                }
                _ => format!("option '{name}' appears twice in section [{}]", section.name),
            },
            None if full => {
                at.open = Open::Ignored;
                format!("more than {MAX_OPTIONS} options")
            }
            None => {
                section.options.push(RawOption { name, value: value.to_owned(), file, line });
                let last = section.options.len() - 1;
                self.options += 1;
                return Some(last);
            }
        };
        self.error(at, problem);
        None
    }

    /// Reads what an include names, in its place. Afterwards no section is open: options that follow would
    /// belong to a section of another file.
    fn include(&mut self, at: &Cursor, pattern: &str) -> Open {
        let Some(path) = self.source.files.get(at.file).map(|file| file.path.clone()) else {
            return Open::Nothing;
        };
        if at.depth >= MAX_INCLUDE_DEPTH {
            self.error(at, format!("includes nest more than {MAX_INCLUDE_DEPTH} deep"));
            return Open::Nothing;
        }
        match include::expand(path.parent().unwrap_or(Path::new("/")), pattern) {
            Ok(found) => {
                for file in found {
                    self.file(&file, at.depth + 1, Some((path.clone(), at.line)));
                }
            }
            Err(reason) => self.error(at, format!("[include {pattern}]: {reason}")),
        }
        Open::Nothing
    }
}

fn too_large() -> String {
    format!("the configuration is larger than {} KiB", MAX_SIZE / 1024)
}
