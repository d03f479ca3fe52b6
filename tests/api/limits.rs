//! What strangers can take from everybody else: nothing that matters.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use perigee::transport::http::{MAX_STRANGER_MESSAGE, MAX_STRANGERS, MAX_STRANGERS_PER_ADDRESS};
use perigee::transport::{DEFAULT_STRANGER_RATE, STRANGER_BURST};
use serde_json::{Value, json};
use tungstenite::Message;

use crate::harness::websocket::upgrade_request;
use crate::harness::{Perigee, Request, Setup, eventually};

/// How many connections an attacker opens.
const FLOOD: usize = 1000;

/// The most memory that such a flood may cost, in bytes.
const FLOOD_MEMORY: u64 = 8 << 20;

fn strangers(options: &str) -> Perigee {
    Setup::new().strangers().sections(&format!("[authorization]\n{options}")).start()
}

fn api_key(server: &Perigee) -> String {
    server.unix_socket().call("access.get_api_key", Value::Null).as_str().unwrap().to_owned()
}

/// An upgrade costs more than silence, so every third asks for one, and every third stops within its head.
fn flood(server: &Perigee) -> Vec<TcpStream> {
    let host = server.address.to_string();
    (0..FLOOD)
        .map(|number| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let head = upgrade_request("/websocket").head(&host);
            let sent = match number % 3 {
                0 => &head[..0],
                1 => &head[..head.len() - 2],
                _ => &head[..],
            };
            // it may have had to go already
            let _ = stream.write_all(sent.as_bytes());
            stream
        })
        .collect()
}

#[test]
fn a_flood_of_strangers_stops_nobody() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(soft.max(4 * FLOOD as u64)), hard).unwrap();
    let server = strangers("stranger_request_rate: 0");
    let key = api_key(&server);
    let asks = Request::get("/server/info").header("X-Api-Key", &key);
    let mut client = server.upgrade(&upgrade_request("/websocket").header("X-Api-Key", &key)).unwrap();
    client.settle();
    let mut kept = server.connect();
    kept.send(&asks).expect(200);
    server.reset_peak_memory();
    let before = server.memory().0;
    for _ in 0..2 {
        let crowd = flood(&server);
        client.call("server.info", Value::Null);
        kept.send(&asks).expect(200);
        server.send(&asks).expect(200);
        let mut late = server.upgrade(&upgrade_request("/websocket").header("X-Api-Key", &key)).unwrap();
        late.call("server.info", Value::Null);
        drop(crowd);
    }
    let peak = server.memory().1;
    println!("{before} bytes before {FLOOD} connections, {peak} at most");
    assert!(peak < before + FLOOD_MEMORY, "{peak} bytes, {before} before");
}

/// How many of these the server has not closed.
fn still_open(streams: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    streams.iter().filter(is_open).count()
}

#[test]
fn strangers_make_room_for_each_other() {
    for (options, limit) in [("trusted_proxies: 10.9.9.9", MAX_STRANGERS_PER_ADDRESS), ("", MAX_STRANGERS)] {
        let server = strangers(options);
        let streams: Vec<TcpStream> =
            (0..limit + 10).map(|_| TcpStream::connect(server.address).unwrap()).collect();
        eventually("the first to go", || (still_open(&streams) == limit).then_some(()));
        assert_eq!(still_open(&streams[..10]), 0);
    }
}

#[test]
fn trusted_clients_need_not_make_room() {
    let server = Perigee::start();
    let streams: Vec<TcpStream> =
        (0..2 * MAX_STRANGERS).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    // the last of them was taken in after all others
    let mut last = server.connect();
    last.send(&Request::get("/server/info")).expect(200);
    assert_eq!(still_open(&streams), streams.len());
}

#[test]
fn a_stranger_asks_so_often_and_no_more() {
    let server = strangers("");
    let ask =
        |address: &str| server.send(&Request::get("/access/info").header("X-Forwarded-For", address)).status;
    let many = DEFAULT_STRANGER_RATE * STRANGER_BURST.as_secs() as u32;
    let answers: Vec<u16> = (0..3 * many).map(|_| ask("10.0.0.1")).collect();
    assert!(answers.contains(&429) && answers[..many as usize].iter().all(|status| *status == 200));
    assert_eq!(ask("10.0.0.2"), 200);
    // who has a key may ask as often as they like, wherever they are
    let key = api_key(&server);
    let known = Request::get("/server/info").header("X-Api-Key", &key).header("X-Forwarded-For", "10.0.0.1");
    server.send(&known).expect(200);

    let mut socket = server.try_websocket("/websocket").unwrap();
    for _ in 0..3 * many {
        socket.start("access.info", Value::Null);
    }
    let refused = socket.answer_where(|message| message["error"]["code"] == 429);
    assert!(refused["error"]["message"].as_str().unwrap().contains("log in"), "{refused}");
}

#[test]
fn a_strangers_body_is_short() {
    let server = strangers("");
    let body = |length: usize| json!({"username": "a", "password": "b".repeat(length)});
    server.post("/access/login", body(MAX_STRANGER_MESSAGE / 2)).error(400);
    server.post("/access/login", body(MAX_STRANGER_MESSAGE)).error(413);
    let rpc =
        json!({"jsonrpc": "2.0", "method": "access.login", "params": body(MAX_STRANGER_MESSAGE), "id": 1});
    server.jsonrpc(&rpc).error(413);
    server.upload("gcodes", "a.gcode", "G28").error(401);
}

#[test]
fn a_strangers_message_is_short_until_he_is_known() {
    let server = strangers("");
    let login = |length: usize| {
        let params = json!({"username": "anna", "password": "b".repeat(length)});
        let message = json!({"jsonrpc": "2.0", "method": "access.login", "params": params, "id": 1});
        Message::text(message.to_string())
    };
    let mut client = server.try_websocket("/websocket").unwrap();
    // the server may have closed before all is sent
    let _ = client.wire().send_message(login(MAX_STRANGER_MESSAGE + 5000));
    let (code, _) = client.expect_close();
    assert!(matches!(code, None | Some(1009)), "{code:?}");

    server.unix_socket().call("access.post_user", json!({"username": "anna", "password": "secret"}));
    let mut client = server.try_websocket("/websocket").unwrap();
    client.call("access.login", json!({"username": "anna", "password": "secret"}));
    let long = "x".repeat(4 * MAX_STRANGER_MESSAGE);
    client.call("server.database.post_item", json!({"namespace": "a", "key": "b", "value": long}));
}

#[test]
fn what_holds_secrets_is_for_the_servers_user_alone() {
    let server = Perigee::start();
    let backup = server.post("/server/database/backup", json!({"filename": "a.bak"})).result();
    let backup = backup["backup_path"].as_str().unwrap().to_owned();
    let mut paths = vec![std::path::PathBuf::from(backup)];
    let folder = std::fs::read_dir(server.data("database")).unwrap();
    let folder = folder.map(|entry| entry.unwrap().path());
    paths.extend(folder.filter(|path| path.extension().is_some_and(|kind| kind == "mdb")));
    assert!(paths.len() > 1);
    for path in paths {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{mode:o} {}", path.display());
    }
}
