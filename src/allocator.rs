//! The allocator of musl builds.
//!
//! musl's own gives memory back to the system so eagerly that a request costs twice the time. dlmalloc does not, but the
//! lock that it comes with, of the C library, takes a sixth of the instructions of a request; the standard library's
//! takes a tenth of that.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard};

use dlmalloc::Dlmalloc;
use perigee::sync::lock;

/// dlmalloc behind a lock.
pub(crate) struct Allocator(Mutex<Dlmalloc>);

impl Allocator {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new()))
    }

    /// Neither taking nor leaving this lock allocates.
    fn heap(&self) -> MutexGuard<'_, Dlmalloc> {
        lock(&self.0)
    }
}

// SAFETY: all calls go on as they come, one at a time, to the one heap that gave out the memory.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { self.heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { self.heap().free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        unsafe { self.heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        unsafe { self.heap().realloc(pointer, layout.size(), layout.align(), size) }
    }
}
