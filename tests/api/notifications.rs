//! What clients are told without asking (spec notifications.md), about files above all (§A).

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::pattern::{assert_matches, mismatch};
use crate::harness::{Multipart, Perigee, Setup, TempDir, WsClient};

const CHANGED: &str = "notify_filelist_changed";

/// Waits for a change that matches, letting others pass.
#[track_caller]
fn expect(client: &mut WsClient, pattern: &Value) -> Value {
    client.expect_where(CHANGED, |params| mismatch(pattern, &params[0]).is_none())
}

/// The next change must be this one; the folder of thumbnails is let pass.
#[track_caller]
fn expect_next(client: &mut WsClient, pattern: &Value) {
    let params = client.expect_where(CHANGED, |params| {
        !params[0]["item"]["path"].as_str().unwrap_or_default().ends_with(".thumbs")
    });
    assert_eq!(params.as_array().map(Vec::len), Some(1), "one argument");
    assert_matches(&params[0], pattern);
}

/// Makes sure that nothing about files is on its way: a marker made now must be the next thing that comes.
#[track_caller]
fn expect_nothing_more(server: &Perigee, client: &mut WsClient) {
    let marker = format!("config/marker-{}", crate::harness::temp::unique());
    fs::create_dir(server.data(&marker)).unwrap();
    expect_next(
        client,
        &json!({"action": "create_dir", "item": {"path": marker.trim_start_matches("config/")}}),
    );
}

/// A server whose start-up news has gone by, with a client.
fn quiet() -> (Perigee, WsClient) {
    let server = Perigee::start();
    let mut client = server.websocket();
    fs::create_dir(server.data("config/settled")).unwrap();
    expect(&mut client, &json!({"action": "create_dir", "item": {"path": "settled"}}));
    (server, client)
}

#[test]
fn a_request_is_told_once_and_after_its_answer() {
    let (server, mut client) = quiet();
    let id = client.start("server.files.post_directory", json!({"path": "gcodes/new"}));
    // the answer has to come before the news
    let first = client.next_within(Duration::from_secs(20)).expect("an answer");
    assert_eq!(first["id"], id, "{first}");
    expect_next(
        &mut client,
        &json!({"action": "create_dir", "item": {"path": "new", "root": "gcodes", "permissions": "rw", "modified": {"$type": "number"}, "size": {"$type": "integer"}}, "source_item": {"$absent": true}}),
    );
    expect_nothing_more(&server, &mut client);

    client.call("server.files.delete_directory", json!({"path": "gcodes/new"}));
    expect_next(
        &mut client,
        &json!({"action": "delete_dir", "item": {"path": "new", "root": "gcodes", "size": 0, "modified": 0, "permissions": ""}}),
    );
    expect_nothing_more(&server, &mut client);
}

#[test]
fn uploads_are_told() {
    let (server, mut client) = quiet();
    server.upload("gcodes", "a.gcode", "G28\n").expect(201);
    let pattern = json!({"action": "create_file", "item": {"path": "a.gcode", "root": "gcodes", "size": 4, "permissions": "rw"}});
    expect_next(&mut client, &pattern);
    expect_nothing_more(&server, &mut client);
    server.upload("gcodes", "a.gcode", "G1\n").expect(201);
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "a.gcode", "size": 3}}));
    expect_nothing_more(&server, &mut client);
    server.upload("config", "x.cfg", "1").expect(201);
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "x.cfg", "root": "config"}}));
    expect_nothing_more(&server, &mut client);
}

#[test]
fn an_upload_into_a_new_folder_tells_of_both() {
    let (server, mut client) = quiet();
    server.send(&Multipart::new().text("path", "a/b").file("c.gcode", "G28\n").upload()).expect(201);
    expect(&mut client, &json!({"action": "create_file", "item": {"path": "a/b/c.gcode"}}));
}

#[test]
fn moves_and_copies_are_told() {
    let (server, mut client) = quiet();
    server.upload("gcodes", "a.gcode", "G28\n").expect(201);
    expect_next(&mut client, &json!({"action": "create_file"}));
    let mut post = |target: &str, source: &str, dest: &str, pattern: Value| {
        server.post(&format!("/server/files/{target}"), json!({"source": source, "dest": dest})).expect(200);
        expect_next(&mut client, &pattern);
    };
    post(
        "move",
        "gcodes/a.gcode",
        "gcodes/b.gcode",
        json!({"action": "move_file", "item": {"path": "b.gcode", "root": "gcodes"}, "source_item": {"path": "a.gcode", "root": "gcodes"}}),
    );
    post(
        "move",
        "gcodes/b.gcode",
        "config/b.gcode",
        json!({"action": "move_file", "item": {"path": "b.gcode", "root": "config"}, "source_item": {"path": "b.gcode", "root": "gcodes"}}),
    );
    post(
        "copy",
        "config/b.gcode",
        "gcodes/c.gcode",
        json!({"action": "create_file", "item": {"path": "c.gcode"}}),
    );
    post(
        "copy",
        "config/b.gcode",
        "gcodes/c.gcode",
        json!({"action": "modify_file", "item": {"path": "c.gcode"}}),
    );
    expect_nothing_more(&server, &mut client);
}

