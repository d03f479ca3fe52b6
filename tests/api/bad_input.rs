//! Whatever comes in, there is an answer or an end, and never a panic, a hang, unbounded memory or a lost file.
//! (That the server lives on, ends in good order and has not panicked is checked when each test drops it.)

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::rpc::{Received, Wire};
use crate::harness::{Multipart, Noise, PATIENCE, Perigee, Request, Setup, SmallDisk, eventually};
use crate::sim::Sim;

const DEPTH: usize = 10_000;

fn deep_list() -> String {
    "[".repeat(DEPTH) + &"]".repeat(DEPTH)
}

fn deep_object() -> String {
    "{\"a\":".repeat(DEPTH) + "1" + &"}".repeat(DEPTH)
}

#[test]
fn deep_json_is_refused_everywhere() {
    let server = Perigee::start();
    let mut websocket = server.websocket();
    let mut unix = server.unix_socket();
    for deep in [deep_list(), deep_object(), "[".repeat(DEPTH), "{\"a\":".repeat(DEPTH)] {
        let as_params =
            format!(r#"{{"jsonrpc":"2.0","method":"server.info","params":{{"x":{deep}}},"id":1}}"#);
        for text in [&deep, &as_params] {
            websocket.send_text(text);
            let answer = websocket.answer();
            assert_eq!(answer["error"]["code"], -32700, "{answer}");
            unix.send_text(text);
            assert_eq!(unix.answer()["error"]["code"], -32700);
            let request = Request::post("/server/jsonrpc").body("application/json", text.clone());
            assert_eq!(server.send(&request).expect(200).json()["error"]["code"], -32700);
        }
        let body = Request::post("/server/files/zip").body("application/json", deep.clone());
        assert_eq!(server.send(&body).status, 400);
    }
    let hint = Request::post("/server/files/zip")
        .body("application/x-www-form-urlencoded", format!("items:json={}", deep_list()));
    assert_eq!(server.send(&hint).status, 400);
}

#[test]
fn bytes_that_are_no_text() {
    let server = Perigee::start();
    let mut unix = server.unix_socket();
    for bytes in
        [&b"\xff"[..], b"{\"jsonrpc\":\"2.0\",\"method\":\"\xc3\x28\",\"id\":1}", b"\xed\xa0\x80", b"\0\0"]
    {
        let framed = [bytes, b"\x03"].concat();
        unix.wire().write(&framed).unwrap();
        assert_eq!(unix.answer()["error"]["code"], -32700);
        let request = Request::post("/server/jsonrpc").body("application/json", bytes);
        assert_eq!(server.send(&request).expect(200).json()["error"]["code"], -32700);
    }
    for target in [
        "/server/files/list?root=%ff%fe",
        "/server/files/metadata?filename=%c3%28",
        "/server/files/list?%ff=1",
    ] {
        let status = server.get(target).status;
        assert!(matches!(status, 200 | 400 | 404), "{target}: {status}");
    }
    for target in ["/server/%ff", "/printer/%ff%00", "/%00", "/server/files/%ff/x"] {
        let status = server.get(target).status;
        assert!(matches!(status, 400 | 403 | 404 | 503), "{target}: {status}");
    }
}

#[test]
fn nul_in_names() {
    let server = Setup::new().file("gcodes/a.gcode", "x").start();
    let mut client = server.websocket();
    for (method, params) in [
        ("server.files.get_directory", json!({"path": "gcodes/\0"})),
        ("server.files.post_directory", json!({"path": "gcodes/a\0b"})),
        ("server.files.delete_directory", json!({"path": "gcodes\0"})),
        ("server.files.delete_file", json!({"path": "gcodes/a.gcode\0"})),
        ("server.files.move", json!({"source": "gcodes/a.gcode", "dest": "gcodes/\0"})),
        ("server.files.copy", json!({"source": "gcodes/a.gcode\0", "dest": "gcodes/b"})),
        ("server.files.zip", json!({"items": ["gcodes/a.gcode\0"]})),
        ("server.files.metascan", json!({"filename": "a.gcode\0"})),
        ("server.files.metadata", json!({"filename": "\0"})),
        ("server.files.list", json!({"root": "gcodes\0"})),
    ] {
        let error = client.fail(method, params.clone());
        assert!(matches!(error.code, 400 | -32601), "{method} {params}: {error:?}");
    }
    assert!(server.data("gcodes/a.gcode").is_file());
}

#[test]
fn names_that_are_too_long() {
    let server = Setup::new().file("gcodes/a.gcode", "x").start();
    let mut client = server.websocket();
    for name in ["x".repeat(300), "x/".repeat(3000), "x".repeat(1 << 20)] {
        for (method, params) in [
            ("server.files.post_directory", json!({"path": format!("gcodes/{name}")})),
            ("server.files.move", json!({"source": "gcodes/a.gcode", "dest": format!("gcodes/{name}")})),
            ("server.files.copy", json!({"source": "gcodes/a.gcode", "dest": format!("gcodes/{name}")})),
            ("server.files.get_directory", json!({"path": format!("gcodes/{name}")})),
            ("server.files.metadata", json!({"filename": name})),
            ("server.files.list", json!({"root": name})),
        ] {
            let error = client.fail(method, params);
            assert!(matches!(error.code, 400 | -32601), "{method}: {} {:.200}", error.code, error.message);
            assert!(error.message.len() < 10_000 + name.len(), "{method}");
        }
    }
    assert!(server.data("gcodes/a.gcode").is_file());
}

#[test]
fn a_batch_that_is_too_long_is_refused_as_a_whole() {
    let server = Perigee::start();
    let mut client = server.websocket();
    let many: Vec<Value> =
        (0..5000).map(|id| json!({"jsonrpc": "2.0", "method": "server.info", "id": id})).collect();
    client.send(&json!(many));
    assert_eq!(client.answer()["error"]["code"], -32600);
    client.send(&json!(many[..100]));
    assert_eq!(client.answer().as_array().map(Vec::len), Some(100));
}

#[test]
fn more_calls_at_once_than_there_is_room_for() {
    let (sim, server) = Sim::ready();
    sim.hold("gcode/script");
    let mut client = server.websocket();
    for _ in 0..3000 {
        client.start("printer.gcode.script", json!({"script": "M117"}));
    }
    // some are refused, the rest waits, and others are served
    let refused = client.answer();
    assert_eq!(refused["error"]["code"], 503, "{refused}");
    server.get("/server/info").expect(200);
    sim.restore("gcode/script");
    let mut other = server.websocket();
    assert_eq!(other.call("printer.gcode.script", json!({"script": "M117"})), "ok");
}

#[test]
fn messages_that_went_wrong_on_the_way() {
    let server = Setup::new().file("gcodes/a.gcode", "G28\n").start();
    let mut noise = Noise::new(0x5eed);
    let samples = [
        json!({"jsonrpc": "2.0", "method": "server.files.zip", "params": {"items": ["gcodes/a.gcode"], "dest": "config/a.zip"}, "id": 1}),
        json!({"jsonrpc": "2.0", "method": "printer.objects.subscribe", "params": {"objects": {"toolhead": ["position"], "fan": null}}, "id": "x"}),
        json!([{"jsonrpc": "2.0", "method": "server.gcode_store", "params": {"count": 5}, "id": 2}, {"jsonrpc": "2.0", "method": "server.info"}]),
        json!({"jsonrpc": "2.0", "method": "server.connection.identify", "params": {"client_name": "a", "version": "1", "type": "agent", "url": "u"}, "id": 3}),
    ];
    let mut unix = server.unix_socket();
    let mut websocket = server.websocket();
    for round in 0..800 {
        let mut bytes = samples[round % samples.len()].to_string().into_bytes();
        for _ in 0..=noise.below(4) {
            let at = noise.below(bytes.len());
            match noise.below(4) {
                0 => bytes[at] = noise.next() as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"{}[]\",:0"[noise.below(8)]),
                _ => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend(piece);
                }
            }
        }
        bytes.retain(|byte| *byte != 0x03);
        if let Ok(text) = std::str::from_utf8(&bytes) {
            websocket.send_text(text);
        }
        bytes.push(0x03);
        unix.wire().write(&bytes).unwrap();
        if round % 50 == 0 {
            websocket.settle();
            unix.settle();
        }
    }
    websocket.call("server.info", Value::Null);
    unix.call("server.info", Value::Null);
    assert!(server.data("gcodes/a.gcode").is_file());
}

