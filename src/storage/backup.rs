//! Backups: the whole database as text that any machine can read.
//!
//! The form is that of Moonraker's own backup tool (spec database.md §7): a line per record,
//! `+<key length>,<value length>:<base64 key>-><base64 value>`, under a line per namespace, under a header. Tables
//! appear as namespaces whose names begin with 0xFF. The first namespace is empty and says that the file is Perigee's;
//! then the last one is empty, too, and bears the SHA-256 of all lines before it, so that a damaged backup is known
//! as such. Moonraker's tool takes both for namespaces.

#[cfg(feature = "import")]
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use super::disk;
use super::error::{Error, Result};
use super::key::{self, RecordKey, Space};
use super::record;
use super::view::{MAX_VALUE, Parts};

const HEADER: &[u8] = b"MOONRAKER_DATABASE_START";
const NAMESPACE: &[u8] = b"namespace_";
const OURS: &str = "perigee_backup";
const CHECKSUM: &str = "perigee_sha256_";
const TABLE_MARK: u8 = 0xFF;
/// Longest line of a backup that is read: a value and a key in base64, and some.
const MAX_LINE: u64 = (MAX_VALUE as u64 + key::MAX_KEY as u64) / 3 * 4 + 1024;

/// One entry of a backup.
pub struct Entry<'a> {
    /// The namespace or table.
    pub name: &'a str,
    /// Whether it is a table of Perigee's.
    pub table: bool,
    /// The key.
    pub key: &'a [u8],
    /// A row's bytes, or a document in Moonraker's form ([`super::record`]).
    pub value: &'a [u8],
}

/// Writes a backup to `path`, atomically.
pub(super) fn write_file(path: &Path, view: &Parts<'_>) -> Result<()> {
    disk::replace(path, |file| {
        let mut out = Hashing { out: BufWriter::new(file), hash: Sha256::new() };
        write(view, &mut out)?;
        out.out.flush().map_err(|error| Error::io(format_args!("write '{}'", path.display()), error))
    })
}

/// Keys and values, as they are to be written.
#[cfg(feature = "import")]
pub(super) type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Writes a backup of the plain form, atomically: namespace by namespace.
#[cfg(feature = "import")]
pub(super) fn write_plain(path: &Path, namespaces: &BTreeMap<String, Records>) -> Result<()> {
    disk::replace(path, |file| {
        let mut out = Hashing { out: BufWriter::new(file), hash: Sha256::new() };
        out.line(HEADER, format!("namespace_count={}", namespaces.len()).as_bytes())?;
        for (name, records) in namespaces {
            let count = format!("entries={}", records.len());
            out.line(&[NAMESPACE, name.as_bytes()].concat(), count.as_bytes())?;
            records.iter().try_for_each(|(key, value)| out.line(key, value))?;
        }
        out.out.flush().map_err(|error| Error::io(format_args!("write '{}'", path.display()), error))
    })
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    fn line(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (key, value) = (BASE64.encode(key), BASE64.encode(value));
        let line = format!("+{},{}:{key}->{value}\n", key.len(), value.len());
        self.hash.update(&line);
        self.out.write_all(line.as_bytes()).map_err(|error| Error::io("write the backup", error))
    }
}

/// Name of a namespace or table in a backup.
fn marked(space: Space, name: &str) -> Vec<u8> {
    match space {
        Space::Documents => name.as_bytes().to_vec(),
        Space::Table => [&[TABLE_MARK], name.as_bytes()].concat(),
    }
}

