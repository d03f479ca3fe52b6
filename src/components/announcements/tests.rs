use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};

use super::*;
use crate::components::bench::Bench;

struct Rig {
    bench: Bench,
    part: Arc<Announcements>,
}

fn options(dev_mode: bool, url: &str) -> Options {
    Options {
        subscriptions: vec!["Mainsail".into(), "klipper".into(), "../x".into()],
        enable_moonlight: true,
        moonlight_url: url.to_owned(),
        dev_mode,
    }
}

fn rig_on(bench: Bench, options: Options) -> Rig {
    let folder = bench.path().join("development");
    std::fs::create_dir_all(&folder).unwrap();
    let part = Announcements::new(Parts {
        options,
        storage: bench.storage.clone(),
        events: bench.events.clone(),
        spawner: bench.spawner.clone(),
        folder,
    });
    Rig { bench, part }
}

fn rig() -> Rig {
    rig_on(Bench::new(), options(true, ""))
}

fn feed(prefix: &str, numbers: &[u32]) -> String {
    let item = |number: &u32| {
        format!(
            "<item><guid>{prefix}/{number}</guid><title>T{number}</title><link>https://x/{number}</link>\
            <description>D</description><category>normal</category>\
            <pubDate>Thu, 01 Jan 1970 00:00:{number:02} GMT</pubDate></item>"
        )
    };
    let items: String = numbers.iter().map(item).collect();
    format!("<rss><channel><title>{prefix}</title>{items}</channel></rss>")
}

impl Rig {
    fn call(&self, method: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        let method = format!("server.announcements.{method}");
        let outcome = self.bench.call(self.part.endpoints(), &method, &params.to_string());
        outcome.map_err(|error| (error.status(), error.message().to_owned()))
    }

