//! The syntax of one line of a configuration file (spec config.md §2).
//!
//! Lines are looked at in two steps, as Moonraker does: comments, tabs and escapes first, then the indentation,
//! which tells a continuation from a header or an option.

/// Columns between tab stops.
const TAB: usize = 4;

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// One more line of the value that the last option began; never empty.
    Continuation(&'a str),
    /// `[name]`. What follows the first `]` does not count.
    Header(&'a str),
    /// `name: value` or `name = value`; the name in lower case, the value possibly empty.
    Option {
        /// Not empty.
        name: String,
        /// Trimmed.
        value: &'a str,
    },
    /// Neither; with the reason.
    Malformed(&'static str),
}

/// Reads the lines of one file in order.
#[derive(Default)]
pub(super) struct LineReader {
    /// The indentation of the option above, if a continuation can follow.
    option_indent: Option<usize>,
    line: String,
    plain: bool,
}

impl LineReader {
    /// A reader of plain INI: comments are whole lines, and values are taken as they stand.
    pub(super) fn plain() -> Self {
        Self { plain: true, ..Self::default() }
    }

    /// What a line says; `None` for a blank line or a comment, which count for nothing wherever they stand.
    pub(super) fn read(&mut self, raw: &str) -> Option<Line<'_>> {
        if is_void(raw.trim_start()) {
            return None;
        }
        self.line.clear();
        if self.plain {
            self.line.push_str(raw);
        } else {
            expand_tabs(raw, &mut self.line);
            if let Some(comment) = inline_comment(&self.line) {
                self.line.truncate(comment);
            }
            unescape(&mut self.line);
        }
        let text = self.line.trim_start();
        let indent = self.line[..self.line.len() - text.len()].chars().count();
        let text = text.trim_end();
        if self.option_indent.is_some_and(|option| indent > option) {
            return Some(Line::Continuation(text));
        }
        if is_void(text) {
            // An escaped comment sign that begins a line escapes nothing but a continuation.
            return None;
        }
        if let Some(name) = header(text) {
            self.option_indent = None;
            return Some(Line::Header(name));
        }
        self.option_indent = Some(indent);
        Some(option(text))
    }
}

fn is_void(text: &str) -> bool {
    text.is_empty() || text.starts_with(['#', ';'])
}

fn header(text: &str) -> Option<&str> {
    let name = text.strip_prefix('[')?;
    let end = name.find(']').filter(|end| *end > 0)?;
    Some(&name[..end])
}

fn option(text: &str) -> Line<'_> {
    let Some(delimiter) = text.find([':', '=']) else {
        return Line::Malformed("expected 'option: value' or '[section]'");
    };
    let name = text[..delimiter].trim().to_lowercase();
    if name.is_empty() {
        return Line::Malformed("an option needs a name before the delimiter");
    }
    Line::Option { name, value: text[delimiter + 1..].trim() }
}

fn expand_tabs(raw: &str, line: &mut String) {
    let mut column = 0;
    for c in raw.chars() {
        if c == '\t' {
            let width = TAB - column % TAB;
            line.extend(std::iter::repeat_n(' ', width));
            column += width;
        } else {
            line.push(c);
            column += 1;
        }
    }
}

/// Where an inline comment begins: one or more spaces before `#` or `;`.
fn inline_comment(line: &str) -> Option<usize> {
    let sign = line.as_bytes().windows(2).position(|pair| matches!(pair, [b' ', b'#' | b';']))? + 1;
    Some(line[..sign].trim_end_matches(' ').len())
}

/// `<space>\#` and `<space>\;` lose the backslash.
fn unescape(line: &mut String) {
    for (escaped, plain) in [(" \\#", " #"), (" \\;", " ;")] {
        if line.contains(escaped) {
            *line = line.replace(escaped, plain);
        }
    }
}

