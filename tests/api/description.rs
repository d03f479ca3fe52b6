//! The machine-readable description of the API, and that everything in it can be reached.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::server::binary;
use crate::harness::{Request, Setup};
use crate::sim::Sim;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/golden/api.json");

fn description() -> Vec<Value> {
    let output = binary().arg("api").output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("a list in JSON")
}

/// One line for each endpoint.
fn lines(description: &[Value]) -> Vec<String> {
    description.iter().map(Value::to_string).collect()
}

/// A change of the API has to be meant: it shows here as a difference, and is accepted by running this test
/// with `PERIGEE_ACCEPT=1`.
#[test]
fn the_api_is_what_it_was() {
    let found = lines(&description());
    let text = format!("[\n{}\n]\n", found.join(",\n"));
    if std::env::var_os("PERIGEE_ACCEPT").is_some() {
        fs::create_dir_all(Path::new(GOLDEN).parent().unwrap()).unwrap();
        fs::write(GOLDEN, &text).unwrap();
    }
    let golden = fs::read_to_string(GOLDEN).unwrap_or_default();
    let known: Vec<&str> = golden.lines().filter_map(|line| line.strip_prefix('{')).collect();
    let known: Vec<String> = known.iter().map(|line| format!("{{{}", line.trim_end_matches(','))).collect();
    let gone = known.iter().filter(|line| !found.contains(line)).map(|line| format!("- {line}"));
    let new = found.iter().filter(|line| !known.contains(line)).map(|line| format!("+ {line}"));
    let difference: Vec<String> = gone.chain(new).collect();
    assert!(
        difference.is_empty(),
        "the API differs from {GOLDEN} (PERIGEE_ACCEPT=1 accepts it):\n{}",
        difference.join("\n")
    );
}

#[test]
fn names_follow_from_paths() {
    for endpoint in description() {
        let (rpc, path) = (endpoint["rpc"].as_str().unwrap(), endpoint["path"].as_str().unwrap());
        if rpc.is_empty() || path.is_empty() {
            continue;
        }
        let plain = path.trim_start_matches('/').replace('/', ".");
        let (head, last) = plain.rsplit_once('.').unwrap();
        let verbs = endpoint["verbs"].as_array().unwrap();
        let verb = verbs[0].as_str().unwrap().to_lowercase();
        let allowed = [plain.clone(), format!("{head}.{verb}_{last}")];
        let special = ["server.files.delete_file"];
        assert!(allowed.iter().any(|name| name == rpc) || special.contains(&rpc), "{rpc} {path}");
    }
}

/// Whatever a call without arguments does, it is not "there is no such call".
#[test]
fn every_call_can_be_reached() {
    let setup = Setup::new().sections("[octoprint_compat]").arg("--debug");
    let sim = Sim::start(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    for endpoint in description() {
        let (rpc, path) = (endpoint["rpc"].as_str().unwrap(), endpoint["path"].as_str().unwrap());
        // what would end the run, or stands for many
        let harmful =
            ["restart", "emergency_stop", "shutdown", "reboot"].iter().any(|word| rpc.ends_with(word));
        if harmful || rpc.ends_with('*') || path.ends_with('*') {
            continue;
        }
        if !rpc.is_empty() {
            let answer = client.try_call(rpc, json!({}));
            let missing = answer.err().is_some_and(|error| error.message.starts_with("Method not found"));
            assert!(!missing, "{rpc}");
        }
        for verb in endpoint["verbs"].as_array().unwrap() {
            let response = server.send(&Request::new(verb.as_str().unwrap(), path));
            let missing = response.status == 405
                || (response.status == 404 && response.text().contains("\"message\":\"Not Found\""));
            assert!(!missing, "{verb} {path}: {}", response.text());
        }
    }
    drop(server);
    drop(sim);
}

/// What the clients in the field call and belongs to this part of the API.
#[test]
fn what_clients_call_is_there() {
    let description = description();
    let known: Vec<&str> = description.iter().filter_map(|endpoint| endpoint["rpc"].as_str()).collect();
    for method in [
        "server.info",
        "server.config",
        "server.restart",
        "server.temperature_store",
        "server.gcode_store",
        "server.logs.rollover",
        "server.connection.identify",
        "server.websocket.id",
        "printer.info",
        "printer.emergency_stop",
        "printer.restart",
        "printer.firmware_restart",
        "printer.objects.list",
        "printer.objects.query",
        "printer.objects.subscribe",
        "printer.query_endstops.status",
        "printer.gcode.script",
        "printer.gcode.help",
        "printer.print.start",
        "printer.print.pause",
        "printer.print.resume",
        "printer.print.cancel",
        "server.files.list",
        "server.files.roots",
        "server.files.metadata",
        "server.files.metascan",
        "server.files.thumbnails",
        "server.files.get_directory",
        "server.files.post_directory",
        "server.files.delete_directory",
        "server.files.move",
        "server.files.copy",
        "server.files.zip",
        "server.files.delete_file",
        "connection.register_remote_method",
        "connection.send_event",
        "server.extensions.list",
        "server.extensions.request",
        "server.history.list",
        "server.history.totals",
        "server.history.reset_totals",
        "server.history.get_job",
        "server.history.delete_job",
        "server.job_queue.status",
        "server.job_queue.post_job",
        "server.job_queue.delete_job",
        "server.job_queue.pause",
        "server.job_queue.start",
        "server.job_queue.jump",
        "server.announcements.list",
        "server.announcements.update",
        "server.announcements.dismiss",
        "server.announcements.feeds",
        "server.announcements.post_feed",
        "server.announcements.delete_feed",
    ] {
        assert!(known.contains(&method), "{method}");
    }
}
