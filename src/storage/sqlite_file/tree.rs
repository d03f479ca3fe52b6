//! Walking the B-tree of a table (file format §1.6).

use std::collections::BTreeSet;

use super::record::varint;
use super::{Damage, HEADER, SqliteFile};

const LEAF: u8 = 0x0D;
const INTERIOR: u8 = 0x05;
/// Deepest tree that is believed.
const MAX_DEPTH: usize = 32;
/// Largest record, in bytes.
const MAX_RECORD: usize = 64 << 20;

/// Called with the page, the row id and the record of every row.
type Visit<'a> = &'a mut dyn FnMut(u32, i64, &[u8]) -> Result<(), Damage>;

/// Visits all rows below a page, in the order of their ids.
pub(super) fn walk(file: &SqliteFile, root: u32, visit: Visit<'_>) -> Result<(), Damage> {
    page(file, root, MAX_DEPTH, &mut BTreeSet::new(), visit)
}

/// `depth` is bounded, so the recursion is; `seen` keeps a damaged file from leading in circles.
fn page(
    file: &SqliteFile,
    number: u32,
    depth: usize,
    seen: &mut BTreeSet<u32>,
    visit: Visit<'_>,
) -> Result<(), Damage> {
    let damage = |what| Damage::Page(number, what);
    if depth == 0 || !seen.insert(number) {
        return Err(damage("is used twice"));
    }
    let bytes = file.page(number)?;
    let head = if number == 1 { HEADER } else { 0 };
    let byte = |at: usize| bytes.get(head + at).copied().unwrap_or_default();
    let short = |at: usize| usize::from(u16::from_be_bytes([byte(at), byte(at + 1)]));
    let cells = short(3);
    let pointers = match byte(0) {
        LEAF => 8,
        INTERIOR => 12,
        _ => return Err(damage("is no page of a table")),
    };
    for index in 0..cells {
        let cell = bytes.get(short(pointers + index * 2)..).unwrap_or_default();
        if byte(0) == INTERIOR {
            let child = cell.first_chunk().ok_or_else(|| damage("has a cell that reaches beyond it"))?;
            page(file, u32::from_be_bytes(*child), depth - 1, seen, visit)?;
        } else {
            let (id, record) = leaf_cell(file, number, cell, seen)?;
            visit(number, id, &record)?;
        }
    }
    if byte(0) == INTERIOR {
        let last = u32::from_be_bytes([byte(8), byte(9), byte(10), byte(11)]);
        page(file, last, depth - 1, seen, visit)?;
    }
    Ok(())
}

/// Row id and record of a cell. A long record goes on in pages of its own.
fn leaf_cell(
    file: &SqliteFile,
    number: u32,
    cell: &[u8],
    seen: &mut BTreeSet<u32>,
) -> Result<(i64, Vec<u8>), Damage> {
    let cut = || Damage::Page(number, "has a cell that reaches beyond it");
    let (size, rest) = varint(cell).ok_or_else(cut)?;
    let (id, rest) = varint(rest).ok_or_else(cut)?;
    let size = usize::try_from(size).ok().filter(|size| *size <= MAX_RECORD).ok_or_else(cut)?;
    let local = local_size(size, file.usable);
    let (here, rest) = rest.split_at_checked(local).ok_or_else(cut)?;
    let mut record = here.to_vec();
    let mut next = if size > local { u32::from_be_bytes(*rest.first_chunk().ok_or_else(cut)?) } else { 0 };
    while record.len() < size {
        if !seen.insert(next) {
            return Err(Damage::Page(next, "is used twice"));
        }
        let page = file.page(next)?;
        let (link, content) = page.split_first_chunk().ok_or_else(cut)?;
        let content = content.get(..file.usable - 4).ok_or_else(cut)?;
        let wanted = (size - record.len()).min(content.len());
        record.extend_from_slice(&content[..wanted]);
        next = u32::from_be_bytes(*link);
    }
    Ok((i64::from_ne_bytes(id.to_ne_bytes()), record))
}

/// How many bytes of a record lie in the leaf itself.
fn local_size(size: usize, usable: usize) -> usize {
    let largest = usable - 35;
    if size <= largest {
        return size;
    }
    let smallest = (usable - 12) * 32 / 255 - 23;
    let fitting = smallest + (size - smallest) % (usable - 4);
    if fitting <= largest { fitting } else { smallest }
}
