use std::sync::atomic::AtomicU32;

use serde_json::{Value, json};

use super::*;
use crate::components::bench::Bench;
use crate::storage::Access;

struct Rig {
    bench: Bench,
    part: Arc<Database>,
    restarts: Arc<AtomicU32>,
}

fn rig() -> Rig {
    let bench = Bench::new();
    let restarts = Arc::new(AtomicU32::new(0));
    let counted = restarts.clone();
    let part = Database::new(Parts {
        storage: bench.storage.clone(),
        klippy: bench.klippy.clone(),
        spawner: bench.spawner.clone(),
        backups: bench.path().join("backups"),
        debug: true,
        unclean: false,
        restart: Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        }),
    });
    Rig { bench, part, restarts }
}

impl Rig {
    fn call(&self, method: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        self.call_text(method, &params.to_string())
    }

    fn call_text(&self, method: &str, params: &str) -> std::result::Result<Value, (u16, String)> {
        let outcome = self.bench.call(self.part.endpoints(), method, params);
        outcome.map_err(|error| (error.status(), error.message().to_owned()))
    }

    fn status(&self, method: &str, params: Value) -> u16 {
        self.call(method, params).err().map_or(200, |(status, _)| status)
    }
}

#[test]
fn items_come_back_as_they_were_sent() {
    let rig = rig();
    let sent =
        r#"{"namespace":"ui","key":["a.b","c"],"value":{"n":1.0,"big":123456789012345678901234567890}}"#;
    let reply = rig.bench.run(async {
        let mut table = crate::api::Table::default();
        table.add("database", rig.part.endpoints());
        let params = crate::api::Params::from_raw(serde_json::from_str(sent).unwrap()).unwrap();
        let call = Call { caller: crate::api::Caller::internal(), params, tail: String::new() };
        table.rpc("server.database.post_item").unwrap().0.call(call).await.unwrap()
    });
    assert_eq!(reply.as_str(), sent);
    let all = rig.call("server.database.get_item", json!({"namespace": "ui"})).unwrap();
    assert_eq!((&all["key"], &all["value"]["a.b"]["c"]["n"]), (&Value::Null, &json!(1.0)));
    let gone = rig.call("server.database.delete_item", json!({"namespace": "ui", "key": ["a.b", "c", "n"]}));
    assert_eq!(gone.unwrap()["value"], json!(1.0));
}

#[test]
fn arguments_are_checked() {
    let rig = rig();
    for (method, params, status) in [
        ("get", json!({}), 400),
        ("get", json!({"namespace": null}), 400),
        ("get", json!({"namespace": "none"}), 404),
        ("get", json!({"namespace": "database"}), 403),
        ("get", json!({"namespace": "ui", "key": {}}), 400),
        ("get", json!({"namespace": "ui", "key": "a..b"}), 400),
        ("get", json!({"namespace": "ui", "key": "a"}), 404),
        ("post", json!({"namespace": "ui", "key": "a"}), 400),
        ("post", json!({"namespace": "ui", "value": 1}), 400),
        ("post", json!({"namespace": "moonraker", "key": "a", "value": 1}), 403),
        ("delete", json!({"namespace": "gcode_metadata", "key": "a"}), 403),
        ("delete", json!({"namespace": "ui", "key": "a"}), 404),
        ("delete", json!({"namespace": "ui"}), 400),
        ("post", json!({"namespace": 5, "key": "a", "value": 1}), 200),
        ("get", json!({"namespace": "5", "key": "a"}), 200),
    ] {
        assert_eq!(
            rig.status(&format!("server.database.{method}_item"), params.clone()),
            status,
            "{method} {params}"
        );
    }
    let answer =
        rig.call("server.database.post_item", json!({"namespace": "x", "key": "k", "value": null})).unwrap();
    assert_eq!(answer, json!({"namespace": "x", "key": "k", "value": null}));
    assert_eq!(rig.status("server.database.get_item", json!({"namespace": "x"})), 404);
    let missing = rig.call("server.database.post_item", json!({"namespace": "x", "key": "k"})).unwrap_err();
    assert_eq!(missing.1, "No data for argument: value");
}