#[test]
fn moves_and_copies_of_folders_are_told_as_one() {
    let (server, mut client) = quiet();
    fs::create_dir_all(server.data("config/tree/deep")).unwrap();
    fs::write(server.data("config/tree/deep/x.cfg"), "x").unwrap();
    expect(&mut client, &json!({"action": "create_dir", "item": {"path": "tree"}}));
    expect_nothing_more(&server, &mut client);
    server.post("/server/files/copy", json!({"source": "config/tree", "dest": "config/copy"})).expect(200);
    expect_next(&mut client, &json!({"action": "create_dir", "item": {"path": "copy"}}));
    expect_nothing_more(&server, &mut client);
    server.post("/server/files/move", json!({"source": "config/copy", "dest": "config/moved"})).expect(200);
    expect_next(
        &mut client,
        &json!({"action": "move_dir", "item": {"path": "moved"}, "source_item": {"path": "copy", "root": "config"}}),
    );
    expect_nothing_more(&server, &mut client);
    server.delete("/server/files/directory?path=config/moved&force=true").expect(200);
    expect_next(&mut client, &json!({"action": "delete_dir", "item": {"path": "moved"}}));
    expect_nothing_more(&server, &mut client);
}

#[test]
fn archives_are_told() {
    let (server, mut client) = quiet();
    server.upload("config", "x.cfg", "1").expect(201);
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "x.cfg"}}));
    server.post("/server/files/zip", json!({"items": ["config/x.cfg"], "dest": "config/x.zip"})).expect(200);
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "x.zip", "root": "config"}}));
    expect_nothing_more(&server, &mut client);
}

#[test]
fn changes_from_outside_are_told() {
    let (server, mut client) = quiet();
    fs::write(server.data("gcodes/a.gcode"), "G28\n").unwrap();
    expect_next(
        &mut client,
        &json!({"action": "create_file", "item": {"path": "a.gcode", "root": "gcodes", "size": 4}}),
    );
    fs::write(server.data("gcodes/a.gcode"), "G28\nG1\n").unwrap();
    expect_next(&mut client, &json!({"action": "modify_file", "item": {"path": "a.gcode", "size": 7}}));
    fs::rename(server.data("gcodes/a.gcode"), server.data("gcodes/b.gcode")).unwrap();
    expect_next(
        &mut client,
        &json!({"action": "move_file", "item": {"path": "b.gcode"}, "source_item": {"path": "a.gcode", "root": "gcodes"}}),
    );
    fs::rename(server.data("gcodes/b.gcode"), server.data("config/b.gcode")).unwrap();
    expect_next(
        &mut client,
        &json!({"action": "move_file", "item": {"path": "b.gcode", "root": "config"}, "source_item": {"path": "b.gcode", "root": "gcodes"}}),
    );
    fs::remove_file(server.data("config/b.gcode")).unwrap();
    expect_next(
        &mut client,
        &json!({"action": "delete_file", "item": {"path": "b.gcode", "root": "config", "size": 0, "modified": 0, "permissions": ""}}),
    );
    expect_nothing_more(&server, &mut client);
}

#[test]
fn trees_from_outside_are_told_as_one() {
    let (server, mut client) = quiet();
    fs::create_dir_all(server.data("gcodes/tree/a/b")).unwrap();
    for n in 0..20 {
        fs::write(server.data(&format!("gcodes/tree/a/b/{n}.txt")), "x").unwrap();
    }
    expect_next(&mut client, &json!({"action": "create_dir", "item": {"path": "tree", "root": "gcodes"}}));
    expect_nothing_more(&server, &mut client);
    // what is made in it later is seen as well
    fs::write(server.data("gcodes/tree/a/b/later.txt"), "x").unwrap();
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "tree/a/b/later.txt"}}));
    fs::rename(server.data("gcodes/tree"), server.data("gcodes/wood")).unwrap();
    expect_next(
        &mut client,
        &json!({"action": "move_dir", "item": {"path": "wood"}, "source_item": {"path": "tree"}}),
    );
    fs::write(server.data("gcodes/wood/a/b/after.txt"), "x").unwrap();
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "wood/a/b/after.txt"}}));
    fs::remove_dir_all(server.data("gcodes/wood")).unwrap();
    expect_next(&mut client, &json!({"action": "delete_dir", "item": {"path": "wood"}}));
    expect_nothing_more(&server, &mut client);
}

