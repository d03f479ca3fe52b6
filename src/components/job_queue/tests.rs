use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::components::bench::Bench;
use crate::print::{JobChange, JobStats};

/// A printer that notes what it is told.
#[derive(Clone, Default)]
struct Fake {
    busy: Arc<AtomicBool>,
    fails: Arc<AtomicBool>,
    done: Arc<Mutex<Vec<String>>>,
}

impl Printer for Fake {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    fn is_free(&self) -> bool {
        !self.is_busy()
    }

    async fn run_gcode(&self, gcode: &str) -> Result<()> {
        lock(&self.done).push(gcode.to_owned());
        Ok(())
    }

    async fn start_print(&self, filename: &str, user: Option<Arc<str>>) -> Result<()> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::bad_request("no"));
        }
        lock(&self.done).push(format!("{filename} of {}", user.as_deref().unwrap_or("nobody")));
        self.busy.store(true, Ordering::Relaxed);
        Ok(())
    }
}

struct Rig {
    bench: Bench,
    printer: Fake,
    part: Arc<JobQueue<Fake>>,
}

fn options(load_on_startup: bool, automatic_transition: bool) -> Options {
    Options {
        load_on_startup,
        automatic_transition,
        job_transition_delay: 0.01,
        job_transition_gcode: " CLEAR_BED ".into(),
    }
}

fn rig_on(bench: Bench, options: Options) -> Rig {
    let printer = Fake::default();
    for name in ["a", "b", "c"] {
        std::fs::write(bench.path().join(name), "").unwrap();
    }
    let part = JobQueue::new(Parts {
        options,
        printer: printer.clone(),
        storage: bench.storage.clone(),
        gcodes: bench.path().to_owned(),
        events: bench.events.clone(),
        spawner: bench.spawner.clone(),
    });
    Rig { bench, printer, part }
}

fn rig(options: Options) -> Rig {
    rig_on(Bench::new(), options)
}

impl Rig {
    fn call(&self, method: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        let method = format!("server.job_queue.{method}");
        let outcome = self.bench.call(self.part.endpoints(), &method, &params.to_string());
        outcome.map_err(|error| (error.status(), error.message().to_owned()))
    }

