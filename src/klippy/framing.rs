//! Frames on a unix socket: JSON text, then the byte 0x03. Klippy's socket and ours use the same.

use futures_lite::io::{AsyncRead, AsyncReadExt};
use memchr::memchr;

/// The byte that ends a frame.
pub const END: u8 = 0x03;

/// The longest frame that is taken (spec api.md §0.1). A longer one is skipped up to its end.
pub const MAX_FRAME: usize = 20 * 1024 * 1024;

/// How much is read at once. Also what a reader keeps between frames, however long the last one was.
const CHUNK: usize = 16 * 1024;

/// One thing that a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// The bytes of a frame without its end.
    Whole(Vec<u8>),
    /// A frame that was longer than allowed; its bytes are gone.
    TooLong,
}

/// Reads frames; remembers what it read beyond the last one.
pub struct FrameReader<R> {
    source: R,
    limit: usize,
    chunk: Box<[u8]>,
    buffer: Vec<u8>,
    /// How much of the buffer has been searched for an end.
    searched: usize,
    /// The rest of a frame that is too long is being skipped.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes.
    pub fn new(source: R, limit: usize) -> Self {
        Self { source, limit, chunk: vec![0; CHUNK].into(), buffer: Vec::new(), searched: 0, skipping: false }
    }

    /// The next frame; none at the end of the stream, where half a frame is dropped. May be cancelled and
    /// called again without loss.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn next(&mut self) -> std::io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.cut() {
                return Ok(Some(frame));
            }
            let read = self.source.read(&mut self.chunk).await?;
            if read == 0 {
                return Ok(None);
            }
            self.buffer.extend_from_slice(&self.chunk[..read]);
        }
    }

    /// Cuts the first frame out of the buffer, if its end has arrived.
    fn cut(&mut self) -> Option<Frame> {
        let Some(end) = memchr(END, &self.buffer[self.searched..]).map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            if self.buffer.len() > self.limit {
                self.skipping = true;
            }
            if self.skipping {
                self.buffer = Vec::new();
                self.searched = 0;
            }
            return None;
        };
        let rest = self.buffer.split_off(end + 1);
        let mut frame = std::mem::replace(&mut self.buffer, rest);
        frame.pop();
        self.searched = 0;
        if std::mem::take(&mut self.skipping) || frame.len() > self.limit {
            return Some(Frame::TooLong);
        }
        Some(Frame::Whole(frame))
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::io::Cursor;
    use proptest::prelude::*;

    use super::*;

    fn frames(bytes: &[u8], limit: usize) -> Vec<Frame> {
        smol::block_on(async {
            let mut reader = FrameReader::new(Cursor::new(bytes), limit);
            let mut found = Vec::new();
            while let Some(frame) = reader.next().await.unwrap() {
                found.push(frame);
            }
            found
        })
    }

    #[test]
    fn half_a_frame_at_the_end_is_dropped() {
        assert_eq!(
            frames(b"{}\x03[]\x03{\"a\"", 10),
            [Frame::Whole(b"{}".into()), Frame::Whole(b"[]".into())]
        );
    }

    #[test]
    fn a_long_frame_is_skipped_to_its_end() {
        let mut bytes = vec![b'x'; 5 * CHUNK];
        bytes.extend(b"\x03ok\x03");
        assert_eq!(frames(&bytes, 100), [Frame::TooLong, Frame::Whole(b"ok".into())]);
    }

    proptest! {
        #[test]
        fn every_frame_comes_out_as_it_went_in(frames_in: Vec<Vec<u8>>) {
            let frames_in: Vec<Vec<u8>> =
                frames_in.into_iter().map(|f| f.into_iter().filter(|b| *b != END).collect()).collect();
            let bytes: Vec<u8> = frames_in.iter().flat_map(|f| f.iter().copied().chain([END])).collect();
            let expected: Vec<Frame> = frames_in.into_iter().map(Frame::Whole).collect();
            prop_assert_eq!(frames(&bytes, 1 << 20), expected);
        }
    }
}
