//! Killed at any instant: what was acknowledged is there, nothing is there by half, and every start succeeds.
//!
//! Several clients change documents, cameras, users, the job queue, announcements and the history (by printing) at
//! once until the server is killed. Each one alone changes its part and knows what was acknowledged, and which one
//! change was under way: after the restart the part must be as it was before or after that change.
//!
//! `PERIGEE_CRASH_ROUNDS` sets how often (200 by hand), `PERIGEE_CRASH_SEED` repeats a run.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::harness::rpc::{Received, Wire};
use crate::harness::websocket::{self, Socket, upgrade_request};
use crate::harness::{Http, Noise, PATIENCE, Perigee, Request, Response, Setup, eventually};
use crate::sim::Sim;

/// How often without another wish.
const ROUNDS: usize = 15;
/// Longest time from a start to the kill, in ms.
const LONGEST_ROUND: usize = 400;
/// Longest time into a start that is killed, in ms.
const LONGEST_START: usize = 60;
const ANNOUNCEMENTS: usize = 200;
const FILES: usize = 12;

/// What a part holds: key → value.
type State = BTreeMap<String, Value>;
/// A change: a key and its new value, none where it goes.
type Change = (String, Option<Value>);

/// A part of what the server remembers.
struct Part {
    name: &'static str,
    /// Chooses a change.
    choose: fn(&mut Noise, &State) -> Change,
    /// Has it made.
    make: fn(&mut Http, &Change) -> io::Result<Response>,
    /// What the server has.
    read: fn(&Perigee) -> State,
    state: State,
    under_way: Option<Change>,
    acknowledged: usize,
}

impl Part {
    fn new(
        name: &'static str,
        choose: fn(&mut Noise, &State) -> Change,
        make: fn(&mut Http, &Change) -> io::Result<Response>,
        read: fn(&Perigee) -> State,
    ) -> Self {
        Self { name, choose, make, read, state: State::new(), under_way: None, acknowledged: 0 }
    }

    /// Makes one change after the other until the server is gone.
    fn work(&mut self, server: &Perigee, mut noise: Noise) {
        let Ok(mut http) = Http::connect(server.address) else { return };
        loop {
            let change = (self.choose)(&mut noise, &self.state);
            self.under_way = Some(change.clone());
            match (self.make)(&mut http, &change) {
                Err(_) => return,
                Ok(answer) => assert!(answer.status < 300, "{}: {}", self.name, answer.text()),
            }
            apply(&mut self.state, change);
            self.under_way = None;
            self.acknowledged += 1;
        }
    }

    /// Compares with what the server has after a restart.
    fn check(&mut self, server: &Perigee) {
        let found = (self.read)(server);
        if let Some(change) = self.under_way.take() {
            let mut after = self.state.clone();
            apply(&mut after, change);
            if found == after {
                self.state = found;
                return;
            }
        }
        for (key, value) in &self.state {
            assert_eq!(found.get(key).map(short), Some(short(value)), "{}: {key} after a restart", self.name);
        }
        let more: Vec<_> = found.keys().filter(|key| !self.state.contains_key(*key)).collect();
        assert!(more.is_empty(), "{}: {more:?} should not be there", self.name);
        assert!(found == self.state, "{}: a value is damaged", self.name);
    }
}

