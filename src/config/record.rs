//! What the parts of the server have read of a configuration.

use std::sync::Arc;

use serde_json::Value as Json;

use super::error::ConfigErrors;

/// Warnings of one configuration that are kept.
pub const MAX_WARNINGS: usize = 100;

#[derive(Default)]
pub(super) struct Record {
    /// Sections that somebody asked for, in that order.
    pub(super) sections: Vec<SectionRecord>,
    pub(super) warnings: Vec<String>,
    pub(super) errors: ConfigErrors,
    /// First words of sections, and the feature that each needs.
    pub(super) unavailable: Vec<(String, &'static str)>,
    /// Options with values that must not be shown: the section in which the value stands, and the name.
    pub(super) secret: Vec<(Arc<str>, String)>,
}

pub(super) struct SectionRecord {
    pub(super) name: Arc<str>,
    /// Options and their values, in the order they were read.
    pub(super) options: Vec<(String, Json)>,
    /// Whether an option had an error: then the reader gave up, and what it left unread says nothing.
    pub(super) failed: bool,
}

impl Record {
    pub(super) fn section(&self, name: &str) -> Option<&SectionRecord> {
        self.sections.iter().find(|section| *section.name == *name)
    }

    /// The record of a section, begun if need be.
    pub(super) fn section_mut(&mut self, name: &Arc<str>) -> &mut SectionRecord {
        let index = self.sections.iter().position(|section| section.name == *name).unwrap_or_else(|| {
            self.sections.push(SectionRecord { name: name.clone(), options: Vec::new(), failed: false });
            self.sections.len() - 1
        });
        &mut self.sections[index]
    }

    pub(super) fn warn(&mut self, text: String) {
        if self.warnings.len() < MAX_WARNINGS && !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }

    pub(super) fn is_secret(&self, section: &str, option: &str) -> bool {
        self.secret.iter().any(|(known, name)| **known == *section && name == option)
    }
}

impl SectionRecord {
    pub(super) fn option(&self, name: &str) -> Option<&Json> {
        self.options.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Keeps the first value of each option.
    pub(super) fn keep(&mut self, name: &str, value: Json) {
        if self.option(name).is_none() {
            self.options.push((name.to_owned(), value));
        }
    }
}