fn write(view: &Parts<'_>, out: &mut Hashing<impl Write>) -> Result<()> {
    let spaces = [Space::Documents, Space::Table];
    let mut counts: Vec<(Space, String, usize)> = Vec::new();
    for space in spaces {
        view.scan(&key::range_of(vec![space as u8]), false, &mut |raw, _| {
            let (name, _) = key::split(space, raw).unwrap_or_default();
            match counts.last_mut() {
                Some((last, counted, count)) if *last == space && counted == name => *count += 1,
                _ => counts.push((space, name.to_owned(), 1)),
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    out.line(HEADER, format!("namespace_count={}", counts.len() + 2).as_bytes())?;
    out.line(&[NAMESPACE, OURS.as_bytes()].concat(), b"entries=0")?;
    for (space, name, count) in counts {
        out.line(&[NAMESPACE, &marked(space, &name)].concat(), format!("entries={count}").as_bytes())?;
        let prefix = key::prefix(space, &name);
        let start = prefix.len();
        view.scan(&key::range_of(prefix), false, &mut |raw, value| {
            let short = raw.get(start..).unwrap_or_default();
            match space {
                Space::Documents => {
                    let (key, text) = key::document(short, value)?;
                    out.line(key.as_bytes(), &record::encode(text))?;
                }
                Space::Table => out.line(short, value)?,
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let name = format!("{CHECKSUM}{}", hex(&out.hash.clone().finalize()));
    out.line(&[NAMESPACE, name.as_bytes()].concat(), b"entries=0")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a backup, Perigee's or one of Moonraker's tool, and calls `visit` with each entry.
///
/// # Errors
/// BadRequest when it is no backup or damaged: `visit` may have had entries by then, so read it twice when
/// that matters. Those of `visit`.
pub fn read_file(path: &Path, mut visit: impl FnMut(Entry<'_>) -> Result<()>) -> Result<()> {
    let file =
        File::open(path).map_err(|error| Error::io(format_args!("open '{}'", path.display()), error))?;
    let mut lines = Lines { input: BufReader::new(file), line: Vec::new(), number: 0, hash: Sha256::new() };
    let (key, value) = lines.next()?.ok_or_else(|| lines.bad("the file is empty"))?;
    let namespaces = count(&value, "namespace_count=").filter(|_| key == HEADER);
    let namespaces = namespaces.ok_or_else(|| lines.bad("not a database backup"))?;
    let (mut ours, mut fits) = (false, None);
    for _ in 0..namespaces {
        let before = lines.hash.clone();
        let (key, value) = lines.next()?.ok_or_else(|| lines.bad("the file ends early"))?;
        let name =
            key.strip_prefix(NAMESPACE).ok_or_else(|| lines.bad("no namespace where one should be"))?;
        let entries = count(&value, "entries=").ok_or_else(|| lines.bad("a namespace without a count"))?;
        let table = name.first() == Some(&TABLE_MARK);
        let name = name.strip_prefix(&[TABLE_MARK]).unwrap_or(name);
        let name = std::str::from_utf8(name).map_err(|_| lines.bad("a namespace that is not text"))?;
        ours |= name == OURS;
        if let Some(sum) = name.strip_prefix(CHECKSUM) {
            fits = Some(sum == hex(&before.finalize()));
        }
        for _ in 0..entries {
            let (key, value) = lines.next()?.ok_or_else(|| lines.bad("the file ends early"))?;
            visit(Entry { name, table, key: &key, value: &value })?;
        }
    }
    match lines.next()? {
        None if fits == Some(false) || (ours && fits.is_none()) => {
            Err(lines.bad("the checksum does not fit"))
        }
        None => Ok(()),
        Some(_) => Err(lines.bad("more lines than announced")),
    }
}

fn count(value: &[u8], label: &str) -> Option<usize> {
    std::str::from_utf8(value).ok()?.strip_prefix(label)?.parse().ok()
}

struct Lines {
    input: BufReader<File>,
    line: Vec<u8>,
    number: usize,
    hash: Sha256,
}

impl Lines {
    fn bad(&self, what: &str) -> Error {
        Error::bad_request(format!("The backup cannot be used: {what} (line {})", self.number))
    }

    fn next(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        self.line.clear();
        self.number += 1;
        let read = self.input.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line);
        read.map_err(|error| Error::io("read the backup", error))?;
        if self.line.is_empty() {
            return Ok(None);
        }
        let pair =
            self.line.strip_suffix(b"\n").and_then(pair).ok_or_else(|| self.bad("a line of unknown form"))?;
        self.hash.update(&self.line);
        Ok(Some(pair))
    }
}

/// Key and value of a line.
fn pair(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let line = std::str::from_utf8(line).ok()?;
    let (lengths, rest) = line.strip_prefix('+')?.split_once(':')?;
    let (key, value) = rest.split_once("->")?;
    let (key_length, value_length) = lengths.split_once(',')?;
    let fits = key_length.parse() == Ok(key.len()) && value_length.parse() == Ok(value.len());
    fits.then_some((BASE64.decode(key).ok()?, BASE64.decode(value).ok()?))
}

/// The LMDB entry for an entry of a backup. A `null` is never stored, so it has none.
pub(super) fn stored(entry: &Entry<'_>) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    if entry.table {
        return Ok(Some((key::row(entry.name, entry.key)?, entry.value.to_vec())));
    }
    let key = std::str::from_utf8(entry.key).map_err(|_| Error::bad_request("A key that is not text"))?;
    let (json, _) = record::decode(entry.value)?;
    let record = RecordKey::document(entry.name, key)?;
    let value = record.value(key, json);
    Ok((entry.value != [0]).then_some((record.raw, value)))
}
