//! Decoder for the "Quite OK Image" format, version 1.0 (qoiformat.org/qoi-specification.pdf), row by row.

use super::pixels::Rows;

const MAGIC: &[u8] = b"qoif";
const HEADER: usize = 14;
const CHANNELS: usize = 4;

/// Width and height, if `data` begins like a QOI image.
pub(super) fn size(data: &[u8]) -> Option<(u32, u32)> {
    let header = data.first_chunk::<HEADER>().filter(|header| header.starts_with(MAGIC))?;
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    Some((word(4), word(8)))
}

/// Decodes into `rows`. `None` if the data ends too early.
pub(super) fn decode(data: &[u8], rows: &mut dyn Rows) -> Option<()> {
    let (width, height) = size(data)?;
    if height == 0 {
        return None;
    }
    let mut bytes = data[HEADER..].iter().copied();
    let mut seen = [[0u8; CHANNELS]; 64];
    let mut pixel = [0, 0, 0, 255];
    let mut run = 0;
    let mut row = Vec::new();
    for y in 0..height {
        row.clear();
        for _ in 0..width {
            if run > 0 {
                run -= 1;
            } else {
                pixel = next(&mut bytes, pixel, &seen, &mut run)?;
                seen[hash(pixel)] = pixel;
            }
            row.extend(pixel);
        }
        rows.row(0, y, 1, CHANNELS, &row);
    }
    Some(())
}

/// The next pixel, and in `run` how often it is to be repeated.
fn next(
    bytes: &mut impl Iterator<Item = u8>,
    [red, green, blue, alpha]: [u8; CHANNELS],
    seen: &[[u8; CHANNELS]; 64],
    run: &mut u8,
) -> Option<[u8; CHANNELS]> {
    let tag = bytes.next()?;
    let low = tag & 0x3f;
    Some(match (tag, tag >> 6) {
        (0xfe, _) => [bytes.next()?, bytes.next()?, bytes.next()?, alpha],
        (0xff, _) => [bytes.next()?, bytes.next()?, bytes.next()?, bytes.next()?],
        (_, 0) => seen[low as usize],
        (_, 1) => {
            let difference = |value: u8, shift: u8| value.wrapping_add((low >> shift) & 3).wrapping_sub(2);
            [difference(red, 4), difference(green, 2), difference(blue, 0), alpha]
        }
        (_, 2) => {
            let second = bytes.next()?;
            let of_green = low.wrapping_sub(32);
            let difference = |value: u8, nibble: u8| {
                value.wrapping_add(of_green).wrapping_add(nibble & 0xf).wrapping_sub(8)
            };
            [difference(red, second >> 4), green.wrapping_add(of_green), difference(blue, second), alpha]
        }
        _ => {
            *run = low;
            [red, green, blue, alpha]
        }
    })
}

/// Where a pixel is remembered.
fn hash([red, green, blue, alpha]: [u8; CHANNELS]) -> usize {
    (red as usize * 3 + green as usize * 5 + blue as usize * 7 + alpha as usize * 11) % 64
}
