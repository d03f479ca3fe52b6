//! Where in a namespace a value lies: the record's key, then the way into its document.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::{Error, Result};
use crate::json::MAX_DEPTH;

/// One step into a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A member of an object.
    Name(String),
    /// An element of an array, from the end when negative. A text is never an index (spec database.md §4).
    Index(i64),
}

/// A checked key: at least one segment, none of them empty (spec database.md §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath {
    record: String,
    inner: Vec<Segment>,
}

impl KeyPath {
    /// A key as text: split at every dot.
    ///
    /// # Errors
    /// BadRequest when a segment is empty or there are more than [`MAX_DEPTH`].
    pub fn parse(key: &str) -> Result<Self> {
        if key.split('.').nth(MAX_DEPTH).is_some() {
            return Err(too_deep());
        }
        Self::from_segments(key.split('.').map(|name| Segment::Name(name.to_owned())).collect())
            .map_err(|_| invalid(key))
    }

    /// The key of a record, taken literally (dots are not split).
    ///
    /// # Errors
    /// BadRequest when it is empty.
    pub fn record_key(key: &str) -> Result<Self> {
        Self::from_segments(vec![Segment::Name(key.to_owned())])
    }

    /// A key as explicit steps; the first one names the record.
    ///
    /// # Errors
    /// BadRequest when there is no segment, one is empty, or there are more than [`MAX_DEPTH`].
    pub fn from_segments(mut segments: Vec<Segment>) -> Result<Self> {
        let empty = |segment: &Segment| matches!(segment, Segment::Name(name) if name.is_empty());
        if segments.is_empty() || segments.iter().any(empty) {
            return Err(invalid("a segment is empty"));
        }
        if segments.len() > MAX_DEPTH {
            return Err(too_deep());
        }
        let record = match segments.remove(0) {
            Segment::Name(name) => name,
            Segment::Index(index) => index.to_string(),
        };
        Ok(Self { record, inner: segments })
    }

    /// A key as a client sends it: text, or a list of texts and integers.
    ///
    /// # Errors
    /// BadRequest for anything else; the message names the type as Python does, as clients are used to.
    pub fn from_json(key: &RawValue) -> Result<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Sent {
            Text(String),
            Index(i64),
        }
        let text = key.get();
        match text.as_bytes().first() {
            Some(b'"') => Self::parse(&serde_json::from_str::<String>(text).map_err(|_| invalid(text))?),
            Some(b'[') => {
                let sent: Vec<Sent> = serde_json::from_str(text).map_err(|_| invalid(text))?;
                let segments = sent.into_iter().map(|segment| match segment {
                    Sent::Text(name) => Segment::Name(name),
                    Sent::Index(index) => Segment::Index(index),
                });
                Self::from_segments(segments.collect()).map_err(|_| invalid(text))
            }
            _ => Err(Error::bad_request(format!(
                "Value for argument 'key' is a type {}, expected a string or a list of strings",
                python_type(text)
            ))),
        }
    }

    /// The record's key.
    pub fn record(&self) -> &str {
        &self.record
    }

    /// The steps into the record's document; empty for the record itself.
    pub fn inner(&self) -> &[Segment] {
        &self.inner
    }
}

impl std::fmt::Display for KeyPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.record)?;
        self.inner.iter().try_for_each(|segment| match segment {
            Segment::Name(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, ".{index}"),
        })
    }
}

/// How much of a bad key an error repeats.
const MAX_SHOWN: usize = 80;

fn invalid(key: &str) -> Error {
    let shown: String = key.chars().take(MAX_SHOWN).collect();
    Error::bad_request(format!("Invalid Key Format: '{shown}'"))
}

fn too_deep() -> Error {
    Error::bad_request(format!("Invalid Key Format: more than {MAX_DEPTH} segments"))
}

fn python_type(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "dict",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "NoneType",
        _ if json.contains(['.', 'e', 'E']) => "float",
        _ => "int",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(json: &str) -> Result<KeyPath> {
        KeyPath::from_json(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn text_splits_at_dots_and_a_list_does_not() {
        assert_eq!(from(r#""a.b.c""#).unwrap(), from(r#"["a","b","c"]"#).unwrap());
        let dotted = from(r#"["a.b","c"]"#).unwrap();
        assert_eq!((dotted.record(), dotted.inner().len()), ("a.b", 1));
        assert_eq!(from(r#"["a",-1]"#).unwrap().inner(), [Segment::Index(-1)]);
        assert_eq!(from("[7]").unwrap().record(), "7");
    }

    #[test]
    fn wrong_keys_are_refused() {
        for json in
            [r#""""#, r#"".""#, r#""a..b""#, r#"".a""#, r#""a.""#, "[]", r#"["a",""]"#, r#"[["a"]]"#, "[1.5]"]
        {
            let error = from(json).unwrap_err();
            assert!(error.status() == 400 && error.message().starts_with("Invalid Key Format"), "{json}");
        }
        for (json, name) in [
            ("{}", "dict"),
            ("true", "bool"),
            ("null", "NoneType"),
            ("1", "int"),
            ("-1.0", "float"),
            ("1e3", "float"),
        ] {
            assert!(from(json).unwrap_err().message().contains(name), "{json}");
        }
        assert!(KeyPath::parse(&"a.".repeat(1 << 20)).is_err());
        assert!(KeyPath::parse(&["a"; MAX_DEPTH].join(".")).is_ok());
    }
}
