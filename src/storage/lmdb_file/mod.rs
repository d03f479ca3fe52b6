//! A reader of LMDB files that trusts nothing in them.
//!
//! liblmdb follows page numbers and offsets as it finds them, so a damaged file can crash it, and it refuses
//! files of a machine with another word size. This reader checks every step and reads both, which gives three
//! things: the check at start before LMDB maps the file, taking over a database from another architecture (an SD
//! card that moved, an old server's data), and going back one commit when the last one did not arrive whole.
//!
//! Format: LMDB 0.9, data version 1 (`MDB_meta`, `MDB_page`, `MDB_node` in the library's mdb.c), little-endian.

mod page;
mod walk;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use page::{Layout, PageNumber};

const MAGIC: u32 = 0xBEEF_C0DE;
const VERSION: u32 = 1;
const META_FLAG: u16 = 0x08;
/// Smallest and largest page size that Linux has.
const PAGE_SIZES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// How many pages at the end of a file may be counted without having been written, besides as many again as the
/// file has. Bounds the memory of a walk.
const UNWRITTEN: u64 = 1024;

/// Why a file cannot be read as an LMDB database.
#[derive(Debug)]
pub(super) enum Damage {
    Io(io::Error),
    /// What is wrong, and at which page.
    Page(PageNumber, &'static str),
    /// No usable meta page.
    Header(&'static str),
}

impl From<io::Error> for Damage {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Page(number, what) => write!(f, "page {number}: {what}"),
            Self::Header(what) => write!(f, "header: {what}"),
        }
    }
}

impl std::error::Error for Damage {}

/// One tree's descriptor (`MDB_db`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Tree {
    flags: u16,
    depth: u16,
    entries: u64,
    root: Option<PageNumber>,
}

/// One of the two meta pages: a state of the database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    free: Tree,
    main: Tree,
    last_page: PageNumber,
    transaction: u64,
}

/// An LMDB file, open for reading. Nobody may write to it meanwhile.
pub(super) struct LmdbFile {
    file: File,
    layout: Layout,
    /// The newer state first.
    metas: Vec<Meta>,
}

impl LmdbFile {
    /// Opens a file and reads its meta pages.
    pub(super) fn open(path: &Path) -> Result<Self, Damage> {
        let file = File::open(path)?;
        let mut head = [0; 256];
        file.read_exact_at(&mut head, 0).map_err(|_| Damage::Header("the file is too short"))?;
        let layout = [8, 4].into_iter().find_map(|word| Layout::detect(&head, word));
        // the first meta page may be the damaged one: then look for the second where each page size puts it
        let layout = layout.or_else(|| detect_by_second(&file)).ok_or(Damage::Header("not an LMDB file"))?;
        let pages = file.metadata()?.len() / u64::from(layout.page_size);
        let mut metas: Vec<Meta> = (0..2)
            .filter_map(|number| {
                let mut page = [0; 256];
                file.read_exact_at(&mut page, number * u64::from(layout.page_size)).ok()?;
                layout.meta(&page)
            })
            // pages at the end that were taken and given back in one transaction were never written
            .filter(|meta| meta.last_page < pages * 2 + UNWRITTEN)
            .collect();
        metas.sort_by_key(|meta| std::cmp::Reverse(meta.transaction));
        match metas.is_empty() {
            true => Err(Damage::Header("no usable meta page")),
            false => Ok(Self { file, layout, metas }),
        }
    }

    /// Whether LMDB itself can open the file on this machine.
    pub(super) fn is_native(&self) -> bool {
        self.layout.word == size_of::<usize>()
    }

    #[cfg(test)]
    pub(super) fn root(&self, state: usize) -> Option<PageNumber> {
        self.metas.get(state)?.main.root
    }

    #[cfg(test)]
    pub(super) fn page_size(&self) -> usize {
        self.layout.page_size as usize
    }

    fn read_page(&self, number: PageNumber, buffer: &mut [u8]) -> Result<(), Damage> {
        let size = u64::from(self.layout.page_size);
        self.file.read_exact_at(buffer, number * size).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Damage::Page(number, "lies beyond the end of the file"),
            _ => Damage::Io(error),
        })
    }
}

fn detect_by_second(file: &File) -> Option<Layout> {
    let sizes = std::iter::successors(Some(*PAGE_SIZES.start()), |size| Some(size * 2));
    sizes.take_while(|size| PAGE_SIZES.contains(size)).find_map(|size| {
        let mut page = [0; 256];
        file.read_exact_at(&mut page, u64::from(size)).ok()?;
        [8, 4]
            .into_iter()
            .find_map(|word| Layout::detect(&page, word))
            .filter(|layout| layout.page_size == size)
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
