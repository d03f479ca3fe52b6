//! What can go wrong with Klippy: garbage, half and huge frames, answers that never come (spec behaviour.md §2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Perigee, Setup, WsClient, eventually};
use crate::sim::Sim;

/// After something bad the link must still serve; if it was cut, it must come back.
fn still_works(sim: &Sim, server: &Perigee, client: &mut WsClient) {
    eventually("the link to serve", || {
        sim.respond("alive");
        client.try_call("printer.gcode.script", json!({"script": "M117"})).ok()
    });
    client.expect_where("notify_gcode_response", |params| params == &json!(["alive"]));
    server.wait_for_klippy("ready");
}

#[test]
fn garbage_from_klippy() {
    let (sim, server) = Sim::ready();
    let mut client = server.websocket();
    for bytes in [
        &b"\x03"[..],
        b"\x03\x03\x03",
        b"garbage\x03",
        b"{\x03",
        b"null\x03",
        b"[]\x03",
        b"[1,2]\x03",
        b"17\x03",
        b"\"text\"\x03",
        b"\xff\xfe\x00\x03",
        b"{}\x03",
        b"{\"id\": 4543}\x03",
        b"{\"id\": 4543, \"result\": {}}\x03",
        b"{\"id\": \"text\", \"result\": {}}\x03",
        b"{\"id\": null, \"result\": {}}\x03",
        b"{\"id\": -1, \"error\": {\"message\": 5}}\x03",
        b"{\"id\": [1], \"error\": null}\x03",
        b"{\"method\": 5}\x03",
        b"{\"method\": null, \"params\": {}}\x03",
        b"{\"method\": \"process_status_update\"}\x03",
        b"{\"method\": \"process_status_update\", \"params\": []}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": \"x\", \"status\": {}}}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": 1, \"status\": []}}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": 1, \"status\": {\"webhooks\": 5}}}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": 1, \"status\": {\"webhooks\": {\"state\": 5}}}}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": 1, \"status\": {\"webhooks\": {\"state\": \"strange\"}}}}\x03",
        b"{\"method\": \"process_status_update\", \"params\": {\"eventtime\": [1], \"status\": {\"x\": null}}}\x03",
        b"{\"method\": \"process_gcode_response\"}\x03",
        b"{\"method\": \"process_gcode_response\", \"params\": {}}\x03",
        b"{\"method\": \"process_gcode_response\", \"params\": {\"response\": 5}}\x03",
        b"{\"method\": \"process_gcode_response\", \"params\": [\"x\"]}\x03",
        b"{\"params\": {\"response\": \"x\"}}\x03",
    ] {
        sim.send_bytes(bytes);
        still_works(&sim, &server, &mut client);
    }
    let deep = format!("{}1{}\x03", "{\"a\":".repeat(10_000), "}".repeat(10_000));
    sim.send_bytes(deep.as_bytes());
    still_works(&sim, &server, &mut client);
    assert_eq!(server.info()["klippy_state"], "ready");
}

#[test]
fn half_frames_from_klippy() {
    let (sim, server) = Sim::ready();
    let mut client = server.websocket();
    // in two pieces, with no answer between them to what the server asks by itself
    sim.controls().hang(true);
    sim.send_bytes(b"{\"method\": \"process_gcode_response\", \"params\": {\"resp");
    client.call("server.info", Value::Null);
    sim.send_bytes(b"onse\": \"in two pieces\"}}\x03");
    sim.controls().hang(false);
    client.expect_where("notify_gcode_response", |params| params == &json!(["in two pieces"]));
    // and one that never ends
    sim.send_bytes(b"{\"method\": \"process_gcode_resp");
    sim.drop_connections();
    client.expect("notify_klippy_disconnected");
    client.expect("notify_klippy_ready");
    still_works(&sim, &server, &mut client);
}

#[test]
fn a_frame_of_fifty_megabytes_from_klippy() {
    let (sim, server) = Sim::ready();
    let mut client = server.websocket();
    let before = server.memory().0;
    sim.controls().hang(true);
    sim.send_bytes(b"{\"method\": \"process_gcode_response\", \"params\": {\"response\": \"");
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..50 {
        sim.send_bytes(&piece);
    }
    sim.send_bytes(b"\"}}\x03");
    sim.controls().hang(false);
    still_works(&sim, &server, &mut client);
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

#[test]
fn a_klippy_that_stops_answering() {
    let (sim, server) = Sim::ready();
    sim.controls().hang(true);
    let mut client = server.websocket();
    let waiting = client.start("printer.gcode.help", Value::Null);
    for _ in 0..20 {
        client.call("server.info", Value::Null);
        server.get("/server/files/list").expect(200);
    }
    let (_, second) = server.identified();
    assert!(second > 0);
    sim.controls().hang(false);
    assert!(client.finish(waiting).is_ok());
}

#[test]
fn a_klippy_that_never_answers_the_handshake() {
    let setup = Setup::new();
    let sim = Sim::start(&setup);
    sim.controls().hang(true);
    let mut server = setup.start();
    eventually("the connection", || (server.info()["klippy_connected"] == true).then_some(()));
    assert_eq!(server.info()["klippy_state"], "startup");
    server.get("/server/info").expect(200);
    assert_eq!(server.stop().code(), Some(0), "and the end does not wait for it");
}

#[test]
fn more_requests_than_klippy_may_have_waiting() {
    let (sim, server) = Sim::ready();
    sim.mute("gcode/help");
    let mut clients: Vec<WsClient> = (0..4).map(|_| server.websocket()).collect();
    for client in &mut clients {
        for _ in 0..250 {
            client.start("printer.gcode.help", Value::Null);
        }
    }
    // some of the thousand are refused at once, not all of them; notifications may come between
    let refused = clients.iter_mut().any(|client| {
        std::iter::from_fn(|| client.next_within(Duration::from_millis(500)))
            .any(|answer| answer["error"]["code"] == 503)
    });
    assert!(refused);
    sim.restore("gcode/help");
    sim.drop_connections();
    eventually("room again", || server.websocket().try_call("printer.gcode.help", Value::Null).ok());
}
