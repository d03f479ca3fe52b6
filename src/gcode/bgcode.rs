//! Binary G-code (`.bgcode`): the metadata and pictures that stand in blocks of their own before the commands
//! (github.com/prusa3d/libbgcode, doc/specifications.md). The commands themselves are not read.

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;

use super::heatshrink;
use super::rules::{self, Sink, Window};
use super::slicers;
use super::thumbnail::{MAX_TOTAL, Thumbnail};

/// How every such file begins.
pub(super) const MAGIC: &[u8] = b"GCDE";

/// Length of the file's header: magic, version, type of checksum.
const HEADER: usize = 10;
/// Length of a block's header, without the compressed size that only compressed blocks have.
const BLOCK_HEADER: usize = 8;
/// Largest metadata block, bytes as it is read.
const MAX_METADATA: u64 = 1 << 20;
/// Most blocks looked at before the commands.
const MAX_BLOCKS: usize = 64;

const FILE_METADATA: u16 = 0;
const GCODE: u16 = 1;
const THUMBNAIL: u16 = 5;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Binary {
    pub(super) sink: Sink,
    pub(super) thumbnails: Vec<Thumbnail>,
}

/// One block: where its data is, and how large.
struct Block {
    kind: u16,
    compression: u16,
    size: u64,
    stored: u64,
    /// Bytes between the header and the data.
    parameters: usize,
}

/// Reads the blocks before the commands. What is damaged ends the reading; what came before it counts.
///
/// # Errors
/// Those of `file`.
pub(super) fn read<F: Read + Seek>(file: &mut F) -> io::Result<Binary> {
    let mut found = Binary::default();
    let mut header = [0; HEADER];
    file.seek(SeekFrom::Start(0))?;
    if !read_whole(file, &mut header)? {
        return Ok(found);
    }
    let checksum = if header[8] == 1 { 4 } else { 0 };
    let mut room = MAX_TOTAL as u64;
    for _ in 0..MAX_BLOCKS {
        let Some(block) = next_block(file)? else { break };
        if block.kind == GCODE {
            break;
        }
        let start = file.stream_position()? + block.parameters as u64;
        file.seek(SeekFrom::Start(start))?;
        if block.kind == THUMBNAIL {
            if block.stored <= room && block.compression == 0 {
                room -= block.stored;
                let mut data = Vec::new();
                file.take(block.stored).read_to_end(&mut data)?;
                found.thumbnails.push(Thumbnail::embedded(data));
            }
        } else if let Some(text) = metadata(file, &block)? {
            note(&text, block.kind, &mut found.sink);
        }
        let Some(next) = start.checked_add(block.stored + checksum) else { break };
        file.seek(SeekFrom::Start(next))?;
    }
    (slicers::PRUSA.finish)(&slicers::Watch::default(), &mut found.sink);
    Ok(found)
}

/// Reads the next block's header. `None` at the end of the file.
fn next_block<F: Read>(file: &mut F) -> io::Result<Option<Block>> {
    let mut header = [0; BLOCK_HEADER];
    if !read_whole(file, &mut header)? {
        return Ok(None);
    }
    let [a, b, c, d, e, f, g, h] = header;
    let kind = u16::from_le_bytes([a, b]);
    let compression = u16::from_le_bytes([c, d]);
    let size = u64::from(u32::from_le_bytes([e, f, g, h]));
    let mut stored = size;
    if compression != 0 {
        let mut bytes = [0; 4];
        if !read_whole(file, &mut bytes)? {
            return Ok(None);
        }
        stored = u32::from_le_bytes(bytes).into();
    }
    // a picture has format, width and height, all others their encoding
    let parameters = if kind == THUMBNAIL { 6 } else { 2 };
    Ok(Some(Block { kind, compression, size, stored, parameters }))
}