#[test]
fn forms_that_went_wrong_on_the_way() {
    let server = Perigee::start();
    let mut noise = Noise::new(0xf0f0);
    for _ in 0..150 {
        let mut body = Multipart::new()
            .text("root", "config")
            .text("path", "a")
            .file("x.cfg", "content\r\n")
            .into_body();
        for _ in 0..=noise.below(6) {
            let at = noise.below(body.len());
            match noise.below(3) {
                0 => body[at] = noise.next() as u8,
                1 => body.truncate(at.max(1)),
                _ => body.insert(at, noise.next() as u8),
            }
        }
        let response =
            server.send(&Request::post("/server/files/upload").body(&Multipart::content_type(), body));
        assert!(
            matches!(response.status, 201 | 400 | 403 | 413 | 422),
            "{} {}",
            response.status,
            response.text()
        );
    }
}

#[test]
fn noise_on_the_sockets() {
    let server = Perigee::start();
    let mut noise = Noise::new(0xbad);
    for _ in 0..60 {
        let bytes: Vec<u8> = (0..noise.below(5000)).map(|_| noise.next() as u8).collect();
        let mut http = server.connect();
        let _ = http.write(&bytes);
        let mut websocket = server.websocket();
        let _ = websocket.wire().stream().write_all(&bytes);
        let mut unix = server.unix_socket();
        let _ = unix.wire().write(&bytes);
    }
    server.get("/server/info").expect(200);
    eventually("all to be forgotten", || (server.info()["websocket_count"] == 0).then_some(()));
}

