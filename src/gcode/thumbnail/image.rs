//! Looking into pictures: what they are, whether they can be decoded, and shrinking or converting them.

use std::io::Cursor;

use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::pixels::{Collect, Discard, Rows, Shrink, encode_png};
use super::{MAX_PIXELS, bmp, qoi};

/// Longest side of a picture, pixels.
const MAX_SIDE: u32 = 8_192;
/// Most pixels of a picture that has to be held whole while it is decoded (JPEG and what is converted to PNG).
const MAX_WHOLE: u64 = 2 << 20;
/// Most passes over the picture that a progressive JPEG may need.
const MAX_SCANS: usize = 32;
/// Most bytes that the PNG decoder may allocate: rows and small tables, never the picture.
const MAX_PNG_BYTES: usize = 1 << 20;

/// The formats that browsers show and that are therefore written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Png,
    Jpeg,
}

impl Format {
    /// Extension of files in this format.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpg",
        }
    }
}

/// A picture that can be decoded, in a format that browsers show.
pub(super) struct Picture {
    pub(super) data: Vec<u8>,
    pub(super) format: Format,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Picture {
    /// Checks that `data` is a picture by decoding it; the format is what the bytes say, not what their label said.
    /// Takes its pixels from `budget`; `None` if they are too many.
    pub(super) fn check(data: Vec<u8>, budget: &mut u64) -> Option<Picture> {
        if data.starts_with(b"\x89PNG") {
            let (width, height) = decode_png(&data, budget, &mut Discard)?;
            Some(Picture { data, format: Format::Png, width, height })
        } else if data.starts_with(b"\xff\xd8") {
            let (width, height) = jpeg_size(&data)?;
            take(budget, width, height)?;
            decode_jpeg(&data, &mut Discard)?;
            Some(Picture { data, format: Format::Jpeg, width, height })
        } else {
            let (width, height) = qoi::size(&data).or_else(|| bmp::size(&data))?;
            take(budget, width, height).filter(|pixels| *pixels <= MAX_WHOLE)?;
            let mut whole = Collect::default();
            qoi::decode(&data, &mut whole).or_else(|| bmp::decode(&data, &mut whole))?;
            let data = encode_png(&whole.rgba, width, height).ok()?;
            Some(Picture { data, format: Format::Png, width, height })
        }
    }

    /// The picture as PNG that fits a square of `side`, with its width and height.
    pub(super) fn shrunk(&self, side: u32) -> Option<(Vec<u8>, u32, u32)> {
        let mut shrink = Shrink::new(self.width, self.height, side);
        let mut budget = MAX_PIXELS;
        match self.format {
            Format::Png => decode_png(&self.data, &mut budget, &mut shrink).map(drop)?,
            Format::Jpeg => decode_jpeg(&self.data, &mut shrink)?,
        }
        let data = encode_png(&shrink.finish(), shrink.width, shrink.height).ok()?;
        Some((data, shrink.width, shrink.height))
    }
}

/// Takes the pixels of a picture from `budget`, and says how many they are.
fn take(budget: &mut u64, width: u32, height: u32) -> Option<u64> {
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return None;
    }
    let pixels = u64::from(width) * u64::from(height);
    *budget = budget.checked_sub(pixels)?;
    Some(pixels)
}

/// First column, first line and the distances to the next, of each pass of an interlaced PNG (PNG specification §8.2).
const ADAM7: [(u32, u32, u32, u32); 7] =
    [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)];

/// Decodes a PNG row by row. Gives its width and height.
pub(super) fn decode_png(data: &[u8], budget: &mut u64, rows: &mut dyn Rows) -> Option<(u32, u32)> {
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(data), png::Limits { bytes: MAX_PNG_BYTES });
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (width, height, interlaced) = {
        let info = decoder.read_header_info().ok()?;
        (info.width, info.height, info.interlaced)
    };
    take(budget, width, height)?;
    let mut reader = decoder.read_info().ok()?;
    let channels = reader.output_color_type().0.samples();
    let passes: &[(u32, u32, u32, u32)] = if interlaced { &ADAM7 } else { &[(0, 0, 1, 1)] };
    for &(left, top, step, line_step) in passes.iter().filter(|(left, ..)| *left < width) {
        for y in (top..height).step_by(line_step as usize) {
            let row = reader.next_interlaced_row().ok()??;
            rows.row(left, y, step, channels, row.data());
        }
    }
    Some((width, height))
}

/// Width and height of a JPEG.
fn jpeg_size(data: &[u8]) -> Option<(u32, u32)> {
    let mut decoder =
        JpegDecoder::new_with_options(zune_core::bytestream::ZCursor::new(data), jpeg_options());
    decoder.decode_headers().ok()?;
    let (width, height) = decoder.dimensions()?;
    Some((u32::try_from(width).ok()?, u32::try_from(height).ok()?))
}

fn jpeg_options() -> DecoderOptions {
    DecoderOptions::new_safe()
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize)
        .jpeg_set_max_scans(MAX_SCANS)
        .jpeg_set_out_colorspace(ColorSpace::RGB)
}

/// Decodes a JPEG.
fn decode_jpeg(data: &[u8], rows: &mut dyn Rows) -> Option<()> {
    let (width, height) = jpeg_size(data)?;
    if u64::from(width) * u64::from(height) > MAX_WHOLE {
        return None;
    }
    let mut decoder =
        JpegDecoder::new_with_options(zune_core::bytestream::ZCursor::new(data), jpeg_options());
    let pixels = decoder.decode().ok()?;
    let channels = decoder.output_colorspace()?.num_components();
    for (y, row) in (0..height).zip(pixels.chunks_exact(width as usize * channels)) {
        rows.row(0, y, 1, channels, row);
    }
    Some(())
}
