//! Where things lie in LMDB's pages, for both word sizes.

use super::{MAGIC, META_FLAG, Meta, PAGE_SIZES, Tree, VERSION};

/// A page's number: its place in the file.
pub(crate) type PageNumber = u64;

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
const OVERFLOW: u16 = 0x04;
/// Flags that say what a page is; the others are transient.
const KINDS: u16 = BRANCH | LEAF | OVERFLOW | META_FLAG | 0x20 | 0x40;
/// Size of a node's own head.
const NODE_HEAD: usize = 8;

const BIG: u16 = 0x01;
const SUB_TREE: u16 = 0x02;
const DUPLICATES: u16 = 0x04;

/// Word and page size of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes in a pointer of the machine that wrote the file.
    pub(super) word: usize,
    pub(super) page_size: u32,
}

/// What a tree's page holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageKind {
    Branch,
    Leaf,
}

/// The value of a leaf's node.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Here(&'a [u8]),
    /// In pages of its own: where, and how many bytes.
    Elsewhere(PageNumber, usize),
    Tree(Tree),
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Layout {
    /// The layout of the file whose meta page begins with `page`, if it is one for this word size.
    pub(super) fn detect(page: &[u8], word: usize) -> Option<Self> {
        let layout = Self { word, page_size: 0 };
        let body = page.get(layout.head()..)?;
        let found = u32_at(body, 0)? == MAGIC && u32_at(body, 4)? == VERSION;
        // the free tree's descriptor keeps the page size where other trees have padding
        let page_size = u32_at(body, 8 + 2 * word)?;
        let fits = PAGE_SIZES.contains(&page_size) && page_size.is_power_of_two();
        (found && fits).then_some(Self { word, page_size })
    }

    /// Size of a page's head.
    pub(super) fn head(self) -> usize {
        self.word + 8
    }

    fn word_at(self, bytes: &[u8], at: usize) -> Option<u64> {
        match self.word {
            8 => Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?)),
            _ => u32_at(bytes, at).map(u64::from),
        }
    }

    pub(super) fn meta(self, page: &[u8]) -> Option<Meta> {
        let same = Self::detect(page, self.word)? == self && u16_at(page, self.word + 2)? & META_FLAG != 0;
        let body = page.get(self.head()..)?;
        let trees = 8 + 2 * self.word;
        let tree_size = 8 + 5 * self.word;
        let end = trees + 2 * tree_size;
        same.then_some(Meta {
            free: self.tree(body.get(trees..)?)?,
            main: self.tree(body.get(trees + tree_size..)?)?,
            last_page: self.word_at(body, end)?,
            transaction: self.word_at(body, end + self.word)?,
        })
    }

    pub(super) fn tree(self, bytes: &[u8]) -> Option<Tree> {
        let root = self.word_at(bytes, 8 + 4 * self.word)?;
        let none = if self.word == 8 { u64::MAX } else { u64::from(u32::MAX) };
        Some(Tree {
            flags: u16_at(bytes, 4)?,
            depth: u16_at(bytes, 6)?,
            entries: self.word_at(bytes, 8 + 3 * self.word)?,
            root: (root != none).then_some(root),
        })
    }

    /// Checks a tree page's head; gives its kind and how many nodes it has.
    pub(super) fn open(self, page: &[u8], number: PageNumber) -> Result<(PageKind, usize), &'static str> {
        let kind = match u16_at(page, self.word + 2).map(|flags| flags & KINDS) {
            Some(BRANCH) => PageKind::Branch,
            Some(LEAF) => PageKind::Leaf,
            _ => return Err("is no page of a tree"),
        };
        let lower = u16_at(page, self.word + 4).map_or(0, usize::from);
        let upper = u16_at(page, self.word + 6).map_or(0, usize::from);
        if self.word_at(page, 0) != Some(number) {
            return Err("bears another page's number");
        }
        if lower < self.head() || upper < lower || upper > page.len() || !lower.is_multiple_of(2) {
            return Err("has bounds that cannot be");
        }
        Ok((kind, (lower - self.head()) / 2))
    }

    /// The pages that an overflow page's head claims.
    pub(super) fn overflow(self, page: &[u8], number: PageNumber) -> Option<u64> {
        let right = u16_at(page, self.word + 2)? & KINDS == OVERFLOW && self.word_at(page, 0)? == number;
        right.then_some(u64::from(u32_at(page, self.word + 4)?))
    }

    fn node(self, page: &[u8], index: usize) -> Option<&[u8]> {
        let at = usize::from(u16_at(page, self.head() + index * 2)?);
        (at >= self.head()).then_some(page.get(at..)?)
    }

    /// Key and child of a branch's node.
    pub(super) fn branch(self, page: &[u8], index: usize) -> Option<(&[u8], PageNumber)> {
        let node = self.node(page, index)?;
        let part = |at| u16_at(node, at).map(u64::from);
        let high = if self.word == 8 { part(4)? << 32 } else { 0 };
        let key = node.get(NODE_HEAD..)?.get(..usize::from(u16_at(node, 6)?))?;
        Some((key, part(0)? | part(2)? << 16 | high))
    }

    /// Key and value of a leaf's node.
    pub(super) fn leaf(self, page: &[u8], index: usize) -> Option<(&[u8], Value<'_>)> {
        let node = self.node(page, index)?;
        let size = u32_at(node, 0)? as usize;
        let flags = u16_at(node, 4)?;
        let (key, data) = node.get(NODE_HEAD..)?.split_at_checked(usize::from(u16_at(node, 6)?))?;
        let value = match flags & (BIG | SUB_TREE | DUPLICATES) {
            0 => Value::Here(data.get(..size)?),
            BIG => Value::Elsewhere(self.word_at(data, 0)?, size),
            SUB_TREE => Value::Tree(self.tree(data.get(..size)?)?),
            _ => return None,
        };
        Some((key, value))
    }
}
