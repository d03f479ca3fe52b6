//! The database on a disk that is full, and on one that breaks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{FileDisk, Perigee, Response, Setup, SmallDisk};

fn put(server: &Perigee, key: &str, value: &Value) -> Response {
    server.post("/server/database/item", json!({"namespace": "test", "key": key, "value": value}))
}

/// The keys of all documents, each of which must be whole.
#[track_caller]
fn keys(server: &Perigee, value: &Value) -> BTreeSet<String> {
    let found = server.get("/server/database/item?namespace=test").result()["value"].take();
    let found = found.as_object().unwrap();
    assert!(found.values().all(|other| other == value), "a document is damaged");
    found.keys().cloned().collect()
}

#[test]
fn a_full_disk_refuses_what_is_new_and_keeps_what_is_there() {
    let setup = Setup::new();
    let Some(disk) = SmallDisk::over(&setup.data().join("database"), 4) else { return };
    let mut server = setup.start();
    let large = json!("x".repeat(100_000));
    let mut there = BTreeSet::new();
    let refused = loop {
        let key = format!("k{:03}", there.len());
        let answer = put(&server, &key, &large);
        if answer.status != 200 {
            break answer;
        }
        there.insert(key);
    };
    assert!(refused.error(507).contains("the disk is full"), "{}", refused.text());
    assert!(there.len() > 10);
    assert_eq!(keys(&server, &large), there);

    // the last gaps
    let small = |n: usize| json!({"namespace": "small", "key": format!("k{n}"), "value": "x".repeat(3000)});
    let full =
        (0..).map(|n| server.post("/server/database/item", small(n))).find(|answer| answer.status != 200);
    full.unwrap().error(507);

    // the other parts say the same, and live on
    for (path, body) in [
        (
            "/server/webcams/item",
            json!({"name": "c", "stream_url": "/x", "extra_data": {"x": "y".repeat(20_000)}}),
        ),
        ("/server/database/item", json!({"namespace": "other", "key": "k", "value": large})),
    ] {
        server.post(path, body).error(507);
    }
    assert_eq!(server.get("/server/webcams/list").result()["webcams"], json!([]));
    server.post("/server/database/compact", json!({})).error(507);
    assert_eq!(keys(&server, &large), there);

    // a restart finds it as it was
    server.kill();
    server.start_again();
    assert_eq!(keys(&server, &large), there);
    put(&server, "more", &large).error(507);

    // and there is room again, without a restart
    disk.resize(8);
    put(&server, "more", &large).expect(200);
    server.delete("/server/database/item?namespace=test&key=k000").expect(200);
    there.insert("more".to_owned());
    there.remove("k000");
    server.kill();
    server.start_again();
    assert_eq!(keys(&server, &large), there);
    assert_eq!(server.info()["warnings"], json!([]));
}

#[test]
fn a_disk_that_goes_read_only_is_read() {
    let setup = Setup::new();
    let folder = setup.data().join("database");
    let Some(disk) = FileDisk::over(&folder, &setup.dir.join("disk"), 16) else { return };
    let mut server = setup.start();
    let value = json!("some value");
    for n in 0..20 {
        put(&server, &format!("k{n:03}"), &value).expect(200);
    }
    let there = keys(&server, &value);
    if !disk.fail() {
        println!("skipped: this kernel cannot be told of an error");
        return;
    }
    for n in 0..3 {
        let why = put(&server, &format!("new{n}"), &value).error(500);
        assert!(why.contains("read-only"), "{why}");
    }
    server.post("/server/webcams/item", json!({"name": "c", "stream_url": "/x"})).error(500);
    server.post("/access/user", json!({"username": "u", "password": "p"})).error(500);
    assert_eq!(keys(&server, &value), there);
    assert_eq!(server.get("/access/users/list").result()["users"], json!([]));

    // what is there can be read after a restart, too
    server.kill();
    server.start_again();
    assert_eq!(keys(&server, &value), there);
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("read-only"), "{warnings}");
    assert!(put(&server, "new", &value).error(500).contains("read-only"));
    assert!(server.stop().success());

    disk.remount();
    server.start_again();
    assert_eq!(server.info()["warnings"], json!([]));
    put(&server, "new", &value).expect(200);
    assert_eq!(keys(&server, &value).len(), there.len() + 1);
    assert!(server.stop().success());
}
