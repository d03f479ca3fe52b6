//! The rollback journal: pages as they were before a transaction (file format §3).
//!
//! A journal that is still there belongs to a transaction that a crash ended. It is laid over the file here, not
//! written back.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::Path;

use super::Damage;
use crate::storage::disk::with_suffix;

const MAGIC: [u8; 8] = [0xD9, 0xD5, 0x05, 0xF9, 0x20, 0xA1, 0x63, 0xD7];
/// Largest journal that is read, in bytes.
const MAX_SIZE: u64 = 256 << 20;
/// Distance of the bytes that a page's checksum takes in.
const CHECKED: usize = 200;

/// What the journal takes back.
pub(super) struct Journal {
    pub(super) page_size: usize,
    /// Pages that the file had.
    pub(super) size: u32,
    pub(super) pages: HashMap<u32, Vec<u8>>,
}

/// The journal of a file. None if there is none, or nothing in it counts.
pub(super) fn read(path: &Path) -> Result<Option<Journal>, Damage> {
    let path = with_suffix(path, "-journal");
    match std::fs::metadata(&path) {
        Ok(found) if found.len() > MAX_SIZE => return Err(Damage::Page(0, "its journal is too large")),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(parse(&std::fs::read(path)?))
}

/// Reads a journal. It may have several parts, each with a header; it ends where one does not fit.
fn parse(bytes: &[u8]) -> Option<Journal> {
    let mut journal: Option<Journal> = None;
    let mut at = 0;
    while let Some(header) = Header::read(bytes.get(at..).unwrap_or_default()) {
        let journal = journal.get_or_insert(Journal {
            page_size: header.page_size,
            size: header.size,
            pages: HashMap::new(),
        });
        at += header.sector;
        for _ in 0..header.count {
            let Some((number, page)) = header.page(bytes.get(at..).unwrap_or_default()) else {
                return finish(journal);
            };
            // the first image of a page is the oldest
            journal.pages.entry(number).or_insert_with(|| page.to_vec());
            at += header.page_size + 8;
        }
        at = at.div_ceil(header.sector) * header.sector;
    }
    journal.filter(|journal| !journal.pages.is_empty())
}

fn finish(journal: &mut Journal) -> Option<Journal> {
    let pages = std::mem::take(&mut journal.pages);
    (!pages.is_empty()).then_some(Journal { pages, ..*journal })
}

struct Header {
    count: u32,
    nonce: u32,
    size: u32,
    sector: usize,
    page_size: usize,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let word = |index: usize| Some(u32::from_be_bytes(*bytes.get(8 + index * 4..)?.first_chunk()?));
        let sector = usize::try_from(word(3)?).ok()?;
        let page_size = usize::try_from(word(4)?).ok()?;
        let fits = |size: usize| size.is_power_of_two() && (512..=65_536).contains(&size);
        let right = bytes.starts_with(&MAGIC) && fits(page_size) && sector.is_power_of_two() && sector >= 32;
        right.then_some(Self { count: word(0)?, nonce: word(1)?, size: word(2)?, sector, page_size })
    }

    /// Number and content of the page at the head of `bytes`. None if the checksum does not fit: then the crash
    /// came before this part of the journal was on disk, so the file itself was not changed yet.
    fn page<'a>(&self, bytes: &'a [u8]) -> Option<(u32, &'a [u8])> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (page, rest) = rest.split_at_checked(self.page_size)?;
        let sum = u32::from_be_bytes(*rest.first_chunk()?);
        let positions = (1..self.page_size.div_ceil(CHECKED)).map(|step| self.page_size - step * CHECKED);
        let found = positions.fold(self.nonce, |sum, at| sum.wrapping_add(u32::from(page[at])));
        let number = u32::from_be_bytes(*number);
        (sum == found && number > 0).then_some((number, page))
    }
}
