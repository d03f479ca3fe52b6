//! Status: subscriptions, the cache, updates (spec behaviour.md §2.5, notifications.md row 2).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, WsClient};
use crate::sim::Sim;

const UPDATE: &str = "notify_status_update";

fn ready() -> (Sim, Perigee) {
    let setup = Setup::new();
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    (sim, server)
}

fn subscribe(client: &mut WsClient, objects: Value) -> Value {
    client.call("printer.objects.subscribe", json!({"objects": objects}))
}

/// Waits for an update that has this value.
#[track_caller]
fn expect_value(client: &mut WsClient, object: &str, field: &str, value: &Value) -> Value {
    client.expect_where(UPDATE, |params| &params[0][object][field] == value)
}

#[test]
fn an_update_has_what_changed_and_a_time() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    let answer = subscribe(&mut client, json!({"fan": null, "toolhead": ["position"]}));
    assert_matches(
        &answer,
        &json!({"$keys": ["status", "eventtime"], "$all": [{"status": {"$keys": ["fan", "toolhead"], "$all": [{"toolhead": {"$keys": ["position"]}}]}, "eventtime": {"$type": "number"}}]}),
    );
    sim.run("M106 S255");
    let params = expect_value(&mut client, "fan", "speed", &json!(1.0));
    assert_matches(&params, &json!([{"$keys": ["fan"]}, {"$type": "number"}]));
    assert!(params[1].as_f64() >= answer["eventtime"].as_f64(), "time goes on");
}

#[test]
fn only_what_was_asked_for_comes() {
    let (sim, server) = ready();
    let mut fan = server.websocket();
    let mut display = server.websocket();
    let mut nothing = server.websocket();
    subscribe(&mut fan, json!({"fan": ["speed"]}));
    subscribe(&mut display, json!({"display_status": ["message"], "gcode_move": null}));
    nothing.settle();
    sim.run("M117 hello");
    sim.run("M106 S127.5");
    expect_value(&mut display, "display_status", "message", &json!("hello"));
    expect_value(&mut fan, "fan", "speed", &json!(0.5));
    for update in fan.take_named(UPDATE) {
        assert_matches(
            &update["params"][0],
            &json!({"$keys": ["fan"], "$all": [{"fan": {"$keys": ["speed"]}}]}),
        );
    }
    for update in display.take_named(UPDATE) {
        assert_matches(&update["params"][0], &json!({"fan": {"$absent": true}}));
    }
    assert!(nothing.take_named(UPDATE).is_empty());
}

#[test]
fn a_new_subscription_replaces_the_former_one() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    subscribe(&mut client, json!({"fan": null, "display_status": null}));
    let answer = subscribe(&mut client, json!({"display_status": ["message"]}));
    assert_matches(
        &answer["status"],
        &json!({"$keys": ["display_status"], "$all": [{"display_status": {"$keys": ["message"]}}]}),
    );
    sim.run("M106 S255");
    sim.run("M117 later");
    expect_value(&mut client, "display_status", "message", &json!("later"));
    sim.run("M106 S0");
    sim.run("M117 last");
    let update = expect_value(&mut client, "display_status", "message", &json!("last"));
    assert_matches(&update[0], &json!({"$keys": ["display_status"]}));
}

#[test]
fn a_subscription_can_be_ended() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    let mut other = server.websocket();
    subscribe(&mut client, json!({"display_status": null}));
    subscribe(&mut other, json!({"display_status": null}));
    assert_matches(&subscribe(&mut client, json!({})), &json!({"status": {"$keys": []}}));
    sim.run("M117 unseen");
    expect_value(&mut other, "display_status", "message", &json!("unseen"));
    assert!(client.take_named(UPDATE).is_empty());
}

#[test]
fn klippy_is_asked_for_the_union() {
    let (sim, server) = ready();
    let mut first = server.websocket();
    let mut second = server.websocket();
    let mut third = server.unix_socket();
    subscribe(&mut first, json!({"fan": ["speed"], "toolhead": ["position"]}));
    subscribe(&mut second, json!({"fan": ["rpm"], "display_status": null}));
    third.call("printer.objects.subscribe", json!({"objects": {"toolhead": null, "toaster": null}}));
    let asked = sim.requests_of("objects/subscribe").pop().unwrap();
    let objects = &asked["params"]["objects"];
    assert_matches(objects, &json!({"toolhead": null, "display_status": null, "webhooks": {"$any": true}}));
    let mut fields: Vec<&str> = objects["fan"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["rpm", "speed"]);
    assert_eq!(asked["params"]["response_template"]["method"], "process_status_update");
}

