//! What was printed: `server.history.*` (spec api.md §9, behaviour.md §8).
//!
//! Section `[history]`, without options. Tables `job_history`, `job_times`, `job_totals` and `job_running`; writes
//! the members `print_start_time` and `job_id` of records in the namespace `gcode_metadata`. Notification
//! `notify_history_changed`. All that a start or an end changes is one commit.

mod job;
mod list;
mod store;
mod totals;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use smol::channel::{Receiver, Sender, bounded};

use crate::api::{Call, Endpoint, Error, Event, Events, NoParams, Notification, Reply, Result};
use crate::job_fields::Fields;
use crate::json;
use crate::print::{Job, JobChange, JobEvent, JobStats};
use crate::storage::Storage;
use crate::storage::history::{JobRecord, Total, delete_job, job as stored_job};
use crate::sync::lock;
use crate::tasks::Spawner;
use job::Status;
use list::Filter;

pub use store::close_interrupted;

/// Who prints when nobody is known to have asked for it.
const NO_USER: &str = "No User";
/// How many events of a print may wait to be recorded. They come minutes apart.
const MAX_WAITING: usize = 64;

/// What this part works with.
pub struct Parts {
    /// The database.
    pub storage: Storage,
    /// The root of the G-code files.
    pub gcodes: PathBuf,
    /// The print.
    pub job: Arc<Job>,
    /// What is recorded with each print.
    pub fields: Arc<Fields>,
    /// Where events come from and go to.
    pub events: Arc<Events>,
    /// Starts tasks.
    pub spawner: Spawner,
}

/// The history.
pub struct History {
    storage: Storage,
    gcodes: PathBuf,
    fields: Arc<Fields>,
    events: Arc<Events>,
    job: Arc<Job>,
    /// The print that runs, as it is recorded.
    running: Mutex<Option<Running>>,
    steps: Sender<Step>,
}

/// The print that runs.
#[derive(Clone)]
struct Running {
    /// None if its start could not be stored.
    id: Option<u64>,
    record: JobRecord,
}

/// What the history has to do with.
enum Step {
    Change(Arc<JobChange>),
    Requested(Option<Arc<str>>),
    /// Klippy or this server ends while a print runs.
    Ended(Status, JobStats),
    /// Answers when all before it is done.
    Flush(Sender<()>),
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
}

#[derive(Deserialize)]
struct Delete {
    uid: Option<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Serialize)]
struct Deleted {
    deleted_jobs: Vec<String>,
}

impl History {
    /// Begins to record prints.
    pub fn new(parts: Parts) -> Arc<Self> {
        let Parts { storage, gcodes, job, fields, events, spawner } = parts;
        let (steps, waiting) = bounded(MAX_WAITING);
        let (sender, followed) = (steps.clone(), job.clone());
        events.subscribe(move |event| {
            let step = match event {
                Event::Job(change) => Step::Change(change.clone()),
                Event::PrintRequested(user) => Step::Requested(user.clone()),
                Event::KlippyShutdown => Step::Ended(Status::KlippyShutdown, followed.stats()),
                Event::KlippyDisconnected => Step::Ended(Status::KlippyDisconnect, followed.stats()),
                _ => return,
            };
            if sender.try_send(step).is_err() {
                log::error!("history: an event of the print was lost: the database does not keep up");
            }
        });
        let history =
            Arc::new(Self { storage, gcodes, fields, events, job, running: Mutex::default(), steps });
        spawner.spawn(work(Arc::downgrade(&history), waiting));
        history
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let job = "/server/history/job";
        vec![
            Endpoint::get("server.history.list", "/server/history/list").read_only().to(self, Self::list),
            Endpoint::get("server.history.totals", "/server/history/totals")
                .read_only()
                .to(self, Self::totals),
            Endpoint::post("server.history.reset_totals", "/server/history/reset_totals")
                .operator()
                .to(self, Self::reset_totals),
            Endpoint::get("server.history.get_job", job).read_only().to(self, Self::get_job),
            Endpoint::delete("server.history.delete_job", job).operator().to(self, Self::delete_job),
        ]
    }

    /// Closes a print that runs, because the server stops (spec behaviour.md §8, "server_exit").
    pub async fn close(&self) {
        let (done, flushed) = bounded(1);
        for step in [Step::Ended(Status::ServerExit, self.job.stats()), Step::Flush(done)] {
            if self.steps.send(step).await.is_err() {
                return;
            }
        }
        // the worker is gone with its executor when nobody answers
        let _ = flushed.recv().await;
    }

    async fn step(&self, user: &mut Arc<str>, step: Step) {
        match step {
            Step::Change(change) => self.change(user, &change).await,
            Step::Requested(name) => {
                *user = name.unwrap_or_else(|| NO_USER.into());
                if let Some(running) = &mut *lock(&self.running) {
                    running.record.user = user.to_string();
                }
            }
            Step::Ended(status, stats) => self.finish(user, status, &stats).await,
            Step::Flush(done) => drop(done.try_send(())),
        }
    }

    async fn change(&self, user: &mut Arc<str>, change: &JobChange) {
        let JobChange { event, previous, current } = change;
        self.fields.pause(*event == JobEvent::Paused);
        match event {
            JobEvent::Started => {
                if lock(&self.running).is_some() {
                    self.finish(user, Status::Cancelled, previous).await;
                }
                self.begin(user, current).await;
            }
            JobEvent::Complete => self.finish(user, Status::Completed, current).await,
            JobEvent::Error => self.finish(user, Status::Error, current).await,
            JobEvent::Cancelled | JobEvent::Standby => self.finish(user, Status::Cancelled, previous).await,
            JobEvent::Paused | JobEvent::Resumed => {}
        }
    }

