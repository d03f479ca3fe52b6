//! The life of a websocket (spec api.md §0.6, RFC 6455).

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Bytes, Message};

use crate::harness::rpc::{Received, Wire};
use crate::harness::websocket::{connect_with_tungstenite, upgrade_request};
use crate::harness::{PATIENCE, Perigee, Request, Setup, eventually};
use crate::sim::Sim;

fn request(id: u64) -> String {
    json!({"jsonrpc": "2.0", "method": "server.info", "id": id}).to_string()
}

#[test]
fn another_implementation_of_the_protocol_gets_in() {
    let server = Perigee::start();
    let (mut socket, response) = connect_with_tungstenite(&format!("ws://{}/websocket", server.address));
    assert!(response.headers().get("sec-websocket-extensions").is_none());
    socket.send(Message::text(request(1))).unwrap();
    let answer: Value = serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(answer["id"], 1);
}

#[test]
fn compression_is_offered_in_vain() {
    let server = Perigee::start();
    let request = upgrade_request("/websocket")
        .header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    let mut socket = server.upgrade(&request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    socket.call("server.info", Value::Null);
}

#[test]
fn text_and_binary_and_fragments_are_messages() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.wire().send_message(Message::binary(request(5).into_bytes())).unwrap();
    assert_eq!(client.answer()["id"], 5, "a binary message is answered by text");
    let text = request(6);
    let (first, second) = text.split_at(20);
    for (text, code, last) in
        [(first, OpCode::Data(Data::Text), false), (second, OpCode::Data(Data::Continue), true)]
    {
        let frame = Frame::message(Bytes::copy_from_slice(text.as_bytes()), code, last);
        client.wire().send_message(Message::Frame(frame)).unwrap();
        if !last {
            // control frames may come between fragments
            let ping = Frame::ping(&b"between"[..]);
            client.wire().send_message(Message::Frame(ping)).unwrap();
        }
    }
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match client.wire().next_message(deadline).expect("in time").expect("a message") {
            Message::Pong(data) => seen.push(String::from_utf8(data.to_vec()).unwrap()),
            Message::Text(text) => {
                let id = serde_json::from_str::<Value>(&text).unwrap()["id"].take();
                seen.extend(id.as_u64().map(|id| id.to_string()));
            }
            other => panic!("{other:?}"),
        }
    }
    seen.sort();
    assert_eq!(seen, ["6", "between"]);
}

#[test]
fn connections_have_ids_of_their_own() {
    let server = Perigee::start();
    let (mut first, first_id) = server.identified();
    let (mut second, second_id) = server.identified();
    assert_ne!(first_id, second_id);
    assert_eq!(first.call("server.websocket.id", Value::Null), json!({"websocket_id": first_id}));
    assert_eq!(second.call("server.websocket.id", Value::Null), json!({"websocket_id": second_id}));
    for id in [first_id, second_id] {
        assert!(id < 1 << 53, "exact in JavaScript: {id}");
    }
    let mut unix = server.unix_socket();
    assert!(unix.call("server.websocket.id", Value::Null)["websocket_id"].is_u64());
    assert_eq!(server.info()["websocket_count"], 3);
    first.into_wire().close();
    eventually("the count to go down", || (server.info()["websocket_count"] == 2).then_some(()));
}

#[test]
fn there_is_a_limit_to_websockets() {
    let setup = Setup::new().option("max_websocket_connections: 2");
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let first = server.websocket();
    let bridge = server.try_websocket("/klippysocket").unwrap_or_else(|refusal| panic!("{refusal:?}"));
    for target in ["/websocket", "/klippysocket"] {
        let refusal = server.try_websocket(target).map(|_| ()).unwrap_err();
        assert!(matches!(refusal.status, 500 | 503), "{target}: {refusal:?}");
        refusal.json();
    }
    // others do not count
    server.unix_socket().call("server.info", Value::Null);
    server.get("/server/info").expect(200);
    first.into_wire().close();
    eventually("a place", || server.try_websocket("/websocket").ok());
    drop(bridge);
    drop(server);
    drop(sim);
}

