//! Writing zip archives (PKWARE APPNOTE 6.3.3): files one after the other, stored or deflated, with fields of 64
//! bits where they are needed.

use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

use crate::time::Civil;

/// How hard deflate tries. More gains little and makes small boards slow.
const LEVEL: u32 = 4;

/// Files, and offsets, from this size on get fields of 64 bits. Also what deflate cannot shrink stays under 4 GiB
/// below it.
const LARGE: u64 = 0xf000_0000;

/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;

/// Names are UTF-8 (APPNOTE §4.4.4, bit 11).
const UTF8_NAMES: u16 = 1 << 11;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Version 4.5 of the format knows 64 bits; plain deflate needs 2.0 (APPNOTE §4.4.3).
const VERSION: u16 = 20;
const VERSION_64: u16 = 45;
/// Made on Unix, so that modes count (APPNOTE §4.4.2).
const UNIX: u16 = 3 << 8;
/// The id of the extra field for 64 bits (APPNOTE §4.5.3).
const EXTRA_64: u16 = 1;
/// What stands in a field whose value is in the extra field.
const SEE_EXTRA: u32 = u32::MAX;

/// What is said of a file besides its content.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The path in the archive.
    pub(super) name: String,
    /// When it was changed, in local time.
    pub(super) modified: Civil,
    /// The permission bits.
    pub(super) mode: u32,
    /// Whether to leave it as it is.
    pub(super) store: bool,
}

/// An archive that is being written.
pub(super) struct ZipWriter<W: Write + Seek> {
    out: Counting<W>,
    done: Vec<Member>,
    large: u64,
}

/// A file in the archive.
struct Member {
    entry: Entry,
    large: bool,
    offset: u64,
    crc: u32,
    packed: u64,
    size: u64,
}

impl<W: Write + Seek> ZipWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out: Counting::new(out), done: Vec::new(), large: LARGE }
    }

    /// Adds a file. Its content may not be longer than `limit`. `stop` is asked now and then whether to give up.
    ///
    /// # Errors
    /// Those of reading and writing; a name longer than 65,535 bytes. The archive is of no use then.
    pub(super) fn add(
        &mut self,
        entry: Entry,
        content: impl Read,
        limit: u64,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<()> {
        let (large, offset) = (limit >= self.large, self.out.position);
        let mut member = Member { entry, large, offset, crc: 0, packed: 0, size: 0 };
        self.out.write_all(&member.local_header()?)?;
        let start = self.out.position;
        let mut content = Summing { inner: content.take(limit), crc: Crc::new(), size: 0, stop };
        if member.entry.store {
            copy(&mut content, &mut self.out)?;
        } else {
            let mut encoder = DeflateEncoder::new(&mut self.out, Compression::new(LEVEL));
            copy(&mut content, &mut encoder)?;
            encoder.finish()?;
        }
        let end = self.out.position;
        (member.crc, member.size, member.packed) = (content.crc.sum(), content.size, end - start);
        // What was not known at first is put in.
        self.out.go_to(offset)?;
        self.out.write_all(&member.local_header()?)?;
        self.out.go_to(end)?;
        self.done.push(member);
        Ok(())
    }

    /// Writes the directory, which ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let start = self.out.position;
        for member in &self.done {
            self.out.write_all(&member.central_header(self.large)?)?;
        }
        let (size, count) = (self.out.position - start, self.done.len() as u64);
        let large = start >= self.large || size >= self.large || count >= u64::from(u16::MAX);
        if large {
            let at = self.out.position;
            let mut end = Fields::new(0x0606_4b50);
            end.u64(44).u16(UNIX | VERSION_64).u16(VERSION_64).u32(0).u32(0);
            end.u64(count).u64(count).u64(size).u64(start);
            end.u32(0x0706_4b50).u32(0).u64(at).u32(1);
            self.out.write_all(&end.0)?;
        }
        let short = |number: u64| u16::try_from(number).unwrap_or(u16::MAX);
        let mut end = Fields::new(0x0605_4b50);
        end.u16(0)
            .u16(0)
            .u16(short(count))
            .u16(short(count))
            .u32(low(size, large))
            .u32(low(start, large))
            .u16(0);
        self.out.write_all(&end.0)?;
        self.out.inner.flush()
    }
}

impl Member {
    fn local_header(&self) -> io::Result<Vec<u8>> {
        let mut header = Fields::new(0x0403_4b50);
        let mut extra = Fields(Vec::new());
        if self.large {
            extra.u16(EXTRA_64).u16(16).u64(self.size).u64(self.packed);
        }
        self.common(&mut header, &extra, self.large)?;
        header.bytes(self.entry.name.as_bytes()).bytes(&extra.0);
        Ok(header.0)
    }

    fn central_header(&self, limit: u64) -> io::Result<Vec<u8>> {
        let far = self.offset >= limit;
        let mut header = Fields::new(0x0201_4b50);
        header.u16(UNIX | self.version(far));
        let mut extra = Fields(Vec::new());
        if self.large || far {
            extra.u16(EXTRA_64).u16(if self.large { 16 } else { 0 } + if far { 8 } else { 0 });
        }
        if self.large {
            extra.u64(self.size).u64(self.packed);
        }
        if far {
            extra.u64(self.offset);
        }
        self.common(&mut header, &extra, far)?;
        // No comment, on the first disk, of no particular kind; a regular file with its mode.
        header
            .u16(0)
            .u16(0)
            .u16(0)
            .u32((0o100_000 | self.entry.mode & 0o777) << 16)
            .u32(low(self.offset, far));
        header.bytes(self.entry.name.as_bytes()).bytes(&extra.0);
        Ok(header.0)
    }

