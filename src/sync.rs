//! Locks. Floor 0.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also one whose former holder panicked: what is guarded here is replaced whole, so it is never
/// seen half changed.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
