use serde_json::{Value, json};

use super::*;
use crate::storage::history::{self, JOBS};
use crate::storage::scratch::{Scratch, fixture};
use crate::storage::users::{self, API_KEY_USER};
use crate::storage::{Rows, export};

/// What the server answered that wrote a database.
fn expected(name: &str) -> Value {
    let scratch = Scratch::new();
    serde_json::from_slice(&std::fs::read(fixture(&scratch, name)).unwrap()).unwrap()
}

/// A namespace; its text where that holds half a surrogate pair, which a [`Value`] cannot.
fn whole(storage: &Storage, namespace: &str) -> Value {
    storage
        .read(|view| view.whole_namespace(namespace))
        .map_or(Value::Null, |text| serde_json::from_str(text.get()).unwrap_or_else(|_| text.get().into()))
}

fn jobs(storage: &Storage) -> Vec<Value> {
    let mut jobs = Vec::new();
    let scan = |view: &crate::storage::Reader<'_>| {
        JOBS.scan(view, &Rows::ALL, |key, row| {
            let mut job: Value = serde_json::from_slice(row).unwrap();
            job["job_id"] = format!("{:06X}", crate::storage::number(key).unwrap()).into();
            jobs.push(job);
            Ok(std::ops::ControlFlow::Continue(()))
        })
    };
    storage.read(scan).unwrap();
    jobs
}

/// Compares the history with an answer of `server.history.list`.
fn compare_jobs(found: &[Value], expected: &Value) {
    let expected = expected["history_list"]["jobs"].as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        for (name, value) in expected.as_object().unwrap().iter().filter(|(name, _)| *name != "exists") {
            // Moonraker writes the number 0 where there is no end
            let unended = name == "end_time" && found[name].is_null() && value == 0.0;
            assert!(unended || &found[name] == value, "{name} of {}: {found}", found["job_id"]);
        }
    }
}

fn compare_namespaces(storage: &Storage, expected: &Value, apart: &[&str]) {
    for (namespace, records) in expected["namespaces"].as_object().unwrap() {
        // here a namespace without records is none
        if !apart.contains(&namespace.as_str()) && records != &json!({}) {
            assert_eq!(&whole(storage, namespace), records, "namespace {namespace}");
        }
    }
}

fn compare_users(storage: &Storage, expected: &Value) {
    let found = storage.read(|view| users::all(view)).unwrap();
    let key = found.iter().find(|user| user.username == API_KEY_USER).unwrap();
    assert_eq!(key.password, expected["api_key"].as_str().unwrap());
    let users = expected["users_list"]["users"].as_array().unwrap();
    assert_eq!(found.len(), users.len() + 1);
    for user in users {
        let found = found.iter().find(|found| found.username == user["username"].as_str().unwrap()).unwrap();
        assert_eq!(
            (found.created_on, found.source.as_str()),
            (user["created_on"].as_f64().unwrap(), "moonraker")
        );
        assert!(found.password.len() == 64 && found.salt.len() == 64);
        assert_eq!(found.jwt_secret.is_some(), found.username == "anna");
    }
}

fn compare_totals(storage: &Storage, expected: &Value) {
    let found = storage.read(|view| history::totals(view)).unwrap();
    for (name, amount) in expected["history_totals"]["job_totals"].as_object().unwrap() {
        let total = found.iter().find(|total| total.provider == "history" && total.field == *name).unwrap();
        assert_eq!(total.total.or(total.maximum), amount.as_f64(), "{name}");
    }
    for expected in expected["history_totals"]["auxiliary_totals"].as_array().unwrap_or(&Vec::new()) {
        assert!(found.iter().any(|total| json!(total) == *expected), "{expected}");
    }
}

/// Imports twice: the second time there is nothing left to take.
fn import(scratch: &Scratch, path: &Path) -> (Storage, Report) {
    let before = std::fs::read(path).unwrap();
    let storage = scratch.open();
    let source = Source::find(path).unwrap();
    let report = run(&storage, &source).unwrap();
    assert!(report.to_string().contains("prints: 63 taken, 0 left") || report.jobs.taken != 63, "{report}");
    let again = run(&storage, &source).unwrap();
    assert_eq!((again.jobs.taken, again.users.taken, again.totals.taken), (0, 0, 0));
    assert!(again.documents.values().all(|count| count.taken == 0), "{again}");
    assert_eq!(std::fs::read(path).unwrap(), before, "the old file is as it was");
    (storage, report)
}

