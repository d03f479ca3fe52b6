//! Any picture in any format: what is written has a name of its own and can be decoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perigee::gcode::thumbnail::{self, Thumbnail};

fuzz_target!(|data: &[u8]| {
    let files = thumbnail::files(vec![Thumbnail::embedded(data.to_vec())], "a");
    for file in &files {
        assert!(file.width > 0 && file.height > 0);
        assert_eq!(files.iter().filter(|other| other.name == file.name).count(), 1);
        let again = thumbnail::files(vec![Thumbnail::embedded(file.data.clone())], "a");
        assert!(again.iter().any(|other| (other.width, other.height) == (file.width, file.height)));
    }
});
