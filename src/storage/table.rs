//! Rows of bytes under sorted keys, for data with a fixed purpose that is no document: job history, users.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};

use super::error::Result;
use super::key::{self, Space};
use super::view::{KeyRange, Read, Writer};

/// A table, by its name. Tables are apart from namespaces: no client reaches one through the database API.
///
/// Rows sort by the bytes of their keys; [`id`] makes a key of a number that sorts like it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table(pub &'static str);

/// A number as a key: rows sort by it.
pub fn id(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The number that [`id`] made a key of.
pub fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// Which rows a scan visits, and in which order.
#[derive(Clone, Debug)]
pub struct Rows {
    /// First key, by its bytes; None for the table's first row.
    pub from: Option<Vec<u8>>,
    /// The key after the last one; None for the table's end.
    pub to: Option<Vec<u8>>,
    /// Largest key first.
    pub backwards: bool,
}

impl Rows {
    /// Every row, smallest key first.
    pub const ALL: Self = Self { from: None, to: None, backwards: false };
    /// Every row, largest key first.
    pub const NEWEST_FIRST: Self = Self { from: None, to: None, backwards: true };
}

impl Table {
    /// A row.
    ///
    /// # Errors
    /// Failed when the file cannot be read.
    pub fn get<'a>(self, view: &'a (impl Read + ?Sized), key: &[u8]) -> Result<Option<Cow<'a, [u8]>>> {
        view.parts().get(&key::row(self.0, key)?)
    }

    /// Calls `visit` with key and value of the rows until it breaks.
    ///
    /// # Errors
    /// Those of `visit`; Failed when the file cannot be read.
    pub fn scan(
        self,
        view: &(impl Read + ?Sized),
        rows: &Rows,
        visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        scan_table(view, self.0, rows, visit)
    }

    /// The largest key.
    ///
    /// # Errors
    /// Failed when the file cannot be read.
    pub fn last_key(self, view: &(impl Read + ?Sized)) -> Result<Option<Vec<u8>>> {
        let mut last = None;
        self.scan(view, &Rows::NEWEST_FIRST, |key, _| {
            last = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        Ok(last)
    }

    /// Stores a row.
    ///
    /// # Errors
    /// BadRequest for a key or value beyond the limits.
    pub fn put(self, writer: &mut Writer<'_>, key: &[u8], value: impl Into<Vec<u8>>) -> Result<()> {
        writer.put_raw(key::row(self.0, key)?, value.into())
    }

    /// Removes a row; says whether it was there.
    ///
    /// # Errors
    /// Failed when the file cannot be read.
    pub fn delete(self, writer: &mut Writer<'_>, key: &[u8]) -> Result<bool> {
        writer.delete_raw(key::row(self.0, key)?)
    }

    /// Removes all rows; gives their number.
    ///
    /// # Errors
    /// BadRequest when that is more than one write may change.
    pub fn clear(self, writer: &mut Writer<'_>) -> Result<usize> {
        writer.clear_range(key::prefix(Space::Table, self.0))
    }
}

/// [`Table::scan`] of a table that is known by its name only.
///
/// # Errors
/// As there.
pub fn scan_table(
    view: &(impl Read + ?Sized),
    name: &str,
    rows: &Rows,
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
) -> Result<()> {
    let prefix = key::prefix(Space::Table, name);
    let start = prefix.len();
    view.parts().scan(&range(prefix, rows), rows.backwards, &mut |raw, value| {
        visit(raw.get(start..).unwrap_or_default(), value)
    })
}

fn range(prefix: Vec<u8>, rows: &Rows) -> KeyRange {
    let with = |key: &[u8]| [prefix.as_slice(), key].concat();
    let (first, end) = key::range_of(prefix.clone());
    let from = rows.from.as_deref().map_or(first, |key| Bound::Included(with(key)));
    let to = rows.to.as_deref().map_or(end, |key| Bound::Excluded(with(key)));
    // LMDB takes no range that ends before it starts
    match (&from, &to) {
        (Bound::Included(a), Bound::Excluded(b)) if a > b => {
            (Bound::Included(a.clone()), Bound::Excluded(a.clone()))
        }
        _ => (from, to),
    }
}
