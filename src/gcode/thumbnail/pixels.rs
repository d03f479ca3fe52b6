//! Rows of pixels on their way from a decoder to somewhere: PNG output or a shrunk picture. No whole image is ever held.

use std::io;

/// Where decoded rows go. A row holds `channels` bytes for each pixel: grey, grey and alpha, RGB or RGBA.
pub(super) trait Rows {
    /// Takes pixels of line `y`: the first is at `x`, the next `step` further each.
    fn row(&mut self, x: u32, y: u32, step: u32, channels: usize, pixels: &[u8]);
}

/// Throws rows away: decoding is only to find out whether it can be done.
pub(super) struct Discard;

impl Rows for Discard {
    fn row(&mut self, _: u32, _: u32, _: u32, _: usize, _: &[u8]) {}
}

/// One pixel as RGBA.
pub(super) fn rgba(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [grey] => [grey, grey, grey, 255],
        [grey, alpha] => [grey, grey, grey, alpha],
        [red, green, blue] => [red, green, blue, 255],
        [red, green, blue, alpha] => [red, green, blue, alpha],
        _ => [0; 4],
    }
}

/// Shrinks a picture by averaging the pixels that fall into each pixel of the result (a box filter), transparent ones
/// weighing less. Rows may come in any order.
pub(super) struct Shrink {
    source: (u32, u32),
    /// Width of the result, pixels.
    pub(super) width: u32,
    /// Height of the result, pixels.
    pub(super) height: u32,
    /// For each pixel of the result: sums of red, green and blue times alpha, of alpha, and the number of pixels.
    sums: Vec<[u64; 5]>,
}

impl Shrink {
    /// For a picture of the given size, to fit a square of `side` without being enlarged.
    pub(super) fn new(width: u32, height: u32, side: u32) -> Self {
        let longer = width.max(height).max(1);
        let scaled = |length: u32| {
            let length = u64::from(length);
            let shrunk = (length * u64::from(side) + u64::from(longer) / 2) / u64::from(longer);
            if longer <= side { length.max(1) as u32 } else { shrunk.clamp(1, u64::from(side)) as u32 }
        };
        let (target_width, target_height) = (scaled(width), scaled(height));
        let count = target_width as usize * target_height as usize;
        Shrink {
            source: (width, height),
            width: target_width,
            height: target_height,
            sums: vec![[0; 5]; count],
        }
    }

    /// The result as RGBA.
    pub(super) fn finish(&self) -> Vec<u8> {
        let pixel = |[red, green, blue, alpha, count]: &[u64; 5]| {
            let mean = |sum: u64| (sum + alpha / 2).checked_div(*alpha).unwrap_or(0) as u8;
            [
                mean(*red),
                mean(*green),
                mean(*blue),
                (alpha + count / 2).checked_div(*count).unwrap_or(0) as u8,
            ]
        };
        self.sums.iter().flat_map(pixel).collect()
    }
}

impl Rows for Shrink {
    fn row(&mut self, x: u32, y: u32, step: u32, channels: usize, pixels: &[u8]) {
        let scale = |at: u32, target: u32, source: u32| {
            (u64::from(at) * u64::from(target)).checked_div(u64::from(source)).unwrap_or(0) as usize
        };
        let line = scale(y, self.height, self.source.1) * self.width as usize;
        for (pixel, column) in pixels.chunks_exact(channels.max(1)).zip((x..).step_by(step.max(1) as usize)) {
            let at = line + scale(column, self.width, self.source.0);
            let Some(sums) = self.sums.get_mut(at) else { return };
            let [red, green, blue, alpha] = rgba(pixel).map(u64::from);
            for (sum, value) in sums.iter_mut().zip([red * alpha, green * alpha, blue * alpha, alpha, 1]) {
                *sum += value;
            }
        }
    }
}

/// Collects rows that come from top to bottom as RGBA, for encoding.
#[derive(Default)]
pub(super) struct Collect {
    /// The pixels.
    pub(super) rgba: Vec<u8>,
}

impl Rows for Collect {
    fn row(&mut self, _: u32, _: u32, _: u32, channels: usize, pixels: &[u8]) {
        self.rgba.extend(pixels.chunks_exact(channels.max(1)).flat_map(rgba));
    }
}

/// Encodes RGBA pixels as PNG.
pub(super) fn encode_png(rgba: &[u8], width: u32, height: u32) -> Result<Vec<u8>, png::EncodingError> {
    let mut data = Vec::new();
    let mut encoder = png::Encoder::new(io::Cursor::new(&mut data), width, height);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(rgba)?;
    writer.finish()?;
    Ok(data)
}
