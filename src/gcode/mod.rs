//! Pure readers of sliced files: what a slicer says about its own output. No I/O of its own, never panics.