/// The text of a metadata block; `None` if it is too large, damaged or compressed in an unknown way.
fn metadata<F: Read>(file: &mut F, block: &Block) -> io::Result<Option<Vec<u8>>> {
    if block.size > MAX_METADATA || block.stored > MAX_METADATA {
        return Ok(None);
    }
    let mut stored = Vec::new();
    file.take(block.stored).read_to_end(&mut stored)?;
    let text = match block.compression {
        0 => stored,
        1 => {
            let mut text = Vec::new();
            if ZlibDecoder::new(stored.as_slice()).take(block.size).read_to_end(&mut text).is_err() {
                return Ok(None);
            }
            text
        }
        2 => heatshrink::decode(&stored, 11, block.size as usize),
        3 => heatshrink::decode(&stored, 12, block.size as usize),
        _ => return Ok(None),
    };
    Ok(Some(text))
}

/// Takes the fields from a block's lines `key=value`, which have the same keys as the comments of a text file.
fn note(text: &[u8], kind: u16, sink: &mut Sink) {
    for line in super::text::lines(text) {
        match line.bytes.strip_prefix(b"Producer=") {
            Some(producer) if kind == FILE_METADATA => slicers::Identity::of_producer(producer).note(sink),
            _ => rules::apply(slicers::PRUSA.rules(), line.bytes, Window::Whole, sink),
        }
    }
}

/// Fills `buffer`; false if the file ends before.
fn read_whole<F: Read>(file: &mut F, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::gcode::field::Field;

    fn block(kind: u16, parameters: &[u8], data: &[u8]) -> Vec<u8> {
        let mut block = Vec::new();
        block.extend(kind.to_le_bytes());
        block.extend([0; 2]);
        block.extend((data.len() as u32).to_le_bytes());
        block.extend(parameters);
        block.extend(data);
        block.extend([0; 4]);
        block
    }

    fn zipped(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(data).unwrap();
        let packed = encoder.finish().unwrap();
        let mut block = Vec::new();
        block.extend(kind.to_le_bytes());
        block.extend(1u16.to_le_bytes());
        block.extend((data.len() as u32).to_le_bytes());
        block.extend((packed.len() as u32).to_le_bytes());
        block.extend([0; 2]);
        block.extend(packed);
        block.extend([0; 4]);
        block
    }

    fn sample() -> Vec<u8> {
        let mut file = b"GCDE\x01\0\0\0\x01\0".to_vec();
        file.extend(block(FILE_METADATA, &[0; 2], b"Producer=PrusaSlicer 2.9.2\n"));
        file.extend(block(THUMBNAIL, &[0, 0, 16, 0, 16, 0], b"picture"));
        file.extend(block(
            4,
            &[0; 2],
            b"filament used [mm]=10.5, 1.5\nestimated printing time (normal mode)=1m 5s\n",
        ));
        file.extend(zipped(2, b"layer_height=0.2\nfirst_layer_height=150%\nfilament_type=PLA;PETG\n"));
        file.extend(block(GCODE, &[0; 2], b"G28"));
        file.extend(block(2, &[0; 2], b"nozzle_diameter=9"));
        file
    }

    #[test]
    fn blocks_before_the_commands() {
        let found = read(&mut Cursor::new(sample())).unwrap();
        assert_eq!(found.thumbnails, [Thumbnail::embedded(b"picture".to_vec())]);
        let number = |field| found.sink.number(field);
        assert_eq!(number(Field::FilamentTotal), Some(12.0));
        assert_eq!(number(Field::EstimatedTime), Some(65.0));
        assert_eq!(number(Field::FirstLayerHeight), Some(0.3));
        assert_eq!(number(Field::NozzleDiameter), None);
    }

    proptest! {
        #[test]
        fn damage_is_no_harm(at in 0usize..400, byte: u8, length in 0usize..400) {
            let mut file = sample();
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            file.truncate(length.max(MAGIC.len()));
            read(&mut Cursor::new(file)).unwrap();
        }
    }
}
