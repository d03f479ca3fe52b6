//! Start, shutdown, restart.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::Bench;
use crate::demo::klippy::State;

/// More words than Klippy's own would be a lie.
const SHUTDOWN: &str = "Shutdown due to webhooks request\nOnce the underlying issue is corrected, use the\n\
                        \"FIRMWARE_RESTART\" command to reset the firmware, reload the\nconfig, and restart the host \
                        software.\nPrinter is shutdown\n";

#[test]
fn klippy_starts_up_first() {
    let bench = Bench::new(|options| options.startup = Duration::MAX);
    let mut client = bench.early_client();
    let info = client.call("info", json!({ "client_info": { "program": "test" } }));
    assert_eq!(info["state"], "startup");
    assert!(info["state_message"].as_str().unwrap().starts_with("\nPrinter is not ready\n"));
    assert_eq!(info["process_id"], std::process::id());
    assert_eq!(client.call("objects/list", json!({}))["objects"], json!(["gcode", "webhooks"]));
    let early = client.call("list_endpoints", json!({}));
    assert!(!early["endpoints"].as_array().unwrap().contains(&json!("pause_resume/pause")));
    assert!(client.gcode_error("G28").contains("Printer is not ready"));
    client.gcode("M115");

    bench.controls().set_state(State::Ready);
    assert_eq!(client.call("info", json!({}))["state"], "ready");
    let late = client.call("list_endpoints", json!({}));
    assert!(late["endpoints"].as_array().unwrap().contains(&json!("pause_resume/pause")));
    assert!(client.call("objects/list", json!({}))["objects"].as_array().unwrap().len() > 30);
}

#[test]
fn an_emergency_stop_stops_what_is_being_waited_for() {
    let bench = Bench::new(|_| ());
    let mut client = bench.client();
    client.watch_terminal();
    let waiting = client.send("gcode/script", &json!({ "script": "M109 S200\nM118 reached" }));
    let queued = client.send("gcode/script", &json!({ "script": "M118 next" }));
    client.wait(|message| message["params"]["response"].as_str()?.starts_with("B:").then_some(()));
    assert_eq!(client.call("emergency_stop", json!({})), json!({}));
    client.answer(waiting);
    client.answer(queued);
    let info = client.call("info", json!({}));
    assert_eq!((info["state"].as_str(), info["state_message"].as_str()), (Some("shutdown"), Some(SHUTDOWN)));
    let lines = client.terminal();
    assert!(lines.contains(&"// Klipper state: Shutdown".to_owned()), "{lines:?}");
    // these are there even now
    assert!(lines.contains(&"echo: next".to_owned()), "{lines:?}");
    assert_eq!(client.gcode_error("G1 X5"), SHUTDOWN);
    assert_eq!(client.object("webhooks")["state"], "shutdown");
}

#[test]
fn m112_shuts_down_in_turn() {
    let bench = Bench::fast();
    let mut client = bench.client();
    client.gcode("M112");
    assert!(
        client.object("webhooks")["state_message"]
            .as_str()
            .unwrap()
            .starts_with("Shutdown due to M112 command")
    );
    assert!(client.gcode_error("STATUS").ends_with("Klipper state: Not ready"));
}

#[test]
fn a_restart_drops_the_socket_and_comes_back() {
    let bench = Bench::fast();
    let mut client = bench.client();
    client.gcode("G28\nM140 S50");
    client.watch_terminal();
    client.gcode("FIRMWARE_RESTART");
    assert!(client.wait(|message| (message["params"]["response"] == "// Klipper state: Disconnect").then_some(true)));
    assert!(client.ends());
    assert!(bench.controls().wait_for_starts(2));
    let mut client = bench.client();
    assert_eq!(client.object("toolhead")["homed_axes"], "");
    assert_eq!(client.object("heater_bed")["target"], 0.0);
}

#[test]
fn a_mistake_in_the_configuration_is_an_error_until_it_is_mended() {
    let bench = Bench::new(|options| fs::write(&options.config_file, "[mcu]\nserial: x\n").unwrap());
    assert!(bench.controls().wait_for_state("error"));
    let mut client = bench.early_client();
    let message = client.call("info", json!({}))["state_message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("Section 'printer' must be specified\n\nOnce the underlying"), "{message}");
    fs::write(bench.folder.join("printer.cfg"), crate::demo::klippy::PRINTER_CFG).unwrap();
    client.gcode("RESTART");
    assert!(client.ends());
    assert!(bench.controls().wait_for_state("ready"));
}

#[test]
fn save_config_writes_the_file_and_restarts() {
    let bench = Bench::new(|options| {
        options.speed = 1000.0;
        fs::write(&options.config_file, crate::demo::klippy::PRINTER_CFG).unwrap();
    });
    let mut client = bench.client();
    client.gcode("G28\nBED_MESH_CALIBRATE");
    let mesh = client.object("bed_mesh");
    assert_eq!(mesh["profile_name"], "default");
    assert_eq!(client.object("configfile")["save_config_pending"], true);
    client.gcode("SAVE_CONFIG");
    assert!(client.ends());
    assert!(bench.controls().wait_for_starts(2));
    let mut client = bench.client();
    let after = client.object("bed_mesh");
    assert_eq!(after["profile_name"], "");
    assert_eq!(after["profiles"]["default"]["points"], mesh["probed_matrix"]);
    assert!(fs::read_to_string(bench.folder.join("printer.cfg")).unwrap().contains("#*# [bed_mesh default]"));
    client.gcode("BED_MESH_PROFILE LOAD=default");
    assert_eq!(client.object("bed_mesh")["mesh_matrix"], mesh["mesh_matrix"]);
}