    fn names(&self) -> String {
        let status = self.call("status", json!({})).unwrap();
        let jobs = status["queued_jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["filename"].as_str().unwrap()).collect()
    }

    fn state(&self) -> State {
        lock(&self.part.queue).state
    }

    fn until(&self, state: State) {
        self.bench.until(|| (self.state() == state).then_some(()));
    }

    fn done(&self) -> Vec<String> {
        lock(&self.printer.done).clone()
    }

    fn end(&self, event: JobEvent) {
        self.printer.busy.store(false, Ordering::Relaxed);
        let stats = JobStats::default();
        let change = JobChange { event, previous: stats.clone(), current: stats };
        self.bench.events.emit(&Event::Job(Arc::new(change)));
    }

    /// Actions and states of the notifications, once there are that many.
    fn told(&self, count: usize) -> Vec<(String, String)> {
        let mut all = Vec::new();
        self.bench.until(|| {
            all.extend(self.bench.notified());
            (all.len() >= count).then_some(())
        });
        let pair = |told: &Value| {
            let told = &told["params"][0];
            assert_eq!(told["updated_queue"].is_null(), told["action"] == "state_changed");
            (told["action"].as_str().unwrap().to_owned(), told["queue_state"].as_str().unwrap().to_owned())
        };
        all.iter().map(pair).collect()
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn files_are_added_moved_and_removed() {
    let rig = rig(options(false, false));
    let reply = rig.call("post_job", json!({"filenames": "a, b"})).unwrap();
    assert_eq!(
        (reply["queued_jobs"].as_array().unwrap().len(), &reply["queue_state"]),
        (2, &json!("paused"))
    );
    let job = &reply["queued_jobs"][1];
    let id = job["job_id"].as_str().unwrap().to_owned();
    assert!(id.len() == 16 && job["time_in_queue"].as_f64().unwrap() >= 0.0);
    rig.call("post_job", json!({"filenames": ["c"]})).unwrap();
    assert_eq!(rig.told(2), pairs(&[("jobs_added", "paused"), ("jobs_added", "paused")]));
    rig.call("jump", json!({"job_id": id})).unwrap();
    assert_eq!(rig.names(), "bac");
    rig.call("delete_job", json!({"job_ids": [id, "unknown"]})).unwrap();
    assert_eq!(rig.names(), "ac");
    rig.call("post_job", json!({"filenames": ["b", "b"], "reset": true})).unwrap();
    assert_eq!(rig.names(), "bb");
    assert_eq!(rig.told(2), pairs(&[("jobs_removed", "paused"), ("jobs_added", "paused")]));
    rig.call("delete_job", json!({})).unwrap();
    rig.call("delete_job", json!({"all": true})).unwrap();
    rig.call("delete_job", json!({"all": true})).unwrap();
    assert_eq!((rig.names().as_str(), rig.told(1).len()), ("", 1));
}

#[test]
fn bad_calls_are_refused_and_change_nothing() {
    let rig = rig(options(false, false));
    rig.call("post_job", json!({"filenames": ["a"]})).unwrap();
    for (method, params) in [
        ("post_job", json!({})),
        ("post_job", json!({"filenames": ["a", "missing"], "reset": true})),
        ("post_job", json!({"filenames": [".."]})),
        ("post_job", json!({"filenames": ["/etc/passwd"]})),
        ("post_job", json!({"filenames": [""]})),
        ("post_job", json!({"filenames": [5]})),
        ("post_job", json!({"filenames": vec!["a"; MAX_JOBS]})),
        ("jump", json!({"job_id": "unknown"})),
        ("jump", json!({})),
    ] {
        let (status, message) = rig.call(method, params.clone()).unwrap_err();
        assert_eq!(status, 400, "{method} {params} {message}");
    }
    assert_eq!(rig.names(), "a");
}

#[test]
fn the_queue_outlives_a_restart() {
    let first = rig(options(false, false));
    first.call("post_job", json!({"filenames": "a,b"})).unwrap();
    let Rig { bench, part, .. } = first;
    drop(part);
    let rig = rig_on(bench, options(true, false));
    assert_eq!((rig.names().as_str(), rig.state()), ("ab", State::Paused));
    rig.part.klippy_ready();
    assert_eq!(rig.state(), State::Loading);
    // no G-code of a transition before the first print
    rig.bench.until(|| (rig.done() == ["a of nobody"]).then_some(()));
    rig.until(State::Paused);
    let Rig { bench, part, .. } = rig;
    drop(part);
    assert_eq!(rig_on(bench, options(false, false)).names(), "b");
}

#[test]
fn one_print_follows_the_other() {
    let rig = rig(options(false, true));
    rig.bench.run(rig.part.add(vec!["a".into(), "b".into()], Some("anna".into()), false)).unwrap();
    rig.call("start", json!({})).unwrap();
    rig.until(State::Ready);
    assert_eq!(rig.names(), "b");
    rig.end(JobEvent::Complete);
    rig.until(State::Paused);
    assert_eq!(rig.done(), ["a of anna", "CLEAR_BED", "b of anna"]);
    let told = rig.told(7);
    assert_eq!(
        told,
        pairs(&[
            ("jobs_added", "paused"),
            ("state_changed", "loading"),
            ("state_changed", "starting"),
            ("job_loaded", "ready"),
            ("state_changed", "loading"),
            ("state_changed", "starting"),
            ("job_loaded", "paused"),
        ])
    );
    // a file that comes while a print runs is printed next, unless somebody has paused the queue
    rig.call("post_job", json!({"filenames": "c"})).unwrap();
    assert_eq!(rig.state(), State::Ready);
    rig.call("pause", json!({})).unwrap();
    rig.call("post_job", json!({"filenames": "a"})).unwrap();
    assert_eq!(rig.state(), State::Paused);
    rig.end(JobEvent::Complete);
    assert_eq!(rig.state(), State::Paused);
}

#[test]
fn what_goes_wrong_pauses_the_queue() {
    let rig = rig(options(false, true));
    rig.call("start", json!({})).unwrap();
    assert_eq!(rig.state(), State::Paused, "it is empty");
    rig.call("post_job", json!({"filenames": "a,b,c"})).unwrap();
    rig.printer.fails.store(true, Ordering::Relaxed);
    rig.call("start", json!({})).unwrap();
    assert_eq!(rig.state(), State::Loading);
    rig.until(State::Paused);
    assert_eq!(rig.names(), "abc");
    rig.printer.fails.store(false, Ordering::Relaxed);
    rig.call("start", json!({})).unwrap();
    rig.until(State::Ready);
    rig.end(JobEvent::Cancelled);
    assert_eq!((rig.state(), rig.names().as_str()), (State::Paused, "bc"));
    // busy: it waits for the end of that print
    rig.printer.busy.store(true, Ordering::Relaxed);
    rig.call("start", json!({})).unwrap();
    assert_eq!(rig.state(), State::Ready);
    rig.bench.events.emit(&Event::KlippyShutdown);
    assert_eq!(rig.state(), State::Paused);
    assert!(!lock(&rig.part.queue).held_by_user);
}

#[test]
fn a_pause_stops_a_print_that_was_about_to_start() {
    let rig = rig(options(false, false));
    rig.call("post_job", json!({"filenames": "a"})).unwrap();
    rig.bench.run(async {
        rig.part.begin().await;
        rig.part.hold(true);
        smol::Timer::after(START_DELAY * 3).await;
    });
    assert_eq!((rig.state(), rig.done().len()), (State::Paused, 0));
}