#[test]
fn the_list_hides_what_is_forbidden() {
    let rig = rig();
    rig.bench.run(rig.bench.storage.guard("secret", Access::Forbidden)).unwrap();
    for namespace in ["secret", "open"] {
        let item = json!({"namespace": namespace, "key": "a", "value": 1});
        assert_eq!(rig.status("debug.database.post_item", item), 200);
    }
    let list = rig.call("server.database.list", json!({})).unwrap();
    assert_eq!(list, json!({"namespaces": ["open"], "backups": []}));
    let list = rig.call("debug.database.list", json!({})).unwrap();
    assert_eq!(list["namespaces"], json!(["database", "open", "secret"]));
    let count = json!({"namespace": "database", "key": "debug_counter"});
    assert_eq!(rig.call("debug.database.get_item", count).unwrap()["value"], json!({"post": 2, "get": 1}));
    assert_eq!(rig.status("debug.database.table", json!({"table": "x"})), 404);
}

#[test]
fn a_backup_is_made_listed_restored_and_deleted() {
    let rig = rig();
    let put =
        |value| rig.call("server.database.post_item", json!({"namespace": "ui", "key": "a", "value": value}));
    put(1).unwrap();
    let made = rig.call("server.database.post_backup", json!({"filename": "sub/one"})).unwrap();
    assert!(made["backup_path"].as_str().unwrap().ends_with("/backups/sub/one"));
    rig.call("server.database.post_backup", json!({})).unwrap();
    let list = rig.call("server.database.list", json!({})).unwrap();
    assert_eq!(list["backups"].as_array().unwrap().len(), 1);
    put(2).unwrap();
    assert!(rig.call("server.database.compact", json!({})).unwrap()["new_size"].as_u64().unwrap() > 0);
    for (method, name, status) in [
        ("post_backup", "../x", 400),
        ("restore", "/etc/passwd", 400),
        ("restore", "missing", 400),
        ("delete_backup", "missing", 404),
        ("delete_backup", "..", 400),
    ] {
        let method = format!("server.database.{method}");
        assert_eq!(rig.status(&method, json!({"filename": name})), status, "{method} {name}");
    }
    let restored = rig.call("server.database.restore", json!({"filename": "sub/one"})).unwrap();
    assert_eq!(restored["restored_namespaces"], json!(["database", "ui"]));
    let item = rig.call("server.database.get_item", json!({"namespace": "ui", "key": "a"})).unwrap();
    assert_eq!(item["value"], 1);
    for method in ["server.database.restore", "server.database.post_backup"] {
        assert_eq!(rig.status(method, json!({"filename": "sub/one"})), 400, "until the restart");
    }
    rig.bench.until(|| (rig.restarts.load(Ordering::Relaxed) == 1).then_some(()));
    assert_eq!(rig.status("server.database.delete_backup", json!({"filename": "sub/one"})), 200);
}

#[test]
fn a_backup_a_day_is_made_and_few_are_kept() {
    use std::time::SystemTime;
    let rig = rig();
    let folder = rig.bench.path().join("backups");
    let count = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    let look = |hours: u64| {
        let now = SystemTime::now() + Duration::from_secs(hours * 3600);
        rig.bench.run(rig.part.back_up_if_due(now)).unwrap();
    };
    look(0);
    look(23);
    assert_eq!(count(), 1);
    look(25); // nothing has changed since
    assert_eq!(count(), 1);
    for age in 1..6 {
        // older ones, as if made on the days before
        let path = folder.join(format!("automatic-2020-01-0{age}.backup"));
        std::fs::write(&path, "x").unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800 + age * 86_400);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    std::fs::write(folder.join("mine.backup"), "x").unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let newest = path.to_string_lossy().contains("automatic-2020-01-0");
        if !newest && path.to_string_lossy().contains("automatic-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    look(0);
    assert_eq!(count(), daily::KEPT + 1);
    assert!(folder.join("mine.backup").exists());
}

#[test]
fn unsafe_stops_are_counted() {
    let bench = Bench::new();
    for (unclean, count) in [(false, "0"), (true, "1"), (true, "2"), (false, "2")] {
        bench.run(bench.storage.write(move |writer| note_start(writer, unclean))).unwrap();
        let known = bench.storage.read(|view| view.record(NAMESPACE, "unsafe_shutdowns")).unwrap().unwrap();
        assert_eq!(known.get(), count);
    }
}