    /// Writes a feed's file, later than the one before.
    fn write(&self, name: &str, text: &str, minutes: u64) {
        let path = self.bench.path().join("development").join(format!("{name}.xml"));
        std::fs::write(&path, text).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + minutes * 60);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    fn ids(&self, include_dismissed: bool) -> Vec<String> {
        let list = self.call("list", json!({"include_dismissed": include_dismissed})).unwrap();
        list["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["entry_id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn told(&self, name: &str) -> Value {
        let mut found = None;
        self.bench.until(|| {
            found = self.bench.notified().into_iter().find(|told| told["method"] == name);
            found.is_some().then_some(())
        });
        found.unwrap()["params"][0].clone()
    }

    fn settle(&self) {
        self.bench.run(async { drop(self.part.busy.lock().await) });
    }
}

#[test]
fn feeds_are_followed() {
    let rig = rig();
    rig.settle();
    rig.write("moonraker", &feed("org/moonraker", &[1, 3]), 1);
    rig.write("klipper", &feed("org/klipper", &[2]), 1);
    let updated = rig.call("update", json!({})).unwrap();
    assert_eq!((&updated["modified"], updated["entries"].as_array().unwrap().len()), (&json!(true), 3));
    assert_eq!(rig.ids(true), ["org/moonraker/3", "org/klipper/2", "org/moonraker/1"]);
    let told = rig.told("notify_announcement_update");
    let expected = json!({"entry_id": "org/moonraker/3", "url": "https://x/3", "title": "T3", "description": "D",
        "priority": "normal", "date": 3.0, "dismissed": false, "date_dismissed": null, "dismiss_wake": null,
        "source": "moonlight", "feed": "moonraker"});
    assert_eq!(told["entries"][0], expected);

    // the same file again changes nothing; a later one brings, and takes away
    assert_eq!(rig.call("update", json!({})).unwrap()["modified"], false);
    rig.write("moonraker", &feed("org/moonraker", &[3, 4]), 2);
    assert_eq!(rig.call("update", json!({"subscriptions": ["moonraker"]})).unwrap()["modified"], true);
    assert_eq!(rig.ids(true), ["org/moonraker/4", "org/moonraker/3", "org/klipper/2"]);
    rig.write("moonraker", "<rss>broken", 3);
    assert_eq!(rig.call("update", json!({})).unwrap()["modified"], false);
    assert_eq!(rig.ids(true).len(), 3);
    let feeds = rig.call("feeds", json!({})).unwrap();
    assert_eq!(feeds, json!({"feeds": ["moonraker", "klipper", "mainsail"]}));
}

#[test]
fn entries_are_dismissed_and_come_back() {
    let rig = rig();
    rig.settle();
    rig.write("moonraker", &feed("org/moonraker", &[1, 2]), 1);
    rig.call("update", json!({})).unwrap();
    rig.call("dismiss", json!({"entry_id": "org/moonraker/1"})).unwrap();
    assert_eq!(rig.told("notify_announcement_dismissed"), json!({"entry_id": "org/moonraker/1"}));
    assert_eq!(rig.ids(false), ["org/moonraker/2"]);
    // again: the same answer, and nobody is told
    rig.bench.notified();
    rig.call("dismiss", json!({"entry_id": "org/moonraker/1", "wake_time": 1})).unwrap();
    rig.call("dismiss", json!({"entry_id": "org/moonraker/2", "wake_time": "0"})).unwrap();
    assert_eq!(rig.told("notify_announcement_wake"), json!({"entry_id": "org/moonraker/2"}));
    assert_eq!(rig.ids(false), ["org/moonraker/2"]);
    for (params, _) in [
        (json!({"entry_id": "unknown"}), 400),
        (json!({}), 400),
        (json!({"entry_id": "org/moonraker/2", "wake_time": -1}), 400),
        (json!({"entry_id": "org/moonraker/2", "wake_time": "soon"}), 400),
    ] {
        assert_eq!(rig.call("dismiss", params.clone()).unwrap_err().0, 400, "{params}");
    }
}

#[test]
fn dismissals_outlive_a_restart() {
    let first = rig();
    first.settle();
    first.write("moonraker", &feed("org/moonraker", &[1, 2, 3]), 1);
    first.call("update", json!({})).unwrap();
    for (number, wake) in [(1, json!(5)), (2, json!(5000)), (3, Value::Null)] {
        let params = json!({"entry_id": format!("org/moonraker/{number}"), "wake_time": wake});
        first.call("dismiss", params).unwrap();
    }
    let Rig { bench, part, .. } = first;
    drop(part);
    let rig = rig_on(bench, options(true, ""));
    // what is nearly due is back at once
    rig.bench.until(|| (rig.part.entries(false).unwrap().len() == 1).then_some(()));
    assert_eq!(rig.ids(false), ["org/moonraker/1"]);
}

#[test]
fn feeds_are_added_and_removed() {
    let rig = rig();
    rig.settle();
    rig.write("fluidd", &feed("org/fluidd", &[5]), 1);
    let added = rig.call("post_feed", json!({"name": "Fluidd"})).unwrap();
    assert_eq!(added, json!({"feed": "fluidd", "action": "added"}));
    assert_eq!(rig.ids(true), ["org/fluidd/5"]);
    assert_eq!(rig.call("post_feed", json!({"name": "fluidd"})).unwrap()["action"], "skipped");
    assert_eq!(rig.call("post_feed", json!({"name": "klipper"})).unwrap()["action"], "skipped");
    for (method, name) in [
        ("delete_feed", "klipper"),
        ("delete_feed", "unknown"),
        ("post_feed", "../../etc/passwd"),
        ("post_feed", ""),
        ("post_feed", "a b"),
        ("post_feed", ".hidden"),
    ] {
        assert_eq!(rig.call(method, json!({"name": name})).unwrap_err().0, 400, "{method} {name}");
    }
    assert_eq!(rig.call("update", json!({"subscriptions": ["unknown"]})).unwrap_err().0, 400);
    let removed = rig.call("delete_feed", json!({"name": "fluidd"})).unwrap();
    assert_eq!(removed, json!({"feed": "fluidd", "action": "removed"}));
    assert!(rig.ids(true).is_empty());
    let many = (0..MAX_FEEDS).map(|number| rig.call("post_feed", json!({"name": format!("f{number}")})));
    assert_eq!(many.filter(std::result::Result::is_err).count(), 3);
}

#[test]
fn parts_of_the_program_announce_things() {
    let rig = rig();
    rig.settle();
    let id = rig.bench.run(rig.part.add("machine", "T", "D", "https://x", "high")).unwrap();
    assert!(id.starts_with("machine/20") && id.len() == "machine/2026-11-21T10:00:00".len(), "{id}");
    let told = rig.told("notify_announcement_update");
    assert_eq!(
        (&told["entries"][0]["source"], &told["entries"][0]["feed"]),
        (&json!("internal"), &json!("machine"))
    );
    rig.bench.run(rig.part.remove(&id)).unwrap();
    assert!(rig.ids(true).is_empty());
    assert_eq!(rig.bench.run(rig.part.remove(&id)).unwrap_err().status(), 400);
}

#[test]
fn feeds_come_from_a_server_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 2048];
            let read = stream.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let answer = match request.split(' ').nth(1).unwrap() {
                "/moonraker.xml" if request.contains("if-none-match: \"tag\"") => {
                    "HTTP/1.1 304 Not Modified\r\n\r\n".into()
                }
                "/moonraker.xml" => {
                    let body = feed("org/moonraker", &[1]);
                    format!(
                        "HTTP/1.1 200 OK\r\nETag: \"tag\"\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                }
                // far too large: only the head is ever looked at
                "/klipper.xml" => {
                    "HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n<rss>".to_owned()
                        + &" ".repeat(600_000)
                }
                _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into(),
            };
            lock(&seen).push(request.lines().next().unwrap_or_default().to_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let rig = rig_on(Bench::new(), options(false, &url));
    rig.bench.until(|| (rig.part.entries(true).unwrap().len() == 1).then_some(()));
    rig.settle();
    let updated = rig.call("update", json!({"subscriptions": ["moonraker"]})).unwrap();
    assert_eq!((&updated["modified"], updated["entries"].as_array().unwrap().len()), (&json!(false), 1));
    let etag = rig.bench.storage.read(|view| entries::etag(view, "moonraker")).unwrap();
    assert_eq!(etag.as_deref(), Some("\"tag\""));
    assert!(lock(&asked).iter().any(|line| line.contains("/mainsail.xml")));
}
