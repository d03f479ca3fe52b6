//! What the outside gets to see of a configuration: the reply of `server.config`, and warnings of what nobody
//! read. Passwords are masked in all of it.

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use super::configuration::Config;
use super::record::Record;
use super::source::{DEFAULT, RawOption, RawSection, Source};

/// Stands for a value that must not be shown.
pub const MASK: &str = "**********";
/// Characters of a value that a warning quotes.
const MAX_QUOTED: usize = 200;
/// Parts of the names of options that hold passwords, for options that nobody has read, as nobody has said then
/// whether they are secret.
const SECRET_NAMES: [&str; 6] = ["password", "passwd", "token", "secret", "api_key", "apikey"];

/// The mask, if the text must not be shown: it is not empty and does more than name a secret.
pub(super) fn masked(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let reference = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).is_some_and(|name| {
        let name = name.trim();
        name.starts_with("secrets.") && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
    });
    (!text.is_empty() && !reference).then_some(MASK)
}

/// How an option's text in a section may be shown.
fn shown<'a>(record: &Record, section: &RawSection, option: &'a RawOption) -> &'a str {
    let own = section.options.iter().any(|known| std::ptr::eq(known, option));
    let stands_in = if own { &*section.name } else { DEFAULT };
    let read = record.section(&section.name).is_some_and(|record| record.option(&option.name).is_some());
    let sounds_secret = || SECRET_NAMES.iter().any(|part| option.name.contains(part));
    let names_file = option.name.ends_with("_path") || option.name.ends_with("_file");
    if record.is_secret(stands_in, &option.name) || (!read && !names_file && sounds_secret()) {
        masked(&option.value).unwrap_or(&option.value)
    } else {
        &option.value
    }
}

impl Config {
    /// The reply of `server.config` (spec api.md, row `server.config`):
    /// `config` {section: {option: value}} with all that was read, defaults included;
    /// `orig` {section: {option: text}} as in the files, always with `DEFAULT`;
    /// `files` [{filename, sections}], names relative to the main file's folder where they can be.
    pub fn to_json(&self) -> Json {
        let record = self.shared.record();
        let config: Map<String, Json> = record
            .sections
            .iter()
            .map(|section| (section.name.to_string(), section.options.iter().cloned().collect()))
            .collect();
        let source = &self.shared.source;
        let texts = |section: &RawSection| -> Json {
            let text = |option| Json::from(shown(&record, section, option));
            source.options(section).map(|option| (option.name.clone(), text(option))).collect()
        };
        let mut orig = Map::new();
        orig.insert(DEFAULT.into(), texts(&source.defaults));
        orig.extend(source.sections.iter().map(|section| (section.name.to_string(), texts(section))));
        json!({"config": config, "orig": orig, "files": files(source)})
    }

    /// The configuration in one text, in the syntax of the files, passwords masked: for the log.
    pub fn masked_text(&self) -> String {
        let record = self.shared.record();
        let source = &self.shared.source;
        source.write(|section, option| shown(&record, section, option))
    }

    /// A warning for each section that nobody asked for and each option that nobody read. Called when all parts
    /// have read theirs.
    pub fn unparsed_warnings(&self) -> Vec<String> {
        let record = self.shared.record();
        let source = &self.shared.source;
        let mut warnings = Vec::new();
        for section in &source.sections {
            let name = &section.name;
            let word = name.split_whitespace().next().unwrap_or_default();
            if let Some((_, feature)) = record.unavailable.iter().find(|(known, _)| known == word) {
                warnings.push(format!(
                    "Config section [{name}] has no effect: this build of Perigee does not have the feature \
                     '{feature}'."
                ));
                continue;
            }
            match record.section(name) {
                None => warnings.push(format!(
                    "Unparsed config section [{name}] detected.  No component uses it: its name may be \
                     misspelled, or the component failed to load."
                )),
                Some(known) if known.failed => {}
                Some(known) => {
                    for option in
                        source.options(section).filter(|option| known.option(&option.name).is_none())
                    {
                        let text = shown(&record, section, option);
                        warnings.push(format!(
                            "Unparsed config option '{}: {}' detected in section [{name}].  The option does not \
                             exist, or not with the other options of this section.",
                            option.name,
                            quoted(text)
                        ));
                    }
                }
            }
        }
        let more = warnings.len().saturating_sub(super::MAX_WARNINGS);
        if more > 0 {
            warnings.truncate(super::MAX_WARNINGS);
            warnings.push(format!("... and {more} more unparsed config sections and options."));
        }
        warnings
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// The same path without `..`, as people would write it.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}

fn files(source: &Source) -> Vec<Json> {
    let folder = source.files.first().and_then(|file| file.path.parent()).unwrap_or(Path::new("/"));
    let sections = |index| -> Vec<&str> {
        let all = std::iter::once(&source.defaults).chain(&source.sections);
        all.filter(|section| section.files.contains(&index)).map(|section| &*section.name).collect()
    };
    let file = |(index, file): (usize, &super::source::SourceFile)| {
        let path = without_dots(&file.path);
        let name = path.strip_prefix(folder).unwrap_or(&path);
        json!({"filename": name.to_string_lossy(), "sections": sections(index)})
    };
    source.files.iter().enumerate().map(file).collect()
}
