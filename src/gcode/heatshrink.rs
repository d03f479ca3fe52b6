//! Decoder for heatshrink (github.com/atomicobject/heatshrink), an LZSS for small machines that binary G-code may use,
//! with a lookahead of 4 bits.

const LOOKAHEAD_BITS: u32 = 4;

/// Decodes `data`, made with a window of `2^window_bits`, up to `limit` bytes. Stops where the data ends.
pub(super) fn decode(data: &[u8], window_bits: u32, limit: usize) -> Vec<u8> {
    let mut bits = Bits { data, at: 0 };
    let mut out: Vec<u8> = Vec::new();
    while out.len() < limit {
        match bits.take(1) {
            Some(1) => match bits.take(8) {
                Some(byte) => out.push(byte as u8),
                None => break,
            },
            Some(_) => {
                let (Some(back), Some(count)) = (bits.take(window_bits), bits.take(LOOKAHEAD_BITS)) else {
                    break;
                };
                for _ in 0..=count {
                    // before the beginning of the text, the window is zeros
                    let byte =
                        out.len().checked_sub(back as usize + 1).and_then(|from| out.get(from).copied());
                    out.push(byte.unwrap_or(0));
                }
            }
            None => break,
        }
    }
    out.truncate(limit);
    out
}

/// Bits from the highest to the lowest of each byte.
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs (value, width) pairs as heatshrink does.
    fn pack(fields: &[(u32, u32)]) -> Vec<u8> {
        let bits: Vec<u32> = fields
            .iter()
            .flat_map(|(value, width)| (0..*width).rev().map(move |bit| value >> bit & 1))
            .collect();
        bits.chunks(8)
            .map(|byte| byte.iter().enumerate().map(|(at, bit)| (bit << (7 - at)) as u8).sum())
            .collect()
    }

    #[test]
    fn literals_and_references() {
        // "ab", then 5 bytes from 2 back
        let data = pack(&[(1, 1), (b'a'.into(), 8), (1, 1), (b'b'.into(), 8), (0, 1), (1, 12), (4, 4)]);
        assert_eq!(decode(&data, 12, 100), b"abababa");
        assert_eq!(decode(&data, 12, 4), b"abab");
        assert_eq!(decode(&pack(&[(0, 1), (9, 11), (0, 4)]), 11, 9), [0]);
    }

    proptest! {
        #[test]
        fn any_bytes(data in prop::collection::vec(any::<u8>(), 0..100), limit in 0usize..500) {
            prop_assert!(decode(&data, 11, limit).len() <= limit);
        }
    }
}
