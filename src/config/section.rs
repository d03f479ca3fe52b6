//! One section, from which a component reads its options.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::configuration::Shared;
use super::error::ConfigError;
use super::kind::{
    Choice, Dict, Float, Int, List, NestedList, PathKind, PinKind, Rendered, Single, TemplateKind,
};
use super::option::OptionReader;
use super::source::{DEFAULT, RawOption, RawSection};
use super::value::{Scalar, Separator, Whole};

/// A section of a configuration, which may be absent. Cheap to clone and to keep.
///
/// Each method that reads an option gives an [`OptionReader`], which ends in `.required()?`, `.optional()?` or
/// `.or(default)?`. Option names are in lower case.
#[derive(Clone)]
pub struct Section {
    pub(super) shared: Arc<Shared>,
    name: Arc<str>,
    /// Where options are looked for if the files have no such section.
    fallback: Option<&'static str>,
}

/// An option in the files.
pub(super) struct Found<'a> {
    pub(super) option: &'a RawOption,
    /// The section in which the value stands: this one, `DEFAULT`, or the fallback.
    pub(super) stands_in: Arc<str>,
    /// The section to which the value counts.
    pub(super) counts_to: Arc<str>,
}

impl Section {
    pub(super) fn new(shared: Arc<Shared>, name: &str, fallback: Option<&'static str>) -> Self {
        let name: Arc<str> = name.into();
        shared.record().section_mut(&name);
        Self { shared, name, fallback }
    }

    /// The whole name, such as `power green_led`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// What follows the first word of the name, such as `green_led`; empty if nothing does.
    pub fn instance(&self) -> &str {
        self.name.trim_start().split_once(char::is_whitespace).map_or("", |(_, rest)| rest.trim())
    }

    /// Whether the files have the section.
    pub fn exists(&self) -> bool {
        self.raw().is_some()
    }

    fn raw(&self) -> Option<&RawSection> {
        self.shared.source.section(&self.name)
    }

    /// Whether the files give the option here or in `DEFAULT`.
    pub fn has(&self, option: &str) -> bool {
        self.text(option).is_some()
    }

    /// An option's text, without counting it as read.
    pub fn text(&self, option: &str) -> Option<&str> {
        self.shared.source.option(self.raw()?, option).map(|option| option.value.as_str())
    }

    /// Names and texts of all options, those of `DEFAULT` last, without counting them as read.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        let options = self.raw().map(|section| self.shared.source.options(section));
        options.into_iter().flatten().map(|option| (option.name.as_str(), option.value.as_str()))
    }

    /// SHA-256 over each option's name and text, to see whether the section has changed (spec tests.md §3).
    pub fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for (name, text) in self.texts() {
            hash.update(name);
            hash.update(text);
        }
        hash.finalize().into()
    }

    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        let source = &self.shared.source;
        let section = match (self.raw(), self.fallback) {
            (Some(section), _) => section,
            (None, Some(fallback)) => source.section(fallback)?,
            (None, None) => return None,
        };
        let option = source.option(section, name)?;
        let own = section.options.iter().any(|known| std::ptr::eq(known, option));
        let stands_in = if own { section.name.clone() } else { DEFAULT.into() };
        Some(Found { option, stands_in, counts_to: section.name.clone() })
    }

    /// Adds a warning for people, headed by the section's name.
    pub fn warn(&self, text: impl AsRef<str>) {
        self.shared.record().warn(format!("[{}]: {}", self.name, text.as_ref()));
    }

    /// An error about an option, with its place in the files, for rules that the reading itself cannot check.
    pub fn error(&self, option: &str, message: impl AsRef<str>) -> ConfigError {
        let found = self.find(option).map(|found| found.option);
        let at = found.map(|option| (option.file, Some(option.line)));
        let at = at.or_else(|| {
            self.raw().map(|section| (section.files.first().copied().unwrap_or(0), Some(section.line)))
        });
        let (file, line) = at.unwrap_or((0, None));
        let error = ConfigError {
            file: self.shared.source.files.get(file).map(|file| file.path.clone()),
            line,
            message: format!("[{}] option '{option}': {}", self.name, message.as_ref()),
        };
        let mut record = self.shared.record();
        record.section_mut(&self.name).failed = true;
        record.errors.push(error.clone());
        error
    }

    /// Text as it stands.
    pub fn string<'a>(&'a self, option: &'a str) -> OptionReader<'a, Single<String>> {
        OptionReader::new(self, option, Single::default())
    }

    /// yes, no, on, off, true, false, 1 or 0, in any case.
    pub fn boolean<'a>(&'a self, option: &'a str) -> OptionReader<'a, Single<bool>> {
        OptionReader::new(self, option, Single::default())
    }

    /// A whole number.
    pub fn int<'a, T: Whole>(&'a self, option: &'a str) -> OptionReader<'a, Int<T>> {
        OptionReader::new(self, option, Int::default())
    }

    /// A finite number.
    pub fn float<'a>(&'a self, option: &'a str) -> OptionReader<'a, Float> {
        OptionReader::new(self, option, Float::default())
    }

    /// Elements on a line each, or between other separators; empty ones do not count.
    pub fn list<'a, T: Scalar>(&'a self, option: &'a str) -> OptionReader<'a, List<T>> {
        OptionReader::new(self, option, List::default())
    }

    /// A list of lists: the first separator stands between the lists, the second between their elements.
    pub fn nested_list<'a, T: Scalar>(
        &'a self,
        option: &'a str,
        separators: [Separator; 2],
    ) -> OptionReader<'a, NestedList<T>> {
        OptionReader::new(self, option, NestedList::new(separators))
    }

    /// Lines of `key=value`, in their order; of a key that repeats, the last.
    pub fn dict<'a, T: Scalar>(&'a self, option: &'a str) -> OptionReader<'a, Dict<T>> {
        OptionReader::new(self, option, Dict::default())
    }

    /// One of some words, each of which stands for a value.
    pub fn choice<'a, T: Clone + PartialEq>(
        &'a self,
        option: &'a str,
        choices: &'a [(&'static str, T)],
    ) -> OptionReader<'a, Choice<'a, T>> {
        OptionReader::new(self, option, Choice::new(choices))
    }

    /// A path: a template that may use `{data_path}`, `~` expanded, made absolute, symlinks followed.
    pub fn path<'a>(&'a self, option: &'a str) -> OptionReader<'a, PathKind> {
        OptionReader::new(self, option, PathKind)
    }

    /// A GPIO line to read (`input`) or to write.
    pub fn pin<'a>(&'a self, option: &'a str, input: bool) -> OptionReader<'a, PinKind> {
        OptionReader::new(self, option, PinKind { input })
    }

    /// A template, compiled, to be rendered later.
    pub fn template<'a>(&'a self, option: &'a str) -> OptionReader<'a, TemplateKind> {
        OptionReader::new(self, option, TemplateKind)
    }

    /// A template's text, rendered now: for passwords and names that may come from the secrets file.
    pub fn rendered<'a>(&'a self, option: &'a str) -> OptionReader<'a, Rendered> {
        OptionReader::new(self, option, Rendered)
    }
}
