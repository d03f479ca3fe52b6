//! What was printed: each way in which a print can end, and what is kept of it (spec behaviour.md §7, §8).

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Perigee, Setup, WsClient, eventually};
use crate::sim::{Sim, State, sample};

/// A G-code file that takes a while, even fast.
fn long() -> String {
    let lines = (0..20_000).map(|n| format!("G1 X{} Y{} F600\n", 10 + n % 100, 10 + (n * 7) % 100));
    format!("G28\n{}", lines.collect::<String>())
}

fn ready(setup: Setup) -> (Sim, Perigee, WsClient) {
    let setup = setup.file("gcodes/long.gcode", long()).file("gcodes/sub/sample.gcode", sample());
    let sim = Sim::fast(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let client = server.websocket();
    (sim, server, client)
}

/// Waits for the message about a print, and gives the print.
#[track_caller]
fn told(client: &mut WsClient, action: &str) -> Value {
    client.expect_where("notify_history_changed", |params| params[0]["action"] == action)[0]["job"].take()
}

#[track_caller]
fn start(client: &mut WsClient, filename: &str) -> Value {
    client.call("printer.print.start", json!({"filename": filename}));
    told(client, "added")
}

#[track_caller]
fn restart_klippy(client: &mut WsClient) {
    client.call("printer.firmware_restart", Value::Null);
    client.expect("notify_klippy_disconnected");
    client.expect("notify_klippy_ready");
}

fn list(server: &Perigee, arguments: &str) -> Vec<Value> {
    let mut list = server.get(&format!("/server/history/list?{arguments}")).result();
    let jobs = match list["jobs"].take() {
        Value::Array(jobs) => jobs,
        other => panic!("{other}"),
    };
    assert_eq!(list["count"], jobs.len());
    jobs
}

fn status(server: &Perigee) -> String {
    list(server, "limit=1")[0]["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_print_is_recorded_from_its_start_to_its_end() {
    let (_sim, server, mut client) = ready(Setup::new());
    eventually("the metadata", || {
        let found = server.get("/server/files/metadata?filename=sub/sample.gcode");
        (found.status == 200).then_some(())
    });
    let added = start(&mut client, "sub/sample.gcode");
    assert_matches(
        &added,
        &json!({
            "$keys": ["job_id", "user", "filename", "status", "start_time", "end_time", "print_duration",
                "total_duration", "filament_used", "metadata", "auxiliary_data", "exists"],
            "$all": [{"job_id": "000001", "user": {"$type": "string"}, "filename": "sub/sample.gcode", "status": "in_progress",
                "start_time": {"$min": 1_600_000_000}, "end_time": null, "exists": true, "auxiliary_data": [],
                "metadata": {"slicer": {"$type": "string"}, "job_id": {"$absent": true}, "print_start_time": {"$absent": true}}}]
        }),
    );
    let finished = told(&mut client, "finished");
    assert_matches(
        &finished,
        &json!({"job_id": "000001", "status": "completed", "user": "_TRUSTED_USER_", "end_time": {"$min": 1_600_000_000},
            "print_duration": {"$min": 1}, "total_duration": {"$min": 1}, "filament_used": {"$min": 1}}),
    );
    assert_eq!(list(&server, ""), std::slice::from_ref(&finished));
    let job = server.get("/server/history/job?uid=1").result();
    assert_matches(&job, &json!({"job": {"job_id": "1", "status": "completed"}}));
    let totals = server.get("/server/history/totals").result()["job_totals"].clone();
    assert_eq!(totals["total_jobs"].to_string(), "1.0", "a number with a point, as from Moonraker");
    assert_eq!(totals["total_time"], finished["total_duration"]);
    assert_eq!(totals["longest_print"], finished["print_duration"]);
    assert_eq!(totals["total_filament_used"], finished["filament_used"]);
    let metadata = server.get("/server/files/metadata?filename=sub/sample.gcode").result();
    assert_matches(&metadata, &json!({"job_id": "000001", "print_start_time": finished["start_time"]}));

    // the file goes, the record stays
    client.call("server.files.delete_file", json!({"path": "gcodes/sub/sample.gcode"}));
    assert_eq!(list(&server, "")[0]["exists"], false);
    let last = client.call("server.history.reset_totals", Value::Null);
    assert_eq!(last["last_totals"], totals);
    assert_eq!(server.get("/server/history/totals").result()["job_totals"]["total_time"], 0);
    assert_eq!(list(&server, "").len(), 1);
}

#[test]
fn every_end_has_its_name() {
    let (sim, mut server, mut client) = ready(Setup::new());
    start(&mut client, "long.gcode");
    assert_eq!(client.fail("server.history.reset_totals", Value::Null).code, 400);
    client.call("printer.print.cancel", Value::Null);
    assert_eq!(told(&mut client, "finished")["status"], "cancelled");

    start(&mut client, "long.gcode");
    sim.controls().set_state(State::Shutdown("a sensor burns".into()));
    assert_eq!(told(&mut client, "finished")["status"], "klippy_shutdown");
    restart_klippy(&mut client);

    start(&mut client, "long.gcode");
    sim.drop_connections();
    assert_eq!(told(&mut client, "finished")["status"], "klippy_disconnect");
    server.wait_for_klippy("ready");
    restart_klippy(&mut client);

    start(&mut client, "long.gcode");
    assert!(server.stop().success());
    server.start_again();
    assert_eq!(status(&server), "server_exit");
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    restart_klippy(&mut client);

    let running = start(&mut client, "long.gcode");
    server.kill();
    server.start_again();
    let last = list(&server, "limit=1").remove(0);
    assert_matches(
        &last,
        &json!({"job_id": running["job_id"], "status": "interrupted", "end_time": null, "start_time": running["start_time"]}),
    );
    let all: Vec<Value> = list(&server, "order=asc").iter().map(|job| job["status"].clone()).collect();
    assert_eq!(all, ["cancelled", "klippy_shutdown", "klippy_disconnect", "server_exit", "interrupted"]);
    let totals = server.get("/server/history/totals").result();
    assert_eq!(totals["job_totals"]["total_jobs"], 4.0, "the end of the interrupted one is not known");
}

#[test]
fn a_failed_print_is_an_error() {
    let setup = Setup::new().file("gcodes/wrong.gcode", "G28\nG4 P600000\nG1 X10000\n");
    let _sim = Sim::start_with(&setup, |options| {
        options.speed = 2000.0;
        options.extra_config = "[virtual_sdcard]\non_error_gcode: M118 sorry\n".to_owned();
    });
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    start(&mut client, "wrong.gcode");
    assert_eq!(told(&mut client, "finished")["status"], "error");
    assert_eq!(status(&server), "error");
}

#[test]
fn lists_are_filtered_and_prints_deleted() {
    let (_sim, server, mut client) = ready(Setup::new());
    for _ in 0..4 {
        start(&mut client, "long.gcode");
        client.call("printer.print.cancel", Value::Null);
        told(&mut client, "finished");
    }
    let ids = |arguments: &str| -> Vec<String> {
        let jobs = list(&server, arguments);
        jobs.iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(""), ["000004", "000003", "000002", "000001"]);
    assert_eq!(ids("order=asc&limit=2"), ["000001", "000002"]);
    assert_eq!(ids("limit=2&start=1"), ["000003", "000002"]);
    assert_eq!(ids("limit=0&start=1").len(), 4, "no limit leaves nothing out");
    let second = list(&server, "start=2&limit=1").remove(0);
    assert_eq!(ids(&format!("since={}", second["start_time"])), ["000004", "000003"]);
    assert_eq!(ids(&format!("before={}", second["end_time"])), ["000001"]);
    let deleted = client.call("server.history.delete_job", json!({"uid": "2"}));
    assert_eq!(deleted, json!({"deleted_jobs": ["2"]}));
    assert_eq!(ids(""), ["000004", "000003", "000001"]);
    let deleted = client.call("server.history.delete_job", json!({"all": true}));
    assert_eq!(deleted, json!({"deleted_jobs": ["000001", "000003", "000004"]}));
    assert_eq!(server.get("/server/history/totals").result()["job_totals"]["total_jobs"], 4.0);
    // as with Moonraker, the number after the last one there is comes next
    assert_eq!(start(&mut client, "long.gcode")["job_id"], "000001");
}
