//! Memory of the machine: `/proc/meminfo`.

use serde::Serialize;

use super::Host;

/// Memory in kB (1024 bytes), as in spec api.md §5, `system_memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All that the kernel has.
    pub total: u64,
    /// What a new process can get without swapping.
    pub available: u64,
    /// The rest.
    pub used: u64,
}

impl Memory {
    /// Reads `/proc/meminfo`; `None` where it does not tell the total.
    pub fn of(host: &Host) -> Option<Self> {
        Self::parse(&host.bytes("/proc/meminfo")?)
    }

    /// The memory in the text of `/proc/meminfo`. Kernels before 3.14 do not tell what is available: there it is
    /// taken as free memory and page cache.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (mut total, mut available, mut reclaimable) = (None, None, 0u64);
        for line in text.split(|&b| b == b'\n') {
            let Some(colon) = line.iter().position(|&b| b == b':') else { continue };
            let Some(value) = first_number(&line[colon + 1..]) else { continue };
            match &line[..colon] {
                b"MemTotal" => total = Some(value),
                b"MemAvailable" => available = Some(value),
                b"MemFree" | b"Buffers" | b"Cached" => reclaimable = reclaimable.saturating_add(value),
                // comes after all of the above
                b"SwapTotal" => break,
                _ => {}
            }
        }
        let total = total?;
        let available = available.unwrap_or(reclaimable).min(total);
        Some(Self { total, available, used: total - available })
    }
}

/// The decimal number at the start of a text, after blanks.
pub(crate) fn first_number(text: &[u8]) -> Option<u64> {
    let digits = text.trim_ascii_start();
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn total_available_and_used() {
        let text = b"MemTotal:         945364 kB\nMemFree:          101 kB\nMemAvailable:     500000 kB\n";
        let expected = Memory { total: 945_364, available: 500_000, used: 445_364 };
        assert_eq!(Memory::parse(text), Some(expected));
    }

    #[test]
    fn old_kernels_do_not_tell_what_is_available() {
        let text = b"MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 20 kB\nCached: 30 kB\nSwapTotal: 5 kB\n";
        assert_eq!(Memory::parse(text), Some(Memory { total: 1000, available: 150, used: 850 }));
    }

    #[test]
    fn nothing_without_a_total() {
        assert_eq!(Memory::parse(b""), None);
        assert_eq!(Memory::parse(b"MemAvailable: 5 kB"), None);
        assert_eq!(Memory::parse(b"MemTotal: x kB"), None);
    }

    proptest! {
        #[test]
        fn any_bytes(bytes: Vec<u8>) {
            let _ = Memory::parse(&bytes);
        }

        #[test]
        fn never_more_than_there_is(total: u64, available: u64) {
            let text = format!("MemTotal: {total} kB\nMemAvailable: {available} kB\n");
            let memory = Memory::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(memory.used + memory.available, total);
        }
    }
}
