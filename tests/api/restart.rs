//! `server.restart`: the same process with everything built anew (spec behaviour.md §1).

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Perigee, Setup, eventually};
use crate::sim::Sim;

#[test]
fn a_restart_reads_the_configuration_again_in_the_same_process() {
    let server = Setup::new().sections("[data_store]\ngcode_store_size: 10").start();
    let mut client = server.websocket();
    let mut unix = server.unix_socket();
    unix.settle();
    let config = server.data("config/moonraker.conf");
    let changed =
        fs::read_to_string(&config).unwrap().replace("gcode_store_size: 10", "gcode_store_size: 20");
    fs::write(&config, changed).unwrap();
    assert_eq!(client.call("server.restart", Value::Null), "ok");
    assert_eq!(client.expect_close(), (Some(1001), "Server Shutdown".to_owned()));
    unix.expect_close();
    server.wait_for_new_run();
    assert_eq!(server.get("/server/config").result()["config"]["data_store"]["gcode_store_size"], 20);
    assert_eq!(server.unix_socket().call("server.info", Value::Null)["klippy_state"], "disconnected");
}

#[test]
fn a_restart_over_http_is_answered_first() {
    let server = Perigee::start();
    let mut client = server.websocket();
    assert_eq!(server.post("/server/restart", json!({})).result(), "ok");
    client.expect_close();
    server.wait_for_new_run();
}

#[test]
fn the_link_and_the_files_come_back() {
    let setup = Setup::new().file("gcodes/a.gcode", "G28\n");
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let pid = server.pid();
    for _ in 0..3 {
        let mut client = server.websocket();
        client.call("server.restart", Value::Null);
        client.expect_close();
        server.wait_for_new_run();
        server.wait_for_klippy("ready");
        assert_eq!(server.get("/server/files/list").result()[0]["path"], "a.gcode");
        server.upload("gcodes", "b.gcode", "G28\n").expect(201);
        let mut client = server.websocket();
        client.call("printer.gcode.script", json!({"script": "M117"}));
        fs::write(server.data("config/seen.txt"), "x").unwrap();
        client.expect_where("notify_filelist_changed", |params| params[0]["item"]["path"] == "seen.txt");
        fs::remove_file(server.data("config/seen.txt")).unwrap();
    }
    assert_eq!(server.pid(), pid);
    // one link, one log, no descriptors left over
    let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    assert!(open < 60, "{open} descriptors are open");
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().count();
    assert!(threads < 12, "{threads} threads");
    drop(server);
    drop(sim);
}

#[test]
fn a_restart_into_a_wrong_configuration_uses_the_backup() {
    let server = Perigee::start();
    eventually("the backup", || server.data("config/.moonraker.conf.bkp").exists().then_some(()));
    fs::write(server.data("config/moonraker.conf"), "[server\n").unwrap();
    let mut client = server.websocket();
    server.post("/server/restart", json!({})).expect(200);
    client.expect_close();
    server.wait_for_new_run();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("backup"), "{warnings}");
}

#[test]
fn restarts_asked_for_at_once_are_one() {
    let server = Perigee::start();
    let mut client = server.websocket();
    for _ in 0..5 {
        client.start("server.restart", Value::Null);
    }
    client.expect_close();
    server.wait_for_new_run();
    let mut client = server.websocket();
    client.call("server.info", Value::Null);
}

#[test]
fn a_restart_amid_requests_leaves_nobody_hanging() {
    let setup = Setup::new();
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    sim.mute("gcode/script");
    let mut client = server.websocket();
    client.start("printer.gcode.script", json!({"script": "G28"}));
    sim.expect("gcode/script", "G28");
    let mut http = server.connect();
    http.write(crate::harness::Request::post("/printer/gcode/script?script=G28").head("x").as_bytes())
        .unwrap();
    client.call("server.restart", Value::Null);
    client.expect_close();
    let rest = http.read_to_close();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&rest));
    server.wait_for_new_run();
    server.wait_for_klippy("ready");
}