#[test]
fn an_object_that_klippy_does_not_have_is_empty() {
    let (_sim, server) = ready();
    let mut client = server.websocket();
    let answer =
        subscribe(&mut client, json!({"history": ["x"], "toaster": null, "webhooks": ["state", "nothing"]}));
    assert_matches(
        &answer["status"],
        &json!({"history": {"$type": "object"}, "toaster": {"$keys": []}, "webhooks": {"state": "ready"}}),
    );
    // and again from the cache
    let answer = subscribe(&mut client, json!({"toaster": null}));
    assert_matches(&answer["status"], &json!({"toaster": {"$keys": []}}));
}

#[test]
fn a_difference_found_on_the_way_goes_to_the_others() {
    // changes are pushed rarely and questions answered at once, so that only the second subscription's answer can
    // tell
    let setup = Setup::new();
    let sim = Sim::start_with(&setup, |options| options.tick = Duration::from_secs(3));
    sim.controls().answer_at_once(true);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut first = server.websocket();
    subscribe(&mut first, json!({"display_status": ["message"]}));
    sim.run("M117 news");
    let mut second = server.websocket();
    let answer = subscribe(&mut second, json!({"display_status": ["message", "progress"], "heaters": null}));
    assert_eq!(answer["status"]["display_status"]["message"], "news");
    let update = expect_value(&mut first, "display_status", "message", &json!("news"));
    assert_matches(
        &update[0],
        &json!({"$keys": ["display_status"], "$all": [{"display_status": {"$keys": ["message"]}}]}),
    );
    assert!(
        second
            .take_named(UPDATE)
            .iter()
            .all(|update| update["params"][0]["display_status"]["message"] != "news")
    );
}

#[test]
fn what_is_subscribed_is_answered_at_once() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    subscribe(&mut client, json!({"toolhead": null, "fan": null}));
    sim.mute("objects/query");
    sim.mute("objects/subscribe");
    let mut other = server.websocket();
    let begun = Instant::now();
    for _ in 0..20 {
        let answer =
            other.call("printer.objects.query", json!({"objects": {"toolhead": ["position"], "fan": null}}));
        assert_matches(
            &answer["status"],
            &json!({"$keys": ["toolhead", "fan"], "$all": [{"toolhead": {"$keys": ["position"]}}]}),
        );
        let answer = subscribe(&mut other, json!({"fan": ["speed"]}));
        assert_matches(&answer["status"], &json!({"$keys": ["fan"]}));
    }
    assert!(begun.elapsed().as_secs() < 5);
}

#[test]
fn only_what_is_missing_is_asked_of_klippy() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    subscribe(&mut client, json!({"toolhead": null}));
    let objects = json!({"toolhead": ["position"], "exclude_object": ["objects"]});
    let answer = client.call("printer.objects.query", json!({"objects": objects}));
    assert_matches(
        &answer["status"],
        &json!({"toolhead": {"position": {"$len": 4}}, "exclude_object": {"$keys": ["objects"]}}),
    );
    let mut asked = sim.requests_of("objects/query");
    asked.retain(|request| request.to_string().contains("exclude_object"));
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0]["params"]["objects"], json!({"exclude_object": ["objects"]}));
}

#[test]
fn klippy_is_always_asked_when_the_configuration_says_so() {
    let setup = Setup::new().option("query_from_cache: False");
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    subscribe(&mut client, json!({"fan": null}));
    let asked = || {
        sim.requests_of("objects/query")
            .iter()
            .filter(|request| request["params"]["objects"].get("fan").is_some())
            .count()
    };
    assert_eq!(asked(), 0);
    client.call("printer.objects.query", json!({"objects": {"fan": null}}));
    assert_eq!(asked(), 1);
}

#[test]
fn the_cache_is_never_behind_what_a_client_was_told() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    subscribe(&mut client, json!({"display_status": ["message"]}));
    for n in 0..10 {
        let message = format!("message {n}");
        sim.run(&format!("M117 {message}"));
        expect_value(&mut client, "display_status", "message", &json!(message));
        let answer =
            client.call("printer.objects.query", json!({"objects": {"display_status": ["message"]}}));
        assert_eq!(answer["status"]["display_status"]["message"], json!(message));
    }
}

