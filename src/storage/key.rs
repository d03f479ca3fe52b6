//! How namespaces and keys become LMDB keys.
//!
//! All data lies in LMDB's one unnamed tree, under `<kind> <space> 0xFF <key>`. 0xFF never occurs in UTF-8, so
//! no escaping is needed, one namespace is one contiguous range, and ranges sort by namespace, then by key. One
//! tree instead of one named tree per namespace spares a page write in every commit, has no limit on the number
//! of namespaces, and lets one transaction span all of them.
//!
//! LMDB's keys end at 511 bytes, paths of G-code files do not. A longer key is cut and gets a hash at its end,
//! marked by 0xFE (no UTF-8 either); the whole key then stands at the head of the value.

use std::ops::Bound;

use sha2::{Digest, Sha256};

use super::error::{Error, Result};

/// Longest namespace, in bytes.
pub const MAX_NAMESPACE: usize = 255;
/// Longest record key, in bytes: as long as Linux lets a path be, since paths are keys.
pub const MAX_KEY: usize = 4096;
/// Longest key of a [`super::Table`], in bytes.
pub const MAX_TABLE_KEY: usize = 400;
/// LMDB's own limit.
const MAX_RAW: usize = 511;

const END_OF_SPACE: u8 = 0xFF;
const CUT: u8 = 0xFE;
const HASH: usize = 32;
const LENGTH: usize = size_of::<u32>();

/// What a range of keys holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Space {
    /// JSON documents in a namespace.
    Documents = b'd',
    /// Rows of a [`super::Table`].
    Table = b't',
}

/// A record's LMDB key, and whether it had to be cut.
pub(super) struct RecordKey {
    pub(super) raw: Vec<u8>,
    cut: bool,
}

/// Everything up to the key: the prefix that all records of one namespace or table share.
pub(super) fn prefix(space: Space, name: &str) -> Vec<u8> {
    let mut raw = Vec::with_capacity(name.len() + 2);
    raw.push(space as u8);
    raw.extend_from_slice(name.as_bytes());
    raw.push(END_OF_SPACE);
    raw
}

/// The range of all keys that start with `prefix`.
pub(super) fn range_of(prefix: Vec<u8>) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut end = prefix.clone();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return (Bound::Included(prefix), Bound::Excluded(end));
        }
    }
    (Bound::Included(prefix), Bound::Unbounded)
}

/// Splits an LMDB key into the name of its namespace or table and the bytes of the (maybe cut) key.
pub(super) fn split(space: Space, raw: &[u8]) -> Option<(&str, &[u8])> {
    let (&kind, rest) = raw.split_first()?;
    let end = memchr::memchr(END_OF_SPACE, rest)?;
    if kind != space as u8 {
        return None;
    }
    Some((std::str::from_utf8(rest.get(..end)?).ok()?, rest.get(end + 1..)?))
}

/// A namespace that can be stored.
pub(super) fn check_namespace(name: &str) -> Result<()> {
    match name.len() {
        0 => Err(Error::bad_request("The namespace is empty")),
        1..=MAX_NAMESPACE => Ok(()),
        _ => Err(Error::bad_request(format!("The namespace is longer than {MAX_NAMESPACE} bytes"))),
    }
}

impl RecordKey {
    /// The key of a document.
    pub(super) fn document(namespace: &str, key: &str) -> Result<Self> {
        check_namespace(namespace)?;
        match key.len() {
            0 => return Err(Error::bad_request("Invalid Key Format: the key is empty")),
            1..=MAX_KEY => {}
            _ => return Err(Error::bad_request(format!("Invalid Key Format: longer than {MAX_KEY} bytes"))),
        }
        let mut raw = prefix(Space::Documents, namespace);
        let cut = raw.len() + key.len() > MAX_RAW;
        if cut {
            let keep = MAX_RAW - raw.len() - 1 - HASH;
            raw.extend_from_slice(&key.as_bytes()[..keep]);
            raw.push(CUT);
            raw.extend_from_slice(&Sha256::digest(key));
        } else {
            raw.extend_from_slice(key.as_bytes());
        }
        Ok(Self { raw, cut })
    }

    /// The stored form of a value.
    pub(super) fn value(&self, key: &str, json: String) -> Vec<u8> {
        if !self.cut {
            return json.into_bytes();
        }
        let mut value = Vec::with_capacity(LENGTH + key.len() + json.len());
        value.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        value.extend_from_slice(key.as_bytes());
        value.extend_from_slice(json.as_bytes());
        value
    }
}

/// Key and JSON text of a stored document, from the key bytes that [`split`] gives and the stored value.
pub(super) fn document<'a>(key: &'a [u8], value: &'a [u8]) -> Result<(&'a str, &'a str)> {
    let damaged = || Error::failed("The database holds a record that cannot be read");
    let (key, value) = match key.len().checked_sub(HASH + 1).and_then(|at| key.get(at)) {
        Some(&CUT) => {
            let (length, rest) = value.split_first_chunk::<LENGTH>().ok_or_else(damaged)?;
            let length = u32::from_le_bytes(*length) as usize;
            rest.split_at_checked(length).ok_or_else(damaged)?
        }
        _ => (key, value),
    };
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|error| damaged().caused_by(error));
    Ok((text(key)?, text(value)?))
}

/// The key of a table row.
pub(super) fn row(table: &str, key: &[u8]) -> Result<Vec<u8>> {
    if key.is_empty() || key.len() > MAX_TABLE_KEY {
        return Err(Error::bad_request(format!("A key of table {table} has {} bytes", key.len())));
    }
    let mut raw = prefix(Space::Table, table);
    raw.extend_from_slice(key);
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_are_cut_and_read_back_whole() {
        for length in [1, 250, 490, 511, 600, MAX_KEY] {
            let key = if length < 3 { "x".repeat(length) } else { "ä/".repeat(length / 3) };
            let Ok(record) = RecordKey::document("ns", &key) else { panic!("{length}") };
            assert!(record.raw.len() <= MAX_RAW);
            let (name, rest) = split(Space::Documents, &record.raw).unwrap();
            let value = record.value(&key, "{}".into());
            assert_eq!((name, document(rest, &value).unwrap()), ("ns", (key.as_str(), "{}")));
        }
    }

    #[test]
    fn keys_that_share_a_long_beginning_stay_apart() {
        let a = RecordKey::document("n", &("x".repeat(1000) + "a")).unwrap();
        let b = RecordKey::document("n", &("x".repeat(1000) + "b")).unwrap();
        assert_ne!(a.raw, b.raw);
    }

    #[test]
    fn limits_are_errors_of_the_caller() {
        for (namespace, key) in
            [("", "a"), ("a", ""), ("n", &*"k".repeat(MAX_KEY + 1)), ("n", &*"k".repeat(1 << 20))]
        {
            assert_eq!(RecordKey::document(namespace, key).err().map(|e| e.status()), Some(400));
        }
        assert!(RecordKey::document(&"n".repeat(MAX_NAMESPACE), &"k".repeat(MAX_KEY)).is_ok());
        assert!(RecordKey::document(&"n".repeat(MAX_NAMESPACE + 1), "k").is_err());
        assert!(row("t", &[0; MAX_TABLE_KEY + 1]).is_err());
    }

    #[test]
    fn a_name_that_starts_another_is_another_range() {
        let (_, end) = range_of(prefix(Space::Documents, "ab"));
        let other = prefix(Space::Documents, "abc");
        assert!(
            !matches!(end, Bound::Excluded(end) if other >= prefix(Space::Documents, "ab") && other < end)
        );
    }
}
