use serde_json::{Value, json};

use super::*;
use crate::components::bench::Bench;

struct Rig {
    bench: Bench,
    part: Arc<Webcam>,
}

fn rig() -> Rig {
    let bench = Bench::new();
    let mut camera = Camera::blank(String::new());
    (camera.name, camera.source, camera.stream_url) = ("fixed".into(), Source::Config, "/webcam".into());
    let instance = "2fbdde0ea8ee4a328209b487bdef7a7f";
    let part = Webcam::new(vec![camera], instance, bench.storage.clone(), bench.events.clone());
    Rig { bench, part }
}

impl Rig {
    fn call(&self, method: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        let outcome =
            self.bench.call(self.part.endpoints(), &format!("server.webcams.{method}"), &params.to_string());
        outcome.map_err(|error| (error.status(), error.message().to_owned()))
    }

    fn names(&self) -> Vec<String> {
        let list = self.call("list", json!({})).unwrap();
        list["webcams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|cam| cam["name"].as_str().unwrap().to_owned())
            .collect()
    }
}

#[test]
fn a_camera_is_made_changed_renamed_and_deleted() {
    let rig = rig();
    let made =
        rig.call("post_item", json!({"name": "a", "stream_url": "/s", "extra_data": {"x": 1}})).unwrap();
    let camera = &made["webcam"];
    let uid = camera["uid"].as_str().unwrap().to_owned();
    assert_eq!(
        (&camera["icon"], &camera["target_fps"], &camera["source"], &camera["extra_data"]),
        (&json!("mdiWebcam"), &json!(15), &json!("database"), &json!({"x": 1}))
    );
    let told = rig.bench.notified();
    assert_eq!(
        (&told[0]["method"], told[0]["params"][0]["webcams"].as_array().unwrap().len()),
        (&json!("notify_webcams_changed"), 2)
    );

    rig.call("post_item", json!({"name": "a", "rotation": "90", "flip_vertical": "true"})).unwrap();
    rig.call("post_item", json!({"uid": uid, "name": "b"})).unwrap();
    let got = rig.call("get_item", json!({"name": "b"})).unwrap();
    assert_eq!((&got["webcam"]["rotation"], &got["webcam"]["uid"]), (&json!(90), &json!(uid)));
    assert_eq!(rig.names(), ["fixed", "b"]);
    let record = rig.bench.storage.read(|view| view.record("webcams", &uid)).unwrap().unwrap();
    let record: Value = serde_json::from_str(record.get()).unwrap();
    assert_eq!(
        (&record["urlStream"], &record["flipY"], &record["rotation"]),
        (&json!("/s"), &json!(true), &json!(90))
    );

    rig.call("delete_item", json!({"uid": uid})).unwrap();
    assert_eq!(rig.names(), ["fixed"]);
    assert_eq!(rig.bench.notified().len(), 3);
}

#[test]
fn bad_calls_are_refused_and_change_nothing() {
    let rig = rig();
    rig.call("post_item", json!({"name": "a", "stream_url": "/a"})).unwrap();
    rig.call("post_item", json!({"name": "b", "stream_url": "/b"})).unwrap();
    let uid = rig.call("get_item", json!({"name": "a"})).unwrap()["webcam"]["uid"].clone();
    let before = rig.call("list", json!({})).unwrap();
    rig.bench.notified();
    for (method, params, status) in [
        ("get_item", json!({}), 400),
        ("get_item", json!({"name": "none"}), 404),
        ("get_item", json!({"uid": "none", "name": "a"}), 404),
        ("post_item", json!({"name": "new"}), 400),
        ("post_item", json!({"stream_url": "/x"}), 400),
        ("post_item", json!({"name": "", "stream_url": "/x"}), 400),
        ("post_item", json!({"uid": "none", "name": "a"}), 404),
        ("post_item", json!({"uid": uid, "name": "b"}), 400),
        ("post_item", json!({"uid": uid, "name": "fixed"}), 400),
        ("post_item", json!({"name": "fixed", "stream_url": "/x"}), 400),
        ("post_item", json!({"name": "a", "rotation": 45}), 400),
        ("post_item", json!({"name": "a", "aspect_ratio": "wide"}), 400),
        ("post_item", json!({"name": "a", "target_fps": "many"}), 400),
        ("post_item", json!({"name": "a", "extra_data": [1]}), 400),
        ("delete_item", json!({"name": "fixed"}), 400),
        ("delete_item", json!({"name": "none"}), 404),
        ("test", json!({"name": "none"}), 404),
    ] {
        assert_eq!(rig.call(method, params.clone()).unwrap_err().0, status, "{method} {params}");
    }
    assert_eq!(rig.call("list", json!({})).unwrap(), before);
    assert!(rig.bench.notified().is_empty());
}

#[test]
fn records_of_old_front_ends_are_read_and_keep_what_is_not_known() {
    let rig = rig();
    let old = r#"{"name":"old","urlStream":"/w","rotate":180,"flipX":true,"targetFps":20,"wwwSecret":7}"#;
    let hidden = r#"{"name":"fixed","urlStream":"/other"}"#;
    for (uid, record) in [("u1", old), ("u2", hidden), ("u3", "5"), ("u4", "{}")] {
        let record = serde_json::from_str::<Box<serde_json::value::RawValue>>(record).unwrap();
        rig.bench
            .run(rig.bench.storage.write(move |writer| writer.put_record("webcams", uid, &record)))
            .unwrap();
    }
    assert_eq!(rig.names(), ["fixed", "old"]);
    rig.call("post_item", json!({"uid": "u1", "location": "room"})).unwrap();
    let record = rig.bench.storage.read(|view| view.record("webcams", "u1")).unwrap().unwrap();
    let record: Value = serde_json::from_str(record.get()).unwrap();
    assert_eq!(
        (&record["rotation"], record.get("rotate"), &record["wwwSecret"], &record["location"]),
        (&json!(180), None, &json!(7), &json!("room"))
    );
}

#[test]
fn the_test_asks_for_a_picture() {
    use std::io::{Read, Write};
    let rig = rig();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/?action=snapshot", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in
            ["HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"]
        {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 2048]);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    rig.call("post_item", json!({"name": "a", "stream_url": "", "snapshot_url": url})).unwrap();
    let outcome = rig.call("test", json!({"name": "a"})).unwrap();
    assert_eq!(
        outcome,
        json!({"name": "a", "snapshot_reachable": true, "snapshot_url": url, "stream_url": ""})
    );
    assert_eq!(rig.call("test", json!({"name": "a"})).unwrap()["snapshot_reachable"], false);
}