#[test]
fn a_full_disk_is_said_and_keeps_what_is_there() {
    let setup = Setup::new();
    let Some(_disk) = SmallDisk::over(&setup.data().join("gcodes"), 24) else { return };
    let server = setup.start();
    server.upload("gcodes", "a.gcode", "old").expect(201);
    let large = vec![b'x'; 32 << 20];
    let message = server.upload("gcodes", "a.gcode", &large).error(507);
    assert!(message.contains("full") || message.contains("space"), "{message}");
    assert_eq!(fs::read_to_string(server.data("gcodes/a.gcode")).unwrap(), "old");
    // without an announced length it is found out on the way
    let mut http = server.connect();
    Multipart::new().file("a.gcode", &large).upload_in_pieces(&mut http, 256 * 1024);
    http.read_response(false).unwrap().error(507);
    assert_eq!(fs::read_to_string(server.data("gcodes/a.gcode")).unwrap(), "old");
    let names: Vec<_> =
        fs::read_dir(server.data("gcodes")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "a.gcode" || name == ".thumbs"), "{names:?}");

    // other ways to need room
    fs::write(server.data("config/large.bin"), &large).unwrap();
    let copied =
        server.post("/server/files/copy", json!({"source": "config/large.bin", "dest": "gcodes/large.bin"}));
    assert_eq!(copied.status, 507, "{}", copied.text());
    assert!(!server.data("gcodes/large.bin").exists());
    let moved =
        server.post("/server/files/move", json!({"source": "config/large.bin", "dest": "gcodes/large.bin"}));
    assert_eq!(moved.status, 507, "{}", moved.text());
    assert!(server.data("config/large.bin").exists() && !server.data("gcodes/large.bin").exists());
    let zipped = server.post(
        "/server/files/zip",
        json!({"items": ["config/large.bin"], "dest": "gcodes/x.zip", "store_only": true}),
    );
    assert_eq!(zipped.status, 507, "{}", zipped.text());
    assert!(!server.data("gcodes/x.zip").exists());
    // and there is room again
    server.upload("gcodes", "b.gcode", "G28\n").expect(201);
}

