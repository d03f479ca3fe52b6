//! Locks and counters. Floor 0.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex, also one whose former holder panicked: what is guarded here is replaced whole, so it is never
/// seen half changed.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives out the numbers 1, 2, 3 …, from any thread. It counts as far as the processor can without a lock: MIPS32 has no
/// atomics of 64 bits, and there the numbers begin anew after 2³², when those given out first are long out of use.
#[derive(Debug, Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    /// Its first number will be 1.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }

    /// The next number.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed).wrapping_add(1) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_from_one() {
        static COUNTER: Counter = Counter::new();
        assert_eq!([COUNTER.next(), COUNTER.next()], [1, 2]);
    }

    #[test]
    fn begins_anew() {
        let counter = Counter(AtomicUsize::new(usize::MAX - 1));
        assert_eq!([counter.next(), counter.next(), counter.next()], [usize::MAX as u64, 0, 1]);
    }
}