#[test]
fn what_is_no_request_for_a_websocket_is_refused() {
    let server = Perigee::start();
    let without = |name: &str| {
        let mut request = upgrade_request("/websocket");
        request.headers.retain(|(known, _)| known != name);
        request
    };
    let cases = [
        (Request::get("/websocket"), 400),
        (without("Upgrade"), 400),
        (without("Connection"), 400),
        (without("Sec-WebSocket-Key"), 400),
        (without("Sec-WebSocket-Version"), 426),
        (without("Sec-WebSocket-Version").header("Sec-WebSocket-Version", "8"), 426),
        (upgrade_request("/nothing"), 404),
        (Request { method: "POST".into(), ..upgrade_request("/websocket") }, 405),
    ];
    for (request, status) in cases {
        let mut http = server.connect();
        let response = http.send(&request);
        let allowed = [status, if status == 426 { 400 } else { status }];
        assert!(allowed.contains(&response.status), "{request:?}: {}", response.status);
    }
}

#[test]
fn pages_of_other_sites_do_not_get_in() {
    let server = Setup::new().sections("[authorization]\ncors_domains:\n    http://*.allowed.test\n").start();
    let host = server.address.to_string();
    let from = |origin: &str| {
        server
            .upgrade(&upgrade_request("/websocket").header("Origin", origin))
            .map(|_| ())
            .map_err(|r| r.status)
    };
    assert_eq!(from(&format!("http://{host}")), Ok(()));
    assert_eq!(from("http://app.allowed.test"), Ok(()));
    assert_eq!(from("http://evil.test"), Err(403));
    assert_eq!(from(&format!("http://{}.evil.test", server.address.ip())), Err(403));
    assert_eq!(from("null"), Err(403));
}

#[test]
fn a_close_is_answered() {
    let server = Perigee::start();
    let mut client = server.websocket();
    let frame = CloseFrame { code: CloseCode::Normal, reason: "bye".into() };
    client.wire().send_message(Message::Close(Some(frame))).unwrap();
    assert_eq!(client.expect_close().0, Some(1000));
    eventually("the client to be forgotten", || (server.info()["websocket_count"] == 0).then_some(()));
}

#[test]
fn a_connection_that_breaks_off_is_forgotten() {
    let server = Perigee::start();
    let mut watcher = server.websocket();
    for _ in 0..20 {
        drop(server.websocket());
    }
    eventually("all to be forgotten", || {
        (watcher.call("server.info", Value::Null)["websocket_count"] == 1).then_some(())
    });
}

#[test]
fn breaches_of_the_protocol_end_the_connection_with_their_code() {
    let server = Perigee::start();
    // unmasked, reserved bits, an unknown kind, a long ping, a continuation of nothing
    for (bytes, code) in [
        (&b"\x81\x02{}"[..], 1002),
        (b"\xf1\x80\x00\x00\x00\x00", 1002),
        (b"\x83\x80\x00\x00\x00\x00", 1002),
        (&[&b"\x89\xfe\x00\x80\x00\x00\x00\x00"[..], &[0; 128]].concat(), 1002),
        (b"\x80\x80\x00\x00\x00\x00", 1002),
        // text that is no UTF-8
        (b"\x81\x82\x00\x00\x00\x00\xff\xfe", 1007),
    ] {
        let mut client = server.websocket();
        client.wire().stream().write_all(bytes).unwrap();
        let (found, why) = client.expect_close();
        assert!(found == Some(code) || found.is_none(), "{bytes:?}: {found:?} {why}");
    }
    server.websocket().call("server.info", Value::Null);
}

