//! The allocator of musl builds.
//!
//! musl's own gives memory back to the system so eagerly that a request costs twice the time. dlmalloc does not, but the
//! lock that it comes with, of the C library, takes a sixth of the instructions of a request; the standard library's
//! takes a tenth of that.
//!
//! What is large comes and goes with one upload or one long answer. There musl is right: it maps each such block by itself,
//! grows it without a copy, and has nothing left of it in the end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::{Mutex, MutexGuard};

use dlmalloc::Dlmalloc;
use perigee::sync::lock;

/// From so many bytes on a block is musl's, which maps it by itself (its `MMAP_THRESHOLD` is a few bytes less).
const LARGE: usize = 128 << 10;

/// dlmalloc behind a lock, and musl for what is large.
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

// SAFETY: calls go on as they come. Which of the two has given out a block is told by its size, that of its layout. The
// heap is called by one thread at a time.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            return unsafe { System.alloc(layout) };
        }
        unsafe { self.heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if layout.size() >= LARGE {
            return unsafe { System.dealloc(pointer, layout) };
        }
        unsafe { self.heap().free(pointer, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.size() >= LARGE {
            return unsafe { System.alloc_zeroed(layout) };
        }
        unsafe { self.heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match (layout.size() >= LARGE, size >= LARGE) {
            (true, true) => unsafe { System.realloc(pointer, layout, size) },
            (false, false) => unsafe { self.heap().realloc(pointer, layout.size(), layout.align(), size) },
            // SAFETY: the caller vouches for the new size as for the old one; the two blocks are apart, and the smaller
            // size is within both.
            _ => unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    ptr::copy_nonoverlapping(pointer, new, size.min(layout.size()));
                    self.dealloc(pointer, layout);
                }
                new
            },
        }
    }
}
