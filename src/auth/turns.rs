//! Work that is done one after the other, with a bound on how much may wait for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use smol::lock::{Semaphore, SemaphoreGuard};

use crate::api::{Error, Result};
use crate::tasks::unblock;

/// How many log-ins may wait for their turn, the one whose turn it is included. Passwords are hashed one at a time,
/// so that the memory that takes is taken once; and an LDAP server is asked for one at a time.
pub const MAX_WAITING: usize = 16;

/// Whose turn it is.
pub(super) struct Turns {
    one: Semaphore,
    waiting: AtomicUsize,
}

impl Default for Turns {
    fn default() -> Self {
        Self { one: Semaphore::new(1), waiting: AtomicUsize::new(0) }
    }
}

/// It is its holder's turn until this is dropped.
pub(super) struct Turn<'a> {
    _one: SemaphoreGuard<'a>,
    _waiting: Waiting<'a>,
}

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turns {
    /// Waits for a turn.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub(super) async fn take(&self) -> Result<Turn<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let waiting = Waiting(&self.waiting);
        if before >= MAX_WAITING {
            return Err(Error::unavailable("Too many log-ins at once"));
        }
        Ok(Turn { _one: self.one.acquire().await, _waiting: waiting })
    }

    /// Runs what takes long on the blocking pool when it is its turn.
    ///
    /// # Errors
    /// 503 when too many wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let _turn = self.take().await?;
        Ok(unblock(work).await)
    }
}
