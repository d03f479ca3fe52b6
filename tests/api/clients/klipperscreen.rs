//! KlipperScreen: over a websocket with a token in the address, and over the unix socket.

use serde_json::{Value, json};

use super::{all_objects, optional, printer};
use crate::harness::pattern::assert_matches;
use crate::harness::rpc::Wire;
use crate::harness::websocket::upgrade_request;
use crate::harness::{Client, Perigee};

fn start_up<W: Wire>(server: &Perigee, client: &mut Client<W>, key: Option<&str>) {
    let mut who = json!({"client_name": "KlipperScreen", "version": "v0.4.5", "type": "display", "url": "https://github.com/KlipperScreen/KlipperScreen"});
    if let Some(key) = key {
        who["api_key"] = json!(key);
    }
    client.call("server.connection.identify", who);
    let info = client.call("server.info", Value::Null);
    for field in [
        "warnings",
        "failed_components",
        "missing_klippy_requirements",
        "components",
        "klippy_connected",
        "klippy_state",
    ] {
        assert!(info.get(field).is_some(), "{field} is read without a default");
    }
    optional(client, "machine.device_power.devices", Value::Null);
    optional(client, "server.webcams.list", Value::Null);
    assert!(client.call("printer.info", Value::Null)["software_version"].is_string());
    let config = client.call("printer.objects.query", json!({"objects": {"configfile": null}}));
    assert_matches(
        &config,
        &json!({"status": {"configfile": {"config": {"$type": "object"}, "settings": {"$type": "object"}}}}),
    );
    let all = all_objects(client);
    let state = client.call("printer.objects.query", json!({"objects": all}));
    assert_matches(
        &state["status"],
        &json!({"toolhead": {"position": {"$len": 4}}, "print_stats": {"state": "standby"}, "extruder": {"temperature": {"$type": "number"}}}),
    );
    client.call("printer.gcode.help", Value::Null);
    optional(client, "machine.system_info", Value::Null);
    let server_config = client.call("server.config", Value::Null);
    assert!(server_config["config"]["data_store"]["temperature_store_size"].is_u64(), "a number");
    let wanted = json!({
        "bed_mesh": ["profile_name", "mesh_max", "mesh_min", "probed_matrix", "profiles"],
        "configfile": ["config"],
        "display_status": ["progress", "message"],
        "fan": ["speed"],
        "gcode_move": ["extrude_factor", "gcode_position", "homing_origin", "speed_factor", "speed"],
        "idle_timeout": ["state"],
        "pause_resume": ["is_paused"],
        "print_stats": ["print_duration", "total_duration", "filament_used", "filename", "state", "message", "info"],
        "toolhead": ["homed_axes", "estimated_print_time", "print_time", "position", "extruder", "max_accel"],
        "virtual_sdcard": ["file_position", "is_active", "progress"],
        "webhooks": ["state", "state_message"],
        "motion_report": ["live_position", "live_velocity", "live_extruder_velocity"],
        "exclude_object": ["current_object", "objects", "excluded_objects"],
        "extruder": ["target", "temperature", "pressure_advance", "smooth_time", "power"],
        "heater_bed": ["target", "temperature", "power"]
    });
    let subscribed = client.call("printer.objects.subscribe", json!({"objects": wanted}));
    assert_matches(
        &subscribed["status"],
        &json!({"print_stats": {"state": "standby"}, "configfile": {"$keys": ["config"]}}),
    );
    client.call("server.temperature_store", Value::Null);
    server.upload("gcodes", "cube.gcode", "G28\n").expect(201);
    assert_matches(&client.call("server.files.list", Value::Null), &json!([{"path": "cube.gcode"}]));
    client.call("server.files.metadata", json!({"filename": "cube.gcode"}));
    client.expect_where("notify_filelist_changed", |params| params[0]["item"]["path"] == "cube.gcode");
    client.call("printer.gcode.script", json!({"script": "M117 hello"}));
    client.expect_where("notify_status_update", |params| params[0]["display_status"]["message"] == "hello");
}

#[test]
fn it_starts_up_over_a_websocket_with_an_empty_token() {
    let (_sim, server) = printer();
    let mut client =
        server.try_websocket("/websocket?token=").unwrap_or_else(|refusal| panic!("{refusal:?}"));
    start_up(&server, &mut client, None);
}

#[test]
fn it_starts_up_over_a_websocket_with_a_wrong_key() {
    let (_sim, server) = printer();
    let request = upgrade_request("/websocket?token=deadbeef").header("x-api-key", "deadbeef");
    let mut client = server.upgrade(&request).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    start_up(&server, &mut client, Some("deadbeef"));
}

#[test]
fn it_starts_up_over_the_unix_socket() {
    let (_sim, server) = printer();
    let mut client = server.unix_socket();
    start_up(&server, &mut client, None);
}
