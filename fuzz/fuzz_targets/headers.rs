//! Any headers that say where a request came from and whom it is for: nobody is believed who must not be.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use perigee::auth::{Networks, TrustedClients};
use perigee::transport::http::{Cors, Hosts, client_address};

fuzz_target!(|lines: Vec<String>| {
    let peer = IpAddr::from([192, 0, 2, 1]);
    let (list, header) = lines.split_at(lines.len() / 2);
    let address = client_address(
        peer,
        list.iter().map(String::as_str),
        header.iter().map(String::as_str),
        &Networks::loopback(),
    );
    assert_eq!(address, peer, "the peer is no proxy");
    client_address(
        IpAddr::from([127, 0, 0, 1]),
        list.iter().map(String::as_str),
        header.iter().map(String::as_str),
        &Networks::loopback(),
    );
    let (trusted, _) = TrustedClients::new(list.to_vec());
    let (cors, _) = Cors::new(list.to_vec(), trusted);
    for line in header {
        Hosts::new(list.to_vec()).allow(line, &cors);
    }
});