#[test]
fn a_client_that_never_reads_costs_little_and_delays_nobody() {
    let (sim, server) = Sim::ready();
    let mut deaf = server.websocket();
    deaf.call("printer.objects.subscribe", json!({"objects": {"toolhead": null}}));
    let mut reader = server.websocket();
    reader.settle();
    let before = server.memory().0;
    let line = "x".repeat(10_000);
    for n in 0..3000 {
        sim.respond(&format!("{n} {line}"));
        if n % 100 == 99 {
            // the other one keeps up
            let wanted = format!("{n} ");
            reader.expect_where("notify_gcode_response", |params| {
                params[0].as_str().is_some_and(|text| text.starts_with(&wanted))
            });
        }
    }
    let grown = server.memory().0.saturating_sub(before);
    assert!(grown < 16 << 20, "memory grew by {grown} bytes");
    // it is let go, or served again when it reads at last
    let deadline = Instant::now() + PATIENCE;
    loop {
        match deaf.wire().receive(deadline) {
            Received::Closed(..) => break,
            Received::Message(text) if text.contains(&format!("[\"2999 {}", &line[..10])) => break,
            Received::Message(_) => {}
            Received::Nothing => panic!("neither served nor let go"),
        }
    }
}

#[test]
fn clients_that_ask_for_much_and_read_nothing() {
    let server = Perigee::start();
    fs::write(server.data("gcodes/large.gcode"), vec![b'x'; 32 << 20]).unwrap();
    let before = server.memory().0;
    let deaf: Vec<_> = (0..20)
        .map(|_| {
            let mut http = server.connect();
            let asks: String =
                (0..50).map(|_| Request::get("/server/files/gcodes/large.gcode").head("x")).collect();
            let _ = http.write(asks.as_bytes());
            http
        })
        .collect();
    for _ in 0..50 {
        server.get("/server/info").expect(200);
    }
    let grown = server.memory().0.saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} bytes for 20 clients");
    drop(deaf);
}

#[test]
fn a_websocket_client_that_asks_and_never_reads() {
    let server = Perigee::start();
    let mut deaf = server.websocket();
    deaf.wire().stream().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let before = server.memory().0;
    let ask = json!({"jsonrpc": "2.0", "method": "server.config", "id": 1}).to_string();
    for _ in 0..20_000 {
        if deaf.wire().send_message(tungstenite::Message::text(ask.clone())).is_err() {
            break;
        }
    }
    server.get("/server/info").expect(200);
    let grown = server.memory().0.saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");
}

#[test]
fn clients_that_say_nothing_hold_up_nobody() {
    let server = Perigee::start();
    let silent: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    server.get("/server/info").expect(200);
    let mut half = server.connect();
    half.write(b"POST /server/jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{").unwrap();
    let mut upload = server.connect();
    let head = Multipart::head(100_000);
    upload.write(head.as_bytes()).unwrap();
    upload.write(&Multipart::new().file("a.gcode", "G28").unfinished()).unwrap();
    // an upload that stands still does not hold up another, nor anything else with files
    server.upload("gcodes", "b.gcode", "G28\n").expect(201);
    server
        .post("/server/files/move", json!({"source": "gcodes/b.gcode", "dest": "gcodes/c.gcode"}))
        .expect(200);
    server.delete("/server/files/gcodes/c.gcode").expect(200);
    drop(silent);
}

