//! The cases that are written as data, one test a file.

use crate::harness::case::{folder, run};

macro_rules! cases {
    ($($subject:ident)*) => {
        $(#[test]
        fn $subject() {
            run(stringify!($subject));
        })*

        #[test]
        fn every_file_of_cases_is_run() {
            let mut known = vec![$(concat!(stringify!($subject), ".json").to_owned()),*];
            let mut found: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            known.sort();
            found.sort();
            assert_eq!(known, found);
        }
    };
}

cases! {
    announcements
    arguments
    cors
    files
    files_read_only
    history
    http
    job_queue
    jsonrpc
    printer
    server
}
