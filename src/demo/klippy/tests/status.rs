//! Queries, subscriptions, the terminal, remote methods.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bench;

#[test]
fn queries_give_what_was_asked_for() {
    let bench = Bench::fast();
    let mut client = bench.client();
    let result = client.call(
        "objects/query",
        json!({ "objects": { "fan": ["nofield", "speed"], "nosuch": null, "extruder": [], "webhooks": null } }),
    );
    assert!(result["eventtime"].as_f64().unwrap() > 0.0);
    assert_eq!(
        result["status"],
        json!({
            "fan": { "nofield": null, "speed": 0.0 },
            "nosuch": {},
            "extruder": {},
            "webhooks": { "state": "ready", "state_message": "Printer is ready" },
        })
    );
}

#[test]
fn every_object_tells_something() {
    let bench = Bench::fast();
    let mut client = bench.client();
    let names = client.call("objects/list", json!({}))["objects"].clone();
    for name in names.as_array().unwrap() {
        let name = name.as_str().unwrap();
        let object = client.object(name);
        let empty = object.as_object().unwrap().is_empty();
        assert!(!empty || name.starts_with("gcode_macro"), "{name}");
    }
    let configfile = client.object("configfile");
    assert_eq!(configfile["config"]["virtual_sdcard"]["path"], bench.folder.join("gcodes").to_str().unwrap());
    assert_eq!(configfile["settings"]["printer"]["max_accel"], 3000.0);
    assert_eq!(
        client.object("gcode_macro LOAD_FILAMENT"),
        json!({ "length": 50, "speed": 300, "material": "PLA" })
    );
    assert_eq!(client.object("gcode")["commands"]["BASE_PAUSE"]["help"], "Renamed builtin of 'PAUSE'");
    assert_eq!(client.call("gcode/help", json!({}))["START_PRINT"], "Heat up and home");
    assert!(client.call("gcode/help", json!({}))["G1"].is_null());
}

#[test]
fn answers_wait_for_the_tick_unless_told_otherwise() {
    let tick = Duration::from_secs(1);
    let bench = Bench::new(|options| options.tick = tick);
    let mut client = bench.client();
    client.object("fan");
    let begun = Instant::now();
    client.object("fan");
    assert!(begun.elapsed() > tick / 2, "{:?}", begun.elapsed());
    bench.controls().answer_at_once(true);
    let begun = Instant::now();
    for _ in 0..3 {
        client.object("fan");
    }
    assert!(begun.elapsed() < 2 * tick, "{:?}", begun.elapsed());
}

#[test]
fn subscriptions_push_only_what_changes() {
    let bench = Bench::new(|options| options.noise = false);
    let mut client = bench.client();
    let first = client.call(
        "objects/subscribe",
        json!({
            "objects": { "fan": null, "gcode_move": ["speed_factor", "position"], "heaters": null, "nosuch": null },
            "response_template": { "method": "update" },
        }),
    );
    assert_eq!(first["status"]["fan"], json!({ "speed": 0.0, "rpm": null }));
    client.gcode("M220 S150");
    let push = client.wait(|message| (message["method"] == "update").then(|| message.clone()));
    assert_eq!(push["params"]["status"], json!({ "gcode_move": { "speed_factor": 1.5 } }));
    assert!(push["params"]["eventtime"].is_f64());
    client.gcode("M106 S127.5");
    let push = client.wait(|message| (message["method"] == "update").then(|| message.clone()));
    assert_eq!(push["params"]["status"], json!({ "fan": { "speed": 0.5 } }));
    // another subscription takes the place of the first
    client.call("objects/subscribe", json!({ "objects": { "webhooks": null } }));
    client.gcode("M220 S100\nM107");
    for _ in 0..3 {
        client.object("fan");
    }
    assert!(client.other.is_empty(), "{:?}", client.other);
}