fn apply(state: &mut State, (key, value): Change) {
    match value {
        Some(value) => drop(state.insert(key, value)),
        None => drop(state.remove(&key)),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

/// One of some keys: set most of the time, and taken away now and then.
fn any_of(noise: &mut Noise, state: &State, prefix: &str, keys: usize) -> Change {
    let key = format!("{prefix}{}", noise.below(keys));
    let goes = state.contains_key(&key) && noise.below(3) == 0;
    let lengths = [10, 200, 3_000, 40_000, 300_000];
    let most = lengths[noise.below(4) + usize::from(noise.below(30) == 0)];
    let (length, word) = (noise.below(most) + 1, format!("{:016x} ", noise.next()));
    let value = json!({"length": length, "text": word.repeat(length / word.len() + 1)});
    (key, (!goes).then_some(value))
}

/// One of some keys: it comes when it is away, and goes when it is there.
fn in_turn(noise: &mut Noise, state: &State, prefix: &str, keys: usize, value: Value) -> Change {
    let key = format!("{prefix}{}", noise.below(keys));
    let goes = state.contains_key(&key);
    (key, (!goes).then_some(value))
}

/// An address with arguments.
fn target(path: &str, arguments: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(arguments).finish();
    format!("{path}?{query}")
}

fn item(http: &mut Http, namespace: &str, key: &str, value: Option<&Value>) -> io::Result<Response> {
    let path = "/server/database/item";
    http.try_send(&match value {
        Some(value) => Request::post(path).json(&json!({"namespace": namespace, "key": key, "value": value})),
        None => Request::delete(&target(path, &[("namespace", namespace), ("key", key)])),
    })
}

fn namespace(server: &Perigee, name: &str) -> State {
    let answer = server.get(&format!("/server/database/item?namespace={name}"));
    match answer.status {
        404 => State::new(),
        _ => serde_json::from_value(answer.result()["value"].take()).unwrap(),
    }
}

/// A list of an answer as a state, by a member of its entries.
fn listed(list: &mut Value, by: &str, value: impl Fn(&mut Value) -> Option<Value>) -> State {
    let entries = list.as_array_mut().unwrap().iter_mut();
    entries.filter_map(|entry| Some((entry[by].as_str().unwrap().to_owned(), value(entry)?))).collect()
}

fn documents() -> Part {
    Part::new(
        "documents",
        |noise, state| any_of(noise, state, "k", 20),
        |http, (key, value)| item(http, "crash", key, value.as_ref()),
        |server| namespace(server, "crash"),
    )
}

fn one_document() -> Part {
    Part::new(
        "members of a document",
        |noise, state| any_of(noise, state, "m", 8),
        |http, (key, value)| item(http, "crash_tree", &format!("tree.{key}"), value.as_ref()),
        |server| match namespace(server, "crash_tree").remove("tree") {
            Some(tree) => serde_json::from_value(tree).unwrap(),
            None => State::new(),
        },
    )
}

fn cameras() -> Part {
    Part::new(
        "cameras",
        |noise, state| {
            let url = json!(format!("/webcam/{:x}", noise.next()));
            in_turn(noise, state, "camera ", 10, url)
        },
        |http, (key, value)| {
            let path = "/server/webcams/item";
            http.try_send(&match value {
                Some(url) => Request::post(path).json(&json!({"name": key, "stream_url": url})),
                None => Request::delete(&target(path, &[("name", key)])),
            })
        },
        |server| {
            let mut list = server.get("/server/webcams/list").result();
            listed(&mut list["webcams"], "name", |camera| Some(camera["stream_url"].take()))
        },
    )
}

fn users() -> Part {
    Part::new(
        "users",
        |noise, state| in_turn(noise, state, "user.", 5, Value::Null),
        |http, (key, value)| {
            let path = "/access/user";
            http.try_send(&match value {
                Some(_) => Request::post(path).json(&json!({"username": key, "password": key})),
                None => Request::delete(&target(path, &[("username", key)])),
            })
        },
        |server| {
            let mut list = server.get("/access/users/list").result();
            listed(&mut list["users"], "username", |_| Some(Value::Null))
        },
    )
}

fn queue() -> Part {
    Part::new(
        "files in the queue",
        |noise, state| in_turn(noise, state, "queued", FILES, Value::Null),
        |http, (key, value)| {
            let (path, filename) = ("/server/job_queue/job", format!("{key}.gcode"));
            if value.is_some() {
                return http.try_send(&Request::post(path).json(&json!({"filenames": [filename]})));
            }
            let status = http.try_send(&Request::get("/server/job_queue/status"))?.result();
            let queued = status["queued_jobs"].as_array().unwrap();
            let job = queued.iter().find(|job| job["filename"] == *filename).expect("the file is queued");
            let id = job["job_id"].as_str().unwrap();
            http.try_send(&Request::delete(&target(path, &[("job_ids", id)])))
        },
        |server| {
            let mut status = server.get("/server/job_queue/status").result();
            let jobs = status["queued_jobs"].as_array().unwrap();
            assert!(jobs.iter().map(|job| job["time_added"].as_f64()).is_sorted(), "the queue is in order");
            let state = listed(&mut status["queued_jobs"], "filename", |_| Some(Value::Null));
            state.into_iter().map(|(name, value)| (name.replace(".gcode", ""), value)).collect()
        },
    )
}

fn announcements() -> Part {
    Part::new(
        "dismissals",
        |noise, state| {
            let id = format!("org/klipper/{}", noise.below(ANNOUNCEMENTS));
            // what is dismissed stays as it is
            let wakes = state.get(&id).cloned().unwrap_or_else(|| json!(noise.below(2) == 0));
            (id, Some(wakes))
        },
        |http, (id, wakes)| {
            let mut arguments = json!({"entry_id": id});
            if *wakes == Some(json!(true)) {
                arguments["wake_time"] = 1_000_000.into();
            }
            http.try_send(&Request::post("/server/announcements/dismiss").json(&arguments))
        },
        |server| {
            let mut list = server.get("/server/announcements/list").result();
            listed(&mut list["entries"], "entry_id", |entry| {
                (entry["dismissed"] == true).then(|| json!(!entry["dismiss_wake"].is_null()))
            })
        },
    )
}

fn feed() -> String {
    let item = |number| {
        format!(
            "<item><guid isPermaLink=\"false\">org/klipper/{number}</guid><title>T</title><link>https://example.org</link>\
             <description>D</description><category>normal</category>\
             <pubDate>Thu, 01 Jan 1970 00:00:00 GMT</pubDate></item>"
        )
    };
    let items: String = (0..ANNOUNCEMENTS).map(item).collect();
    format!("<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>k</title>{items}</channel></rss>")
}

/// The prints that clients were told of.
#[derive(Default)]
struct Prints {
    told: BTreeMap<String, Value>,
}

impl Prints {
    /// Prints one file after the other until the server is gone.
    fn work(&mut self, server: &Perigee, mut noise: Noise) {
        let Ok(Ok(mut socket)) = websocket::try_open(server.address, &upgrade_request("/websocket")) else {
            return;
        };
        loop {
            let params = json!({"filename": format!("print{}.gcode", noise.below(3))});
            let request =
                json!({"jsonrpc": "2.0", "method": "printer.print.start", "params": params, "id": 1});
            let sent = socket.send_message(tungstenite::Message::text(request.to_string()));
            if sent.is_err() || self.listen(&mut socket).is_none() {
                return;
            }
        }
    }

    /// Takes what comes up to the end of the print, or to the refusal of its start. None when the server is gone.
    fn listen(&mut self, socket: &mut Socket) -> Option<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Received::Message(text) = socket.receive(deadline) else { return None };
            let mut message: Value = serde_json::from_str(&text).unwrap();
            if message.get("error").is_some() {
                // Klippy is not there yet, or has to end a print of the former round
                std::thread::park_timeout(Duration::from_millis(5));
                return Some(());
            }
            if message["method"] == "notify_history_changed" {
                let change = &mut message["params"][0];
                let job = change["job"].take();
                self.told.insert(job["job_id"].as_str().unwrap().to_owned(), job);
                if change["action"] == "finished" {
                    return Some(());
                }
            }
        }
    }

    fn check(&mut self, server: &Perigee) {
        let list = server.get("/server/history/list?limit=0&order=asc").result();
        let id = |job: &Value| job["job_id"].as_str().unwrap().to_owned();
        let jobs: BTreeMap<String, &Value> =
            list["jobs"].as_array().unwrap().iter().map(|job| (id(job), job)).collect();
        for (id, told) in &self.told {
            let job = jobs.get(id).unwrap_or_else(|| panic!("print {id} is gone"));
            if told["status"] == "in_progress" {
                assert_eq!(job["start_time"], told["start_time"]);
                assert!(job["status"] == "interrupted" || job["status"] == "completed", "{job}");
            } else {
                assert_eq!(*job, told, "print {id}");
            }
        }
        let unknown: BTreeSet<_> = jobs.keys().filter(|id| !self.told.contains_key(*id)).collect();
        assert!(unknown.len() <= 1, "prints that nobody was told of: {unknown:?}");
        // a print and what it adds to the totals are one change
        let ended = || jobs.values().filter(|job| job["status"] != "interrupted");
        let totals = server.get("/server/history/totals").result()["job_totals"].take();
        assert_eq!(totals["total_jobs"].as_f64(), Some(ended().count() as f64));
        let time: f64 = ended().filter_map(|job| job["total_duration"].as_f64()).sum();
        assert!((totals["total_time"].as_f64().unwrap() - time).abs() <= 1e-6 * time, "{totals} {time}");
        self.told = jobs.into_iter().map(|(id, job)| (id, job.clone())).collect();
    }
}

fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn setup() -> Setup {
    let mut setup = Setup::new().sections("[announcements]\ndev_mode: True");
    setup = setup.file("development/announcements/klipper.xml", feed());
    for n in 0..FILES {
        setup = setup.file(&format!("gcodes/queued{n}.gcode"), "G28\n");
    }
    for n in 0..3 {
        setup = setup.file(&format!("gcodes/print{n}.gcode"), format!("G28\nG4 P{}\n", 50_000 * (n + 1)));
    }
    setup
}

#[test]
fn nothing_acknowledged_is_lost() {
    let rounds = from_environment("PERIGEE_CRASH_ROUNDS").unwrap_or(ROUNDS);
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = from_environment("PERIGEE_CRASH_SEED").unwrap_or(clock);
    println!("PERIGEE_CRASH_SEED={seed}");
    let mut noise = Noise::new(seed);
    let setup = setup();
    let _sim = Sim::fast(&setup);
    let mut server = setup.start();
    eventually("the announcements", || {
        let list = server.get("/server/announcements/list").result();
        (list["entries"].as_array()?.len() == ANNOUNCEMENTS).then_some(())
    });
    let mut parts = [documents(), one_document(), cameras(), users(), queue(), announcements()];
    let mut prints = Prints::default();
    for round in 0..rounds {
        let time = Duration::from_millis(noise.below(LONGEST_ROUND) as u64);
        std::thread::scope(|scope| {
            let server = &server;
            for part in &mut parts {
                let noise = Noise::new(noise.next());
                scope.spawn(move || part.work(server, noise));
            }
            let (prints, noise) = (&mut prints, Noise::new(noise.next()));
            scope.spawn(move || prints.work(server, noise));
            std::thread::sleep(time);
            server.signal(Signal::SIGKILL);
        });
        server.kill();
        if round % 4 == 3 {
            server.start_and_kill(Duration::from_millis(noise.below(LONGEST_START) as u64));
        }
        server.start_again();
        parts.iter_mut().for_each(|part| part.check(&server));
        prints.check(&server);
        let warnings = server.info()["warnings"].to_string();
        assert!(!warnings.contains("database"), "round {round}: {warnings}");
    }
    assert!(server.stop().success());
    server.start_again();
    parts.iter_mut().for_each(|part| part.check(&server));
    let counts: Vec<String> =
        parts.iter().map(|part| format!("{} {}", part.acknowledged, part.name)).collect();
    println!("{rounds} rounds, acknowledged: {}, {} prints", counts.join(", "), prints.told.len());
    assert!(parts.iter().all(|part| part.acknowledged > 0), "{counts:?}");
}
