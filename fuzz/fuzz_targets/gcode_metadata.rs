//! Any file, as text, binary G-code or `.gx`: the record is JSON, and an upload gives the same as the file.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use perigee::gcode::{self, Scanner};

fuzz_target!(|data: &[u8]| {
    let file = gcode::read(&mut Cursor::new(data)).unwrap();
    let mut scanner = Scanner::new();
    data.chunks(61).for_each(|piece| scanner.feed(piece));
    let upload = scanner.finish(&mut Cursor::new(data)).unwrap();
    assert_eq!(file.metadata, upload.metadata);
    assert_eq!(file.thumbnails, upload.thumbnails);
});
