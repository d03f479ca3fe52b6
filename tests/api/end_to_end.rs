//! The main job: a sliced file is uploaded, printed, watched, and complete.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::harness::{Multipart, Setup};
use crate::sim::{Sim, sample};

/// Prints a file as a front-end does and follows it to its end.
fn print(name: &str, content: &[u8]) {
    let setup = Setup::new();
    let sim = Sim::fast(&setup);
    let server = setup.start();
    server.wait_for_klippy("ready");
    let (mut client, _) = server.identified();
    let objects = client.call("printer.objects.list", Value::Null)["objects"].clone();
    let all: serde_json::Map<String, Value> = objects
        .as_array()
        .unwrap()
        .iter()
        .map(|name| (name.as_str().unwrap().to_owned(), Value::Null))
        .collect();
    client.call("printer.objects.subscribe", json!({"objects": all}));

    let form = Multipart::new().file(name, content).text("root", "gcodes").text("path", "jobs");
    let uploaded = server.send(&form.upload()).expect(201).json();
    let path = uploaded["item"]["path"].as_str().unwrap().to_owned();
    assert_eq!(uploaded["item"]["size"], content.len());
    client.expect_where("notify_filelist_changed", |params| params[0]["item"]["path"] == *path);
    let metadata = client.call("server.files.metadata", json!({"filename": path}));
    assert_eq!(metadata["size"], content.len());

    // What real files leave to macros of their owners' printers.
    client.call("printer.gcode.script", json!({"script": "G28\nM109 S215"}));
    assert_eq!(client.call("printer.print.start", json!({"filename": path})), "ok");
    let (mut state, mut progress, mut seen) = (String::new(), 0.0, Vec::new());
    while state != "complete" {
        let update = client.expect("notify_status_update");
        let stats = &update[0]["print_stats"];
        if let Some(now) = stats["state"].as_str() {
            assert!(!matches!(now, "error" | "cancelled"), "{stats}");
            if state != now {
                now.clone_into(&mut state);
                seen.push(state.clone());
            }
        }
        if let Some(now) = update[0]["virtual_sdcard"]["progress"].as_f64() {
            assert!(
                now >= progress || state == "complete" || now == 0.0,
                "progress went back: {progress} to {now}"
            );
            progress = now;
        }
        if let Some(name) = stats["filename"].as_str().filter(|name| !name.is_empty()) {
            assert_eq!(name, path);
        }
    }
    assert_eq!(seen, ["printing", "complete"]);
    let stats = client.call("printer.objects.query", json!({"objects": {"print_stats": null}}));
    let stats = &stats["status"]["print_stats"];
    assert_eq!((&stats["state"], &stats["filename"]), (&json!("complete"), &json!(path)));
    assert!(stats["total_duration"].as_f64().unwrap() > 0.0, "{stats}");
    // and now it may go
    client.call("server.files.delete_file", json!({"path": format!("gcodes/{path}")}));
    drop(server);
    drop(sim);
}

#[test]
fn the_projects_own_sample_is_printed() {
    print("sample.gcode", sample());
}

/// Where files of real slicers may lie: beside the project, or where the environment says.
fn real_files() -> Option<PathBuf> {
    let shared = std::env::var_os("PERIGEE_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"), PathBuf::from);
    Some(shared.join("gcode/files/real")).filter(|folder| folder.is_dir())
}

fn print_real(file: &str) {
    match real_files().map(|folder| folder.join(file)).filter(|path| path.is_file()) {
        Some(path) => print(&path.file_name().unwrap().to_string_lossy(), &fs::read(&path).unwrap()),
        None => println!("skipped: no files of real slicers here (PERIGEE_SHARED says where)"),
    }
}

#[test]
fn a_file_of_prusaslicer_is_printed() {
    print_real("PrusaSlicer/prusaslicer.gcode");
}

#[test]
fn a_file_of_orcaslicer_is_printed() {
    print_real("OrcaSlicer/example.gcode");
}

#[test]
fn a_file_of_cura_is_printed() {
    print_real("Cura/cura.gcode");
}
