//! One part of the API per file.
