//! One-shot tokens: good for one request within five seconds, from the address that asked for it (spec behaviour.md
//! §4.2). Links and websockets of pages carry them, which cannot set headers.

use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::random;
use crate::api::{Error, Identity, Result};
use crate::sync::lock;

/// How long one is good for.
pub const LIFE: Duration = Duration::from_secs(5);

/// How many may be waiting to be used; one more is refused until others have ended.
pub const MAX_WAITING: usize = 1024;

/// Letters of a token: base32 of 20 random bytes.
const LENGTH: usize = 32;

struct OneShot {
    token: String,
    address: Option<IpAddr>,
    identity: Identity,
    made: Instant,
}

/// The tokens that wait to be used.
#[derive(Default)]
pub(super) struct OneShots(Mutex<Vec<OneShot>>);

impl OneShots {
    /// Makes one for somebody.
    ///
    /// # Errors
    /// 503 when too many wait, 500 without random numbers from the system.
    pub(super) fn make(&self, identity: Identity, address: Option<IpAddr>) -> Result<String> {
        let token = base32(&random::bytes::<20>()?);
        let mut waiting = lock(&self.0);
        waiting.retain(|known| known.made.elapsed() < LIFE);
        if waiting.len() >= MAX_WAITING {
            return Err(Error::unavailable("Too many one-shot tokens wait to be used"));
        }
        waiting.push(OneShot { token: token.clone(), address, identity, made: Instant::now() });
        Ok(token)
    }

    /// Takes one: whose it is, when it is good. It is gone in any case.
    pub(super) fn take(&self, token: &str, address: Option<IpAddr>) -> Option<Identity> {
        let mut waiting = lock(&self.0);
        waiting.retain(|known| known.made.elapsed() < LIFE);
        let is_it = |known: &OneShot| random::same(known.token.as_bytes(), token.as_bytes());
        let at = waiting.iter().position(is_it)?;
        let found = waiting.swap_remove(at);
        (found.address == address).then_some(found.identity.now())
    }

    /// Forgets those of somebody who has no more rights.
    pub(super) fn forget(&self, gone: impl Fn(&Identity) -> bool) {
        lock(&self.0).retain(|known| !gone(&known.identity));
    }
}

/// RFC 4648 §6, for a length that needs no padding.
fn base32(bytes: &[u8; 20]) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut text = String::with_capacity(LENGTH);
    for five in bytes.chunks(5) {
        let bits = five.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        text.extend((0..8).rev().map(|at| char::from(LETTERS[(bits >> (at * 5) & 31) as usize])));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Proof, Role};

    fn anna() -> Identity {
        Identity { user: Some("anna".into()), ..Identity::with_role(Role::Admin, Proof::User("anna".into())) }
    }

    #[test]
    fn letters_are_those_of_the_standard() {
        assert_eq!(base32(b"12345678901234567890"), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
    }

    #[test]
    fn a_token_is_good_once_and_from_its_address() {
        let tokens = OneShots::default();
        let home = Some("10.0.0.1".parse().unwrap());
        let token = tokens.make(anna(), home).unwrap();
        assert_eq!(tokens.take("x", home), None);
        assert_eq!(tokens.take(&token, home), Some(anna()));
        assert_eq!(tokens.take(&token, home), None, "a second time");
        let token = tokens.make(anna(), home).unwrap();
        assert_eq!(tokens.take(&token, Some("10.0.0.2".parse().unwrap())), None);
        assert_eq!(tokens.take(&token, home), None, "it was seen");
        let token = tokens.make(anna(), home).unwrap();
        tokens.forget(|identity| *identity == anna());
        assert_eq!(tokens.take(&token, home), None, "its user has logged out");
    }

    #[test]
    fn a_token_ends() {
        let tokens = OneShots::default();
        let token = tokens.make(anna(), None).unwrap();
        lock(&tokens.0)[0].made -= LIFE;
        assert_eq!(tokens.take(&token, None), None);
    }

    #[test]
    fn only_so_many_wait() {
        let tokens = OneShots::default();
        for _ in 0..MAX_WAITING {
            tokens.make(anna(), None).unwrap();
        }
        assert_eq!(tokens.make(anna(), None).unwrap_err().status(), 503);
        lock(&tokens.0).iter_mut().for_each(|token| token.made -= LIFE);
        assert!(tokens.make(anna(), None).is_ok());
    }
}
