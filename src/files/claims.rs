//! Paths that a request is changing. The watcher sees those changes too, and leaves telling of them to the
//! request: so each is told once, and after the reply.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::sync::{Counter, lock};

/// The claims of all running requests.
#[derive(Debug, Default)]
pub(super) struct Claims {
    paths: Mutex<Vec<(u64, PathBuf)>>,
}

/// The paths that one request claimed, until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    id: u64,
}

impl Claims {
    /// Begins a claim of nothing yet.
    pub(super) fn begin(self: &Arc<Self>) -> Claim {
        static NEXT: Counter = Counter::new();
        Claim { claims: self.clone(), id: NEXT.next() }
    }

    /// Whether a true path, or a directory above it, is claimed.
    pub(super) fn cover(&self, real: &Path) -> bool {
        lock(&self.paths).iter().any(|(_, claimed)| real.starts_with(claimed))
    }
}

impl Claim {
    /// Claims a true path and all below it.
    pub(super) fn add(&self, real: &Path) {
        lock(&self.claims.paths).push((self.id, real.to_owned()));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.claims.paths).retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_covers_what_is_below_until_it_ends() {
        let claims = Arc::new(Claims::default());
        let (one, two) = (claims.begin(), claims.begin());
        one.add(Path::new("/r/a"));
        two.add(Path::new("/r/a/b"));
        assert!(claims.cover(Path::new("/r/a")) && claims.cover(Path::new("/r/a/x/y")));
        assert!(!claims.cover(Path::new("/r/ab")) && !claims.cover(Path::new("/r")));
        drop(one);
        assert!(!claims.cover(Path::new("/r/a")) && claims.cover(Path::new("/r/a/b")));
    }
}
