use serde_json::{Value, json};

use super::*;
use crate::components::bench::Bench;
use crate::job_fields::{FieldOptions, Strategy};
use crate::print::JobState;
use crate::storage::ReadDocuments;
use crate::storage::history::put_job;

struct Rig {
    bench: Bench,
    part: Arc<History>,
    fields: Arc<Fields>,
}

fn rig() -> Rig {
    rig_on(Bench::new())
}

fn rig_on(bench: Bench) -> Rig {
    let fields = Arc::<Fields>::default();
    let part = History::new(Parts {
        storage: bench.storage.clone(),
        gcodes: bench.path().to_owned(),
        job: Arc::default(),
        fields: fields.clone(),
        events: bench.events.clone(),
        spawner: bench.spawner.clone(),
    });
    Rig { bench, part, fields }
}

fn stats(state: JobState, filename: &str, duration: f64) -> JobStats {
    JobStats {
        filename: filename.into(),
        state,
        total_duration: duration,
        print_duration: duration / 2.0,
        filament_used: duration * 10.0,
    }
}

impl Rig {
    fn call(&self, method: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        let method = format!("server.history.{method}");
        let outcome = self.bench.call(self.part.endpoints(), &method, &params.to_string());
        outcome.map_err(|error| (error.status(), error.message().to_owned()))
    }

    fn change(&self, event: JobEvent, previous: JobStats, current: JobStats) {
        self.bench.events.emit(&Event::Job(Arc::new(JobChange { event, previous, current })));
        self.flush();
    }

    fn flush(&self) {
        let (done, flushed) = bounded(1);
        self.bench.run(async {
            self.part.steps.send(Step::Flush(done)).await.unwrap();
            flushed.recv().await.unwrap();
        });
    }

    fn start(&self, filename: &str) {
        let before = stats(JobState::Standby, "", 0.0);
        self.change(JobEvent::Started, before, stats(JobState::Printing, filename, 0.5));
    }

    fn end(&self, event: JobEvent, filename: &str, duration: f64) {
        let last = stats(JobState::Printing, filename, duration);
        self.change(event, last, stats(JobState::Complete, filename, duration + 1.0));
    }

    fn jobs(&self, params: Value) -> Vec<Value> {
        self.call("list", params).unwrap()["jobs"].as_array().unwrap().clone()
    }

    fn ids(&self, params: Value) -> String {
        let jobs = self.jobs(params);
        jobs.iter().map(|job| job["job_id"].as_str().unwrap().trim_start_matches('0').to_owned()).collect()
    }

    fn put_metadata(&self, filename: &'static str, record: Value) {
        let write = move |writer: &mut crate::storage::Writer<'_>| {
            writer.put_record("gcode_metadata", filename, &json::to_raw(&record))
        };
        self.bench.run(self.bench.storage.write(write)).unwrap();
    }
}

#[test]
fn a_print_is_recorded_from_its_start_to_its_end() {
    let rig = rig();
    std::fs::write(rig.bench.path().join("a.gcode"), "x").unwrap();
    let time = std::fs::metadata(rig.bench.path().join("a.gcode")).unwrap().modified().unwrap();
    let modified = time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    rig.put_metadata("a.gcode", json!({"modified": modified, "size": 1, "job_id": "old", "slicer": "S"}));
    rig.start("a.gcode");
    rig.bench.events.emit(&Event::PrintRequested(Some("anna".into())));
    let told = rig.bench.notified();
    assert_eq!(told[0]["method"], "notify_history_changed");
    let added = &told[0]["params"][0];
    assert_eq!(
        (&added["action"], &added["job"]["status"], &added["job"]["exists"]),
        (&json!("added"), &json!("in_progress"), &json!(true))
    );
    assert_eq!(added["job"]["metadata"], json!({"modified": modified, "size": 1, "slicer": "S"}));
    let linked = || {
        let record =
            rig.bench.storage.read(|view| view.record("gcode_metadata", "a.gcode")).unwrap().unwrap();
        serde_json::from_str::<Value>(record.get()).unwrap()
    };
    assert_eq!(
        (&linked()["job_id"], &linked()["print_start_time"]),
        (&json!("000001"), &added["job"]["start_time"])
    );
    assert_eq!(rig.call("reset_totals", json!({})).unwrap_err().0, 400);

    rig.end(JobEvent::Complete, "a.gcode", 9.0);
    let told = rig.bench.notified();
    let job = &told[0]["params"][0]["job"];
    assert_eq!(
        (&job["status"], &job["user"], &job["total_duration"], &job["print_duration"], &job["filament_used"]),
        (&json!("completed"), &json!("anna"), &json!(10.0), &json!(5.0), &json!(100.0))
    );
    assert_eq!(rig.call("get_job", json!({"uid": "1"})).unwrap()["job"]["job_id"], "1");
    let totals = rig.call("totals", json!({})).unwrap();
    assert_eq!(
        totals["job_totals"].to_string(),
        r#"{"longest_job":10.0,"longest_print":5.0,"total_filament_used":100.0,"total_jobs":1.0,"total_print_time":5.0,"total_time":10.0}"#
    );
    // the next print is nobody's
    rig.start("a.gcode");
    rig.end(JobEvent::Error, "a.gcode", 1.0);
    assert_eq!(rig.jobs(json!({}))[0]["user"], "No User");
}

