//! Roots, paths, uploads, moves, watching, the metadata store.
