//! The marks that slicers put around the commands of an object.

use memchr::memmem;

use crate::gcode::text;

/// What a line says about objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark<'a> {
    /// What follows belongs to the object of this name.
    Start(&'a [u8]),
    /// What follows belongs to no object.
    End,
    /// `M486`: the number of the object that follows, if it says one (less than 0: none), and a name for it.
    Numbered { number: Option<i64>, name: Option<&'a [u8]> },
    /// The file has Klipper's own commands already.
    Done,
}

/// Which of a file's marks count: some slicers write two kinds, one inside the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Comments.
    Comments,
    /// `M486`.
    M486,
}

impl Mark<'_> {
    /// The kind that a mark belongs to.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Mark::Numbered { .. } => Kind::M486,
            _ => Kind::Comments,
        }
    }
}

/// Comments that say which object follows: how they begin, and what the name ends before. PrusaSlicer and its family,
/// Slic3r; BambuStudio; Cura; ideaMaker.
const STARTS: [&str; 5] = [
    "printing object ",
    "start printing object, unique label id: ",
    "start printing object, unique id: ",
    "MESH:",
    "PRINTING:",
];
/// Comments that end an object.
const ENDS: [&str; 3] = ["stop printing object", "TIME_ELAPSED:", "PRINTING_TIME:"];
/// Names that stand for no object: skirts, supports and the like of Cura and ideaMaker.
const NOBODY: [&[u8]; 2] = [b"NONMESH", b"NON-OBJECT"];

/// What a line, without its end, says about objects.
pub(super) fn read(line: &[u8]) -> Option<Mark<'_>> {
    match line.first()? {
        b';' => {
            let comment = text::comment(line)?;
            if let Some(name) = STARTS.iter().find_map(|start| comment.strip_prefix(start.as_bytes())) {
                let name = name.trim_ascii();
                return Some(if name.is_empty() || NOBODY.contains(&name) {
                    Mark::End
                } else {
                    Mark::Start(name)
                });
            }
            ENDS.iter().any(|end| comment.starts_with(end.as_bytes())).then_some(Mark::End)
        }
        b'M' | b'm' => m486(line),
        b'E' | b'e' | b'D' | b'd' => {
            let upper = line[..line.len().min(64)].to_ascii_uppercase();
            let defines =
                upper.starts_with(b"EXCLUDE_OBJECT_DEFINE ") || upper.starts_with(b"DEFINE_OBJECT ");
            let done = defines && memmem::find(&upper, b"NAME=").is_some()
                || upper.starts_with(b"EXCLUDE_OBJECT_START ");
            done.then_some(Mark::Done)
        }
        _ => None,
    }
}

/// `M486 S<number>`, `M486 A<name to the end of the line>`, `M486 A"<name>"`, or both.
fn m486(line: &[u8]) -> Option<Mark<'_>> {
    let words = line[1..].strip_prefix(b"486")?;
    if words.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
        return None;
    }
    let mut rest = words.trim_ascii();
    let mut number = None;
    let mut name = None;
    while let Some((letter, after)) = rest.split_first() {
        match letter {
            b'A' | b'a' => {
                let quoted = after.strip_prefix(b"\"");
                name = Some(
                    quoted
                        .map_or(after, |quoted| quoted.split(|byte| *byte == b'"').next().unwrap_or(quoted)),
                );
                break;
            }
            b'S' | b's' => number = text::integer(after),
            b';' => break,
            _ => {}
        }
        let word = after.iter().position(u8::is_ascii_whitespace).unwrap_or(after.len());
        rest = after[word..].trim_ascii_start();
    }
    Some(Mark::Numbered { number, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments() {
        let cases: [(&str, Option<Mark<'_>>); 12] = [
            ("; printing object cube id:0 copy 1", Some(Mark::Start(b"cube id:0 copy 1"))),
            ("; stop printing object cube id:0 copy 1", Some(Mark::End)),
            ("; INIT printing object cube id:0 copy 1", None),
            ("; start printing object, unique label id: 215", Some(Mark::Start(b"215"))),
            ("; stop printing object, unique label id: 215", Some(Mark::End)),
            (";MESH:cube.stl(1)", Some(Mark::Start(b"cube.stl(1)"))),
            (";MESH:NONMESH", Some(Mark::End)),
            (";PRINTING: part.3mf", Some(Mark::Start(b"part.3mf"))),
            (";PRINTING: NON-OBJECT", Some(Mark::End)),
            (";PRINTING_ID: 1", None),
            ("EXCLUDE_OBJECT_DEFINE NAME=a", Some(Mark::Done)),
            ("EXCLUDE_OBJECT_DEFINE RESET=1", None),
        ];
        for (line, mark) in cases {
            assert_eq!(read(line.as_bytes()), mark, "{line}");
        }
    }

    #[test]
    fn numbered() {
        let m486 = |line: &'static str| match read(line.as_bytes()) {
            Some(Mark::Numbered { number, name }) => (number, name.map(String::from_utf8_lossy)),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(m486("M486 S0"), (Some(0), None));
        assert_eq!(m486("M486 S-1"), (Some(-1), None));
        assert_eq!(m486("M486 T4"), (None, None));
        assert_eq!(m486("M486 Atiny.stl (Instance 1)"), (None, Some("tiny.stl (Instance 1)".into())));
        assert_eq!(m486("M486 S2 A\"a; b\" ; c"), (Some(2), Some("a; b".into())));
        assert_eq!(read(b"M4861 S0"), None);
    }
}
