//! Printing from the virtual SD card.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Bench, Client};

/// A file that heats, homes and draws `layers` squares.
fn squares(layers: u32) -> String {
    let mut text = String::from("START_PRINT BED=50 EXTRUDER=200\nM83\n");
    text.push_str(&format!("SET_PRINT_STATS_INFO TOTAL_LAYER={layers}\n"));
    for layer in 1..=layers {
        text.push_str(&format!(
            "SET_PRINT_STATS_INFO CURRENT_LAYER={layer}\nG1 Z{:.2} F600\n",
            f64::from(layer) * 0.2
        ));
        for (x, y) in [(50, 50), (100, 50), (100, 100), (50, 100)] {
            text.push_str(&format!("G1 X{x} Y{y} E1.5 F3000\n"));
        }
    }
    text.push_str("END_PRINT\n");
    text
}

/// A print of many layers that has gone on for a second.
fn a_print_under_way() -> (Bench, Client) {
    let bench = Bench::new(|options| options.speed = 200.0);
    bench.write("a.gcode", &squares(2000));
    let mut client = bench.client();
    client.gcode("SDCARD_PRINT_FILE FILENAME=a.gcode");
    let end = Instant::now() + super::PATIENCE;
    while client.object("print_stats")["print_duration"].as_f64().unwrap() < 1.0 {
        assert!(Instant::now() < end);
    }
    (bench, client)
}

pub(super) fn wait_for(client: &mut Client, state: &str) -> Value {
    let end = Instant::now() + super::PATIENCE;
    loop {
        let stats = client.object("print_stats");
        if stats["state"] == state {
            return stats;
        }
        assert!(Instant::now() < end, "{stats}");
    }
}

