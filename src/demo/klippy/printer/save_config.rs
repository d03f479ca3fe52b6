//! `SAVE_CONFIG`: what is stored at the end of printer.cfg, and how it gets there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::config_file::Sections;

/// The line that begins what `SAVE_CONFIG` stores.
const HEADER: &str = "#*# <---------------------- SAVE_CONFIG ---------------------->\n\
                      #*# DO NOT EDIT THIS BLOCK OR BELOW. The contents are auto-generated.\n#*#\n";

/// Options that a `SAVE_CONFIG` would store: section → option → value, or nothing for a section to remove.
pub(in crate::demo::klippy) type Pending = BTreeMap<String, Option<BTreeMap<String, String>>>;

/// Cuts a file in what its owner wrote, and what is stored, made readable.
pub(super) fn split(text: &str) -> (&str, String) {
    let Some(at) = text.find(HEADER.lines().next().unwrap_or_default()) else {
        return (text, String::new());
    };
    let stored = text[at..]
        .lines()
        .skip(3)
        .map(|line| line.strip_prefix("#*# ").or_else(|| line.strip_prefix("#*#")).unwrap_or_default());
    (&text[..at], stored.collect::<Vec<_>>().join("\n"))
}

/// Merges what is pending into what is stored already.
pub(in crate::demo::klippy) fn merge(stored: &mut Sections, pending: &Pending) {
    for (section, options) in pending {
        match options {
            None => stored.0.retain(|known| known.name != *section),
            Some(options) => {
                for (option, value) in options {
                    stored.set(section, option, value.clone());
                }
            }
        }
    }
}

/// Writes what is pending into the file: the old file is kept under a name with the date, the new one takes its
/// place whole. `date` is like `20260131_235959`.
///
/// # Errors
/// Those of reading and writing.
pub(in crate::demo::klippy) fn write(file: &Path, pending: &Pending, date: &str) -> io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (own, stored_text) = split(&text);
    let mut stored = Sections::default();
    stored.read(&stored_text, file.parent().unwrap_or(Path::new("/"))).map_err(io::Error::other)?;
    merge(&mut stored, pending);
    let mut new = comment_out(own, &stored).trim_end().to_owned();
    new.push_str("\n\n");
    new.push_str(HEADER);
    for section in &stored.0 {
        new.push_str(&format!("#*# [{}]\n", section.name));
        for (option, value) in &section.options {
            let value = value.replace('\n', "\n#*# \t");
            new.push_str(&format!("#*# {option} = {value}\n"));
        }
        new.push_str("#*#\n");
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let beside = |name: String| -> PathBuf { file.with_file_name(name) };
    let temporary = beside(format!("{stem}_autosave.cfg"));
    std::fs::write(&temporary, new)?;
    std::fs::rename(file, beside(format!("{stem}-{date}.cfg")))?;
    std::fs::rename(&temporary, file)
}

/// Puts a `#` before the options that are stored now, so that there are not two of them.
fn comment_out(own: &str, stored: &Sections) -> String {
    let mut section = String::new();
    let mut duplicate = false;
    let mut out = String::new();
    for line in own.lines() {
        let content = line.split(['#', ';']).next().unwrap_or_default().trim_end();
        if let Some(name) = content.strip_prefix('[') {
            section = name.trim_end_matches(']').trim().to_owned();
            duplicate = false;
        } else if !content.is_empty() && !content.starts_with([' ', '\t']) {
            let option = content.split([':', '=']).next().unwrap_or_default().trim().to_lowercase();
            duplicate = stored.get(&section).is_some_and(|known| known.get(&option).is_some());
        }
        if duplicate && !content.is_empty() {
            out.push('#');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_value_takes_the_place_of_the_written_one() {
        let folder = std::env::temp_dir().join(format!("perigee-save-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("printer.cfg");
        std::fs::write(&file, "[probe]\npin: PA1\nz_offset: 1.5 # measured\n[fan]\npin: PA2\n").unwrap();
        let offset = |value: &str| -> Pending {
            [("probe".to_owned(), Some([("z_offset".to_owned(), value.to_owned())].into()))].into()
        };
        write(&file, &offset("1.450"), "1").unwrap();
        write(&file, &offset("1.400"), "2").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains("\n#z_offset: 1.5 # measured\n"), "{text}");
        let (own, stored) = split(&text);
        assert!(own.contains("[fan]"));
        assert_eq!(stored.trim(), "[probe]\nz_offset = 1.400");
        assert!(folder.join("printer-1.cfg").exists() && folder.join("printer-2.cfg").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn values_of_many_lines_survive_and_sections_can_go() {
        let folder = std::env::temp_dir().join(format!("perigee-save-lines-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("printer.cfg");
        std::fs::write(&file, "[bed_mesh]\n").unwrap();
        let name = "bed_mesh default".to_owned();
        let points = Some([("points".to_owned(), "\n0.1, 0.2\n0.3, 0.4".to_owned())].into());
        write(&file, &[(name.clone(), points)].into(), "1").unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut stored = Sections::default();
        stored.read(&split(&text).1, &folder).unwrap();
        assert_eq!(stored.get(&name).unwrap().get("points"), Some("\n0.1, 0.2\n0.3, 0.4"));
        write(&file, &[(name.clone(), None)].into(), "2").unwrap();
        assert!(!std::fs::read_to_string(&file).unwrap().contains("points"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