#[test]
fn what_comes_in_or_goes_out_is_told() {
    let (server, mut client) = quiet();
    let outside = TempDir::under(server.dir().path());
    outside.write("in.txt", "x");
    outside.write("tree/x.txt", "x");
    fs::rename(outside.join("in.txt"), server.data("gcodes/in.txt")).unwrap();
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "in.txt"}}));
    fs::rename(outside.join("tree"), server.data("gcodes/tree")).unwrap();
    expect_next(&mut client, &json!({"action": "create_dir", "item": {"path": "tree"}}));
    fs::rename(server.data("gcodes/in.txt"), outside.join("out.txt")).unwrap();
    expect_next(&mut client, &json!({"action": "delete_file", "item": {"path": "in.txt"}}));
    fs::rename(server.data("gcodes/tree"), outside.join("out")).unwrap();
    expect_next(&mut client, &json!({"action": "delete_dir", "item": {"path": "tree"}}));
    expect_nothing_more(&server, &mut client);
}

#[test]
fn links_are_told_at_once() {
    let (server, mut client) = quiet();
    symlink("moonraker.conf", server.data("config/link.conf")).unwrap();
    expect_next(
        &mut client,
        &json!({"action": "create_file", "item": {"path": "link.conf", "permissions": "r"}}),
    );
}

#[test]
fn hidden_files_are_told_and_reserved_ones_not() {
    let (server, mut client) = quiet();
    fs::write(server.data("config/.hidden.cfg"), "x").unwrap();
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": ".hidden.cfg"}}));
    fs::create_dir(server.data("config/.git")).unwrap();
    fs::write(server.data("config/.git/HEAD"), "x").unwrap();
    let told = client.take_named(CHANGED);
    expect_nothing_more(&server, &mut client);
    assert!(told.iter().all(|news| !news.to_string().contains("HEAD")), "{told:?}");
}

#[test]
fn an_editor_that_writes_beside_and_renames_is_understood() {
    let (server, mut client) = quiet();
    fs::write(server.data("config/printer.cfg"), "old").unwrap();
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "printer.cfg"}}));
    fs::write(server.data("config/.printer.cfg.swp"), "new").unwrap();
    fs::rename(server.data("config/.printer.cfg.swp"), server.data("config/printer.cfg")).unwrap();
    // however it is told, the last word is about the file that is there now
    let news = client.expect_where(CHANGED, |params| params[0]["item"]["path"] == "printer.cfg");
    assert_eq!(news[0]["item"]["size"], 3);
}

#[test]
fn with_the_observer_off_requests_are_told_and_nothing_else() {
    let server = Setup::new().sections("[file_manager]\nfile_system_observer: none").start();
    let mut client = server.websocket();
    fs::write(server.data("config/outside.txt"), "x").unwrap();
    server.upload("config", "inside.txt", "x").expect(201);
    expect_next(&mut client, &json!({"action": "create_file", "item": {"path": "inside.txt"}}));
    server
        .post("/server/files/move", json!({"source": "config/inside.txt", "dest": "config/b.txt"}))
        .expect(200);
    expect_next(&mut client, &json!({"action": "move_file"}));
    server.delete("/server/files/config/b.txt").expect(200);
    expect_next(&mut client, &json!({"action": "delete_file"}));
}

#[test]
fn everybody_is_told_whether_they_said_who_they_are_or_not() {
    let server = Perigee::start();
    let (mut identified, _) = server.identified();
    let mut anonymous = server.websocket();
    let mut unix = server.unix_socket();
    unix.settle();
    server.upload("config", "a.txt", "x").expect(201);
    let told = |params: &Value| params[0]["item"]["path"] == "a.txt";
    identified.expect_where(CHANGED, told);
    anonymous.expect_where(CHANGED, told);
    unix.expect_where(CHANGED, told);
}

#[test]
fn metadata_is_there_when_a_new_file_is_told() {
    let (server, mut client) = quiet();
    for n in 0..20 {
        let name = format!("n{n}.gcode");
        fs::write(
            server.data(&format!("gcodes/{name}")),
            format!("; generated by PrusaSlicer 2.6.{n} on 2023-01-01 at 00:00:00 UTC\nG28\n"),
        )
        .unwrap();
        expect(&mut client, &json!({"action": "create_file", "item": {"path": name}}));
        let metadata = client.call("server.files.metadata", json!({"filename": name}));
        assert_eq!(metadata["slicer_version"], format!("2.6.{n}"));
    }
}

#[test]
fn the_form_of_a_notification() {
    let (server, mut client) = quiet();
    server.upload("config", "a.txt", "x").expect(201);
    let message = client.next_within(Duration::from_secs(20)).expect("news");
    assert_matches(
        &message,
        &json!({"$keys": ["jsonrpc", "method", "params"], "$all": [{"jsonrpc": "2.0", "method": CHANGED, "params": {"$len": 1}}]}),
    );
}