#[test]
fn every_end_has_its_status() {
    let rig = rig();
    for (event, status, duration) in [
        (JobEvent::Complete, "completed", 10.0),
        (JobEvent::Error, "error", 10.0),
        // these take the stats before the event
        (JobEvent::Cancelled, "cancelled", 9.0),
        (JobEvent::Standby, "cancelled", 9.0),
    ] {
        rig.start("a");
        rig.end(event, "a", 9.0);
        let job = rig.jobs(json!({"limit": 1})).remove(0);
        assert_eq!((job["status"].as_str(), job["total_duration"].as_f64()), (Some(status), Some(duration)));
    }
    for (event, status) in
        [(Event::KlippyShutdown, "klippy_shutdown"), (Event::KlippyDisconnected, "klippy_disconnect")]
    {
        rig.start("a");
        rig.bench.events.emit(&event);
        rig.flush();
        assert_eq!(rig.jobs(json!({"limit": 1}))[0]["status"], status);
    }
    // a new start while one runs
    rig.start("a");
    rig.start("b");
    assert_eq!(rig.jobs(json!({"limit": 2}))[1]["status"], "cancelled");
    // stats of another file, and stats that were reset, are not this print's
    rig.end(JobEvent::Complete, "other", 50.0);
    assert_eq!(rig.jobs(json!({"limit": 1}))[0]["total_duration"], 0.5);
    rig.start("a");
    rig.bench.run(rig.part.close());
    assert_eq!(rig.jobs(json!({"limit": 1}))[0]["status"], "server_exit");
    assert_eq!(rig.bench.run(close_interrupted(&rig.bench.storage)).unwrap(), None);
}

#[test]
fn a_print_that_a_power_cut_ended_is_found() {
    let first = rig();
    first.start("a");
    let Rig { bench, part, .. } = first;
    drop(part);
    assert_eq!(bench.run(close_interrupted(&bench.storage)).unwrap(), Some(1));
    assert_eq!(bench.run(close_interrupted(&bench.storage)).unwrap(), None);
    let rig = rig_on(bench);
    let job = rig.call("get_job", json!({"uid": "000001"})).unwrap()["job"].clone();
    assert_eq!((&job["status"], &job["end_time"]), (&json!("interrupted"), &Value::Null));
    // it counts nowhere, and the next one has its own id
    assert_eq!(rig.call("totals", json!({})).unwrap()["job_totals"]["total_jobs"].to_string(), "0");
    rig.start("b");
    assert_eq!(rig.ids(json!({})), "21");
}

#[test]
fn lists_are_filtered_and_ordered() {
    let rig = rig();
    let times = [
        (100.0, Some(150.0)),
        (200.0, Some(250.0)),
        (300.0, None),
        (400.0, Some(450.0)),
        (500.0, Some(550.0)),
    ];
    let write = move |writer: &mut crate::storage::Writer<'_>| {
        (1u64..).zip(times).try_for_each(|(id, (start, end))| {
            let mut record = job::begun("u", &stats(JobState::Complete, "f", 1.0));
            (record.start_time, record.end_time) = (start, end);
            put_job(writer, id, &record)
        })
    };
    rig.bench.run(rig.bench.storage.write(write)).unwrap();
    for (params, ids) in [
        (json!({}), "54321"),
        (json!({"order": "ASC"}), "12345"),
        (json!({"limit": 2}), "54"),
        (json!({"limit": 2, "start": 1}), "43"),
        (json!({"limit": 2, "start": 4}), "1"),
        (json!({"limit": 2, "start": 9}), ""),
        (json!({"limit": 0, "start": 3}), "54321"),
        (json!({"since": 200}), "543"),
        (json!({"before": 450}), "21"),
        (json!({"before": 451, "since": "100.5", "order": "asc"}), "24"),
        (json!({"before": 451, "since": 100.5, "start": 1}), "2"),
        (json!({"before": -1, "since": -1, "max": 100}), "54321"),
    ] {
        assert_eq!(rig.ids(params.clone()), ids, "{params}");
    }
    for params in [
        json!({"order": "up"}),
        json!({"limit": -1}),
        json!({"start": -5}),
        json!({"since": "yesterday"}),
        json!({"limit": "many"}),
        json!({"before": []}),
    ] {
        assert_eq!(rig.call("list", params.clone()).unwrap_err().0, 400, "{params}");
    }
}

