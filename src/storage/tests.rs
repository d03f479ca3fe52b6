use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use smol::block_on;

use super::document::tests::{any_json, any_path};
use super::scratch::Scratch;
use super::*;

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn path(key: &str) -> KeyPath {
    KeyPath::parse(key).unwrap()
}

fn put(storage: &Storage, namespace: &'static str, key: &str, json: &str) -> Result<()> {
    let (key, value) = (key.to_owned(), raw(json));
    storage.write_blocking(move |writer| writer.insert_item(namespace, &KeyPath::parse(&key)?, &value))
}

fn get(storage: &Storage, namespace: &str, key: &str) -> Result<String> {
    storage.read(|view| view.item(namespace, &path(key))).map(|value| value.get().to_owned())
}

fn delete(storage: &Storage, namespace: &'static str, key: &str) -> Result<String> {
    let key = path(key);
    storage
        .write_blocking(move |writer| writer.delete_item(namespace, &key))
        .map(|value| value.get().to_owned())
}

fn close(storage: Storage) {
    block_on(storage.close());
}

#[test]
fn key_rules_of_the_database_api() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    assert_eq!(get(&storage, "ui", "a").unwrap_err().kind(), Kind::NotFound);
    assert_eq!(storage.read(|view| view.whole_namespace("ui")).unwrap_err().kind(), Kind::NotFound);

    put(&storage, "ui", "a", "{ \"b\" : [1, {\"c\": 2.0}] }").unwrap();
    assert_eq!(get(&storage, "ui", "a").unwrap(), r#"{"b":[1,{"c":2.0}]}"#);
    assert_eq!(get(&storage, "ui", "a.b.0").unwrap_err().status(), 404);
    put(&storage, "ui", "a.x.y", "null").unwrap();
    assert_eq!(get(&storage, "ui", "a.x").unwrap(), r#"{"y":null}"#);
    assert_eq!(put(&storage, "ui", "a.b.c", "1").unwrap_err().status(), 400);
    put(&storage, "ui", "n", "5").unwrap();
    put(&storage, "ui", "n.o", "6").unwrap();
    assert_eq!(get(&storage, "ui", "n").unwrap(), r#"{"o":6}"#);
    put(&storage, "other", "z", "null").unwrap();
    assert_eq!(storage.read(|view| view.namespaces()).unwrap(), ["ui"]);

    assert_eq!(delete(&storage, "ui", "a.x.y").unwrap(), "null");
    assert_eq!(get(&storage, "ui", "a.x").unwrap(), "{}");
    assert_eq!(delete(&storage, "ui", "n.o").unwrap(), "6");
    assert_eq!(get(&storage, "ui", "n").unwrap_err().status(), 404);
    assert_eq!(delete(&storage, "ui", "n").unwrap_err().status(), 404);
    let whole = storage.read(|view| view.whole_namespace("ui")).unwrap();
    assert_eq!(whole.get(), r#"{"a":{"b":[1,{"c":2.0}],"x":{}}}"#);
    delete(&storage, "ui", "a").unwrap();
    assert!(storage.read(|view| view.namespaces()).unwrap().is_empty());
}

/// Ends as a killed process does: without the note that it stopped in order. Closes the file all the same, since
/// a thread that is done with a write may hold it for a moment, and a process can open it only once.
fn abandon(storage: Storage) {
    storage.core.close();
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    put(&storage, "ns", "k", "[1,2]").unwrap();
    abandon(storage);
    let (storage, report) = Storage::open(scratch.path(), &scratch.options()).unwrap();
    assert!(report.unclean && !report.created && report.warnings.is_empty());
    assert_eq!(get(&storage, "ns", "k").unwrap(), "[1,2]");
    close(storage);
    let (storage, report) = Storage::open(scratch.path(), &scratch.options()).unwrap();
    assert!(!report.unclean);
    close(storage.clone());
    // a restart within the process can open it although the old handle lives
    close(scratch.open());
    assert_eq!(put(&storage, "ns", "k", "1").unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(get(&storage, "ns", "k").unwrap_err().kind(), Kind::Unavailable);
}

#[test]
fn a_second_owner_is_refused() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    let error = Storage::open(scratch.path(), &scratch.options()).err().unwrap();
    assert!(error.kind() == Kind::Unavailable && error.message().contains(&std::process::id().to_string()));
    abandon(storage);
    scratch.open();
}

#[test]
fn a_failed_write_leaves_nothing_and_disturbs_no_other() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    put(&storage, "ns", "a", "1").unwrap();
    block_on(async {
        let writes = (0..200).map(|number: u32| {
            storage.write(move |writer| {
                writer.put_record("ns", "shared", &raw(&number.to_string()))?;
                writer.put_record("ns", &format!("k{number}"), &raw("true"))?;
                writer.delete_record("ns", "a")?;
                if number % 2 == 1 { Err(Error::bad_request("odd")) } else { Ok(number) }
            })
        });
        let mut writes: Vec<_> = writes.map(Box::pin).collect();
        // all are queued before the first is waited for
        for write in &mut writes {
            let _ = smol::future::poll_once(write).await;
        }
        for (number, write) in writes.into_iter().enumerate() {
            assert_eq!(write.await.is_ok(), number % 2 == 0);
        }
    });
    for number in 0..200 {
        assert_eq!(get(&storage, "ns", &format!("k{number}")).is_ok(), number % 2 == 0);
    }
    assert_eq!(get(&storage, "ns", "shared").unwrap(), "198");
    assert!(get(&storage, "ns", "a").is_err());
}

#[test]
fn the_map_grows_by_itself_to_its_limit() {
    let scratch = Scratch::new();
    let options = Options { limit: 6 << 20, ..Options::default() };
    let (storage, _) = Storage::open(scratch.path(), &options).unwrap();
    let big = format!("\"{}\"", "x".repeat(400_000));
    let mut stored = 0;
    let error = loop {
        match put(&storage, "ns", &format!("k{stored}"), &big) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(error.kind() == Kind::Full && (10..16).contains(&stored), "{error} after {stored}");
    // the database still works: what is there can be read, deleted, replaced
    for number in 0..stored {
        assert_eq!(get(&storage, "ns", &format!("k{number}")).unwrap().len(), big.len());
    }
    for number in 0..stored {
        delete(&storage, "ns", &format!("k{number}")).unwrap();
    }
    put(&storage, "ns", "last", &big).unwrap();
    let compaction = block_on(storage.compact()).unwrap();
    assert!(compaction.new_size < compaction.previous_size && compaction.new_size < 1 << 20);
    assert_eq!(get(&storage, "ns", "last").unwrap().len(), big.len());
    put(&storage, "ns", "after", "1").unwrap();
}

#[test]
fn bad_input_is_an_error_and_changes_nothing() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    put(&storage, "ns", "k", "1").unwrap();
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let large = format!("\"{}\"", "x".repeat(MAX_VALUE));
    let nested = "{\"a\":".repeat(99) + "1" + &"}".repeat(99);
    for (key, json) in [("k", deep.as_str()), ("k.a", &deep), ("k", &large), ("new.a.b", &nested)] {
        assert_eq!(put(&storage, "ns", key, json).unwrap_err().status(), 400, "{key}");
    }
    assert_eq!(put(&storage, "ns", &"k".repeat(1 << 20), "1").unwrap_err().status(), 400);
    assert_eq!(put(&storage, "", "k", "1").unwrap_err().status(), 400);
    assert_eq!(storage.read(|view| view.whole_namespace("ns")).unwrap().get(), r#"{"k":1}"#);
}

#[test]
fn guards_outlive_a_restart() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    block_on(storage.guard("secret", Access::Forbidden)).unwrap();
    block_on(storage.guard("mine", Access::Protected)).unwrap();
    close(storage);
    let storage = scratch.open();
    assert!(!storage.is_visible("secret") && !storage.is_visible("database") && storage.is_visible("mine"));
    for (namespace, wanted, open) in [
        ("secret", Use::Read, false),
        ("mine", Use::Read, true),
        ("mine", Use::Write, false),
        ("any", Use::Write, true),
        ("database", Use::Read, false),
        ("gcode_metadata", Use::Write, false),
        ("moonraker", Use::Read, true),
    ] {
        let access = storage.check_access(namespace, wanted);
        assert_eq!(access.is_ok(), open, "{namespace}");
        assert!(access.err().is_none_or(|error| error.status() == 403));
    }
}

#[test]
fn tables_sort_by_number_and_scan_both_ways() {
    const JOBS: Table = Table("jobs");
    let scratch = Scratch::new();
    let storage = scratch.open();
    let seen = |view: &dyn Fn(&Rows) -> Vec<u64>, from: Option<u64>, to: Option<u64>, backwards| {
        let key = |number: Option<u64>| number.map(|number| id(number).to_vec());
        view(&Rows { from: key(from), to: key(to), backwards })
    };
    fn collect(view: &(impl Read + ?Sized), rows: &Rows) -> Vec<u64> {
        let mut out = Vec::new();
        JOBS.scan(view, rows, |key, value| {
            assert_eq!(value, key);
            out.push(number(key).unwrap());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        out
    }
    storage
        .write_blocking(|writer| [300u64, 2, 256].iter().try_for_each(|n| JOBS.put(writer, &id(*n), id(*n))))
        .unwrap();
    storage
        .write_blocking(move |writer| {
            JOBS.put(writer, &id(3), id(3))?;
            JOBS.delete(writer, &id(256))?;
            JOBS.put(writer, &id(1 << 40), id(1 << 40))?;
            // pending changes and stored rows come as one
            assert_eq!(collect(writer, &Rows::ALL), [2, 3, 300, 1 << 40]);
            assert_eq!(collect(writer, &Rows::NEWEST_FIRST), [1 << 40, 300, 3, 2]);
            Ok(())
        })
        .unwrap();
    storage
        .read(|view| {
            let all = |rows: &Rows| collect(view, rows);
            assert_eq!(seen(&all, Some(3), Some(1 << 40), false), [3, 300]);
            assert_eq!(seen(&all, Some(3), Some(1 << 40), true), [300, 3]);
            assert_eq!(seen(&all, Some(9), Some(5), true), [0u64; 0]);
            assert_eq!(JOBS.last_key(view)?, Some(id(1 << 40).to_vec()));
            assert_eq!(JOBS.get(view, &id(256))?, None);
            assert_eq!(Table("job").last_key(view)?, None);
            Ok(())
        })
        .unwrap();
    assert_eq!(storage.write_blocking(|writer| JOBS.clear(writer)).unwrap(), 4);
    // what tables hold is in no namespace
    assert!(storage.read(|view| view.namespaces()).unwrap().is_empty());
}

#[test]
fn a_backup_brings_everything_back() {
    const ROWS: Table = Table("rows");
    let scratch = Scratch::new();
    let storage = scratch.open();
    let long = "d/".repeat(1000);
    put(&storage, "ns", "a", r#"{"x":1.0,"y":123456789012345678901234567890}"#).unwrap();
    put(&storage, "ns", "n", "18446744073709551616").unwrap();
    let key = long.clone();
    storage
        .write_blocking(move |writer| {
            ROWS.put(writer, &[0xFF, 0, 0xFE], [0, 1, 2, 255])?;
            writer.put_record("gcode_metadata", &key, &raw("\"ä\""))
        })
        .unwrap();
    block_on(storage.guard("mine", Access::Forbidden)).unwrap();
    let file = scratch.path().join("one.backup");
    block_on(storage.backup(file.clone())).unwrap();

    put(&storage, "ns", "later", "1").unwrap();
    block_on(storage.restore(file.clone())).unwrap();
    assert!(get(&storage, "ns", "later").is_err() && !storage.is_visible("mine"));
    assert_eq!(get(&storage, "ns", "n").unwrap(), "18446744073709551616");
    storage
        .read(|view| {
            assert_eq!(ROWS.get(view, &[0xFF, 0, 0xFE])?.unwrap().as_ref(), [0, 1, 2, 255]);
            assert_eq!(view.record("gcode_metadata", &long)?.unwrap().get(), "\"ä\"");
            Ok(())
        })
        .unwrap();
    put(&storage, "ns", "x", "1").unwrap();

    // any damaged byte is found, and the database stays as it is
    let good = std::fs::read(&file).unwrap();
    for at in (0..good.len()).step_by(7).chain([good.len() - 1]) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, &bad).unwrap();
        let outcome = block_on(storage.restore(file.clone()));
        assert_eq!(outcome.err().map(|error| error.status()), Some(400), "byte {at} of {}", good.len());
        std::fs::write(&file, &good[..at]).unwrap();
        assert_eq!(block_on(storage.restore(file.clone())).unwrap_err().status(), 400, "cut at {at}");
    }
    assert_eq!(get(&storage, "ns", "x").unwrap(), "1");
}

#[test]
fn a_damaged_database_is_set_aside_and_the_newest_good_backup_restored() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    put(&storage, "ns", "k", "\"backed up\"").unwrap();
    let backups = scratch.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    block_on(storage.backup(backups.join("good"))).unwrap();
    close(storage);
    let later = backups.join("later-but-broken");
    std::fs::write(&later, "+1,1:").unwrap();
    let time = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&later).unwrap().set_modified(time).unwrap();

    for _ in 0..4 {
        let file = scratch.path().join(FILE_NAME);
        std::fs::write(&file, vec![0xAA; 40_000]).unwrap();
        let (storage, report) = Storage::open(scratch.path(), &scratch.options()).unwrap();
        assert_eq!(report.restored, Some(backups.join("good")));
        assert!(report.set_aside.unwrap().exists() && report.warnings.len() == 1);
        assert_eq!(get(&storage, "ns", "k").unwrap(), "\"backed up\"");
        close(storage);
    }
    let aside = std::fs::read_dir(scratch.path()).unwrap();
    let aside =
        aside.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("corrupt"));
    assert!(aside.count() <= 2);

    // without a backup the server starts all the same, empty
    std::fs::remove_dir_all(&backups).unwrap();
    std::fs::write(scratch.path().join(FILE_NAME), "x").unwrap();
    let (storage, report) = Storage::open(scratch.path(), &scratch.options()).unwrap();
    assert!(report.created && report.warnings.len() == 1 && get(&storage, "ns", "k").is_err());
}

