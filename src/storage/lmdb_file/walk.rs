//! Walking the trees of an LMDB file.

use std::cmp::Ordering;

use super::page::{PageKind, PageNumber, Value};
use super::{Damage, LmdbFile, Meta, Tree};

/// Deepest tree that is believed. With two keys to a page, 32 levels hold four thousand million.
const MAX_DEPTH: u16 = 32;
/// Largest single value that is read, in bytes.
const MAX_VALUE: usize = 64 << 20;
/// `MDB_REVERSEKEY`, `MDB_DUPSORT` and its kin: orders and shapes that neither Perigee nor Moonraker uses.
const FOREIGN_FLAGS: u16 = 0x02 | 0x04 | 0x10 | 0x20 | 0x40;
/// `MDB_INTEGERKEY`, the order of the tree of free pages.
const INTEGER_KEYS: u16 = 0x08;

/// Called with the named tree (none for the main one), key and value of every entry.
pub(in crate::storage) type Visit<'a> = &'a mut dyn FnMut(Option<&[u8]>, &[u8], &[u8]) -> Result<(), Damage>;

/// One walk: which pages were met, and what to do with entries.
struct Walk<'a> {
    file: &'a LmdbFile,
    last_page: PageNumber,
    seen: Vec<u64>,
    /// Whether values in pages of their own are read, too; the check needs only their heads.
    values: bool,
}

impl LmdbFile {
    /// Checks the structure of a state: every page is what its parent says, is used once, keys are in order,
    /// the counts are right, and no page that is in use is also listed as free. The state 0 is the newest.
    pub(in crate::storage) fn check(&self, state: usize) -> Result<(), Damage> {
        let meta = self.state(state)?;
        let mut walk = Walk::new(self, meta, false);
        walk.tree(&meta.main, None, &mut |_, _, _| Ok(()))?;
        let mut lists = Vec::new();
        walk.values = true;
        walk.tree(&meta.free, None, &mut |_, _, list| {
            lists.push(list.to_vec());
            Ok(())
        })?;
        lists.iter().try_for_each(|list| walk.free_list(list))
    }

    /// Calls `visit` with every entry of a state, trees in the order of their names, entries in that of their keys.
    pub(in crate::storage) fn visit(&self, state: usize, visit: Visit<'_>) -> Result<(), Damage> {
        let meta = self.state(state)?;
        Walk::new(self, meta, true).tree(&meta.main, None, visit)
    }

    fn state(&self, state: usize) -> Result<&Meta, Damage> {
        self.metas.get(state).ok_or(Damage::Header("there is no older state"))
    }
}

impl<'a> Walk<'a> {
    fn new(file: &'a LmdbFile, meta: &Meta, values: bool) -> Self {
        let words = usize::try_from(meta.last_page / 64 + 1).unwrap_or_default();
        let mut walk = Self { file, last_page: meta.last_page, seen: vec![0; words], values };
        // the two meta pages
        let _ = (walk.claim(0), walk.claim(1));
        walk
    }