#[test]
fn prints_are_deleted() {
    let rig = rig();
    for _ in 0..3 {
        rig.start("a");
        rig.end(JobEvent::Complete, "a", 1.0);
    }
    assert_eq!(
        rig.call("delete_job", json!({"uid": "000002"})).unwrap(),
        json!({"deleted_jobs": ["000002"]})
    );
    assert_eq!(rig.ids(json!({})), "31");
    for (uid, status) in [("000002", 404), ("xyz", 400), ("", 400), ("-1", 400), ("FFFFFFFFFFFFFFFFFF", 400)]
    {
        assert_eq!(rig.call("delete_job", json!({"uid": uid})).unwrap_err().0, status, "{uid}");
        assert_eq!(rig.call("get_job", json!({"uid": uid})).unwrap_err().0, status, "{uid}");
    }
    assert_eq!(rig.call("delete_job", json!({})).unwrap_err().0, 400);
    let all = rig.call("delete_job", json!({"all": true})).unwrap();
    assert_eq!(all, json!({"deleted_jobs": ["000001", "000003"]}));
    assert_eq!(rig.call("list", json!({})).unwrap(), json!({"count": 0, "jobs": []}));
    // totals stay
    assert_eq!(rig.call("totals", json!({})).unwrap()["job_totals"]["total_jobs"], 3.0);
    let last = rig.call("reset_totals", json!({})).unwrap();
    assert_eq!(
        (&last["last_totals"]["total_jobs"], &last["last_auxiliary_totals"]),
        (&json!(3.0), &json!([]))
    );
    assert_eq!(rig.call("totals", json!({})).unwrap()["job_totals"]["total_jobs"].to_string(), "0");
}

#[test]
fn what_sensors_report_is_recorded_and_summed_up() {
    let rig = rig();
    let options = FieldOptions {
        provider: "sensor meter".into(),
        name: "energy".into(),
        description: "Energy".into(),
        units: Some("kWh".into()),
        strategy: Strategy::Delta,
        exclude_paused: true,
        report_total: true,
        report_maximum: false,
        precision: Some(3),
    };
    let field = rig.fields.add(options, Some(|| Some(json!(1.0)))).unwrap();
    for _ in 0..2 {
        rig.start("a");
        field.update(&json!(3.0004));
        rig.change(JobEvent::Paused, stats(JobState::Printing, "a", 1.0), stats(JobState::Paused, "a", 1.0));
        field.update(&json!(8));
        rig.change(JobEvent::Resumed, stats(JobState::Paused, "a", 1.0), stats(JobState::Printing, "a", 2.0));
        field.update(&json!(9));
        rig.end(JobEvent::Complete, "a", 3.0);
        field.update(&json!(90));
    }
    let expected = json!([{"provider": "sensor meter", "name": "energy", "value": 3.0, "description": "Energy",
        "units": "kWh"}]);
    assert_eq!(rig.jobs(json!({"limit": 1}))[0]["auxiliary_data"], expected);
    let totals = rig.call("totals", json!({})).unwrap();
    let expected = json!([{"provider": "sensor meter", "field": "energy", "maximum": null, "total": 6.0}]);
    assert_eq!(totals["auxiliary_totals"], expected);
    rig.call("reset_totals", json!({})).unwrap();
    assert_eq!(rig.call("totals", json!({})).unwrap()["auxiliary_totals"][0]["total"], 0.0);
}

#[test]
fn a_full_list_has_its_bound() {
    let rig = rig();
    let write = move |writer: &mut crate::storage::Writer<'_>| {
        let mut record = job::begun("u", &stats(JobState::Complete, "f", 1.0));
        record.metadata = json::to_raw(&json!({"x": "y".repeat(1 << 20)}));
        (1u64..=10).try_for_each(|id| put_job(writer, id, &record))
    };
    rig.bench.run(rig.bench.storage.write(write)).unwrap();
    let list = rig.call("list", json!({"limit": 0})).unwrap();
    assert_eq!((&list["count"], list["jobs"].as_array().unwrap().len()), (&json!(7), 7));
}
