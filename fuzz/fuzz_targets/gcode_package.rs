//! Any archive: an error or a model of the stated size, never more.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use perigee::gcode::package::Package;

fuzz_target!(|data: &[u8]| {
    if let Ok(mut package) = Package::open(Cursor::new(data)) {
        let mut model = Vec::new();
        if let Ok(size) = package.extract_model(&mut model, 1 << 24) {
            assert_eq!(size, package.model_size());
        }
        assert!(model.len() as u64 <= package.model_size());
        package.thumbnail();
    }
});
