//! What the server remembers: temperatures and the terminal (spec behaviour.md §3).

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, eventually};
use crate::sim::Sim;

fn ready(setup: Setup) -> (Sim, Perigee) {
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    (sim, server)
}

fn store(server: &Perigee) -> Value {
    server.get("/server/temperature_store").result()
}

fn length(store: &Value, sensor: &str) -> usize {
    store[sensor]["temperatures"].as_array().map_or(0, Vec::len)
}

#[test]
fn temperatures_are_kept_once_a_second() {
    let (_sim, server) = ready(Setup::new());
    let store =
        eventually("two samples", || Some(store(&server)).filter(|store| length(store, "extruder") >= 2));
    assert_matches(
        &store,
        &json!({
            "extruder": {"$keys": ["temperatures", "targets", "powers"], "$each": {"$each": {"$type": "number"}}},
            "heater_bed": {"$keys": ["temperatures", "targets", "powers"]}
        }),
    );
    for (name, lists) in store.as_object().unwrap() {
        let lengths: Vec<usize> =
            lists.as_object().unwrap().values().map(|list| list.as_array().unwrap().len()).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{name}: {lengths:?}");
        for value in lists["temperatures"].as_array().unwrap().iter().filter_map(Value::as_f64) {
            assert!(((value * 100.0).round() - value * 100.0).abs() < 1e-6, "{value} has two decimals");
        }
    }
    let with_monitors = server.get("/server/temperature_store?include_monitors=true").result();
    assert!(with_monitors["extruder"].is_object());
}

#[test]
fn as_many_are_kept_as_configured() {
    let (_sim, server) =
        ready(Setup::new().sections("[data_store]\ntemperature_store_size: 2\ngcode_store_size: 3"));
    eventually("the store to be full", || (length(&store(&server), "extruder") == 2).then_some(()));
    let mut client = server.websocket();
    for n in 0..6 {
        client.call("printer.gcode.script", json!({"script": format!("M117 {n}")}));
    }
    let kept = client.call("server.gcode_store", Value::Null)["gcode_store"].clone();
    assert_matches(&kept, &json!([{"message": "M117 3"}, {"message": "M117 4"}, {"message": "M117 5"}]));
}

#[test]
fn they_survive_a_restart_of_klippy() {
    let (sim, server) = ready(Setup::new());
    eventually("two samples", || (length(&store(&server), "extruder") >= 2).then_some(()));
    let mut client = server.websocket();
    client.call("printer.gcode.script", json!({"script": "M117 before"}));
    sim.drop_connections();
    client.expect("notify_klippy_ready");
    assert!(length(&store(&server), "extruder") >= 2, "what was kept is still there");
    let kept = client.call("server.gcode_store", Value::Null)["gcode_store"].to_string();
    assert!(kept.contains("M117 before"));
    let now = length(&store(&server), "extruder");
    eventually("more samples", || (length(&store(&server), "extruder") > now).then_some(()));
}

#[test]
fn they_tick_on_while_klippy_is_away() {
    let (sim, server) = ready(Setup::new());
    eventually("a sample", || (length(&store(&server), "extruder") >= 1).then_some(()));
    sim.stop();
    server.wait_for_klippy("disconnected");
    let now = length(&store(&server), "extruder");
    eventually("more samples", || (length(&store(&server), "extruder") > now).then_some(()));
}

#[test]
fn a_line_without_end_is_kept_in_part() {
    let (sim, server) = ready(Setup::new());
    let mut client = server.websocket();
    let before = server.memory().0;
    let long = "x".repeat(1 << 20);
    for n in 0..40 {
        sim.respond(&format!("{n} {long}"));
        let wanted = format!("{n} x");
        client
            .expect_where("notify_gcode_response", |params| params[0].as_str().unwrap().starts_with(&wanted));
    }
    let grown = server.memory().0.saturating_sub(before);
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");
}
