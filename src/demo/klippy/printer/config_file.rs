//! Reading Klipper's configuration syntax into sections and options.

use std::path::{Path, PathBuf};

/// How deeply files may include each other.
const MAX_INCLUDES: usize = 16;

/// One section with its options in their order. Option names are in lower case.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::demo::klippy) struct Section {
    pub(in crate::demo::klippy) name: String,
    pub(in crate::demo::klippy) options: Vec<(String, String)>,
}

impl Section {
    /// The text of an option.
    pub(in crate::demo::klippy) fn get(&self, option: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == option).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, option: &str, value: String) {
        match self.options.iter_mut().find(|(name, _)| name == option) {
            Some(entry) => entry.1 = value,
            None => self.options.push((option.to_owned(), value)),
        }
    }
}

/// The sections of a configuration in the order of their first appearance. A section or option that is given
/// again replaces what was there, as in Klippy.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::demo::klippy) struct Sections(pub(in crate::demo::klippy) Vec<Section>);

impl Sections {
    /// The section of this name.
    pub(in crate::demo::klippy) fn get(&self, name: &str) -> Option<&Section> {
        self.0.iter().find(|section| section.name == name)
    }

    /// Sets an option, adding its section if need be.
    pub(in crate::demo::klippy) fn set(&mut self, section: &str, option: &str, value: String) {
        self.section(section).set(option, value);
    }

    fn section(&mut self, name: &str) -> &mut Section {
        let at = self.0.iter().position(|section| section.name == name).unwrap_or_else(|| {
            self.0.push(Section { name: name.to_owned(), options: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    /// Reads text into this. `folder` is where relative includes are looked for.
    ///
    /// # Errors
    /// Klippy's message for a line that is neither section, option nor continuation, or an include that fails.
    pub(in crate::demo::klippy) fn read(&mut self, text: &str, folder: &Path) -> Result<(), String> {
        self.read_nested(text, folder, 0)
    }

    fn read_nested(&mut self, text: &str, folder: &Path, depth: usize) -> Result<(), String> {
        let mut section: Option<String> = None;
        let mut option: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let line = strip_inline_comment(line).trim_end();
            let indented = line.starts_with([' ', '\t']);
            let content = line.trim_start();
            if indented || content.is_empty() {
                if let (Some(section), Some(option)) = (&section, &option) {
                    self.append(section, option, content);
                }
                continue;
            }
            option = None;
            if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
                let name = name.trim();
                if let Some(pattern) = name.strip_prefix("include ") {
                    self.include(pattern.trim(), folder, depth)?;
                    section = None;
                } else {
                    self.section(name);
                    section = Some(name.to_owned());
                }
                continue;
            }
            let (Some(section), Some(at)) = (&section, content.find([':', '='])) else {
                return Err(format!("Unable to parse config file: line {}: {content:?}", number + 1));
            };
            let name = content[..at].trim().to_lowercase();
            self.set(section, &name, content[at + 1..].trim().to_owned());
            option = Some(name);
        }
        self.trim_values();
        Ok(())
    }

    fn append(&mut self, section: &str, option: &str, line: &str) {
        let section = self.section(section);
        if let Some((_, value)) = section.options.iter_mut().find(|(name, _)| name == option) {
            value.push('\n');
            value.push_str(line);
        }
    }

    /// Empty lines at the end of a value separate it from what follows; they are not part of it.
    fn trim_values(&mut self) {
        for (_, value) in self.0.iter_mut().flat_map(|section| &mut section.options) {
            value.truncate(value.trim_end().len());
        }
    }

    fn include(&mut self, pattern: &str, folder: &Path, depth: usize) -> Result<(), String> {
        if depth >= MAX_INCLUDES {
            return Err(format!("Recursive include of config file '{pattern}'"));
        }
        let full = folder.join(pattern);
        let mut files: Vec<PathBuf> =
            glob::glob(&full.to_string_lossy()).map(|found| found.flatten().collect()).unwrap_or_default();
        files.sort();
        if files.is_empty() && !pattern.contains(['*', '?', '[']) {
            return Err(format!("Include file '{}' does not exist", full.display()));
        }
        for file in files {
            let text = std::fs::read_to_string(&file)
                .map_err(|_| format!("Unable to open config file {}", file.display()))?;
            self.read_nested(&text, file.parent().unwrap_or(folder), depth + 1)?;
        }
        Ok(())
    }
}

/// Cuts a comment that begins with `;` at the start of the line or after a blank.
fn strip_inline_comment(line: &str) -> &str {
    let comment = line
        .match_indices(';')
        .map(|(at, _)| at)
        .find(|&at| line[..at].chars().next_back().is_none_or(char::is_whitespace));
    comment.map_or(line, |at| &line[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Sections, String> {
        let mut sections = Sections::default();
        sections.read(text, Path::new("/nonexistent")).map(|()| sections)
    }

    #[test]
    fn values_go_on_in_indented_lines_without_their_indent() {
        let text = "[gcode_macro A]\ndescription: x ; note\ngcode:\n  G28 ;all\n\n   M117 a;b # c\n\n[fan]\nPin = PA1\n";
        let sections = read(text).unwrap();
        assert_eq!(sections.get("gcode_macro A").unwrap().get("gcode"), Some("\nG28\n\nM117 a;b"));
        assert_eq!(sections.get("gcode_macro A").unwrap().get("description"), Some("x"));
        assert_eq!(sections.get("fan").unwrap().get("pin"), Some("PA1"));
    }

    #[test]
    fn later_values_win_and_sections_join() {
        let sections = read("[a]\nx: 1\ny: 2\n[b]\n[a]\nx: 3\n").unwrap();
        assert_eq!(sections.0.len(), 2);
        assert_eq!(sections.get("a").unwrap().get("x"), Some("3"));
        assert_eq!(sections.get("a").unwrap().get("y"), Some("2"));
    }

    #[test]
    fn a_line_that_is_nothing_is_an_error() {
        assert!(read("[a]\nnonsense\n").is_err());
        assert!(read("x: 1\n").is_err());
        assert_eq!(
            read("[include none.cfg]\n").unwrap_err(),
            "Include file '/nonexistent/none.cfg' does not exist"
        );
    }

    #[test]
    fn includes_are_read_relative_to_their_file() {
        let folder = std::env::temp_dir().join(format!("perigee-include-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        std::fs::write(folder.join("sub/a.cfg"), "[include b.cfg]\n[a]\nx: 1\n").unwrap();
        std::fs::write(folder.join("sub/b.cfg"), "[b]\ny: 2\n").unwrap();
        std::fs::write(folder.join("loop.cfg"), "[include loop.cfg]\n").unwrap();
        let mut sections = Sections::default();
        sections.read("[include sub/a*.cfg]\n", &folder).unwrap();
        assert_eq!(sections.get("b").unwrap().get("y"), Some("2"));
        assert!(sections.read("[include loop.cfg]\n", &folder).unwrap_err().starts_with("Recursive include"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
