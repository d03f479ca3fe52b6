//! What tests can do to it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bench;
use crate::demo::klippy::State;
use crate::demo::klippy::world::MAX_OUTBOX;

#[test]
fn answers_can_be_delayed_muted_and_made_errors() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    controls.delay("info", Duration::from_millis(100));
    let begun = Instant::now();
    let slow = client.send("info", &json!({}));
    client.call("list_endpoints", json!({}));
    client.answer(slow);
    assert!(begun.elapsed() >= Duration::from_millis(100));
    controls.restore("info");

    controls.mute("info");
    client.send("info", &json!({}));
    client.call("list_endpoints", json!({}));
    controls.restore("info");
    client.call("info", json!({}));
    assert!(client.other.is_empty());

    controls.fail("gcode/help", "no help");
    assert_eq!(client.error("gcode/help", json!({})), "no help");
    controls.restore("gcode/help");
    client.call("gcode/help", json!({}));
}

#[test]
fn endpoints_and_objects_come_and_go() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    controls.add_endpoint("new/thing", &json!({ "a": 1 }));
    assert_eq!(client.call("new/thing", json!({})), json!({ "a": 1 }));
    controls.remove_endpoint("gcode/help");
    assert!(client.error("gcode/help", json!({})).starts_with("webhooks: No registered callback"));
    let list = client.call("list_endpoints", json!({}))["endpoints"].clone();
    assert!(list.as_array().unwrap().contains(&json!("new/thing")));
    assert!(!list.as_array().unwrap().contains(&json!("gcode/help")));

    controls.set_object("extruder", json!({ "temperature": 123.0, "extra": [1] }));
    controls.set_object("mmu", json!({ "gate": 2 }));
    controls.remove_object("fan");
    let extruder = client.object("extruder");
    assert_eq!(
        (&extruder["temperature"], &extruder["extra"], &extruder["target"]),
        (&json!(123.0), &json!([1]), &json!(0.0))
    );
    assert_eq!((client.object("mmu"), client.object("fan")), (json!({ "gate": 2 }), json!({})));
    let names = client.call("objects/list", json!({}))["objects"].clone();
    assert!(
        names.as_array().unwrap().contains(&json!("mmu"))
            && !names.as_array().unwrap().contains(&json!("fan"))
    );
    controls.restore_object("extruder");
    assert_ne!(client.object("extruder")["temperature"], 123.0);
    assert_eq!(controls.object("mmu")["gate"], 2);
}

#[test]
fn objects_that_are_set_are_pushed() {
    let bench = Bench::new(|options| options.noise = false);
    let controls = bench.controls();
    let mut client = bench.client();
    controls.set_object("mmu", json!({ "gate": 0, "state": null }));
    client.call("objects/subscribe", json!({ "objects": { "mmu": null } }));
    controls.set_object("mmu", json!({ "gate": 5 }));
    let push = client.wait(|message| Some(message["params"]["status"].clone()));
    assert_eq!(push, json!({ "mmu": { "gate": 5 } }));
    controls.remove_object("mmu");
    let push = client.wait(|message| Some(message["params"]["status"].clone()));
    assert_eq!(push, json!({ "mmu": { "gate": null } }));
}

#[test]
fn anything_can_be_sent() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("info", json!({}));
    controls.send_raw(b"garbage\x03{\"half\":");
    assert_eq!(client.frame().unwrap(), b"garbage");
    controls.send_raw(b"1}\x03");
    assert_eq!(client.message().unwrap(), json!({ "half": 1 }));
    controls.send_huge(50_000_000);
    assert_eq!(client.frame().unwrap().len(), 50_000_000 + r#"{"method":"huge","params":""}"#.len());
    client.watch_terminal();
    controls.respond("!! from outside");
    assert_eq!(client.message().unwrap()["params"]["response"], "!! from outside");
    controls.run_gcode("M118 typed");
    assert_eq!(client.message().unwrap()["params"]["response"], "echo: typed");
}

#[test]
fn states_are_set_and_pushed() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("objects/subscribe", json!({ "objects": { "webhooks": null } }));
    let state =
        |message: &Value| message["params"]["status"]["webhooks"]["state"].as_str().map(str::to_owned);
    controls.set_state(State::shutdown("MCU 'mcu' shutdown: Timer too close"));
    assert_eq!(client.wait(state), "shutdown");
    controls.set_state(State::Error("broken".to_owned()));
    assert_eq!(client.wait(state), "error");
    controls.set_state(State::Startup);
    assert_eq!(client.wait(state), "startup");
    assert_eq!(client.call("info", json!({}))["state"], "startup");
    controls.set_state(State::Ready);
    assert_eq!(client.wait(state), "ready");
}

#[test]
fn connections_end_and_the_socket_goes_and_comes() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("info", json!({}));
    assert_eq!((controls.connections(), controls.connections_total()), (1, 1));
    controls.close_listener();
    client.call("info", json!({}));
    controls.drop_connections();
    assert!(client.ends());
    assert!(controls.wait_for_connections(0));
    controls.open_listener();
    let mut client = bench.client();
    client.call("info", json!({}));
    controls.restart();
    assert!(client.ends());
    assert!(controls.wait_for_starts(2));
    assert_eq!(controls.connections_total(), 2);
}

#[test]
fn a_hung_klippy_goes_on_where_it_stopped() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("info", json!({}));
    controls.hang(true);
    let id = client.send("info", &json!({}));
    client.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.frame().is_none());
    client.stream.set_read_timeout(Some(super::PATIENCE)).unwrap();
    controls.hang(false);
    client.answer(id);
}

#[test]
fn requests_are_recorded() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("info", json!({ "client_info": { "version": "1" } }));
    client.gcode("M118 hi");
    assert_eq!(controls.requests().len(), 2);
    let request =
        controls.wait_for_request("gcode/script", |request| request.params["script"] == "M118 hi").unwrap();
    assert_eq!((request.connection, request.id), (1, json!(2)));
    assert_eq!(controls.requests_to("info")[0].params["client_info"]["version"], "1");
    controls.clear_requests();
    assert!(controls.requests().is_empty());
}

#[test]
fn a_second_simulator_does_not_take_the_socket() {
    let bench = Bench::fast();
    let socket = bench.simulator.as_ref().unwrap().socket().to_owned();
    let options = crate::demo::klippy::Options::new(&socket, &bench.folder);
    let error = crate::demo::klippy::Simulator::start(options).err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(bench);
    assert!(!socket.exists());
}

#[test]
fn a_client_that_takes_nothing_is_dropped() {
    let bench = Bench::fast();
    let controls = bench.controls();
    let mut client = bench.client();
    client.call("info", json!({}));
    for _ in 0..2 {
        controls.send_huge(MAX_OUTBOX / 2);
    }
    assert!(controls.wait_for_connections(0));
}
