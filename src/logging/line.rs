//! One entry of the log, and the forms it is written in (spec config.md §1.1, flags `-n` and `-s`).

use std::borrow::Cow;
use std::fmt::{self, Write};

use log::{Level, Record};

use crate::json;
use crate::time;

/// Bytes of an entry's text; the rest is cut off and counted.
pub const MAX_TEXT: usize = 16 * 1024;
/// The crate's own modules are named without it.
const CRATE: &str = env!("CARGO_PKG_NAME");

/// An entry.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When, in milliseconds since 1970.
    pub(super) time: i64,
    pub(super) level: Level,
    /// The module that logs.
    pub(super) module: Cow<'static, str>,
    /// Its source file and line.
    pub(super) place: (&'static str, u32),
    pub(super) text: String,
}

impl Line {
    pub(super) fn new(time: i64, record: &Record<'_>) -> Self {
        let module = match record.module_path_static() {
            Some(module) if record.target() == module => Cow::Borrowed(own_name(module)),
            _ => Cow::Owned(own_name(record.target()).to_owned()),
        };
        let mut text = Bounded::default();
        // A value that cannot be shown is still an entry.
        let _ = text.write_fmt(*record.args());
        let place = (record.file_static().unwrap_or(""), record.line().unwrap_or(0));
        Self { time, level: record.level(), module, place, text: text.finish() }
    }

    /// An entry of the log's own.
    pub(super) fn own(time: i64, level: Level, text: String) -> Self {
        Self { time, level, module: Cow::Borrowed("logging"), place: (file!(), line!()), text }
    }

    /// What the entry costs of the memory that the queue may take.
    pub(super) fn weight(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }

    /// `YYYY-mm-dd HH:MM:SS,mmm [module] - text`, for the log file.
    pub(super) fn plain(&self, out: &mut String) {
        out.push_str(&stamp(self.time));
        out.push(' ');
        self.short(out);
    }

    /// `[module] - text`, for a console or a journal that adds the time itself.
    pub(super) fn short(&self, out: &mut String) {
        let level = match self.level {
            Level::Info => "",
            _ => level_name(self.level),
        };
        let space = if level.is_empty() { "" } else { " " };
        let _ = write!(out, "[{}{space}{level}] - ", self.module);
        push_text(out, self.text.trim_end());
        out.push('\n');
    }

    /// A JSON object on one line.
    pub(super) fn structured(&self, out: &mut String) {
        out.push_str("{\"time\":");
        json::push_quoted(out, &stamp(self.time));
        out.push_str(",\"level\":");
        json::push_quoted(out, level_name(self.level));
        out.push_str(",\"file\":");
        json::push_quoted(out, self.place.0);
        out.push_str(",\"function\":");
        json::push_quoted(out, &self.module);
        let _ = write!(out, ",\"line\":{},\"message\":", self.place.1);
        json::push_quoted(out, self.text.trim());
        out.push_str("}\n");
    }
}

fn own_name(module: &str) -> &str {
    module.strip_prefix(CRATE).and_then(|rest| rest.strip_prefix("::")).unwrap_or(module)
}

/// `YYYY-mm-dd HH:MM:SS,mmm` in local time.
fn stamp(time: i64) -> String {
    format!("{},{:03}", time::local(time.div_euclid(1000)), time.rem_euclid(1000))
}

/// Python's names of the levels, which log viewers know.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARNING",
        Level::Info => "INFO",
        Level::Debug | Level::Trace => "DEBUG",
    }
}

/// Appends text that may come from a client: no control character reaches a terminal, and no line within it can
/// pass for an entry.
fn push_text(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\n    "),
            '\r' => {}
            '\t' => out.push('\t'),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// Text that stops growing at [`MAX_TEXT`].
#[derive(Default)]
struct Bounded {
    text: String,
    cut: usize,
}

impl Bounded {
    fn finish(mut self) -> String {
        if self.cut > 0 {
            let _ = write!(self.text, " ... [{} more bytes]", self.cut);
        }
        self.text
    }
}

impl Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = if self.cut > 0 { 0 } else { MAX_TEXT.saturating_sub(self.text.len()) };
        let fits = prefix(part, room);
        self.text.push_str(fits);
        self.cut += part.len() - fits.len();
        Ok(())
    }
}

/// The first bytes of a text, up to a limit that may fall within a character.
pub(super) fn prefix(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An entry at a moment.
    pub(in crate::logging) fn line(time: i64, level: Level, text: &str) -> Line {
        Line {
            time,
            level,
            module: "klippy::link".into(),
            place: ("src/klippy/link.rs", 7),
            text: text.into(),
        }
    }

    fn written(write: impl Fn(&Line, &mut String), line: &Line) -> String {
        let mut out = String::new();
        write(line, &mut out);
        out
    }

    #[test]
    fn the_forms_of_an_entry() {
        let info = line(1_788_177_600_042, Level::Info, "Klippy ready\n");
        let stamp = stamp(info.time);
        assert!(stamp.ends_with(":00,042") && stamp.len() == 23, "{stamp}");
        assert_eq!(written(Line::plain, &info), format!("{stamp} [klippy::link] - Klippy ready\n"));
        assert_eq!(written(Line::short, &line(0, Level::Warn, "x")), "[klippy::link WARNING] - x\n");
        let json: serde_json::Value = serde_json::from_str(&written(Line::structured, &info)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "time": stamp, "level": "INFO", "file": "src/klippy/link.rs", "function": "klippy::link",
                "line": 7, "message": "Klippy ready",
            })
        );
    }

    #[test]
    fn text_from_outside_cannot_forge_an_entry() {
        let evil = line(0, Level::Info, "a\r\n2026-01-01 00:00:00,000 [x] - b\u{1b}[2J\t\u{0}\u{9b}");
        assert_eq!(
            written(Line::short, &evil),
            "[klippy::link] - a\n    2026-01-01 00:00:00,000 [x] - b\\x1b[2J\t\\x00\\x9b\n"
        );
        assert_eq!(written(Line::structured, &evil).lines().count(), 1);
    }

    #[test]
    fn long_text_is_cut_while_it_is_made() {
        let text = "é".repeat(MAX_TEXT);
        let record = |text: &str| {
            Line::new(
                0,
                &Record::builder().args(format_args!("{text}{text}")).module_path_static(Some("m")).build(),
            )
        };
        assert_eq!(record("abc").text, "abcabc");
        let cut = record(&text).text;
        assert!(cut.len() < MAX_TEXT + 40, "{}", cut.len());
        assert!(cut.ends_with(&format!("é ... [{} more bytes]", 4 * MAX_TEXT - MAX_TEXT)));
    }

    #[test]
    fn modules_are_named_without_the_crate() {
        assert_eq!(own_name("perigee::files::scan"), "files::scan");
        assert_eq!(own_name("perigee"), "perigee");
        assert_eq!(own_name("perigeex::y"), "perigeex::y");
    }
}