    /// Notes that a page is used; each may be once.
    fn claim(&mut self, number: PageNumber) -> Result<(), Damage> {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.seen.get_mut(word));
        let bit = 1 << (number % 64);
        match word {
            Some(word) if number <= self.last_page && *word & bit == 0 => {
                *word |= bit;
                Ok(())
            }
            Some(_) if number <= self.last_page => Err(Damage::Page(number, "is used twice")),
            _ => Err(Damage::Page(number, "is beyond the last page")),
        }
    }

    fn tree(&mut self, tree: &Tree, name: Option<&[u8]>, visit: Visit<'_>) -> Result<(), Damage> {
        let Some(root) = tree.root else {
            return if tree.entries == 0 {
                Ok(())
            } else {
                Err(Damage::Header("a tree has entries and no root"))
            };
        };
        if tree.flags & FOREIGN_FLAGS != 0 || tree.depth > MAX_DEPTH || tree.depth == 0 {
            return Err(Damage::Page(root, "is the root of a tree that cannot be"));
        }
        let mut entries = 0;
        let integers = tree.flags & INTEGER_KEYS != 0;
        self.page(root, tree.depth, integers, &mut entries, name, visit)?;
        if entries != tree.entries {
            return Err(Damage::Page(root, "is the root of a tree with another number of entries"));
        }
        Ok(())
    }

    /// Walks the subtree below a page. `depth` is bounded, so the recursion is.
    fn page(
        &mut self,
        number: PageNumber,
        depth: u16,
        integers: bool,
        entries: &mut u64,
        name: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), Damage> {
        let layout = self.file.layout;
        let damage = |what| Damage::Page(number, what);
        self.claim(number)?;
        let mut page = vec![0; layout.page_size as usize];
        self.file.read_page(number, &mut page)?;
        let (kind, count) = layout.open(&page, number).map_err(damage)?;
        let right = if depth == 1 { PageKind::Leaf } else { PageKind::Branch };
        if kind != right || count == 0 || (kind == PageKind::Branch && count < 2) {
            return Err(damage("does not fit its place in the tree"));
        }
        let mut last: Option<&[u8]> = None;
        for index in 0..count {
            let cut = || damage("has a node that reaches beyond it");
            if kind == PageKind::Branch {
                let (key, child) = layout.branch(&page, index).ok_or_else(cut)?;
                // the first key of a branch stands for "everything smaller" and is not compared
                if index > 1 && !last.is_some_and(|last| in_order(last, key, integers)) {
                    return Err(damage("has keys out of order"));
                }
                last = Some(key);
                self.page(child, depth - 1, integers, entries, name, visit)?;
                continue;
            }
            let (key, value) = layout.leaf(&page, index).ok_or_else(cut)?;
            if last.is_some_and(|last| !in_order(last, key, integers)) {
                return Err(damage("has keys out of order"));
            }
            last = Some(key);
            *entries += 1;
            match value {
                Value::Here(value) => visit(name, key, value)?,
                Value::Elsewhere(first, size) => {
                    let value = self.overflow(first, size)?;
                    visit(name, key, &value)?;
                }
                Value::Tree(tree) if name.is_none() => self.tree(&tree, Some(key), visit)?,
                Value::Tree(_) => return Err(damage("has a tree inside a named tree")),
            }
        }
        Ok(())
    }

    fn overflow(&mut self, first: PageNumber, size: usize) -> Result<Vec<u8>, Damage> {
        let layout = self.file.layout;
        let damage = |what| Damage::Page(first, what);
        if size > MAX_VALUE {
            return Err(damage("has a value that is too large"));
        }
        let mut head = vec![0; layout.head()];
        self.file.read_page(first, &mut head)?;
        let needed = (layout.head() as u64 + size as u64).div_ceil(u64::from(layout.page_size));
        // a value that was overwritten by a smaller one keeps its pages
        let pages = layout.overflow(&head, first).filter(|pages| *pages >= needed);
        let pages = pages.ok_or_else(|| damage("is not the value that its entry tells of"))?;
        (first..first.saturating_add(pages)).try_for_each(|number| self.claim(number))?;
        if !self.values {
            return Ok(Vec::new());
        }
        let mut bytes = vec![0; layout.head() + size];
        self.file.read_page(first, &mut bytes)?;
        Ok(bytes.split_off(layout.head()))
    }

    /// A list of free pages: a count, then the page numbers.
    fn free_list(&mut self, list: &[u8]) -> Result<(), Damage> {
        let word = self.file.layout.word;
        let mut numbers = list
            .chunks_exact(word)
            .map(|bytes| bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)));
        let count = usize::try_from(numbers.next().unwrap_or_default()).unwrap_or(usize::MAX);
        if count > numbers.len() {
            return Err(Damage::Header("a list of free pages is too short"));
        }
        numbers.take(count).try_for_each(|number| self.claim(number))
    }
}

fn in_order(a: &[u8], b: &[u8], integers: bool) -> bool {
    let order = if integers { a.iter().rev().cmp(b.iter().rev()) } else { a.cmp(b) };
    order == Ordering::Less
}