#[test]
fn a_handshake_and_a_whole_print() {
    let begun = Instant::now();
    let bench = Bench::fast();
    bench.write("a.gcode", &squares(20));
    let mut client = bench.client();
    client.call("info", json!({ "client_info": { "program": "Moonraker", "version": "test" } }));
    client.call("list_endpoints", json!({}));
    client.watch_terminal();
    client.call("objects/list", json!({}));
    client.call(
        "objects/subscribe",
        json!({
            "objects": { "print_stats": null, "virtual_sdcard": null, "webhooks": null },
            "response_template": { "method": "process_status_update" },
        }),
    );
    client.gcode("SDCARD_PRINT_FILE FILENAME=\"a.gcode\"");
    assert_eq!(
        client.terminal()[..2],
        [format!("File opened:a.gcode Size:{}", squares(20).len()), "File selected".to_owned()]
    );
    let stats = wait_for(&mut client, "complete");
    assert_eq!(stats["filename"], "a.gcode");
    assert_eq!(stats["info"], json!({ "total_layer": 20, "current_layer": 20 }));
    assert!((stats["filament_used"].as_f64().unwrap() - 120.0).abs() < 1e-6, "{stats}");
    let (total, print) =
        (stats["total_duration"].as_f64().unwrap(), stats["print_duration"].as_f64().unwrap());
    assert!(total > print + 60.0 && print > 60.0, "heating is no printing: {stats}");
    let card = client.object("virtual_sdcard");
    assert_eq!(
        (&card["progress"], &card["is_active"], &card["file_path"]),
        (&json!(1.0), &json!(false), &Value::Null)
    );
    let mut progress: Vec<f64> = Vec::new();
    for message in &client.other {
        progress.extend(message["params"]["status"]["virtual_sdcard"]["progress"].as_f64());
    }
    assert!(progress.is_sorted() && progress.len() > 2, "{progress:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_print_is_paused_resumed_and_cancelled() {
    let (_bench, mut client) = a_print_under_way();
    assert_eq!(client.object("idle_timeout")["state"], "Printing");
    assert!(client.gcode_error("SDCARD_PRINT_FILE FILENAME=a.gcode").contains("SD busy"));
    client.call("pause_resume/pause", json!({}));
    let paused = client.object("print_stats");
    assert_eq!(
        (&paused["state"], &client.object("pause_resume")["is_paused"]),
        (&json!("paused"), &json!(true))
    );
    assert_eq!(client.object("virtual_sdcard")["is_active"], false);
    let before = client.object("virtual_sdcard")["file_position"].as_u64().unwrap();
    assert!(before > 0);
    client.call("pause_resume/resume", json!({}));
    wait_for(&mut client, "printing");
    let end = Instant::now() + super::PATIENCE;
    while client.object("virtual_sdcard")["file_position"].as_u64().unwrap() <= before {
        assert!(Instant::now() < end);
    }
    let resumed = client.object("print_stats");
    assert!(resumed["print_duration"].as_f64() >= paused["print_duration"].as_f64());
    client.call("pause_resume/cancel", json!({}));
    assert_eq!(client.object("print_stats")["state"], "cancelled");
    let card = client.object("virtual_sdcard");
    assert_eq!((&card["file_position"], &card["file_size"]), (&json!(0), &json!(0)));
    assert_eq!(client.object("extruder")["target"], 0.0);
    client.gcode("SDCARD_RESET_FILE");
    assert_eq!(client.object("print_stats")["state"], "standby");
}

#[test]
fn a_bad_line_ends_the_print_with_an_error() {
    let bench = Bench::fast();
    bench.write("bad.gcode", "M118 one\nG1 X100\nM118 two\n");
    bench.write("cut.gcode", "M118 one\nM118 two");
    let mut client = bench.client();
    client.watch_terminal();
    client.gcode("SDCARD_PRINT_FILE FILENAME=bad.gcode");
    // CANCEL_PRINT is what this printer does on an error
    wait_for(&mut client, "cancelled");
    let lines = client.terminal();
    assert!(lines.contains(&"!! Must home axis first: 100.000 0.000 0.000 [0.000]".to_owned()), "{lines:?}");
    assert!(!lines.contains(&"echo: two".to_owned()), "{lines:?}");
    client.gcode("SDCARD_PRINT_FILE FILENAME=cut.gcode");
    wait_for(&mut client, "complete");
    assert!(!client.terminal().contains(&"echo: two".to_owned()), "a line without an end is none");
}

#[test]
fn without_a_script_for_errors_the_state_is_error() {
    let bench = Bench::new(|options| {
        options.speed = 1000.0;
        options.extra_config = "[virtual_sdcard]\non_error_gcode: M118 sorry\n".to_owned();
    });
    bench.write("bad.gcode", "G1 X100\n");
    let mut client = bench.client();
    client.gcode("SDCARD_PRINT_FILE FILENAME=bad.gcode");
    let stats = wait_for(&mut client, "error");
    assert_eq!(stats["message"], "Must home axis first: 100.000 0.000 0.000 [0.000]");
}

#[test]
fn scripts_get_their_turn_between_the_lines_of_a_print() {
    let bench = Bench::new(|options| options.speed = 20.0);
    bench.write("a.gcode", &"G4 P1000\n".repeat(2000));
    let mut client = bench.client();
    client.watch_terminal();
    client.gcode("SDCARD_PRINT_FILE FILENAME=a.gcode");
    let ids: Vec<u64> =
        (0..5).map(|n| client.send("gcode/script", &json!({ "script": format!("M118 {n}") }))).collect();
    for id in ids {
        client.answer(id);
    }
    let lines: Vec<String> = client.terminal().into_iter().filter(|line| line.starts_with("echo")).collect();
    assert_eq!(lines, ["echo: 0", "echo: 1", "echo: 2", "echo: 3", "echo: 4"]);
    assert_eq!(client.object("print_stats")["state"], "printing");
    client.call("emergency_stop", json!({}));
    wait_for(&mut client, "paused");
}

#[test]
fn objects_are_left_out() {
    let bench = Bench::fast();
    bench.write(
        "a.gcode",
        "EXCLUDE_OBJECT_DEFINE NAME=one CENTER=50,50 POLYGON=[[40,40],[60,40],[60,60]]\n\
         EXCLUDE_OBJECT_DEFINE NAME=two\nG28\nM109 S200\nM83\nEXCLUDE_OBJECT NAME=one\n\
         EXCLUDE_OBJECT_START NAME=one\nG1 X200 Y200 E5 F3000\nEXCLUDE_OBJECT_END NAME=one\n\
         EXCLUDE_OBJECT_START NAME=two\nG1 X50 Y60 E5 F3000\nEXCLUDE_OBJECT_END NAME=two\n",
    );
    let mut client = bench.client();
    client.gcode("SDCARD_PRINT_FILE FILENAME=a.gcode");
    wait_for(&mut client, "complete");
    let objects = client.object("exclude_object");
    assert_eq!(objects["excluded_objects"], json!(["ONE"]));
    assert_eq!(objects["objects"][0]["center"], json!([50, 50]));
    assert_eq!(client.object("toolhead")["position"], json!([50.0, 60.0, 0.0, 5.0]));
    assert_eq!(client.object("gcode_move")["position"], json!([50.0, 60.0, 0.0, 10.0]));
}

#[test]
fn a_runout_pauses_the_print() {
    let (bench, mut client) = a_print_under_way();
    bench.controls().set_filament(None, false);
    wait_for(&mut client, "paused");
    assert!(bench.controls().wait_for_gcode());
    assert_eq!(client.object("pause_resume")["is_paused"], true);
    assert_eq!(client.object("filament_switch_sensor runout")["filament_detected"], false);
}

#[test]
fn a_large_file_is_printed_quickly() {
    let mut text = String::from("G28\n");
    for line in 0..20_000 {
        text.push_str(&format!("G1 X{}.123 Y{}.456 F18000 ; comment\n", 50 + line % 7, 50 + line % 11));
    }
    let bench = Bench::new(|options| options.speed = 100_000.0);
    bench.write("large.gcode", &text);
    let mut client = bench.client();
    client.gcode("SDCARD_PRINT_FILE FILENAME=large.gcode");
    let stats = wait_for(&mut client, "complete");
    assert!(stats["total_duration"].as_f64().unwrap() > 100.0);
}
