//! The server's unix socket (spec api.md §0.1).

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::{Value, json};

use crate::harness::unix_socket::{END, Framed};
use crate::harness::{Client, Perigee, Setup, eventually};

fn request(id: u64) -> Vec<u8> {
    let mut bytes = json!({"jsonrpc": "2.0", "method": "server.info", "id": id}).to_string().into_bytes();
    bytes.push(END);
    bytes
}

#[test]
fn messages_may_come_in_pieces_or_together() {
    let server = Perigee::start();
    let mut client = server.unix_socket();
    for piece in request(1).chunks(3) {
        client.wire().write(piece).unwrap();
    }
    assert_eq!(client.answer()["id"], 1);
    let together: Vec<u8> = (2..12).flat_map(request).collect();
    client.wire().write(&together).unwrap();
    let mut ids: Vec<u64> = (2..12).map(|_| client.answer()["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (2..12).collect::<Vec<u64>>());
}

#[test]
fn what_is_no_json_is_answered_and_the_next_message_counts() {
    let server = Perigee::start();
    let mut client = server.unix_socket();
    client.wire().write(b"\xff\xfe\x00\x03{\x03\x03").unwrap();
    for _ in 0..3 {
        assert_eq!(client.answer()["error"]["code"], -32700);
    }
    client.call("server.info", Value::Null);
}

#[test]
fn a_message_that_is_too_long_costs_no_memory() {
    let server = Perigee::start();
    let before = server.memory().0;
    let mut client = server.unix_socket();
    let megabyte = vec![b'x'; 1 << 20];
    let taken = (0..60).take_while(|_| client.wire().write(&megabyte).is_ok()).count();
    if taken == 60 {
        client.wire().write(&[END]).unwrap();
        assert_eq!(client.answer()["error"]["code"], -32700);
        client.call("server.info", Value::Null);
    }
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
    server.unix_socket().call("server.info", Value::Null);
}

#[test]
fn everything_is_allowed_there_without_saying_who_one_is() {
    let server = Perigee::start();
    let mut client = server.unix_socket();
    client.call("server.files.post_directory", json!({"path": "gcodes/new"}));
    assert!(server.data("gcodes/new").is_dir());
    client.expect_where("notify_filelist_changed", |params| params[0]["action"] == "create_dir");
}

#[test]
fn the_socket_is_for_its_user_and_group() {
    let server = Perigee::start();
    server.unix_socket();
    let found = std::fs::metadata(server.unix_socket_path()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
}

#[test]
fn a_socket_that_was_left_behind_is_replaced_and_goes_at_the_end() {
    let setup = Setup::new();
    std::fs::create_dir_all(setup.data().join("comms")).unwrap();
    drop(UnixListener::bind(setup.data().join("comms/moonraker.sock")).unwrap());
    let mut server = setup.start();
    server.unix_socket().call("server.info", Value::Null);
    server.stop();
    assert!(!server.unix_socket_path().exists());
}

#[test]
fn something_else_in_its_place_is_left_alone_and_told() {
    let server = Setup::new().file("comms/moonraker.sock", "precious").start();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("moonraker.sock"), "{warnings}");
    assert_eq!(std::fs::read_to_string(server.unix_socket_path()).unwrap(), "precious");
}

#[test]
fn its_place_can_be_chosen() {
    let setup = Setup::new();
    let path = setup.dir.join("elsewhere.sock");
    let server = setup.arg("-u").arg(&path).start();
    Client::over(Framed::connect(&path)).call("server.info", Value::Null);
    assert!(!server.unix_socket_path().exists());
}

#[test]
fn clients_that_leave_are_forgotten() {
    let server = Perigee::start();
    for _ in 0..20 {
        server.unix_socket().call("server.info", Value::Null);
    }
    eventually("all to be forgotten", || (server.info()["websocket_count"] == 0).then_some(()));
}

#[test]
fn clients_too_many_are_turned_away_and_the_rest_stays() {
    let server = Perigee::start();
    let mut first = server.unix_socket();
    first.call("server.info", Value::Null);
    let crowd: Vec<UnixStream> =
        (0..300).filter_map(|_| UnixStream::connect(server.unix_socket_path()).ok()).collect();
    first.call("server.info", Value::Null);
    server.get("/server/info").expect(200);
    drop(crowd);
    eventually("all others to be forgotten", || (server.info()["websocket_count"] == 1).then_some(()));
    server.unix_socket().call("server.info", Value::Null);
}