#[test]
fn a_message_that_is_too_long_ends_the_connection() {
    let server = Perigee::start();
    let before = server.memory().0;
    // the head of a frame that announces 1 TiB is enough
    let mut client = server.websocket();
    client.wire().stream().write_all(b"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00").unwrap();
    let (code, _) = client.expect_close();
    assert!(matches!(code, Some(1009) | None), "{code:?}");
    // and so are many fragments that come to more than is allowed
    let mut client = server.websocket();
    let piece = vec![b' '; 1 << 20];
    for n in 0..64 {
        let code = if n == 0 { OpCode::Data(Data::Text) } else { OpCode::Data(Data::Continue) };
        let frame = Frame::message(Bytes::copy_from_slice(&piece), code, false);
        if client.wire().send_message(Message::Frame(frame)).is_err() {
            break;
        }
    }
    let (code, _) = client.expect_close();
    assert!(matches!(code, Some(1009) | None), "{code:?}");
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 48 << 20, "memory grew by {grown} bytes");
    server.websocket().call("server.info", Value::Null);
}

#[test]
fn a_long_message_within_the_limit_is_taken() {
    let server = Perigee::start();
    let mut client = server.websocket();
    let filler = "x".repeat(9 << 20);
    client.call("server.info", json!({"unknown": filler}));
}

#[test]
fn a_ping_is_answered_and_the_server_pings_too() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.wire().send_message(Message::Ping(Bytes::from_static(b"are you there"))).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut ponged = false;
    loop {
        match client.wire().next_message(deadline).expect("a ping in time").unwrap() {
            Message::Pong(data) => {
                assert_eq!(&data[..], b"are you there");
                ponged = true;
            }
            Message::Ping(_) => break,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(ponged);
}

#[test]
fn a_slow_call_does_not_hold_up_the_next() {
    let (sim, server) = Sim::ready();
    sim.hold("gcode/script");
    let mut client = server.websocket();
    let slow = client.start("printer.gcode.script", json!({"script": "M117 G28"}));
    sim.expect("gcode/script", "G28");
    client.call("server.info", Value::Null);
    client.call("printer.info", Value::Null);
    assert_eq!(client.finish(slow), Ok(json!("ok")));
}

#[test]
fn the_end_of_the_server_is_told() {
    let mut server = Perigee::start();
    let mut client = server.websocket();
    client.call("server.info", Value::Null);
    let mut unix = server.unix_socket();
    unix.call("server.info", Value::Null);
    let asked = Instant::now();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(client.expect_close(), (Some(1001), "Server Shutdown".to_owned()));
    unix.expect_close();
    assert_eq!(server.wait_for_exit().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn a_client_that_does_not_answer_the_close_does_not_hold_up_the_end() {
    let mut server = Perigee::start();
    // never reads, so never answers
    let _stuck: Vec<_> = (0..5).map(|_| server.websocket()).collect();
    let asked = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}

#[test]
fn bytes_sent_with_the_request_are_not_lost() {
    let server = Perigee::start();
    let mut bytes = upgrade_request("/websocket").head("x").into_bytes();
    let text = request(9).into_bytes();
    bytes.extend([0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]);
    bytes.extend(&text);
    assert!(text.len() < 126);
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("\"id\":9") {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend(&chunk[..read]);
    }
}

#[test]
fn answers_and_notifications_keep_their_order() {
    let (sim, server) = Sim::ready();
    let mut client = server.websocket();
    client.settle();
    for n in 0..200 {
        sim.respond(&format!("line {n}"));
    }
    for n in 0..200 {
        assert_eq!(client.expect("notify_gcode_response"), json!([format!("line {n}")]));
    }
}

#[test]
fn a_control_frame_of_a_kind_nobody_knows_is_a_breach() {
    let server = Perigee::start();
    let mut client = server.websocket();
    client.wire().stream().write_all(b"\x8b\x80\x00\x00\x00\x00").unwrap();
    assert!(matches!(client.wire().receive(Instant::now() + PATIENCE), Received::Closed(..)));
}
