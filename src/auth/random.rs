//! Secrets: made from the system's random numbers, compared in constant time.

use subtle::ConstantTimeEq;

use crate::api::{Error, Result};

/// Fills a buffer with random bytes.
///
/// # Errors
/// 500 when the system has none.
pub(super) fn fill(buffer: &mut [u8]) -> Result<()> {
    getrandom::fill(buffer)
        .map_err(|error| Error::internal(format!("The system gives no random numbers: {error}")))
}

/// `N` random bytes.
///
/// # Errors
/// As [`fill`].
pub(super) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