#[test]
fn updates_go_on_over_both_kinds_of_sockets() {
    let (sim, server) = ready();
    let mut unix = server.unix_socket();
    unix.call("printer.objects.subscribe", json!({"objects": {"display_status": null}}));
    sim.run("M117 by unix");
    unix.expect_where(UPDATE, |params| params[0]["display_status"]["message"] == "by unix");
}

#[test]
fn a_subscription_over_http_is_made_for_a_websocket() {
    let (sim, server) = ready();
    let (mut client, id) = server.identified();
    let target = format!("/printer/objects/subscribe?connection_id={id}&display_status=message&fan");
    let answer = server.send(&crate::harness::Request::post(&target)).result();
    assert_matches(
        &answer["status"],
        &json!({"$keys": ["display_status", "fan"], "$all": [{"display_status": {"$keys": ["message"]}}]}),
    );
    sim.run("M117 by http");
    expect_value(&mut client, "display_status", "message", &json!("by http"));
    // the id alone ends it
    let target = format!("/printer/objects/subscribe?connection_id={id}");
    server.send(&crate::harness::Request::post(&target)).expect(200);
    let mut other = server.websocket();
    subscribe(&mut other, json!({"display_status": null}));
    sim.run("M117 to nobody");
    expect_value(&mut other, "display_status", "message", &json!("to nobody"));
    assert!(client.take_named(UPDATE).is_empty());
}

#[test]
fn a_client_that_leaves_takes_its_subscription_with_it() {
    let (sim, server) = ready();
    let mut leaving = server.websocket();
    subscribe(&mut leaving, json!({"fan": null}));
    drop(leaving);
    let mut staying = server.websocket();
    subscribe(&mut staying, json!({"heater_bed": ["target"]}));
    sim.run("M140 S60");
    expect_value(&mut staying, "heater_bed", "target", &json!(60.0));
}

#[test]
fn subscriptions_end_when_klippy_goes() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    subscribe(&mut client, json!({"display_status": null}));
    sim.drop_connections();
    client.expect("notify_klippy_disconnected");
    client.expect("notify_klippy_ready");
    server.wait_for_klippy("ready");
    let mut other = server.websocket();
    subscribe(&mut other, json!({"display_status": null}));
    sim.run("M117 after");
    expect_value(&mut other, "display_status", "message", &json!("after"));
    assert!(client.take_named(UPDATE).is_empty());
}

#[test]
fn fifty_clients_that_want_everything_are_served_soon() {
    let (sim, server) = ready();
    let mut first = server.websocket();
    let objects = first.call("printer.objects.list", Value::Null)["objects"].clone();
    let all: serde_json::Map<String, Value> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|name| (name.as_str().unwrap().to_owned(), Value::Null))
        .collect();
    subscribe(&mut first, json!(all));
    let begun = Instant::now();
    let mut clients: Vec<WsClient> = (0..48).map(|_| server.websocket()).collect();
    for client in &mut clients {
        let answer = subscribe(client, json!(all));
        assert_eq!(answer["status"].as_object().unwrap().len(), all.len());
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    sim.run("M117 to all");
    for client in &mut clients {
        expect_value(client, "display_status", "message", &json!("to all"));
    }
}

#[test]
fn the_settings_of_the_configuration_come_though_they_are_large() {
    let (_sim, server) = ready();
    let mut client = server.websocket();
    let answer = subscribe(&mut client, json!({"configfile": null, "webhooks": null}));
    assert_matches(
        &answer["status"]["configfile"],
        &json!({"config": {"$type": "object"}, "settings": {"$type": "object"}}),
    );
    let again = client.call("printer.objects.query", json!({"objects": {"configfile": ["settings"]}}));
    assert_eq!(again["status"]["configfile"]["settings"], answer["status"]["configfile"]["settings"]);
}

#[test]
fn text_for_fields_is_a_list_of_one() {
    let (sim, server) = ready();
    let mut client = server.websocket();
    let answer = client
        .call("printer.objects.query", json!({"objects": {"fan": "speed", "heaters": "available_heaters"}}));
    assert_matches(
        &answer["status"],
        &json!({"fan": {"$keys": ["speed"]}, "heaters": {"$keys": ["available_heaters"]}}),
    );
    subscribe(&mut client, json!({"fan": "speed"}));
    sim.run("M106 S255");
    expect_value(&mut client, "fan", "speed", &json!(1.0));
}
