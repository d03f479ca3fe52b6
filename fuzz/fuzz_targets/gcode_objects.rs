//! The object pass: the same twice, and nothing to do the second time.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use perigee::gcode::objects;

fn processed(data: &[u8]) -> Option<Vec<u8>> {
    let mut output = Vec::new();
    let found = objects::survey(&mut Cursor::new(data)).unwrap()?;
    found.rewrite(&mut Cursor::new(data), &mut output).unwrap();
    Some(output)
}

fuzz_target!(|data: &[u8]| {
    if let Some(once) = processed(data) {
        assert_eq!(processed(&once), None);
        assert_eq!(processed(data), Some(once));
    }
});