    async fn begin(&self, user: &str, stats: &JobStats) {
        self.fields.start();
        let mut record = job::begun(user, stats);
        record.auxiliary_data = json::to_raw(&self.fields.recorded());
        let stored = self.storage.write(move |writer| store::begin(writer, record.clone())).await;
        match stored {
            Ok((id, record)) => {
                *lock(&self.running) = Some(Running { id: Some(id), record });
                self.tell("added").await;
            }
            Err(error) => {
                log::error!("history: the start of '{}' is not recorded: {error}", stats.filename);
                *lock(&self.running) = Some(Running { id: None, record: job::begun(user, stats) });
            }
        }
    }

    async fn finish(&self, user: &mut Arc<str>, status: Status, stats: &JobStats) {
        let Some(mut running) = lock(&self.running).clone() else { return };
        running.record.user = std::mem::replace(user, NO_USER.into()).to_string();
        job::end(&mut running.record, status, stats);
        running.record.auxiliary_data = json::to_raw(&self.fields.recorded());
        let (fields, id, record) = (self.fields.clone(), running.id, running.record);
        let filename = record.filename.clone();
        match self.storage.write(move |writer| store::finish(writer, id, record, &fields)).await {
            Ok((id, record)) => {
                *lock(&self.running) = Some(Running { id: Some(id), record });
                self.tell("finished").await;
            }
            Err(error) => log::error!("history: the end of '{filename}' is not recorded: {error}"),
        }
        *lock(&self.running) = None;
        self.fields.stop();
    }

    /// Tells clients of the print that runs.
    async fn tell(&self, action: &'static str) {
        #[derive(Serialize)]
        struct Changed {
            action: &'static str,
            job: Box<RawValue>,
        }
        let Some(Running { id: Some(id), record }) = lock(&self.running).clone() else { return };
        let gcodes = self.gcodes.clone();
        let job = smol::unblock(move || job::shown(&job::uid(id), &json::to_text(&record), &gcodes)).await;
        let Ok(job) = RawValue::from_string(job) else { return };
        self.events
            .emit(&Event::Notify(Notification::new("notify_history_changed", &Changed { action, job })));
    }

    async fn list(self: Arc<Self>, call: Call<list::Arguments>) -> Result<Reply> {
        let filter = Filter::new(call.params)?;
        let list = smol::unblock(move || list::list(&self.storage, &filter, &self.gcodes)).await?;
        Ok(Reply::from_json_text(list))
    }

    async fn get_job(self: Arc<Self>, call: Call<Uid>) -> Result<Reply> {
        let uid = call.params.uid;
        let id = job::parse_uid(&uid)?;
        let record = self.storage.read(|view| stored_job(view, id))?;
        let record = record.ok_or_else(|| job::unknown(&uid))?;
        let job = smol::unblock(move || job::shown(&uid, &record, &self.gcodes)).await;
        Ok(Reply::from_json_text(format!("{{\"job\":{job}}}")))
    }

    async fn delete_job(self: Arc<Self>, call: Call<Delete>) -> Result<Reply> {
        if call.params.all {
            let mut deleted_jobs = Vec::new();
            loop {
                let some = self.storage.write(store::delete_some).await?;
                if some.is_empty() {
                    return Ok(Reply::of(&Deleted { deleted_jobs }));
                }
                deleted_jobs.extend(some.into_iter().map(job::uid));
            }
        }
        let uid = call.params.uid.ok_or_else(|| Error::bad_request("No data for argument: uid"))?;
        let id = job::parse_uid(&uid)?;
        match self.storage.write(move |writer| delete_job(writer, id)).await? {
            true => Ok(Reply::of(&Deleted { deleted_jobs: vec![uid] })),
            false => Err(job::unknown(&uid)),
        }
    }

    async fn totals(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Totals {
            job_totals: totals::JobTotals,
            auxiliary_totals: Vec<Total>,
        }
        let (job_totals, mut auxiliary_totals) = self.storage.read(|view| totals::read(view))?;
        auxiliary_totals.retain(|total| self.fields.has_totals_of(&total.provider, &total.field));
        Ok(Reply::of(&Totals { job_totals, auxiliary_totals }))
    }

    async fn reset_totals(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Last {
            last_totals: totals::JobTotals,
            last_auxiliary_totals: Vec<Total>,
        }
        if lock(&self.running).is_some() {
            return Err(Error::bad_request("Job in progress, cannot reset totals"));
        }
        let none = self.fields.no_totals();
        let reset = self.storage.write(move |writer| totals::reset(writer, &none)).await?;
        let (last_totals, mut last_auxiliary_totals) = reset;
        last_auxiliary_totals.retain(|total| self.fields.has_totals_of(&total.provider, &total.field));
        Ok(Reply::of(&Last { last_totals, last_auxiliary_totals }))
    }
}

/// Records what happens, one thing after the other.
async fn work(history: Weak<History>, steps: Receiver<Step>) {
    let mut user: Arc<str> = NO_USER.into();
    while let Ok(step) = steps.recv().await {
        let Some(history) = history.upgrade() else { return };
        history.step(&mut user, step).await;
    }
}

#[cfg(test)]
mod tests;
