//! Passwords as they are stored: Argon2id for those set here, PBKDF2 for those that Moonraker stored.

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::pbkdf2;

use crate::api::{Error, Result};

/// Memory that one Argon2id hash takes, in KiB. With [`PASSES`] it is one of the pairs that the OWASP Password
/// Storage Cheat Sheet gives for equal strength: the one with the least memory, for boards with 128 MB.
const MEMORY: u32 = 7 * 1024;

/// How often Argon2id passes over that memory.
const PASSES: u32 = 5;

/// Bytes of salt.
const SALT: usize = 16;

/// Rounds of PBKDF2-HMAC-SHA256 in Moonraker's hashes (spec behaviour.md §4.2).
const PBKDF2_ROUNDS: std::num::NonZeroU32 = match std::num::NonZeroU32::new(100_000) {
    Some(rounds) => rounds,
    None => std::num::NonZeroU32::MIN,
};

/// The longest password, in bytes: nobody has a longer one, and hashing takes time with its length.
pub const MAX_PASSWORD: usize = 1024;

/// What is stored of a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stored {
    hash: String,
    salt: String,
}

impl Stored {
    /// From the columns `password` and `salt` of the table of users.
    pub(super) fn new(hash: &str, salt: &str) -> Self {
        Self { hash: hash.to_owned(), salt: salt.to_owned() }
    }

    /// A stand-in for users that there are not, which takes as long to verify as a real one.
    pub(super) fn of_nobody() -> Self {
        let filler = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let salt = &filler[..22];
        Self::new(&format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1${salt}${filler}"), "")
    }

    /// Whether it was made as new ones are.
    pub(super) fn is_current(&self) -> bool {
        self.hash.starts_with(&format!("$argon2id$v=19$m={MEMORY},t={PASSES},p=1$"))
    }

    /// Whether this is the password. Takes long, by intent: not for the executor's thread.
    pub(super) fn verify(&self, password: &str) -> bool {
        if self.hash.starts_with('$') {
            return Argon2::default().verify_password(password.as_bytes(), &*self.hash).is_ok();
        }
        let (Some(hash), Some(salt)) = (unhex(&self.hash), unhex(&self.salt)) else { return false };
        // an empty hash is that of nobody who could log in with a password
        !hash.is_empty()
            && pbkdf2::verify(pbkdf2::PBKDF2_HMAC_SHA256, PBKDF2_ROUNDS, &salt, password.as_bytes(), &hash)
                .is_ok()
    }
}

/// Hashes a new password, to be stored with an empty salt: the text holds its own. Takes long, like verifying.
///
/// # Errors
/// 500 without random numbers from the system.
pub(super) fn hash(password: &str) -> Result<String> {
    let mut salt = [0; SALT];
    super::random::fill(&mut salt)?;
    let failed =
        |error: &dyn std::fmt::Display| Error::internal(format!("The password cannot be hashed: {error}"));
    let params = Params::new(MEMORY, PASSES, 1, None).map_err(|error| failed(&error))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map(|hash| hash.to_string())
        .map_err(|error| failed(&error))
}

/// Refuses what is no password.
///
/// # Errors
/// 400 for an empty one, and one longer than [`MAX_PASSWORD`].
pub(super) fn check(password: &str) -> Result<()> {
    match password.len() {
        0 => Err(Error::bad_request("The password must not be empty")),
        length if length > MAX_PASSWORD => {
            Err(Error::bad_request(format!("The password is longer than {MAX_PASSWORD} bytes")))
        }
        _ => Ok(()),
    }
}

/// Hexadecimal digits as bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair =
            std::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u8::from_str_radix(pair, 16).ok()
    };
    text.len().is_multiple_of(2).then(|| digits.map(byte).collect())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_new_password_is_known_again() {
        let stored = Stored::new(&hash("Grüße").unwrap(), "");
        assert!(stored.is_current() && stored.verify("Grüße"));
        assert!(!stored.verify("Grüsse") && !stored.verify(""));
    }

    #[test]
    fn moonrakers_passwords_are_known() {
        // of the data folders that a real Moonraker wrote
        let stored = Stored::new(
            "8628f81291eaaa54062a0249bbf30a0584bc06b794caf011fe77fe791fa033cc",
            "460dcce6e961cdc8bedb0ee0555fc57a417a396f05888b88e981eb8e2e4de53f",
        );
        assert!(stored.verify("Passw0rd-anna") && !stored.verify("passw0rd-anna"));
        assert!(!stored.is_current());
    }

    #[test]
    fn nobody_has_a_password() {
        for stored in
            [Stored::of_nobody(), Stored::new("", ""), Stored::new("", "00"), Stored::new("zz", "00")]
        {
            for password in ["", "a"] {
                assert!(!stored.verify(password));
            }
        }
        assert!(Stored::of_nobody().is_current(), "verifying it takes as long");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_stored_text_is_read(hash in "[^$].*", salt in ".*") {
            let hash: String = hash.chars().take(20).collect();
            Stored::new(&hash, &salt).verify("x");
        }
    }
}
