//! Files that are printed one after the other (spec behaviour.md §9).

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::{Multipart, Perigee, Setup, WsClient, eventually};
use crate::sim::{Sim, State};

/// A G-code file that takes a while, even fast.
fn long() -> String {
    let lines = (0..20_000).map(|n| format!("G1 X{} Y{} F600\n", 10 + n % 100, 10 + (n * 7) % 100));
    format!("G28\n{}", lines.collect::<String>())
}

fn setup(options: &str) -> Setup {
    let mut setup = Setup::new().sections(&format!("[job_queue]\n{options}"));
    for name in ["a", "b", "c"] {
        setup = setup.file(&format!("gcodes/{name}.gcode"), "G28\nG4 P600000\n");
    }
    setup.file("gcodes/long.gcode", long())
}

fn ready(options: &str) -> (Sim, Perigee, WsClient) {
    let setup = setup(options);
    let sim = Sim::fast(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let client = server.websocket();
    (sim, server, client)
}

fn names(queue: &Value) -> Vec<&str> {
    queue["queued_jobs"].as_array().unwrap().iter().map(|job| job["filename"].as_str().unwrap()).collect()
}

fn queue(server: &Perigee) -> Value {
    server.get("/server/job_queue/status").result()
}

fn add(client: &mut WsClient, files: &[&str]) -> Value {
    client.call("server.job_queue.post_job", json!({"filenames": files}))
}

#[track_caller]
fn expect_print(client: &mut WsClient, action: &str, filename: &str) {
    client.expect_where("notify_history_changed", |params| {
        params[0]["action"] == action && params[0]["job"]["filename"] == filename
    });
}

/// The scripts that came to Klippy, in order.
fn scripts(sim: &Sim) -> Vec<String> {
    let requests = sim.requests_of("gcode/script");
    requests.iter().map(|request| request["params"]["script"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn one_is_printed_at_a_time() {
    let (_sim, server, mut client) = ready("");
    let queued = add(&mut client, &["long.gcode", "b.gcode"]);
    let told = client.expect("notify_job_queue_changed");
    assert_matches(
        &told,
        &json!([{"action": "jobs_added", "queue_state": "paused", "updated_queue": [{"filename": "long.gcode"}, {"filename": "b.gcode"}]}]),
    );
    let b = queued["queued_jobs"][1]["job_id"].clone();
    let jumped = client.call("server.job_queue.jump", json!({"job_id": b}));
    assert_eq!(names(&jumped), ["b.gcode", "long.gcode"]);
    let started = client.call("server.job_queue.start", Value::Null);
    assert_eq!(started["queue_state"], "loading");
    let told = client.expect_where("notify_job_queue_changed", |params| params[0]["action"] == "job_loaded");
    assert_matches(&told, &json!([{"queue_state": "paused", "updated_queue": [{"filename": "long.gcode"}]}]));
    expect_print(&mut client, "finished", "b.gcode");
    assert_eq!(queue(&server)["queue_state"], "paused", "nobody asked for the next");
    assert_eq!(names(&queue(&server)), ["long.gcode"]);
}

#[test]
fn the_next_follows_by_itself() {
    let (sim, server, mut client) =
        ready("automatic_transition: True\njob_transition_delay: 0.05\njob_transition_gcode:\n  M117 next\n");
    add(&mut client, &["a.gcode", "b.gcode", "c.gcode"]);
    client.call("server.job_queue.start", Value::Null);
    for name in ["a.gcode", "b.gcode", "c.gcode"] {
        expect_print(&mut client, "finished", name);
    }
    assert_matches(&queue(&server), &json!({"queued_jobs": [], "queue_state": "paused"}));
    let print = |name: &str| format!("SDCARD_PRINT_FILE FILENAME=\"{name}.gcode\"");
    let expected = [print("a"), "M117 next".into(), print("b"), "M117 next".into(), print("c")];
    assert_eq!(scripts(&sim), expected);
}

#[test]
fn an_aborted_print_pauses_the_queue() {
    let (_sim, server, mut client) = ready("automatic_transition: True");
    add(&mut client, &["long.gcode", "b.gcode"]);
    client.call("server.job_queue.start", Value::Null);
    expect_print(&mut client, "added", "long.gcode");
    eventually("the queue to wait", || (queue(&server)["queue_state"] == "ready").then_some(()));
    client.call("printer.print.cancel", Value::Null);
    eventually("the queue to pause", || (queue(&server)["queue_state"] == "paused").then_some(()));
    assert_eq!(names(&queue(&server)), ["b.gcode"]);
}

#[test]
fn a_shut_down_printer_pauses_the_queue() {
    let (sim, server, mut client) = ready("automatic_transition: True");
    add(&mut client, &["long.gcode", "b.gcode"]);
    client.call("server.job_queue.start", Value::Null);
    expect_print(&mut client, "added", "long.gcode");
    eventually("the queue to wait", || (queue(&server)["queue_state"] == "ready").then_some(()));
    sim.controls().set_state(State::Shutdown("a sensor burns".into()));
    eventually("the queue to pause", || (queue(&server)["queue_state"] == "paused").then_some(()));
    // while the printer is down nothing can be started
    client.call("server.job_queue.start", Value::Null);
    assert_eq!(names(&queue(&server)), ["b.gcode"]);
}

#[test]
fn macros_pause_and_start_it() {
    let (sim, server, mut client) = ready("");
    add(&mut client, &["a.gcode", "b.gcode"]);
    eventually("the remote methods", || {
        (sim.controls().call_remote_method("start_job_queue", &json!({})) > 0).then_some(())
    });
    expect_print(&mut client, "finished", "a.gcode");
    assert_eq!(names(&queue(&server)), ["b.gcode"]);
    assert!(sim.controls().call_remote_method("pause_job_queue", &json!({})) > 0);
    client.call("server.job_queue.delete_job", json!({"all": true}));
    assert_matches(&queue(&server), &json!({"queued_jobs": [], "queue_state": "paused"}));
}

#[test]
fn it_outlives_a_cut_of_power_and_goes_on() {
    let setup = setup("load_on_startup: True\nautomatic_transition: True");
    let mut server = setup.start();
    let mut client = server.websocket();
    let queued = add(&mut client, &["a.gcode", "b.gcode"]);
    server.kill();
    server.start_again();
    assert_eq!(queue(&server)["queued_jobs"][0]["job_id"], queued["queued_jobs"][0]["job_id"]);
    let mut client = server.websocket();
    let sim = Sim::at(&server.dir().join("klippy.sock"), server.data("gcodes"), |options| {
        options.speed = 2000.0;
    });
    expect_print(&mut client, "finished", "a.gcode");
    expect_print(&mut client, "finished", "b.gcode");
    assert!(names(&queue(&server)).is_empty());
    server.kill();
    server.start_again();
    assert!(names(&queue(&server)).is_empty(), "what was printed is not printed again");
    drop(sim);
}

#[test]
fn uploads_wait_for_the_printer() {
    let setup = setup("").sections("[file_manager]\nqueue_gcode_uploads: True");
    let setup = setup.sections("[octoprint_compat]");
    let _sim = Sim::fast(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    let upload = |name: &str, print: &str| {
        let form = Multipart::new().file(name, "G28\n").text("print", print).upload();
        server.send(&form).expect(201).json()
    };
    client.call("printer.print.start", json!({"filename": "long.gcode"}));
    expect_print(&mut client, "added", "long.gcode");
    assert_matches(&upload("x.gcode", "true"), &json!({"print_started": false, "print_queued": true}));
    assert_matches(&upload("y.gcode", "false"), &json!({"print_started": false, "print_queued": false}));
    let select =
        server.post("/api/files/moonraker/gcodes/y.gcode", json!({"command": "select", "print": true}));
    assert!(select.status < 300, "{}", select.text());
    assert_eq!(names(&queue(&server)), ["x.gcode", "y.gcode"]);
}