#[test]
fn everything_of_a_sqlite_database_is_taken_over() {
    let (scratch, expected) = (Scratch::new(), expected("v0.10-sqlite/expected.json"));
    let path = fixture(&scratch, "v0.10-sqlite/moonraker-sql.db");
    let (storage, report) = import(&scratch, &path);
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(report.mended, 3);
    compare_namespaces(&storage, &expected, &[]);
    compare_jobs(&jobs(&storage), &expected);
    compare_users(&storage, &expected);
    compare_totals(&storage, &expected);
    let surrogate = storage.read(|view| view.record("edge_surrogate", "v")).unwrap().unwrap();
    assert!(surrogate.get().contains("\"lone\":\"\\ud83d\""));
    assert_eq!(whole(&storage, "edge_nan")["v"], json!({"nan": null, "inf": null, "ninf": null}));
    assert!(storage.check_access("update_manager", crate::storage::Use::Write).is_err());
}

#[test]
fn an_unclean_sqlite_database_is_as_its_server_would_find_it() {
    for kind in ["hot-journal", "empty-journal"] {
        let folder = format!("v0.10-sqlite-dirty/{kind}");
        let (scratch, expected) = (Scratch::new(), expected(&format!("{folder}/expected.json")));
        let path = fixture(&scratch, &format!("{folder}/moonraker-sql.db"));
        let storage = scratch.open();
        run(&storage, &Source::find(&path).unwrap()).unwrap();
        compare_jobs(&jobs(&storage), &expected);
        compare_users(&storage, &expected);
        let found = whole(&storage, "dirty_test");
        let names = |list: &str| expected["_about"][list].as_array().cloned().unwrap_or_default();
        let (there, not_there) = (names("acknowledged_writes"), names("sent_without_answer"));
        assert!(!there.is_empty());
        for name in &there {
            assert!(found.get(name.as_str().unwrap()).is_some(), "{kind}: {name} is missing");
        }
        for name in &not_there {
            assert!(found.get(name.as_str().unwrap()).is_none(), "{kind}: {name} was never committed");
        }
        compare_namespaces(&storage, &expected, &[]);
    }
}

#[test]
fn everything_of_an_lmdb_database_is_taken_over() {
    // what the next version of Moonraker made of the same file
    let expected = expected("v0.8-lmdb/imported-by-v0.10.json");
    for set in ["v0.8-lmdb", "v0.8-lmdb-16k-pages"] {
        let scratch = Scratch::new();
        let path = fixture(&scratch, &format!("{set}/data.mdb"));
        let (storage, report) = import(&scratch, &path);
        assert_eq!((report.problems.len(), report.users.taken), (0, 4), "{set}");
        // that server has added things of its own to these
        compare_namespaces(
            &storage,
            &expected,
            &["moonraker", "update_manager", "announcements", "gcode_metadata"],
        );
        compare_jobs(&jobs(&storage), &expected);
        compare_users(&storage, &expected);
        compare_totals(&storage, &expected);
        let moonraker = whole(&storage, "moonraker");
        assert_eq!(moonraker["announcements"], json!({"stored_feeds": ["fluidd"]}));
        assert_eq!((moonraker.get("history"), moonraker.get("database")), (None, None));
        assert_eq!(whole(&storage, "history"), Value::Null);
        assert_eq!(whole(&storage, "authorized_users"), Value::Null);
    }
}

#[test]
fn a_database_of_a_32_bit_machine_is_taken_over() {
    let (scratch, expected) = (Scratch::new(), expected("v0.8-lmdb-32bit/expected.json"));
    let path = fixture(&scratch, "v0.8-lmdb-32bit/data.mdb");
    let (storage, report) = import(&scratch, &path);
    assert_eq!(report.problems, Vec::<String>::new());
    compare_namespaces(&storage, &expected, &["moonraker", "history"]);
    compare_users(&storage, &expected);
    compare_totals(&storage, &expected);
    assert_eq!(jobs(&storage).len(), expected["history_list"]["jobs"].as_array().unwrap().len());
}