#[test]
fn an_upload_that_comes_byte_by_byte_is_whole_in_the_end() {
    let server = Perigee::start();
    let body = Multipart::new().text("root", "config").file("slow.cfg", "slow but sure").into_body();
    let mut http = server.connect();
    let head = Multipart::head(body.len());
    http.write(head.as_bytes()).unwrap();
    for byte in body {
        http.write(&[byte]).unwrap();
        http.stream().flush().unwrap();
    }
    http.read_response(false).unwrap().expect(201);
    assert_eq!(fs::read_to_string(server.data("config/slow.cfg")).unwrap(), "slow but sure");
}

#[test]
fn a_thousand_connections_come_and_go() {
    let server = Perigee::start();
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let _ = stream.write_all(b"GET /server/info HTTP/1.1\r\nHost: x\r\n");
    }
    server.get("/server/info").expect(200);
    let open = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    eventually("the descriptors to be given back", || {
        let now = fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
        (now < 60).then_some(now)
    });
    assert!(open < 1100);
}

#[test]
fn folders_that_vanish_under_the_server() {
    let server = Setup::new().file("gcodes/a/b.gcode", "x").start();
    let mut client = server.websocket();
    fs::remove_dir_all(server.data("gcodes")).unwrap();
    for (method, params) in [
        ("server.files.list", json!({})),
        ("server.files.get_directory", json!({"path": "gcodes"})),
        ("server.files.post_directory", json!({"path": "gcodes/x/y"})),
        ("server.files.metadata", json!({"filename": "a/b.gcode"})),
    ] {
        let _ = client.try_call(method, params);
    }
    let _ = server.upload("gcodes", "c.gcode", "G28\n");
    server.get("/server/info").expect(200);
}

#[test]
fn a_download_of_a_file_that_shrinks_ends() {
    let server = Perigee::start();
    let path = server.data("gcodes/shrinks.gcode");
    fs::write(&path, vec![b'x'; 32 << 20]).unwrap();
    let mut http = server.connect();
    http.write(Request::get("/server/files/gcodes/shrinks.gcode").head("x").as_bytes()).unwrap();
    let mut first = [0; 1024];
    (&mut http.stream()).read_exact(&mut first).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    let rest = http.read_to_close();
    assert!(rest.len() < 32 << 20);
    server.get("/server/info").expect(200);
}

#[test]
fn keys_and_values_beyond_all_measure_leave_the_database_as_it_is() {
    let server = Perigee::start();
    let put = |namespace: &str, key: &Value, value: &str| {
        let body = format!("{{\"namespace\":\"{namespace}\",\"key\":{key},\"value\":{value}}}");
        server.send(&Request::post("/server/database/item").body("application/json", body))
    };
    put("t", &json!("k"), "1").expect(200);
    let before = server.memory().0;
    let (long, many) = ("k".repeat(1 << 20), vec!["a"; 100_000]);
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let objects = |levels: usize| "{\"a\":".repeat(levels) + "1" + &"}".repeat(levels);
    for key in [json!(long), json!([long]), json!(["k", long, "x"]), json!(many), json!(many.join("."))] {
        let status = put("t", &key, "1").status;
        // a long name inside a document is as good as any other
        assert_eq!(status, if key[0] == "k" { 200 } else { 400 }, "{:.40}", key.to_string());
    }
    put("t", &json!("k"), "1").expect(200);
    put(&long, &json!("k"), "1").error(400);
    for value in [deep(10_000), objects(10_000), deep(1_000_000)] {
        put("t", &json!("k"), &value).error(400);
        put("t", &json!("k.a"), &value).error(400);
    }
    // what fits alone may not fit below something else
    put("t", &json!(vec!["a"; 60]), &objects(60)).error(400);
    put("t", &json!("k"), &format!("\"{}\"", "x".repeat(5 << 20))).error(400);
    let whole = server.get("/server/database/item?namespace=t").result();
    assert_eq!(whole["value"], json!({"k": 1}));
    let grown = server.memory().0.saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");
}