#[test]
fn each_client_has_its_own_subscription() {
    let bench = Bench::new(|options| options.noise = false);
    let mut one = bench.client();
    let mut two = bench.client();
    one.call("objects/subscribe", json!({ "objects": { "fan": ["speed"] } }));
    two.call(
        "objects/subscribe",
        json!({ "objects": { "fan": null, "gcode_move": null }, "response_template": { "key": [1] } }),
    );
    two.gcode("M106\nM220 S50");
    let of_one = one.wait(|message| Some(message.clone()));
    assert_eq!(of_one["params"]["status"], json!({ "fan": { "speed": 1.0 } }));
    assert!(of_one.get("key").is_none());
    let status = |message: &Value| Some(message["params"]["status"].clone()).filter(Value::is_object);
    let mut seen = two.wait(status);
    while seen["fan"].is_null() || seen["gcode_move"].is_null() {
        let more = two.wait(status);
        seen.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
}

#[test]
fn an_idle_printer_pushes_little_and_a_lone_socket_nothing() {
    let bench = Bench::new(|options| options.noise = false);
    let mut client = bench.client();
    client.call("objects/subscribe", json!({ "objects": { "toolhead": null, "extruder": null } }));
    let push = client.wait(|message| Some(message["params"]["status"].clone()));
    assert_eq!(push.as_object().unwrap().keys().collect::<Vec<_>>(), ["toolhead"]);
    let keys: Vec<_> = push["toolhead"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["estimated_print_time"]);
}

#[test]
fn remote_methods_are_called_by_macros() {
    let bench = Bench::new(|options| {
        options.speed = 1000.0;
        options.extra_config = "[gcode_macro TEST_REMOTE_METHOD]\ngcode:\n  \
                                {action_call_remote_method(method=\"moonraker_test\", result=\"test\", list=[1, 2.5])}\n"
            .to_owned();
    });
    let mut client = bench.client();
    for name in ["moonraker_test", "set_device_power", "beep"] {
        let params = json!({ "remote_method": name, "response_template": { "method": name } });
        assert_eq!(client.call("register_remote_method", params), json!({}));
    }
    client.gcode("TEST_REMOTE_METHOD");
    let call =
        client.wait(|message| (message["method"] == "moonraker_test").then(|| message["params"].clone()));
    assert_eq!(call, json!({ "result": "test", "list": [1, 2.5] }));
    client.gcode("SET_POWER DEVICE=lamp STATE=off");
    let call =
        client.wait(|message| (message["method"] == "set_device_power").then(|| message["params"].clone()));
    assert_eq!(call, json!({ "device": "lamp", "state": "off" }));
    client.gcode("ACTION_CALL_REMOTE_METHOD METHOD=beep FREQUENCY=300 NAME=x");
    let call = client.wait(|message| (message["method"] == "beep").then(|| message["params"].clone()));
    assert_eq!(call, json!({ "frequency": 300, "name": "x" }));
    // nobody has registered it: only logged, as in Klippy
    client.gcode("NOTIFY");
    assert_eq!(bench.controls().call_remote_method("beep", &json!({ "a": 1 })), 1);
    assert_eq!(bench.controls().call_remote_method("none", &json!({})), 0);
}

#[test]
fn macros_know_parameters_variables_and_the_printer() {
    let bench = Bench::new(|options| {
        options.speed = 1000.0;
        options.extra_config = "[gcode_macro TELL]\nvariable_count: 3\ngcode:\n  {% for i in range(count) %}\n  \
             M118 {i} {params.NAME|default('nobody')} {printer.toolhead.max_velocity|int}\n  {% endfor %}\n  \
             M118 {printer[\"gcode_macro TELL\"].count} {'xyz' in printer.toolhead.homed_axes} {rawparams}\n\
             [gcode_macro LOOP]\ngcode:\n  LOOP\n[gcode_macro FAIL]\ngcode:\n  {action_raise_error('deliberate')}\n\
             [gcode_macro STOP]\ngcode:\n  {action_emergency_stop('a test')}\n"
            .to_owned();
    });
    let mut client = bench.client();
    client.watch_terminal();
    client.gcode("SET_GCODE_VARIABLE MACRO=TELL VARIABLE=count VALUE=2");
    client.gcode("TELL NAME=me");
    assert_eq!(client.terminal(), ["echo: 0 me 300", "echo: 1 me 300", "echo: 2 False NAME=me"]);
    assert_eq!(client.gcode_error("LOOP"), "Macro LOOP called recursively");
    assert_eq!(client.terminal().len(), 2, "told by both scripts");
    client.gcode("TELL");
    assert_eq!(
        client.gcode_error("FAIL"),
        "Error evaluating 'gcode_macro FAIL:gcode': gcode.CommandError: deliberate\n"
    );
    client.gcode_error("LOOP");
    // what is left of the script is refused already
    client.gcode_error("STOP");
    assert!(
        client.object("webhooks")["state_message"].as_str().unwrap().starts_with("Shutdown due to a test\n")
    );
}

#[test]
fn the_endpoints_of_mesh_and_endstops() {
    let bench = Bench::fast();
    let mut client = bench.client();
    let open = json!({ "stepper_x": "open", "stepper_y": "open", "stepper_z": "open" });
    assert_eq!(client.call("query_endstops/status", json!({})), open);
    client.gcode("G28 X");
    assert_eq!(client.call("query_endstops/status", json!({}))["stepper_x"], "TRIGGERED");
    assert_eq!(client.object("query_endstops")["last_query"]["stepper_x"], 1);
    let dump = client.call("bed_mesh/dump_mesh", json!({}));
    assert_eq!(dump["current_mesh"], json!({}));
    assert_eq!(dump["calibration"]["points"].as_array().unwrap().len(), 25);
    assert_eq!(dump["axis_maximum"], json!([235.0, 235.0, 250.0, 0]));
}