#[test]
fn a_commit_that_did_not_arrive_whole_is_taken_back() {
    let scratch = Scratch::new();
    let storage = scratch.open();
    for number in 0..50 {
        put(&storage, "ns", &format!("k{number}"), "\"some text that takes room\"").unwrap();
    }
    put(&storage, "ns", "last", "1").unwrap();
    close(storage);
    // the disk has the new meta page and lost a page that it points to
    let file = scratch.path().join(FILE_NAME);
    let mut bytes = std::fs::read(&file).unwrap();
    let found = lmdb_file::LmdbFile::open(&file).unwrap();
    let root = usize::try_from(found.root(0).unwrap()).unwrap() * found.page_size();
    bytes[root..root + 16].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let (storage, report) = Storage::open(scratch.path(), &scratch.options()).unwrap();
    assert!(report.warnings[0].contains("taken back"), "{report:?}");
    assert_eq!(get(&storage, "ns", "k49").unwrap(), "\"some text that takes room\"");
    assert!(get(&storage, "ns", "last").is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, Vec<Segment>, Value),
    Delete(usize, Vec<Segment>),
    Restart,
    Compact,
}

/// Names that are the beginnings of each other.
const NAMESPACES: [&str; 4] = ["m", "mm", "mn", "n"];

fn step() -> impl Strategy<Value = Step> {
    // mostly few names, so that they meet; else any names and indices
    let near = prop::collection::vec("[ab]{1,2}".prop_map(Segment::Name), 1..4);
    let way = || prop_oneof![3 => near.clone(), 1 => any_path()];
    let value = || prop_oneof![1 => any::<u8>().prop_map(Value::from), 1 => any_json()];
    let namespace = || 0..NAMESPACES.len();
    prop_oneof![
        8 => (namespace(), way(), value()).prop_map(|(n, way, value)| Step::Put(n, way, value)),
        4 => (namespace(), way()).prop_map(|(n, way)| Step::Delete(n, way)),
        1 => Just(Step::Restart),
        1 => Just(Step::Compact),
    ]
}