    fn version(&self, far: bool) -> u16 {
        if self.large || far { VERSION_64 } else { VERSION }
    }

    /// What the header before a file and the one in the directory have in common.
    fn common(&self, header: &mut Fields, extra: &Fields, far: bool) -> io::Result<()> {
        let length = |length: usize| {
            u16::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))
        };
        let (date, time) = dos_time(&self.entry.modified);
        header
            .u16(self.version(far))
            .u16(UTF8_NAMES)
            .u16(if self.entry.store { STORED } else { DEFLATED })
            .u16(time)
            .u16(date)
            .u32(self.crc)
            .u32(low(self.packed, self.large))
            .u32(low(self.size, self.large))
            .u16(length(self.entry.name.len())?)
            .u16(length(extra.0.len())?);
        Ok(())
    }
}

/// A number for a field of 32 bits, or the mark that it is elsewhere.
fn low(number: u64, elsewhere: bool) -> u32 {
    if elsewhere { SEE_EXTRA } else { u32::try_from(number).unwrap_or(SEE_EXTRA) }
}

/// Date and time as MS-DOS has them, in steps of two seconds (APPNOTE §4.4.6).
fn dos_time(at: &Civil) -> (u16, u16) {
    if !(1980..=2107).contains(&at.year) {
        return (1 << 5 | 1, 0);
    }
    let date = (at.year - 1980) << 9 | u16::from(at.month) << 5 | u16::from(at.day);
    let time = u16::from(at.hour) << 11 | u16::from(at.minute) << 5 | (u16::from(at.second) / 2);
    (date, time)
}

/// Numbers in the byte order of the format.
struct Fields(Vec<u8>);

impl Fields {
    fn new(signature: u32) -> Self {
        Self(signature.to_le_bytes().to_vec())
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u16(&mut self, number: u16) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u32(&mut self, number: u32) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    fn u64(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }
}

/// Copies everything, in chunks.
fn copy(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => to.write_all(chunk.get(..length).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Sums up what is read through it.
struct Summing<'a, R> {
    inner: R,
    crc: Crc,
    size: u64,
    stop: &'a dyn Fn() -> bool,
}

impl<R: Read> Read for Summing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("given up by the caller"));
        }
        let length = self.inner.read(buffer)?;
        self.crc.update(buffer.get(..length).unwrap_or_default());
        self.size += length as u64;
        Ok(length)
    }
}

/// Knows where it writes.
struct Counting<W: Write + Seek> {
    inner: BufWriter<W>,
    position: u64,
}

impl<W: Write + Seek> Counting<W> {
    fn new(inner: W) -> Self {
        Self { inner: BufWriter::with_capacity(CHUNK, inner), position: 0 }
    }

    fn go_to(&mut self, position: u64) -> io::Result<()> {
        self.inner.seek(SeekFrom::Start(position))?;
        self.position = position;
        Ok(())
    }
}

impl<W: Write + Seek> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn archive(files: &[(String, Vec<u8>)], store: bool, large: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let mut zip = ZipWriter::new(Cursor::new(&mut out));
        zip.large = large;
        for (name, content) in files {
            let modified = crate::time::utc(1_700_000_000);
            let entry = Entry { name: name.clone(), modified, mode: 0o640, store };
            zip.add(entry, content.as_slice(), content.len() as u64, &|| false).unwrap();
        }
        zip.finish().unwrap();
        out
    }

    fn check(files: &[(String, Vec<u8>)], store: bool, large: u64) {
        let mut read = zip::ZipArchive::new(Cursor::new(archive(files, store, large))).unwrap();
        assert_eq!(read.len(), files.len());
        for (index, (name, content)) in files.iter().enumerate() {
            let mut file = read.by_index(index).unwrap();
            let mut found = Vec::new();
            file.read_to_end(&mut found).unwrap();
            assert_eq!((file.name().unwrap(), file.unix_mode()), (name.as_str().into(), Some(0o100_640)));
            assert_eq!((found.len() as u64, &found), (file.size(), content));
            let time = file.last_modified().unwrap();
            assert_eq!((time.year(), time.month(), time.day(), time.minute()), (2023, 11, 14, 13));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn archives_are_read_by_another_program(
            files in prop::collection::btree_map("[a-z/\u{e9}]{1,9}x", prop::collection::vec(any::<u8>(), 0..300), 0..5),
            store: bool,
            large in prop_oneof![Just(LARGE), 0..400u64],
        ) {
            check(&files.into_iter().collect::<Vec<_>>(), store, large);
        }
    }

    #[test]
    fn long_files_are_written_in_chunks() {
        let content: Vec<u8> = (0..CHUNK * 5).map(|i| (i / 7) as u8).collect();
        for store in [true, false] {
            check(&[("a".to_owned(), content.clone()), ("b".to_owned(), content.clone())], store, LARGE);
        }
    }

    #[test]
    fn writing_can_be_stopped_and_growth_is_left_out() {
        let entry =
            |name: &str| Entry { name: name.into(), modified: crate::time::utc(0), mode: 0o644, store: true };
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        assert!(zip.add(entry("a"), io::repeat(0), u64::MAX >> 1, &|| true).is_err());
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.add(entry("a"), io::repeat(7), 10, &|| false).unwrap();
        assert!(zip.add(entry(&"x".repeat(70_000)), io::empty(), 0, &|| false).is_err());
        assert_eq!(dos_time(&crate::time::utc(0)), (33, 0));
    }
}
