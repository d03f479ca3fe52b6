//! Decoder for uncompressed Windows bitmaps with 24 or 32 bits a pixel, as FlashPrint puts into its files.

use super::pixels::Rows;

/// Length of the file header and the part of the image header that is read.
const HEADER: usize = 34;

/// Width and height, if `data` begins like such a bitmap.
pub(super) fn size(data: &[u8]) -> Option<(u32, u32)> {
    Header::read(data).map(|header| (header.width, header.height))
}

struct Header {
    /// Where the pixels begin.
    start: usize,
    width: u32,
    height: u32,
    /// Whether the first line is the lowest, as is usual.
    upwards: bool,
    channels: usize,
}

impl Header {
    fn read(data: &[u8]) -> Option<Header> {
        let header = data.first_chunk::<HEADER>().filter(|header| header.starts_with(b"BM"))?;
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let height = word(22) as i32;
        let channels = match (word(28) >> 16, header[28]) {
            (0, 24) => 3,
            (0, 32) => 4,
            _ => return None,
        };
        let uncompressed = word(30) == 0;
        uncompressed.then_some(Header {
            start: word(10) as usize,
            width: word(18),
            height: height.unsigned_abs(),
            upwards: height > 0,
            channels,
        })
    }
}

/// Decodes into `rows`, top line first. `None` if the data ends too early.
pub(super) fn decode(data: &[u8], rows: &mut dyn Rows) -> Option<()> {
    let Header { start, width, height, upwards, channels } = Header::read(data)?;
    let length = width as usize * channels;
    let stride = length.next_multiple_of(4);
    let mut row = Vec::new();
    for y in 0..height {
        let line = if upwards { height - 1 - y } else { y } as usize;
        let from = start.checked_add(line.checked_mul(stride)?)?;
        row.clear();
        // the fourth byte is unused: what it holds is no transparency
        let pixels = data.get(from..from.checked_add(length)?)?.chunks_exact(channels);
        row.extend(pixels.flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        rows.row(0, y, 1, 3, &row);
    }
    Some(())
}
