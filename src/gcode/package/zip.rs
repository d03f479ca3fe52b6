//! Just enough of the zip format to take one member out of an archive: the directory is walked, never held, and every
//! size is checked against what really comes (PKWARE APPNOTE 6.3).

use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::Error;

/// Longest name of a member that is looked at, bytes.
const MAX_NAME: usize = 1_024;
/// A member that claims to grow more than this many times is a bomb: G-code grows about 5 times, at most some 30.
pub(super) const MAX_RATIO: u64 = 100;
/// Members up to this size may have any ratio, bytes.
const ANY_RATIO: u64 = 1 << 20;

const END_SIGNATURE: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";
const ENTRY_LENGTH: usize = 46;
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;
/// In this place of a 32-bit field, the real value is in a 64-bit one.
const ZIP64: u32 = u32::MAX;

/// A member of an archive as its directory has it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    method: u16,
    encrypted: bool,
    crc: u32,
    packed: u64,
    /// Size when unpacked, bytes.
    pub(super) size: u64,
    header: u64,
}

/// Walks an archive's directory, giving each member's name, without a leading `/`, and the member to `visit`.
pub(super) fn walk<F: Read + Seek>(file: &mut F, mut visit: impl FnMut(&[u8], Member)) -> Result<(), Error> {
    let (count, start) = find_directory(file)?;
    file.seek(SeekFrom::Start(start))?;
    let mut directory = BufReader::new(file);
    let mut name = Vec::new();
    for _ in 0..count {
        let mut entry = [0; ENTRY_LENGTH];
        directory.read_exact(&mut entry).map_err(damaged)?;
        if !entry.starts_with(ENTRY_SIGNATURE) {
            return Err(Error::Damaged);
        }
        let name_length = usize::from(u16_at(&entry, 28));
        let rest = i64::from(u16_at(&entry, 30)) + i64::from(u16_at(&entry, 32));
        name.resize(name_length, 0);
        directory.read_exact(&mut name).map_err(damaged)?;
        directory.seek_relative(rest)?;
        check_name(&name)?;
        let member = Member {
            method: u16_at(&entry, 10),
            encrypted: u16_at(&entry, 8) & 1 != 0,
            crc: u32_at(&entry, 16),
            packed: u32_at(&entry, 20).into(),
            size: u32_at(&entry, 24).into(),
            header: u32_at(&entry, 42).into(),
        };
        visit(name.strip_prefix(b"/").unwrap_or(&name), member);
    }
    Ok(())
}

/// Finds the directory: the number of members and where it begins.
fn find_directory<F: Read + Seek>(file: &mut F) -> Result<(u16, u64), Error> {
    let mut magic = [0; 4];
    file.seek(SeekFrom::Start(0))?;
    if file.read_exact(&mut magic).is_err() || !(magic == LOCAL_SIGNATURE || magic == END_SIGNATURE) {
        return Err(Error::NotAnArchive);
    }
    let length = file.seek(SeekFrom::End(0))?;
    // the end record may be followed by a comment of up to 64 KiB
    let reach = length.min((END_LENGTH + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(length - reach))?;
    let mut tail = Vec::new();
    file.take(reach).read_to_end(&mut tail)?;
    let at = memchr::memmem::rfind(&tail, END_SIGNATURE).ok_or(Error::Damaged)?;
    let end = tail.get(at..at + END_LENGTH).ok_or(Error::Damaged)?;
    let start = u32_at(end, 16);
    if start == ZIP64 {
        return Err(Error::TooLarge);
    }
    Ok((u16_at(end, 10), start.into()))
}

/// Refuses names that would lead out of the directory into which an archive is unpacked: whoever made them meant harm,
/// even though no member is ever written under its own name here.
fn check_name(name: &[u8]) -> Result<(), Error> {
    let parent = name.split(|byte| matches!(byte, b'/' | b'\\')).any(|part| part == b"..");
    let drive = name.get(1) == Some(&b':');
    if name.len() > MAX_NAME || parent || drive || name.contains(&0) {
        let shown = name.get(..MAX_NAME.min(64)).unwrap_or(name);
        return Err(Error::UnsafeName(String::from_utf8_lossy(shown).into_owned()));
    }
    Ok(())
}

impl Member {
    /// Unpacks the member into `out`, at most `limit` bytes, and checks it. Gives its size.
    pub(super) fn unpack<F: Read + Seek, W: Write>(
        &self,
        file: &mut F,
        out: &mut W,
        limit: u64,
    ) -> Result<u64, Error> {
        if self.encrypted {
            return Err(Error::Encrypted);
        }
        if self.size > limit || [self.size, self.packed, self.header].contains(&ZIP64.into()) {
            return Err(Error::TooLarge);
        }
        if self.size > ANY_RATIO && self.size / MAX_RATIO > self.packed {
            return Err(Error::Bomb);
        }
        file.seek(SeekFrom::Start(self.header))?;
        let mut local = [0; LOCAL_LENGTH];
        file.read_exact(&mut local).map_err(damaged)?;
        if !local.starts_with(LOCAL_SIGNATURE) {
            return Err(Error::Damaged);
        }
        file.seek_relative(i64::from(u16_at(&local, 26)) + i64::from(u16_at(&local, 28)))?;
        let packed = file.take(self.packed);
        match self.method {
            0 => self.copy(packed, out),
            8 => self.copy(DeflateDecoder::new(packed), out),
            method => Err(Error::Method(method)),
        }
    }

    fn copy<R: Read, W: Write>(&self, mut from: R, out: &mut W) -> Result<u64, Error> {
        let mut crc = Crc::new();
        let mut written = 0;
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(error)),
            };
            written += count as u64;
            if written > self.size {
                return Err(Error::Damaged);
            }
            crc.update(&chunk[..count]);
            out.write_all(&chunk[..count])?;
        }
        if written != self.size || crc.sum() != self.crc {
            return Err(Error::Damaged);
        }
        Ok(written)
    }
}

/// An archive that ends too early, or whose data cannot be unpacked, is damaged; other errors are those of the file.
fn damaged(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Error::Damaged
        }
        _ => Error::Io(error),
    }
}

/// The little-endian number at a place, 0 beyond the end.
fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

/// The little-endian number at a place, 0 beyond the end.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
