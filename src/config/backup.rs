//! The backup of the last configuration that worked: `.moonraker.conf.bkp` beside `moonraker.conf`, which the
//! server falls back to when the configuration has errors (spec config.md §1.3).

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::configuration::Config;
use super::file;
use super::line::escape;
use super::source::{MAX_SIZE, RawOption, RawSection, Source};
use crate::atomic_file;

/// What the backup begins with.
const HEADING: &str = "# The last configuration that worked, with all included files in one.\n# Written by Perigee: do not edit.\n";
/// Spaces before the lines that continue a value.
const INDENT: &str = "    ";

/// Where the backup of a configuration file is.
pub fn path_for(config_file: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(config_file.file_name().unwrap_or_default());
    name.push(".bkp");
    config_file.with_file_name(name)
}

/// The backup of a configuration file, if there is one.
pub fn find(config_file: &Path) -> Option<PathBuf> {
    Some(path_for(config_file)).filter(|path| path.is_file())
}

impl Config {
    /// Writes the backup of this configuration, unless the one that exists says the same. To be called only
    /// when the server has started without warnings. Returns whether it was written.
    ///
    /// Comparing contents rather than times serves boards whose clock starts anywhere, and spares the card.
    pub fn write_backup(&self) -> io::Result<bool> {
        let source = &self.shared.source;
        let Some(main) = source.files.first() else { return Ok(false) };
        let path = path_for(&main.path);
        let text = format!("{HEADING}{}", source.write(|_, option| &option.value));
        if text.len() > MAX_SIZE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the merged configuration is too large"));
        }
        if file::read_text(&path, MAX_SIZE).is_ok_and(|old| old.text == text) {
            return Ok(false);
        }
        // The text holds what all the files hold: nobody may read it who may not read each of them.
        let mode = source.files.iter().fold(0o666, |mode, file| mode & file.mode) | 0o600;
        atomic_file::write(&path, text.as_bytes(), mode)?;
        Ok(true)
    }
}

impl Source {
    /// The configuration in one text that reads as the same configuration; `text` gives the options' texts.
    pub(super) fn write<'a>(&'a self, text: impl Fn(&'a RawSection, &'a RawOption) -> &'a str) -> String {
        let mut out = String::new();
        let default = Some(&self.defaults).filter(|section| !section.files.is_empty());
        for section in default.into_iter().chain(&self.sections) {
            out.push_str(&format!("\n[{}]\n", escape(&section.name, false)));
            for option in &section.options {
                write_option(&mut out, &option.name, text(section, option));
            }
        }
        out
    }
}

fn write_option(out: &mut String, name: &str, text: &str) {
    let mut lines = text.split('\n');
    let first = lines.next().unwrap_or_default();
    out.push_str(&escape(name, false));
    out.push(':');
    // A space before a backslash and a comment sign would make an escape of it.
    if !first.is_empty() && !first.starts_with("\\#") && !first.starts_with("\\;") {
        out.push(' ');
    }
    out.push_str(&escape(first, true));
    out.push('\n');
    for line in lines {
        out.push_str(INDENT);
        out.push_str(&escape(line, true));
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variables;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Sections, and names and texts of their options.
    fn content(source: &Source) -> Vec<(String, Vec<(String, String)>)> {
        let texts = |section: &RawSection| {
            section.options.iter().map(|option| (option.name.clone(), option.value.clone())).collect()
        };
        let all = std::iter::once(&source.defaults).chain(&source.sections);
        all.map(|section| (section.name.to_string(), texts(section))).collect()
    }

    fn assert_round_trip(text: &str) -> bool {
        let path = Path::new("/x/moonraker.conf");
        let Ok(source) = Source::parse(path, text) else { return false };
        let written = format!("{HEADING}{}", source.write(|_, option| &option.value));
        let again = Source::parse(path, &written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(content(&source), content(&again), "{written}");
        true
    }

    #[test]
    fn odd_values_survive() {
        assert!(assert_round_trip(concat!(
            "[DEFAULT]\nx: \\# 1\n[a \\# b]\nk: \\#\nl:\\# y\nm:#z\nn: a \\; b  \\#c\no:\n p\n \\# q\n  [r]\n",
            "s t = u:v\n[\\#w] x\n\\#y: \\\\# z\n[foo: bar\n  baz]\nempty:\n"
        )));
    }

    #[test]
    fn the_backup_is_written_once_and_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("moonraker.conf");
        fs::write(&file, "[server]\nport: 1\n[include extra.conf]\n").unwrap();
        fs::write(folder.path().join("extra.conf"), "[a]\nlist:\n  1\n  2\n").unwrap();
        fs::set_permissions(folder.path().join("extra.conf"), fs::Permissions::from_mode(0o600)).unwrap();
        let variables = Variables::new(folder.path().into());
        let config = Config::read(&file, &variables).unwrap();

        assert_eq!(find(&file), None);
        assert!(config.write_backup().unwrap());
        assert_eq!(find(&file), Some(folder.path().join(".moonraker.conf.bkp")));
        assert!(!config.write_backup().unwrap(), "it is up to date");
        let mode = fs::metadata(path_for(&file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "as closed as the most closed of the files");

        let backup = Config::read(&path_for(&file), &variables).unwrap();
        assert_eq!(content(&backup.shared.source), content(&config.shared.source));

        fs::write(&file, "[server]\nport: 2\n").unwrap();
        assert!(Config::read(&file, &variables).unwrap().write_backup().unwrap());
    }

    fn any_config() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            Just("[a]".to_owned()),
            Just("\n".into()),
            Just("\n  ".into()),
            Just("\t".into()),
            Just(" \\#".into()),
            Just(" #".into()),
            Just("\\;".into()),
            Just(": ".into()),
            Just("=".into()),
            "\n\\[[a-c \\\\#]{1,5}\\]\n",
            "\n[a-eA-E#\\[ ]{1,6}[:=] ?[a-c#;\\\\ \\]\\[:=é]{0,8}",
            "[ a-c#;:=\\\\\\[\\]]{1,4}",
        ];
        proptest::collection::vec(piece, 0..16).prop_map(|pieces| format!("[server]{}", pieces.concat()))
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(text in any_config()) {
            assert_round_trip(&text);
        }

        #[test]
        fn any_text_that_can_be_read_can_be_written(text in "(\\[|\\]|:|\n| |#|;|\\\\|\t|\\PC){0,40}") {
            assert_round_trip(&format!("[s]\n{text}"));
        }
    }
}
