//! What a read or a write sees of the database, as bytes.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use heed::types::Bytes;
use heed::{Database, RoTxn, WithoutTls};

use super::error::{Error, Result};

/// LMDB's one tree.
pub(super) type Tree = Database<Bytes, Bytes>;
/// A range of LMDB keys.
pub(super) type KeyRange = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// Called with key and value of each entry of a scan; says whether to go on.
pub(super) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>;
/// A value that replaces what is stored, or None where the key goes.
type Change = Option<Vec<u8>>;

/// Largest stored value, in bytes. A whole settings tree of a front-end is under 0.1 MB; an HTTP body may be
/// 50 MiB, which a board with 128 MB of memory should not be asked to keep as one record.
pub const MAX_VALUE: usize = 4 << 20;
/// How much one call of [`super::Storage::write`] may change, in bytes of keys and values.
pub const MAX_WRITE: usize = 32 << 20;

/// One consistent state of the database.
pub(super) struct Snapshot {
    pub(super) txn: RoTxn<'static, WithoutTls>,
    pub(super) tree: Tree,
}

/// Changes that are not committed yet.
#[derive(Default)]
pub(super) struct Pending {
    changes: BTreeMap<Vec<u8>, Change>,
    bytes: usize,
}

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// Sets a change; gives the one that it replaces.
    fn set(&mut self, key: Vec<u8>, change: Option<Change>) -> Option<Change> {
        let size = |key: usize, change: &Option<Change>| match change {
            Some(value) => key + value.as_ref().map_or(0, Vec::len),
            None => 0,
        };
        let length = key.len();
        self.bytes += size(length, &change);
        let old = match change {
            Some(change) => self.changes.insert(key, change),
            None => self.changes.remove(&key),
        };
        self.bytes -= size(length, &old);
        old
    }
}

/// Read access to the database: the committed state and, inside a write, its own changes.
pub trait Read {
    #[doc(hidden)]
    fn parts(&self) -> Parts<'_>;
}

/// What [`Read`] stands on. Opaque outside the storage.
#[doc(hidden)]
pub struct Parts<'a> {
    snapshot: &'a Snapshot,
    pending: Option<&'a Pending>,
}

impl<'a> Parts<'a> {
    /// The value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Cow<'a, [u8]>>> {
        if let Some(change) = self.pending.and_then(|pending| pending.changes.get(key)) {
            return Ok(change.as_deref().map(Cow::Borrowed));
        }
        Ok(self.snapshot.tree.get(&self.snapshot.txn, key)?.map(Cow::Borrowed))
    }

    /// Calls `visit` with every key and value of a range in order, or backwards, until it breaks.
    pub(super) fn scan(&self, range: &KeyRange, backwards: bool, visit: Visit<'_>) -> Result<()> {
        let bounds = (bound(&range.0), bound(&range.1));
        let Snapshot { txn, tree } = self.snapshot;
        let empty = Pending::default();
        let changes = self.pending.unwrap_or(&empty).changes.range::<[u8], _>(bounds);
        let changes = changes.map(|(key, value)| (key.as_slice(), value.as_deref()));
        if backwards {
            merge(tree.rev_range(txn, &bounds)?, changes.rev(), Ordering::Greater, visit)
        } else {
            merge(tree.range(txn, &bounds)?, changes, Ordering::Less, visit)
        }
    }
}

fn bound(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    match bound {
        Bound::Included(key) => Bound::Included(key),
        Bound::Excluded(key) => Bound::Excluded(key),
        Bound::Unbounded => Bound::Unbounded,
    }
}

/// Walks stored entries and pending changes side by side; `first` says which of two keys comes first.
fn merge<'a>(
    stored: impl Iterator<Item = heed::Result<(&'a [u8], &'a [u8])>>,
    changes: impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)>,
    first: Ordering,
    visit: Visit<'_>,
) -> Result<()> {
    let mut stored = stored.peekable();
    let mut changes = changes.peekable();
    loop {
        let order = match (stored.peek(), changes.peek()) {
            (None, None) => return Ok(()),
            (None, Some(_)) => Ordering::Greater,
            (Some(Err(_)), _) | (Some(_), None) => Ordering::Less,
            (Some(Ok((key, _))), Some((changed, _))) if first == Ordering::Less => (*key).cmp(changed),
            (Some(Ok((key, _))), Some((changed, _))) => (*changed).cmp(key),
        };
        let entry = if order == Ordering::Less {
            stored.next().transpose()?.map(|(key, value)| (key, Some(value)))
        } else {
            if order == Ordering::Equal {
                stored.next();
            }
            changes.next()
        };
        if let Some((key, Some(value))) = entry
            && visit(key, value)?.is_break()
        {
            return Ok(());
        }
    }
}

/// Read access to the committed state.
pub struct Reader<'a>(pub(super) &'a Snapshot);

impl Read for Reader<'_> {
    fn parts(&self) -> Parts<'_> {
        Parts { snapshot: self.0, pending: None }
    }
}

/// Read and write access inside [`super::Storage::write`]. All changes are made together or not at all.
pub struct Writer<'a> {
    snapshot: &'a Snapshot,
    pending: &'a mut Pending,
    /// What each changed key had pending before.
    undo: Vec<(Vec<u8>, Option<Change>)>,
    bytes: usize,
}

impl Read for Writer<'_> {
    fn parts(&self) -> Parts<'_> {
        Parts { snapshot: self.snapshot, pending: Some(self.pending) }
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, pending: &'a mut Pending) -> Self {
        Self { snapshot, pending, undo: Vec::new(), bytes: 0 }
    }

    /// Stores a value. One that is there already is not written again: that spares the disk a write.
    pub(super) fn put_raw(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<()> {
        if value.len() > MAX_VALUE {
            return Err(Error::bad_request(format!("The value is larger than {} MiB", MAX_VALUE >> 20)));
        }
        if self.parts().get(&key)?.as_deref() == Some(&*value) {
            return Ok(());
        }
        self.change(key, Some(value))
    }

    /// Removes a key; says whether it was there.
    pub(super) fn delete_raw(&mut self, key: Vec<u8>) -> Result<bool> {
        let there = self.parts().get(&key)?.is_some();
        if there {
            self.change(key, None)?;
        }
        Ok(there)
    }

    fn change(&mut self, key: Vec<u8>, change: Change) -> Result<()> {
        self.bytes += key.len() + change.as_ref().map_or(0, Vec::len);
        if self.bytes > MAX_WRITE {
            return Err(Error::bad_request("The change is too large to be made at once"));
        }
        let old = self.pending.set(key.clone(), Some(change));
        self.undo.push((key, old));
        Ok(())
    }

    /// Takes all changes of this writer back.
    pub(super) fn roll_back(self) {
        for (key, old) in self.undo.into_iter().rev() {
            self.pending.set(key, old);
        }
    }
}
