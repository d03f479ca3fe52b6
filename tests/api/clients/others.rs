//! Phones, home automation, remote access: what they send that is peculiar.

use serde_json::{Value, json};
use tungstenite::{Bytes, Message};

use super::{optional, printer};
use crate::harness::pattern::assert_matches;
use crate::harness::websocket::upgrade_request;
use crate::harness::{Multipart, Request, eventually};

#[test]
fn home_assistant_asks_without_saying_who_it_is() {
    let (_sim, server) = printer();
    let request = upgrade_request("/websocket").header("X-Api-Key", "wrong");
    let mut client = server.upgrade(&request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert!(client.call("printer.info", Value::Null)["hostname"].is_string());
    client.call("printer.objects.query", json!({"objects": {"print_stats": null, "extruder": null}}));
    client.wire().send_message(Message::Ping(Bytes::from_static(b""))).unwrap();
    assert!(client.call("server.websocket.id", Value::Null)["websocket_id"].is_u64());
    for method in
        ["machine.system_info", "machine.update.status", "server.history.totals", "server.job_queue.status"]
    {
        optional(&mut client, method, Value::Null);
    }
}

#[test]
fn mobileraker_starts_up() {
    let (_sim, server) = printer();
    let mut client = server.websocket();
    client.call(
        "server.connection.identify",
        json!({"client_name": "Mobileraker-iOS", "version": "2.8.0", "type": "mobile", "url": "www.mobileraker.com"}),
    );
    let info = client.call("server.info", Value::Null);
    assert!(info["moonraker_version"].as_str().unwrap().starts_with('v'));
    assert_eq!(client.call("printer.info", Value::Null)["state"], "ready");
    client.call("printer.objects.list", Value::Null);
    client.call("printer.objects.query", json!({"objects": {"configfile": ["settings"]}}));
    client.call(
        "printer.objects.subscribe",
        json!({"objects": {"toolhead": null, "gcode_move": null, "print_stats": null}}),
    );
    client.call("server.temperature_store", Value::Null);
    client.call("server.gcode_store", json!({"count": 1000}));
}

#[test]
fn octoeverywhere_starts_up_as_an_agent() {
    let (_sim, server) = printer();
    let mut client =
        server.try_websocket("/websocket?token=NOTATOKEN").unwrap_or_else(|refusal| panic!("{refusal:?}"));
    client.call(
        "server.connection.identify",
        json!({"client_name": "OctoEverywhere", "version": "4.0.0", "type": "agent", "url": "https://octoeverywhere.com"}),
    );
    assert_eq!(client.call("server.info", Value::Null)["klippy_state"], "ready");
    // fields and objects that there are not
    let subscribed = client.call(
        "printer.objects.subscribe",
        json!({"objects": {"print_stats": ["state", "no_such_field"], "webhooks": null, "display_status": null, "virtual_sdcard": null, "history": null}}),
    );
    assert_matches(
        &subscribed["status"],
        &json!({"print_stats": {"state": "standby"}, "history": {"$keys": []}}),
    );
    assert_eq!(client.call("connection.send_event", json!({"event": "some_event", "data": {"x": 1}})), "ok");
    // fire and forget, without an id
    client.send(&json!({"jsonrpc": "2.0", "method": "printer.print.pause"}));
    client.send(&json!({"jsonrpc": "2.0", "method": "machine.device_power.device", "params": {"device": "light"}, "id": "str-1"}));
    assert_matches(
        &client.answer_where(|message| message["id"] == "str-1"),
        &json!({"error": {"code": -32601}}),
    );
    assert!(!server.get("/server/files/list").result().is_null());
}

#[test]
fn obico_starts_up_as_an_agent() {
    let (sim, server) = printer();
    server.get("/server/info").result();
    let mut client = server
        .upgrade(&upgrade_request("/websocket").header("X-Api-Key", "x"))
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    client.call(
        "server.connection.identify",
        json!({"client_name": "moonraker-obico", "version": "2.1.4", "type": "agent", "url": "http://obico.io", "api_key": "x"}),
    );
    assert_eq!(
        client.call("connection.register_remote_method", json!({"method_name": "obico_remote_event"})),
        "ok"
    );
    server.get("/printer/objects/list").result();
    assert_matches(
        &server.get("/printer/objects/query?heaters=").result(),
        &json!({"status": {"heaters": {"available_heaters": {"$type": "array"}}}}),
    );
    // a string where a list should be, once a second
    let query = json!({"objects": {"webhooks": ["state"], "fan": "speed", "heaters": "available_heaters"}});
    for _ in 0..3 {
        assert_matches(
            &client.call("printer.objects.query", query.clone())["status"],
            &json!({"fan": {"$keys": ["speed"]}}),
        );
    }
    client.call("printer.objects.subscribe", query);
    eventually("a call to get through", || {
        let called = sim.controls().call_remote_method("obico_remote_event", &json!({"message": "hello"}));
        (called == 1).then_some(())
    });
    assert_eq!(client.expect("obico_remote_event"), json!({"message": "hello"}));
}

#[test]
fn moonraker_telegram_bot_uploads_and_commands() {
    let (_sim, server) = printer();
    // httpx sends fields as files
    let form = Multipart::new()
        .part(
            "name=\"file\"; filename=\"telegram_cube.gcode\"",
            "Content-Type: application/octet-stream\r\n",
            "G28\n",
        )
        .part("name=\"root\"; filename=\"upload\"", "", "gcodes")
        .part("name=\"path\"; filename=\"upload\"", "", "telegram");
    assert_eq!(
        server.send(&form.upload()).expect(201).json()["item"]["path"],
        "telegram/telegram_cube.gcode"
    );
    // a JSON body that is not declared as such is not read
    let command = Request {
        body: b"{\"commands\": [\"M117 lost\"]}".to_vec(),
        ..Request::post("/api/printer/command")
    };
    let status = server.send(&command).status;
    assert!(matches!(status, 200 | 400), "{status}");
    assert!(!server.get("/server/gcode_store").result().to_string().contains("M117 lost"));
    server.get("/printer/gcode/script?script=M117%20kept").expect(200);
    assert!(server.get("/server/gcode_store").result().to_string().contains("M117 kept"));
}

#[test]
fn guppyscreen_and_mooncord_ask_in_their_ways() {
    let (_sim, server) = printer();
    let mut client = server.websocket();
    // numbers as ids that begin anywhere, params absent and empty
    for (id, message) in [
        (7_000_000, json!({"jsonrpc": "2.0", "method": "server.info", "params": {}, "id": 7_000_000})),
        (1, json!({"id": 1, "method": "printer.objects.list", "jsonrpc": "2.0"})),
    ] {
        client.send(&message);
        assert!(client.answer_where(|answer| answer["id"] == id)["result"].is_object());
    }
    client.call("server.files.roots", Value::Null);
    client.call("server.files.get_directory", json!({"path": "gcodes"}));
    client.call("server.config", Value::Null);
}
