//! Refusals, in Klippy's words.

use serde_json::json;

use super::Bench;
use crate::demo::klippy::world::{MAX_REMOTE_METHODS, MAX_WAITING};

#[test]
fn requests_are_refused_as_klippy_refuses_them() {
    let bench = Bench::fast();
    let mut client = bench.client();
    for (method, params, message) in [
        ("nosuch", json!({}), "webhooks: No registered callback for path 'nosuch'"),
        ("objects/query", json!({}), "Missing Argument [objects]"),
        ("objects/query", json!({ "objects": [] }), "Invalid Argument Type [objects]"),
        ("objects/query", json!({ "objects": { "fan": "speed" } }), "Invalid argument"),
        ("objects/query", json!({ "objects": { "fan": [1] } }), "Invalid argument"),
        ("register_remote_method", json!({}), "Missing Argument [response_template]"),
        ("register_remote_method", json!({ "response_template": {} }), "Missing Argument [remote_method]"),
        ("gcode/script", json!({}), "Missing Argument [script]"),
        ("gcode/script", json!({ "script": 5 }), "Invalid Argument Type [script]"),
        ("info", json!({ "client_info": 5 }), "Invalid Argument Type [client_info]"),
    ] {
        assert_eq!(client.error(method, params), message);
    }
}

#[test]
fn gcode_is_refused_as_klippy_refuses_it() {
    let bench = Bench::fast();
    let mut client = bench.client();
    for (script, message) in [
        ("G1 X200", "Must home axis first: 200.000 0.000 0.000 [0.000]"),
        ("G1 F0", "Invalid speed in 'G1 F0'"),
        ("G1 X1.2.3", "Unable to parse move 'G1 X1.2.3'"),
        ("M220 S0", "Error on 'M220 S0': S must be above 0.0"),
        ("M104 S400", "Requested temperature (400.0) out of range (0.0:300.0)"),
        ("M104 T1 S200", "Extruder not configured"),
        ("SET_HEATER_TEMPERATURE", "Error on 'SET_HEATER_TEMPERATURE': missing HEATER"),
        (
            "SET_HEATER_TEMPERATURE HEATER=zz TARGET=5",
            "The value 'zz' is not valid for HEATER. Options: 'heater_bed', 'extruder'",
        ),
        (
            "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=abc",
            "Error on 'SET_HEATER_TEMPERATURE HEATER=extruder TARGET=abc': unable to parse abc",
        ),
        ("RESPOND TYPE=zz", "RESPOND TYPE 'zz' is invalid. Must be one of 'echo', 'command', or 'error'"),
        ("RESPOND a b c", "Malformed command 'RESPOND a b c'"),
        ("SDCARD_PRINT_FILE FILENAME=none.gcode", "Unable to open file"),
        ("M23 none", "Unable to open file"),
        ("M28 x", "SD write not supported"),
        ("RESTORE_GCODE_STATE NAME=zz", "Unknown g-code state: zz"),
        ("G20", "Machine does not support G20 (inches) command"),
        ("EXCLUDE_OBJECT CURRENT=1", "There is no current object to cancel"),
        ("BED_MESH_PROFILE LOAD=zz", "bed_mesh: Unknown profile [zz]"),
        ("BED_MESH_CALIBRATE", "Must home axis first: 0.000 0.000 3.000 [0.000]"),
        (
            "SET_PIN PIN=caselight VALUE=2",
            "Error on 'SET_PIN PIN=caselight VALUE=2': VALUE must have maximum of 1.0",
        ),
        (
            "SET_PRINT_STATS_INFO CURRENT_LAYER=-1",
            "Error on 'SET_PRINT_STATS_INFO CURRENT_LAYER=-1': CURRENT_LAYER must have minimum of 0",
        ),
        (
            "SET_GCODE_VARIABLE MACRO=LOAD_FILAMENT VARIABLE=none VALUE=60",
            "Unknown gcode_macro variable 'none'",
        ),
        ("G28 X Y\nG1 X300", "Move out of range: 300.000 0.000 0.000 [0.000]"),
        ("G1 X10 E5", "Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details"),
    ] {
        assert_eq!(client.gcode_error(script), message, "{script}");
    }
}

#[test]
fn a_refusal_ends_the_script_and_is_told_to_the_terminal() {
    let bench = Bench::fast();
    let mut client = bench.client();
    client.watch_terminal();
    client.gcode_error("M118 before\nG1 X10 E5\nM118 after");
    // nothing has moved, so it is the extrusion that is refused only after the axis
    assert_eq!(client.terminal(), ["echo: before", "!! Must home axis first: 10.000 0.000 0.000 [5.000]"]);
    client.gcode("FOO BAR=1\nM117 3 words\nM115");
    assert_eq!(
        client.terminal(),
        ["// Unknown command:\"FOO\"", "// FIRMWARE_NAME:Klipper FIRMWARE_VERSION:v0.13.0-simulated"]
    );
    assert_eq!(client.object("display_status")["message"], "3 words");
}

#[test]
fn garbage_is_dropped_and_does_no_harm() {
    let bench = Bench::fast();
    let mut client = bench.client();
    for garbage in [
        &b"\x03"[..],
        b"{\x03",
        b"\xff\xfe\x03",
        b"[]\x03",
        b"{\"id\":1}\x03",
        b"{\"id\":1,\"method\":\"info\",\"params\":null}\x03",
    ] {
        client.send_raw(garbage);
    }
    client.send_raw("[".repeat(100_000).as_bytes());
    client.send_raw(b"\x03");
    // a request without an id has no answer
    client.send_raw(b"{\"method\":\"info\"}\x03{\"id\":null,\"method\":\"info\"}\x03");
    assert_eq!(client.call("info", json!({}))["state"], "ready");
    assert!(client.other.is_empty(), "{:?}", client.other);
    assert_eq!(bench.controls().garbage(), 7);
}

#[test]
fn frames_may_come_in_pieces_or_together() {
    let bench = Bench::fast();
    let mut client = bench.client();
    for piece in [&b"{\"id\":"[..], b"7,\"method\":\"in", b"fo\"}\x03{\"id\":8,\"method\":\"info\"}\x03"] {
        client.send_raw(piece);
    }
    assert_eq!(client.message().unwrap()["id"], 7);
    assert_eq!(client.message().unwrap()["id"], 8);
}

#[test]
fn only_so_many_requests_may_wait() {
    let bench = Bench::new(|_| ());
    let mut client = bench.client();
    let waiting = client.send("gcode/script", &json!({ "script": "G4 P900000\nM400" }));
    bench.controls().wait_for_busy();
    for _ in 0..MAX_WAITING {
        client.send("gcode/script", &json!({ "script": "M118" }));
    }
    assert_eq!(client.error("gcode/script", json!({ "script": "M118" })), "Too many requests are waiting");
    client.call("emergency_stop", json!({}));
    client.answer(waiting);
    client.gcode("M118");
}

#[test]
fn only_so_many_methods_may_be_registered() {
    let bench = Bench::fast();
    let mut client = bench.client();
    let params = |name: String| json!({ "remote_method": name, "response_template": {} });
    let ids: Vec<u64> = (0..MAX_REMOTE_METHODS)
        .map(|number| client.send("register_remote_method", &params(number.to_string())))
        .collect();
    client.answer(ids[MAX_REMOTE_METHODS - 1]);
    assert_eq!(client.error("register_remote_method", params("x".to_owned())), "Too many remote methods");
    client.call("register_remote_method", params("0".to_owned()));
}
