//! Reading and changing parts of a JSON text without decoding it.
//!
//! Documents are kept as the client wrote them: numbers keep all their digits and the difference between `1` and
//! `1.0`, members keep their order, and a change copies the rest of the text as it is. Nothing here recurses
//! deeper than the key path, whose length is bounded.

use std::ops::Range;

use super::path::Segment;

/// A change that the document's shape does not allow: the way leads through something that is no object.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnObject;

/// Whether `text` is a JSON object.
pub(super) fn is_object(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// Whether `text` is an object or array without members.
pub(super) fn is_empty(text: &str) -> bool {
    Children::of(text).is_some_and(|mut children| children.next().is_none())
}

/// The value at `path` inside `text`.
pub(super) fn locate<'a>(text: &'a str, path: &[Segment]) -> Option<&'a str> {
    path.iter().try_fold(text, |text, segment| text.get(find(text, segment)?))
}

/// `text` with `value` at `path`: parents that are missing are made, a value that is there is replaced.
///
/// # Errors
/// [`NotAnObject`] when `text` or a parent on the way is no object.
pub(super) fn insert(text: &str, path: &[Segment], value: &str) -> Result<String, NotAnObject> {
    let Some((segment, rest)) = path.split_first() else { return Ok(value.to_owned()) };
    if !is_object(text) {
        return Err(NotAnObject);
    }
    let name = name_of(segment);
    let Some(range) = member(text, &name) else {
        return Ok(append(text, &name, &nest(rest, value)));
    };
    let inner = match rest {
        [] => value.to_owned(),
        _ => insert(&text[range.clone()], rest, value)?,
    };
    Ok([&text[..range.start], &inner, &text[range.end..]].concat())
}

/// Takes the value at `path` out: gives it and the rest. None when it is not there.
pub(super) fn remove(text: &str, path: &[Segment]) -> Option<(String, String)> {
    let (segment, rest) = path.split_first()?;
    let range = find(text, segment)?;
    let found = text.get(range.clone())?;
    if rest.is_empty() {
        return Some((found.to_owned(), without(text, segment, &range)?));
    }
    let (removed, inner) = remove(found, rest)?;
    Some((removed, [text.get(..range.start)?, &inner, text.get(range.end..)?].concat()))
}

/// `text` without the white space between its tokens.
pub(super) fn minify(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut from, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b' ' | b'\t' | b'\r' | b'\n' => {
                out.push_str(&text[from..at]);
                at += 1;
                from = at;
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[from..]);
    out
}

/// Where the child that `segment` names lies. Of members with the same name the last one counts, as in Python.
fn find(text: &str, segment: &Segment) -> Option<Range<usize>> {
    match segment {
        Segment::Name(name) => member(text, name),
        Segment::Index(index) => {
            let elements = || Children::of(text).filter(|children| children.array);
            let position = match usize::try_from(*index) {
                Ok(position) => position,
                Err(_) => elements()?.count().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
            };
            elements()?.nth(position).map(|child| child.value)
        }
    }
}

fn member(text: &str, name: &str) -> Option<Range<usize>> {
    let children = Children::of(text).filter(|children| !children.array)?;
    children.filter(|child| child.is_named(text, name)).last().map(|child| child.value)
}

fn append(text: &str, name: &str, value: &str) -> String {
    let body = text.trim_end().strip_suffix('}').unwrap_or(text);
    let comma = if is_empty(text) { "" } else { "," };
    format!("{body}{comma}{}:{value}}}", crate::json::to_text(name))
}

fn nest(path: &[Segment], value: &str) -> String {
    let mut out = String::new();
    for segment in path {
        out.push('{');
        crate::json::push_quoted(&mut out, &name_of(segment));
        out.push(':');
    }
    out.push_str(value);
    out.extend(path.iter().map(|_| '}'));
    out
}

/// A step as the name of a member: an integer names the member with its digits.
fn name_of(segment: &Segment) -> std::borrow::Cow<'_, str> {
    match segment {
        Segment::Name(name) => name.into(),
        Segment::Index(index) => index.to_string().into(),
    }
}

/// The container without the child: all members of that name, or the one element.
fn without(text: &str, segment: &Segment, removed: &Range<usize>) -> Option<String> {
    let children = Children::of(text)?;
    let (open, close) = if children.array { ('[', ']') } else { ('{', '}') };
    let mut out = String::with_capacity(text.len());
    out.push(open);
    for child in children {
        let goes = match segment {
            Segment::Name(name) => child.is_named(text, name),
            Segment::Index(_) => child.value == *removed,
        };
        if !goes {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(text.get(child.start..child.value.end)?);
        }
    }
    out.push(close);
    Some(out)
}

/// One member of an object or element of an array.
struct Child {
    /// Where it starts: the key of a member, the value of an element.
    start: usize,
    /// The key with its quotes; empty for an element.
    key: Range<usize>,
    value: Range<usize>,
}

impl Child {
    fn is_named(&self, text: &str, name: &str) -> bool {
        let Some(key) = text.get(self.key.clone()) else { return false };
        if key.contains('\\') {
            return serde_json::from_str::<String>(key).is_ok_and(|key| key == name);
        }
        key.strip_prefix('"').and_then(|key| key.strip_suffix('"')) == Some(name)
    }
}

/// The children of an object or array, in their order. The text is known to be JSON; on anything else the
/// walk ends early.
struct Children<'a> {
    bytes: &'a [u8],
    at: usize,
    array: bool,
}

impl<'a> Children<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let at = skip_space(bytes, 0);
        match bytes.get(at)? {
            b'[' => Some(Self { bytes, at: at + 1, array: true }),
            b'{' => Some(Self { bytes, at: at + 1, array: false }),
            _ => None,
        }
    }
}

impl Iterator for Children<'_> {
    type Item = Child;

    fn next(&mut self) -> Option<Child> {
        let mut at = skip_space(self.bytes, self.at);
        if self.bytes.get(at) == Some(&b',') {
            at = skip_space(self.bytes, at + 1);
        }
        if matches!(self.bytes.get(at)?, b']' | b'}') {
            return None;
        }
        let start = at;
        let mut key = at..at;
        if !self.array {
            key.end = end_of_string(self.bytes, at);
            at = skip_space(self.bytes, key.end);
            if self.bytes.get(at) != Some(&b':') {
                return None;
            }
            at = skip_space(self.bytes, at + 1);
        }
        let end = end_of_value(self.bytes, at);
        self.at = end;
        (end > at).then_some(Child { start, key, value: at..end })
    }
}

fn skip_space(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The position after the string whose opening quote is at `from`.
fn end_of_string(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The position after the value that starts at `from`.
fn end_of_value(bytes: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'[' | b'{' => (depth, at) = (depth + 1, at + 1),
            b']' | b'}' if depth == 0 => return at,
            b']' | b'}' => (depth, at) = (depth - 1, at + 1),
            b',' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
#[path = "document_tests.rs"]
pub(super) mod tests;