type Model = BTreeMap<String, BTreeMap<String, Value>>;

/// The record of a path and the way into it. A number is a name there.
fn record_of(way: &[Segment]) -> (String, &[Segment]) {
    match way.split_first() {
        Some((Segment::Name(name), rest)) => (name.clone(), rest),
        Some((Segment::Index(index), rest)) => (index.to_string(), rest),
        None => (String::new(), &[]),
    }
}

fn model_put(model: &mut Model, namespace: &str, way: &[Segment], value: Value) -> bool {
    let (record, rest) = record_of(way);
    if rest.is_empty() {
        if !value.is_null() {
            model.entry(namespace.into()).or_default().insert(record, value);
        }
        return true;
    }
    let old = model.get(namespace).and_then(|records| records.get(&record)).filter(|value| value.is_object());
    let mut document = old.cloned().unwrap_or(json!({}));
    let done = document::tests::model_insert(&mut document, rest, value).is_ok();
    if done {
        model.entry(namespace.into()).or_default().insert(record, document);
    }
    done
}

fn model_delete(model: &mut Model, namespace: &str, way: &[Segment]) -> Option<Value> {
    let (record, rest) = record_of(way);
    let records = model.get_mut(namespace)?;
    if rest.is_empty() {
        return records.remove(&record);
    }
    let document = records.get_mut(&record)?;
    let gone = document::tests::model_remove(document, rest)?;
    if *document == json!({}) || *document == json!([]) {
        records.remove(&record);
    }
    Some(gone)
}

