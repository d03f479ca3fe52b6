//! Moving in from Moonraker and out again: the first start on its data folder, `perigee import`, `perigee export`.
//! The data folders were written by real servers; `expected.json` is what they answered (tests/fixtures/moonraker).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::harness::{Perigee, Request, Setup, eventually};

/// An unpacked file of a data set.
fn fixture(name: &str) -> Option<Vec<u8>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/moonraker").join(format!("{name}.gz"));
    let mut bytes = Vec::new();
    let file = fs::File::open(path).ok()?;
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("a packed file");
    Some(bytes)
}

fn answers(name: &str) -> Value {
    serde_json::from_slice(&fixture(name).expect("a data set")).expect("answers of a server")
}

/// A data folder as a set has it: its database, and files that look like those that were printed.
fn data_folder(set: &str, expected: &Value) -> Setup {
    let mut setup = Setup::new().strangers().sections(
        "[authorization]\nforce_logins: True\n[announcements]\nsubscriptions: mainsail\nmoonlight_url: http://127.0.0.1:1\n\
         [webcam config cam]\nlocation: printer\nservice: mjpegstreamer\ntarget_fps: 10\n\
         stream_url: /webcam3/?action=stream\nsnapshot_url: /webcam3/?action=snapshot",
    );
    for name in ["moonraker-sql.db", "moonraker-sql.db-journal", "data.mdb"] {
        if let Some(bytes) = fixture(&format!("{set}/{name}")) {
            setup = setup.file(&format!("database/{name}"), bytes);
        }
    }
    let gcodes = setup.data().join("gcodes");
    let make = |path: &Path, size: &Value| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_len(size.as_u64().unwrap()).unwrap();
        file
    };
    for file in expected["files_list"].as_array().into_iter().flatten() {
        let name = file["path"].as_str().unwrap();
        let made = make(&gcodes.join(name), &file["size"]);
        made.set_modified(UNIX_EPOCH + Duration::from_secs_f64(file["modified"].as_f64().unwrap())).unwrap();
        for picture in expected["metadata"][name]["thumbnails"].as_array().into_iter().flatten() {
            let path = gcodes.join(name).with_file_name(picture["relative_path"].as_str().unwrap());
            make(&path, &picture["size"]);
        }
    }
    setup
}

/// Everything in a folder that is not Perigee's.
fn old_files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let old = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("perigee."));
    old.map(|entry| {
        let path = entry.path();
        let content = (fs::read(&path).unwrap(), entry.metadata().unwrap().modified().unwrap());
        (path, content)
    })
    .collect()
}

/// A server with the API key of a data set.
struct Moved {
    server: Perigee,
    key: String,
}

impl Moved {
    fn get(&self, target: &str) -> Value {
        self.server.send(&Request::get(target).header("X-Api-Key", &self.key)).result()
    }

    fn namespace(&self, name: &str) -> Value {
        self.get(&format!("/server/database/item?namespace={name}"))["value"].take()
    }

    /// All that a client can see of what was moved.
    fn everything(&self) -> Value {
        let names = self.get("/server/database/list")["namespaces"].take();
        let names: Vec<String> = serde_json::from_value(names).unwrap();
        // half a surrogate pair is nothing that this test could read
        let spaces = names.into_iter().filter(|name| name != "edge_surrogate");
        let mut spaces: Map<_, _> = spaces.map(|name| (name.clone(), self.namespace(&name))).collect();
        // Moonraker found nothing in it; it is read anew after the start
        if let Some(metadata) = spaces.get_mut("gcode_metadata").and_then(Value::as_object_mut) {
            metadata.remove("empty.gcode");
        }
        json!({
            "namespaces": spaces,
            "history": self.get("/server/history/list?limit=0&order=asc"),
            "totals": self.get("/server/history/totals"),
            "users": self.get("/access/users/list"),
            "webcams": self.get("/server/webcams/list"),
            "queue": self.get("/server/job_queue/status"),
            "announcements": self.get("/server/announcements/list"),
        })
    }
}

fn start(setup: Setup, expected: &Value) -> Moved {
    Moved { server: setup.start(), key: expected["api_key"].as_str().unwrap().to_owned() }
}

fn sorted(list: &Value, by: &str) -> Vec<Value> {
    let mut list = list.as_array().unwrap().clone();
    list.sort_by_key(|entry| entry[by].to_string());
    list
}

