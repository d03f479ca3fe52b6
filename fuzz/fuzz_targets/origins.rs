//! Any origin against a pattern: only pages of that domain are allowed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perigee::auth::TrustedClients;
use perigee::transport::http::{Cors, Hosts};

fuzz_target!(|origin: &str| {
    let patterns = vec!["https://*.example.org".to_owned(), "http://my.page:8080".to_owned()];
    let (cors, wrong) = Cors::new(patterns, TrustedClients::default());
    assert!(wrong.is_empty());
    if cors.allows(origin) {
        let inside = origin.strip_prefix("https://").is_some_and(|host| host.ends_with(".example.org"));
        assert!(inside || origin == "http://my.page:8080", "{origin}");
    }
    Hosts::default().allow(origin, &cors);
});