fn key_path(way: &[Segment]) -> KeyPath {
    KeyPath::from_segments(way.to_vec()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_database_equals_a_model(steps in prop::collection::vec(step(), 1..40)) {
        let scratch = Scratch::new();
        let mut storage = scratch.open();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Put(namespace, way, value) => {
                    let (name, key, raw) = (NAMESPACES[namespace], key_path(&way), raw(&value.to_string()));
                    let done = storage.write_blocking(move |writer| writer.insert_item(name, &key, &raw)).is_ok();
                    prop_assert_eq!(done, model_put(&mut model, name, &way, value));
                    if done && let Some(records) = model.get(name) {
                        let (record, rest) = record_of(&way);
                        let expected = records.get(&record).and_then(|record| document::tests::model_get(record, rest));
                        let found = storage.read(|view| view.item(name, &key_path(&way))).ok();
                        prop_assert_eq!(found.map(|found| serde_json::from_str::<Value>(found.get()).unwrap()), expected.cloned());
                    }
                }
                Step::Delete(namespace, way) => {
                    let (name, key) = (NAMESPACES[namespace], key_path(&way));
                    let gone = storage.write_blocking(move |writer| writer.delete_item(name, &key)).ok();
                    let gone = gone.map(|gone| serde_json::from_str::<Value>(gone.get()).unwrap());
                    prop_assert_eq!(gone, model_delete(&mut model, name, &way));
                }
                Step::Restart => {
                    abandon(storage);
                    storage = scratch.open();
                }
                Step::Compact => drop(block_on(storage.compact()).unwrap()),
            }
            model.retain(|_, records| !records.is_empty());
        }
        prop_assert_eq!(storage.read(|view| view.namespaces()).unwrap(), model.keys().cloned().collect::<Vec<_>>());
        for (namespace, records) in &model {
            let whole = storage.read(|view| view.whole_namespace(namespace)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(whole.get()).unwrap(), json!(records));
        }
    }
}