/// Compares what the server tells with what Moonraker told. A field that Moonraker did not know then is passed over.
#[track_caller]
fn compare(found: &Value, expected: &Value, what: &str, passed_over: &[&str]) {
    match expected {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !passed_over.contains(&name.as_str())) {
                compare(&found[name], value, &format!("{what}.{name}"), passed_over);
            }
        }
        Value::Array(list) => {
            assert_eq!(found.as_array().map(Vec::len), Some(list.len()), "{what}: {found}");
            for (at, value) in list.iter().enumerate() {
                compare(&found[at], value, &format!("{what}[{at}]"), passed_over);
            }
        }
        _ => {
            // Moonraker writes the number 0 where a print has no end
            let unended = what.ends_with(".end_time") && found.is_null() && *expected == 0.0;
            let same = match (found.as_f64(), expected.as_f64()) {
                (Some(one), Some(other)) => one == other,
                _ => found == expected || unended,
            };
            assert!(same, "{what}: {found} in place of {expected}");
        }
    }
}

/// Compares all that two servers tell. A camera of the configuration has a number that differs from folder to folder.
#[track_caller]
fn compare_servers(found: &Value, expected: &Value) {
    compare(found, expected, "", &["uid"]);
    compare(expected, found, "", &["uid"]);
}

fn compare_everything(moved: &Moved, expected: &Value, users: &[(&str, &str)]) {
    let found = moved.everything();
    // this server keeps no empty namespace and adds notes of its own to these
    let own = ["moonraker", "history", "edge_surrogate", "edge_int", "gcode_metadata", "announcements"];
    for (name, records) in expected["namespaces"].as_object().unwrap() {
        if !own.contains(&name.as_str()) {
            compare(&found["namespaces"][name], records, name, &[]);
        }
    }
    compare(&found["history"], &expected["history_list"], "history", &["job_id"]);
    compare(&found["totals"]["job_totals"], &expected["history_totals"]["job_totals"], "totals", &[]);
    let cameras = |list: &Value| sorted(&list["webcams"], "name").into();
    compare(&cameras(&found["webcams"]), &cameras(&expected["webcams_list"]), "webcams", &["uid"]);
    let entries = |list: &Value| sorted(&list["entries"], "entry_id").into();
    compare(
        &entries(&found["announcements"]),
        &entries(&expected["announcements_list"]),
        "announcements",
        &[],
    );
    for feed in ["moonraker", "klipper", "mainsail", "fluidd"] {
        assert!(found["announcements"]["feeds"].as_array().unwrap().contains(&feed.into()), "{feed}");
    }
    let names = |list: &Value| sorted(&list["users"], "username").into();
    compare(&names(&found["users"]), &names(&expected["users_list"]), "users", &[]);
    assert_eq!(found["queue"]["queued_jobs"], json!([]));
    for (name, metadata) in expected["metadata"].as_object().unwrap() {
        if metadata.get("error").is_none() {
            let target: String = form_urlencoded::byte_serialize(name.as_bytes()).collect();
            let found = moved.get(&format!("/server/files/metadata?filename={target}"));
            compare(&found, metadata, name, &[]);
        }
    }
    for (name, password) in users {
        let login = |password: &str| {
            moved.server.post("/access/login", json!({"username": name, "password": password}))
        };
        let token = login(password).result()["token"].as_str().unwrap().to_owned();
        let own = Request::get("/access/user").header("Authorization", &format!("Bearer {token}"));
        assert_eq!(moved.server.send(&own).result()["username"], *name);
        login("wrong").error(400);
    }
    assert_eq!(moved.get("/access/api_key"), moved.key);
}

/// The first start on a data folder: everything is there, nothing old has changed, and no later start does it again.
fn first_start(set: &str, expected: &Value, users: &[(&str, &str)]) -> Moved {
    let setup = data_folder(set, expected);
    let folder = setup.data().join("database");
    let before = old_files(&folder);
    let mut moved = start(setup, expected);
    moved.server.wait_for_log("Moved in from Moonraker");
    compare_everything(&moved, expected, users);
    moved.server.kill();
    moved.server.start_again();
    compare_everything(&moved, expected, users);
    assert_eq!(moved.server.log().matches("Moved in from Moonraker").count(), 1);
    assert_eq!(moved.get("/server/info")["warnings"], json!([]));
    assert!(moved.server.stop().success());
    assert!(old_files(&folder) == before, "the old files are as they were");
    moved.server.start_again();
    moved
}