/// Puts a backslash before each comment sign that reading would take for one: the opposite of [`unescape`], for
/// text that follows a space if `after_space`.
pub(super) fn escape(text: &str, after_space: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut space = after_space;
    for c in text.chars() {
        if space && matches!(c, '#' | ';') {
            out.push('\\');
        }
        out.push(c);
        space = c == ' ';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `lines` after each other and tells what the last one says.
    fn last(lines: &[&str]) -> String {
        let mut reader = LineReader::default();
        let mut said = String::new();
        for line in lines {
            said = format!("{:?}", reader.read(line));
        }
        said
    }

    fn value(line: &str) -> String {
        match LineReader::default().read(line) {
            Some(Line::Option { value, .. }) => value.to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn delimiters_and_names() {
        assert_eq!(last(&["Host = a:b"]), r#"Some(Option { name: "host", value: "a:b" })"#);
        assert_eq!(last(&["host:a=b"]), r#"Some(Option { name: "host", value: "a=b" })"#);
        assert_eq!(last(&["two words : x"]), r#"Some(Option { name: "two words", value: "x" })"#);
        assert_eq!(last(&["empty:"]), r#"Some(Option { name: "empty", value: "" })"#);
        assert_eq!(value("a: %(b)s $HOME ${c}"), "%(b)s $HOME ${c}", "no interpolation");
    }

    #[test]
    fn comments_and_escapes() {
        for void in ["", "   \t", "# x", "   ; x", "\t#"] {
            assert_eq!(last(&["a: 1", void]), "None", "{void:?}");
        }
        assert_eq!(value("a: one # two"), "one");
        assert_eq!(value("a: one   ; two"), "one");
        assert_eq!(value("a: one#two;three"), "one#two;three");
        assert_eq!(value("a: #one"), "");
        assert_eq!(value("a:#one"), "#one");
        assert_eq!(value("a: one \\# two \\; three"), "one # two ; three");
        assert_eq!(value("a: again\\# and\\;"), "again\\# and\\;");
        assert_eq!(value("a: x \\# y # z"), "x # y");
        assert_eq!(value("a: one\t# two"), "one", "a tab is spaces before comments are looked for");
    }

    #[test]
    fn tabs_go_to_the_next_column_of_four() {
        assert_eq!(value("a: b\tc"), "b    c");
        assert_eq!(value("ab: b\tc"), "b   c");
        assert_eq!(last(&["  a: 1", "\tb"]), r#"Some(Continuation("b"))"#);
    }

    #[test]
    fn indentation_makes_continuations() {
        assert_eq!(last(&["a:", "  b: 2  "]), r#"Some(Continuation("b: 2"))"#);
        assert_eq!(last(&["a:", "  b", "", "# c", " d"]), r#"Some(Continuation("d"))"#);
        assert_eq!(last(&["  a: 1", "  b: 2"]), r#"Some(Option { name: "b", value: "2" })"#);
        assert_eq!(last(&["a: 1", "  [x]"]), r#"Some(Continuation("[x]"))"#);
        assert_eq!(last(&["  a: 1", "  [x]"]), r#"Some(Header("x"))"#);
        assert_eq!(last(&["a: 1", "[x]", "  b: 2"]), r#"Some(Option { name: "b", value: "2" })"#);
        assert_eq!(last(&["a:", "  \\# heading"]), r##"Some(Continuation("# heading"))"##);
        assert_eq!(last(&["[a]", "  \\# heading"]), "None");
    }

    #[test]
    fn headers() {
        assert_eq!(last(&["[power my light] # x"]), r#"Some(Header("power my light"))"#);
        assert_eq!(last(&["[a] b]: c"]), r#"Some(Header("a"))"#);
        assert_eq!(last(&["[ a ]"]), r#"Some(Header(" a "))"#);
        assert!(last(&["[]"]).contains("Malformed"));
        assert!(last(&["server]"]).contains("Malformed"));
        assert!(last(&["[server"]).contains("Malformed"));
        assert!(last(&[": a"]).contains("Malformed"));
        assert_eq!(last(&["x[0]: a"]), r#"Some(Option { name: "x[0]", value: "a" })"#);
    }

    #[test]
    fn escaping_is_undone_by_reading() {
        for text in ["#a", ";", "a # b ;c", "a#b", "a  #", "# # ##", "a \\ #"] {
            assert_eq!(value(&format!("k: {}", escape(text, true))), text, "{text:?}");
        }
    }
}