#[test]
fn a_text_backup_holds_the_same_as_its_database() {
    for set in ["v0.8-lmdb", "v0.8-lmdb-32bit"] {
        let (one, two) = (Scratch::new(), Scratch::new());
        let (from_database, _) = import(&one, &fixture(&one, &format!("{set}/data.mdb")));
        let (from_backup, _) = import(&two, &fixture(&two, &format!("backups/{set}.database.backup")));
        let names = from_database.read(|view| view.namespaces()).unwrap();
        assert_eq!(from_backup.read(|view| view.namespaces()).unwrap(), names);
        for name in names {
            assert_eq!(whole(&from_backup, &name), whole(&from_database, &name), "{name}");
        }
        assert_eq!(jobs(&from_backup), jobs(&from_database));
        let users = |storage: &Storage| storage.read(|view| users::all(view)).unwrap();
        assert_eq!(users(&from_backup), users(&from_database));
    }
}

#[test]
fn the_way_back_loses_nothing() {
    let (there, back) = (Scratch::new(), Scratch::new());
    let path = fixture(&there, "v0.10-sqlite/moonraker-sql.db");
    let (storage, _) = import(&there, &path);
    let file = back.path().join("export");
    assert_eq!(export::write(&storage, &file).unwrap(), export::Left::default());
    let (again, report) = import(&back, &file);
    assert_eq!(report.problems, Vec::<String>::new());
    for name in storage.read(|view| view.namespaces()).unwrap().iter().filter(|name| *name != "database") {
        assert_eq!(whole(&again, name), whole(&storage, name), "{name}");
    }
    assert_eq!(jobs(&again), jobs(&storage));
    let totals = |storage: &Storage| storage.read(|view| history::totals(view)).unwrap();
    assert_eq!(totals(&again), totals(&storage));
    let users = |storage: &Storage| storage.read(|view| users::all(view)).unwrap();
    assert_eq!(users(&again), users(&storage));
}

#[test]
fn what_is_there_already_is_kept() {
    let scratch = Scratch::new();
    let path = fixture(&scratch, "v0.8-lmdb/data.mdb");
    let storage = scratch.open();
    let first = run(&storage, &Source::find(&path).unwrap()).unwrap();
    let fluidd = first.documents["fluidd"].taken;
    storage
        .write_blocking(|writer| {
            writer.clear_namespace("mainsail")?;
            let key = KeyPath::parse("uiSettings.changed")?;
            writer.insert_item("fluidd", &key, &json::to_raw(&true))?;
            history::delete_job(writer, 63).map(drop)
        })
        .unwrap();
    let again = run(&storage, &Source::find(&path).unwrap()).unwrap();
    assert_eq!((again.jobs.taken, again.jobs.left), (1, 62));
    assert_eq!(again.documents["mainsail"], first.documents["mainsail"]);
    assert_eq!(again.documents["fluidd"], Count { taken: 0, left: fluidd });
    assert_eq!(whole(&storage, "fluidd")["uiSettings"]["changed"], true);
}

#[test]
fn the_first_start_moves_in_once() {
    let scratch = Scratch::new();
    let old = Scratch::new();
    fixture(&old, "v0.10-sqlite/moonraker-sql.db");
    let storage = scratch.open();
    let folders = [scratch.path().join("nothing"), old.path().to_owned()];
    assert_eq!(first_start(&storage, false, &folders).unwrap(), None, "there was a database");
    let report = first_start(&storage, true, &folders).unwrap().unwrap();
    assert_eq!(report.jobs.taken, 63);
    assert_eq!(first_start(&storage, true, &folders).unwrap(), None);
    // one that was cut off goes on, although the database is not new any more
    let half = Note { source: old.path().join(SQLITE_NAME).to_string_lossy().into_owned(), finished: false };
    write_note(&storage, &half).unwrap();
    storage.write_blocking(|writer| history::delete_job(writer, 5)).unwrap();
    assert_eq!(first_start(&storage, false, &folders).unwrap().unwrap().jobs, Count { taken: 1, left: 62 });
    assert_eq!(jobs(&storage)[4]["job_id"], "000005");
}

#[test]
fn other_files_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path().join("file");
    assert_eq!(Source::find(&path).unwrap_err().status(), 404);
    assert_eq!(Source::find(scratch.path()).unwrap_err().status(), 404);
    for bytes in [b"".as_slice(), b"text", &[0; 9000]] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Source::find(&path).unwrap_err().status(), 400);
    }
    let storage = scratch.open();
    for bytes in [[sqlite_file::MAGIC.as_slice(), &[0; 9000]].concat(), b"+1,1:x".to_vec()] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(run(&storage, &Source::find(&path).unwrap()).unwrap_err().status(), 400);
    }
}