const OF_ALL: [(&str, &str); 2] = [("anna", "Passw0rd-anna"), ("jürgen", "Grüße-aus-Köln-1234")];
const BOB: (&str, &str) = ("bob.smith", "correct horse battery staple");
const CAROL: (&str, &str) = ("carol", "carol-2023-Geheim!");

#[test]
fn a_folder_of_moonraker_0_10_goes_on() {
    let expected = answers("v0.10-sqlite/expected.json");
    let moved = first_start("v0.10-sqlite", &expected, &[OF_ALL[0], OF_ALL[1], BOB]);
    let spool = moved.get("/server/database/item?namespace=moonraker&key=spoolman.spool_id");
    assert_eq!(spool["value"], 42);
    let ids = |list: &Value| -> Vec<Value> {
        list["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].clone()).collect()
    };
    assert_eq!(ids(&moved.get("/server/history/list?limit=0&order=asc")), ids(&expected["history_list"]));
}

#[test]
fn a_folder_of_moonraker_0_8_goes_on() {
    let mut expected = answers("v0.8-lmdb/expected.json");
    // prints that never ended and details of cameras, as the next version of Moonraker tells of them
    let mut later = answers("v0.8-lmdb/imported-by-v0.10.json");
    for answer in ["history_list", "webcams_list"] {
        expected[answer] = later[answer].take();
    }
    first_start("v0.8-lmdb", &expected, &[OF_ALL[0], OF_ALL[1], CAROL]);
}

fn run(setup: &Setup, args: &[&str]) -> Output {
    let data = setup.data();
    let (command, rest) = args.split_first().unwrap();
    crate::harness::server::binary().arg(command).args(rest).arg("-d").arg(data).output().unwrap()
}

/// The report of a command that must succeed.
#[track_caller]
fn said(setup: &Setup, args: &[&str]) -> String {
    let output = run(setup, args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A file of a data set, for the command line.
fn source(setup: &Setup, name: &str) -> String {
    let bytes = fixture(name).unwrap();
    let name = Path::new(name).file_name().unwrap();
    setup.dir.write(Path::new("old").join(name), bytes).to_str().unwrap().to_owned()
}

#[test]
fn the_command_line_moves_in_from_every_kind_of_file() {
    for (name, kind, answers_of) in [
        ("v0.10-sqlite/moonraker-sql.db", "SQLite database", "v0.10-sqlite/expected.json"),
        ("v0.8-lmdb-16k-pages/data.mdb", "LMDB database", "v0.8-lmdb/imported-by-v0.10.json"),
        ("backups/v0.8-lmdb.database.backup", "text backup", "v0.8-lmdb/imported-by-v0.10.json"),
        ("v0.8-lmdb-32bit/data.mdb", "LMDB database", "v0.8-lmdb-32bit/expected.json"),
    ] {
        let expected = answers(answers_of);
        let setup = data_folder("no set", &expected);
        let file = source(&setup, name);
        let before = old_files(&setup.dir.join("old"));
        let first = said(&setup, &["import", &file]);
        assert!(first.starts_with(&format!("From the {kind} '{file}':")), "{first}");
        for line in ["users: 4 taken, 0 left", "records of 'fluidd': 5 taken, 0 left"] {
            assert!(first.contains(line), "{line} in {first}");
        }
        let again = said(&setup, &["import", &file]);
        assert!(
            !again.lines().any(|line| line.contains(" taken, ") && !line.contains(": 0 taken, ")),
            "{again}"
        );
        assert!(old_files(&setup.dir.join("old")) == before, "the old file is as it was");
        let moved = start(setup, &expected);
        let jobs = moved.get("/server/history/list?limit=0&order=asc");
        assert_eq!(jobs["count"], expected["history_list"]["count"], "{name}");
        compare(&moved.namespace("fluidd"), &expected["namespaces"]["fluidd"], "fluidd", &[]);
        assert!(!moved.server.log().contains("Moved in"), "it had moved in before");
    }
}

#[test]
fn what_cannot_be_moved_in_from_is_said() {
    let setup = Setup::new();
    setup.write_config();
    let wrong = setup.dir.write("wrong", "no database");
    let wrong = wrong.to_str().unwrap();
    for (args, why) in [
        (&["import", "/nowhere"][..], "does not exist"),
        (&["import", wrong], "neither a database nor a text backup"),
        (&["import"], "There is no database of Moonraker"),
        (&["export", "/nowhere/file"], "Failed to write"),
    ] {
        let output = run(&setup, args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && error.contains(why), "{args:?}: {error}");
    }
    assert_eq!(run(&setup, &["export"]).status.code(), Some(2));
    let server = setup.start();
    let data = server.data("").to_str().unwrap().to_owned();
    let output = crate::harness::server::binary().args(["import", wrong, "-d", &data]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("used by another process") && error.contains(&server.pid().to_string()),
        "{error}"
    );
    assert_eq!(server.info()["warnings"], json!([]));
}

#[test]
fn an_export_brings_everything_back() {
    let expected = answers("v0.10-sqlite/expected.json");
    let there = data_folder("v0.10-sqlite", &expected);
    let file = there.dir.join("export");
    let file = file.to_str().unwrap();
    said(&there, &["import"]);
    assert_eq!(said(&there, &["export", file]), format!("Written to {file}.\n"));
    let first = fs::read(file).unwrap();
    let back = data_folder("no set", &expected);
    let report = said(&back, &["import", file]);
    assert!(report.contains("prints: 63 taken, 0 left") && !report.contains("left:"), "{report}");
    let again = back.dir.join("again");
    said(&back, &["export", again.to_str().unwrap()]);
    assert!(fs::read(again).unwrap() == first, "the export of what was exported is the same");
    let (there, back) = (start(there, &expected), start(back, &expected));
    compare_servers(&back.everything(), &there.everything());
    // passwords come along; who logs in here gets a hash that Moonraker does not know
    let login = json!({"username": BOB.0, "password": BOB.1});
    back.server.post("/access/login", login).expect(200);
}

/// A backup of this many records of 1 kB.
fn large_backup(records: u32) -> String {
    use base64::Engine;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let line = |key: &str, value: &str| {
        let (key, value) = (encode(key.as_bytes()), encode(value.as_bytes()));
        format!("+{},{}:{key}->{value}\n", key.len(), value.len())
    };
    let mut text = line("MOONRAKER_DATABASE_START", "namespace_count=1");
    text += &line("namespace_big", &format!("entries={records}"));
    let filler = "x".repeat(1000);
    text.extend(
        (0..records).map(|n| line(&format!("k{n:06}"), &json!({"n": n, "filler": filler}).to_string())),
    );
    text
}

#[test]
fn a_move_that_was_cut_off_goes_on() {
    const RECORDS: u32 = 4000;
    let setup = Setup::new();
    setup.write_config();
    let file = setup.dir.write("old/large", large_backup(RECORDS));
    let database = setup.data().join("database/perigee.mdb");
    let mut import = crate::harness::server::binary();
    import.arg("import").arg(&file).arg("-d").arg(setup.data()).stdout(std::process::Stdio::null());
    let mut child = import.spawn().unwrap();
    eventually("some of it", || {
        let ended = child.try_wait().unwrap().is_some();
        (ended || fs::metadata(&database).is_ok_and(|found| found.len() > 1 << 20)).then_some(())
    });
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success(), "it was cut off");
    let server = setup.start();
    server.wait_for_log("Moved in from Moonraker");
    let log = server.log();
    let line = log.lines().find(|line| line.contains("records of 'big'")).unwrap();
    let mut counts = line.split(|c: char| !c.is_ascii_digit()).filter_map(|count| count.parse::<u32>().ok());
    let (taken, left) = (counts.next().unwrap(), counts.next().unwrap());
    assert!(taken > 0 && left > 0 && taken + left == RECORDS, "{line}");
    let big = server.get("/server/database/item?namespace=big").result();
    let big = big["value"].as_object().unwrap();
    assert!((0..RECORDS).all(|n| big[&format!("k{n:06}")]["n"] == n) && big.len() == RECORDS as usize);
    assert_eq!(server.info()["warnings"], json!([]));
}

#[test]
fn a_first_start_that_is_killed_at_any_instant_goes_on() {
    let expected = answers("v0.10-sqlite/expected.json");
    let whole = start(data_folder("v0.10-sqlite", &expected), &expected).everything();
    for round in 0..8u64 {
        let setup = data_folder("v0.10-sqlite", &expected);
        setup.write_config();
        let folder = setup.data().join("database");
        let before = old_files(&folder);
        let mut first = setup.command().stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::park_timeout(Duration::from_millis(5 + 11 * round));
        first.kill().unwrap();
        first.wait().unwrap();
        let moved = start(setup, &expected);
        compare_servers(&moved.everything(), &whole);
        assert!(old_files(&folder) == before);
    }
}
