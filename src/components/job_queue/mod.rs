//! Files that are printed one after the other: `server.job_queue.*` (spec api.md §9, behaviour.md §9).
//!
//! Section `[job_queue]`. Table `job_queue`: unlike Moonraker's, the queue outlives a restart. Remote methods
//! `pause_job_queue` and `start_job_queue`. Notification `notify_job_queue_changed`.

mod printer;
mod queue;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{Call, Endpoint, Error, Event, Events, NoParams, Notification, Reply, Result};
use crate::klippy::{Klippy, Stage};
use crate::print::{JobEvent, PrintQueue, file_below};
use crate::storage::{Kind, Storage};
use crate::sync::lock;
use crate::tasks::Spawner;
use crate::time;

pub use printer::{KlippyPrinter, Printer};
use queue::{Queue, Queued, State};

/// How long a notification waits (spec notifications.md row 17).
const NOTIFY_DELAY: Duration = Duration::from_millis(50);
/// How long a print waits that was asked for by hand.
const START_DELAY: Duration = Duration::from_millis(10);
/// How long the first print waits after Klippy has become ready.
const LOAD_DELAY: Duration = Duration::from_secs(1);
/// How many files may wait.
pub const MAX_JOBS: usize = 1000;

/// Section `[job_queue]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Whether the first file is printed when Klippy has become ready.
    pub load_on_startup: bool,
    /// Whether the next file is printed when one is done.
    pub automatic_transition: bool,
    /// How long that waits, in seconds.
    pub job_transition_delay: f64,
    /// G-code that runs before.
    pub job_transition_gcode: String,
}

/// What this part works with.
pub struct Parts<P> {
    /// Section `[job_queue]`.
    pub options: Options,
    /// What prints.
    pub printer: P,
    /// The database.
    pub storage: Storage,
    /// The root of the G-code files.
    pub gcodes: PathBuf,
    /// Where events come from and go to.
    pub events: Arc<Events>,
    /// Starts tasks.
    pub spawner: Spawner,
}

/// The queue.
pub struct JobQueue<P> {
    options: Options,
    printer: P,
    storage: Storage,
    gcodes: PathBuf,
    events: Arc<Events>,
    spawner: Spawner,
    queue: Mutex<Queue>,
    /// Held while a print is being started.
    starting: smol::lock::Mutex<()>,
    /// Held while the list of files changes.
    changing: smol::lock::Mutex<()>,
}

#[derive(Deserialize)]
struct Post {
    filenames: Vec<String>,
    #[serde(default)]
    reset: bool,
}

#[derive(Deserialize)]
struct Delete {
    #[serde(default)]
    job_ids: Vec<String>,
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize)]
struct Jump {
    job_id: String,
}

/// A waiting file as clients see it.
#[derive(Serialize)]
struct Shown {
    filename: String,
    job_id: String,
    time_added: f64,
    time_in_queue: f64,
}

#[derive(Serialize)]
struct Status {
    queued_jobs: Vec<Shown>,
    queue_state: State,
}

/// `notify_job_queue_changed`.
#[derive(Serialize)]
struct Changed {
    action: &'static str,
    updated_queue: Option<Vec<Shown>>,
    queue_state: State,
}

impl<P: Printer> JobQueue<P> {
    /// The queue as it was when the server last ran, paused.
    pub fn new(parts: Parts<P>) -> Arc<Self> {
        let Parts { options, printer, storage, gcodes, events, spawner } = parts;
        let jobs = queue::load(&storage).unwrap_or_else(|error| {
            log::warn!("The job queue could not be read: {error}");
            Vec::new()
        });
        let part = Arc::new(Self {
            options,
            printer,
            storage,
            gcodes,
            events,
            spawner,
            queue: Mutex::new(Queue::new(jobs)),
            starting: smol::lock::Mutex::new(()),
            changing: smol::lock::Mutex::new(()),
        });
        let weak = Arc::downgrade(&part);
        part.events.subscribe(move |event| {
            let Some(part) = weak.upgrade() else { return };
            match event {
                Event::Job(change) => part.printed(change.event),
                Event::KlippyShutdown => part.hold(false),
                _ => {}
            }
        });
        part
    }

    /// Offers what macros can call, and loads the queue when Klippy is ready.
    pub fn attach(self: &Arc<Self>, klippy: &Arc<Klippy>) {
        let weak = Arc::downgrade(self);
        klippy.at(Stage::Ready, move |_| {
            let weak = weak.clone();
            async move {
                if let Some(part) = weak.upgrade() {
                    part.klippy_ready();
                }
            }
        });
        let weak = Arc::downgrade(self);
        let pause = move || {
            if let Some(part) = weak.upgrade() {
                part.hold(true);
            }
        };
        let weak = Arc::downgrade(self);
        let start = move || {
            if let Some(part) = weak.upgrade() {
                let spawner = part.spawner.clone();
                spawner.spawn(async move { part.begin().await });
            }
        };
        let added = klippy
            .add_remote_method("pause_job_queue", Arc::new(move |_| pause()))
            .and_then(|()| klippy.add_remote_method("start_job_queue", Arc::new(move |_| start())));
        if let Err(error) = added {
            log::warn!("{error}");
        }
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let job = "/server/job_queue/job";
        vec![
            Endpoint::get("server.job_queue.status", "/server/job_queue/status")
                .read_only()
                .to(self, Self::status),
            Endpoint::post("server.job_queue.post_job", job).operator().to(self, Self::post_job),
            Endpoint::delete("server.job_queue.delete_job", job).operator().to(self, Self::delete_job),
            Endpoint::post("server.job_queue.pause", "/server/job_queue/pause")
                .operator()
                .to(self, Self::pause),
            Endpoint::post("server.job_queue.start", "/server/job_queue/start")
                .operator()
                .to(self, Self::start),
            Endpoint::post("server.job_queue.jump", "/server/job_queue/jump").operator().to(self, Self::jump),
        ]
    }

    /// Adds files at the end of the queue, for a user. With `reset` the queue is emptied first.
    ///
    /// # Errors
    /// 400 when a file does not exist, or there are too many; 5xx when the queue cannot be stored. The queue is
    /// as it was then.
    pub async fn add(&self, filenames: Vec<String>, user: Option<Arc<str>>, reset: bool) -> Result<()> {
        let (gcodes, names) = (self.gcodes.clone(), filenames.clone());
        let missing = smol::unblock(move || {
            names.into_iter().find(|name| !file_below(&gcodes, name).is_some_and(|path| path.is_file()))
        });
        if let Some(name) = missing.await {
            return Err(Error::bad_request(format!("G-Code File {name} does not exist")));
        }
        let new = filenames.into_iter().map(|filename| Queued::new(filename, user.clone()));
        let new = new.collect::<Result<Vec<_>>>()?;
        self.change("jobs_added", move |jobs| {
            if reset {
                jobs.clear();
            }
            jobs.extend(new);
            Ok(())
        })
        .await?;
        self.events.emit(&Event::JobsQueued);
        let goes_on = self.options.automatic_transition && self.printer.is_busy();
        let mut queue = lock(&self.queue);
        if goes_on && !queue.held_by_user && queue.state == State::Paused {
            self.set_state(&mut queue, State::Ready);
        }
        Ok(())
    }

    /// Changes the list of files, first on disk. `action` is told to clients; nothing if it is empty.
    async fn change(
        &self,
        action: &'static str,
        change: impl FnOnce(&mut Vec<Queued>) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.changing.lock().await;
        let mut jobs = lock(&self.queue).jobs.clone();
        change(&mut jobs)?;
        if jobs.len() > MAX_JOBS {
            return Err(Error::bad_request(format!("No more than {MAX_JOBS} files can be queued")));
        }
        match queue::store(&self.storage, &jobs).await {
            // without a database the queue works all the same, as long as the server runs
            Err(error) if error.kind() == Kind::Unavailable => {
                log::warn!("The job queue is not stored: {error}")
            }
            stored => stored?,
        }
        let mut queue = lock(&self.queue);
        queue.jobs = jobs;
        if !action.is_empty() {
            self.tell(&queue, action);
        }
        Ok(())
    }

    fn set_state(&self, queue: &mut Queue, state: State) {
        if std::mem::replace(&mut queue.state, state) != state {
            self.tell(queue, "state_changed");
        }
    }

    /// Tells clients in a moment how things stand now.
    fn tell(&self, queue: &Queue, action: &'static str) {
        let updated_queue = (action != "state_changed").then(|| shown(queue));
        let changed = Changed { action, updated_queue, queue_state: queue.state };
        let notification = Notification::new("notify_job_queue_changed", &changed);
        let events = self.events.clone();
        self.spawner.spawn(async move {
            smol::Timer::after(NOTIFY_DELAY).await;
            events.emit(&Event::Notify(notification));
        });
    }

    /// Something happened to the print.
    fn printed(self: &Arc<Self>, event: JobEvent) {
        let mut queue = lock(&self.queue);
        if queue.jobs.is_empty() {
            return;
        }
        match event {
            JobEvent::Complete if self.options.automatic_transition && queue.state == State::Ready => {
                let delay =
                    Duration::try_from_secs_f64(self.options.job_transition_delay).unwrap_or(START_DELAY);
                self.load(&mut queue, delay, true);
            }
            JobEvent::Error | JobEvent::Cancelled => self.set_state(&mut queue, State::Paused),
            _ => {}
        }
    }

    fn klippy_ready(self: &Arc<Self>) {
        let mut queue = lock(&self.queue);
        let idle = matches!(queue.state, State::Ready | State::Paused);
        if self.options.load_on_startup && idle && !queue.jobs.is_empty() {
            self.load(&mut queue, LOAD_DELAY, false);
        }
    }

    /// Has the first file printed after a while, unless the queue is held before.
    fn load(self: &Arc<Self>, queue: &mut Queue, delay: Duration, transition: bool) {
        self.set_state(queue, State::Loading);
        let turn = queue.next_turn();
        let weak = Arc::downgrade(self);
        self.spawner.spawn(async move {
            smol::Timer::after(delay).await;
            if let Some(part) = weak.upgrade().filter(|part| lock(&part.queue).turn == turn) {
                part.print_first(transition).await;
            }
        });
    }

    /// Prints nothing more for now.
    fn hold(&self, by_user: bool) {
        let mut queue = lock(&self.queue);
        queue.held_by_user |= by_user;
        queue.next_turn();
        self.set_state(&mut queue, State::Paused);
    }

    async fn print_first(&self, transition: bool) {
        let _turn = self.starting.lock().await;
        let job = {
            let mut queue = lock(&self.queue);
            match queue.jobs.first().cloned() {
                _ if queue.state == State::Paused => return,
                None => return self.set_state(&mut queue, self.idle()),
                Some(job) => job,
            }
        };
        if let Err(error) = self.try_print(&job, transition).await {
            log::warn!("'{}' of the job queue is not printed: {error}", job.filename);
            return self.set_state(&mut lock(&self.queue), State::Paused);
        }
        let removed = self.change("", |jobs| {
            jobs.retain(|known| known.job_id != job.job_id);
            Ok(())
        });
        if let Err(error) = removed.await {
            log::error!("'{}' stays in the stored job queue: {error}", job.filename);
            lock(&self.queue).jobs.retain(|known| known.job_id != job.job_id);
        }
        let mut queue = lock(&self.queue);
        if queue.state == State::Starting {
            // clients learn of it with the rest
            queue.state = if queue.jobs.is_empty() { State::Paused } else { self.idle() };
        }
        self.tell(&queue, "job_loaded");
    }

    /// The state in which the end of a print is awaited.
    fn idle(&self) -> State {
        if self.options.automatic_transition { State::Ready } else { State::Paused }
    }

    async fn try_print(&self, job: &Queued, transition: bool) -> Result<()> {
        let loading = || match lock(&self.queue).state {
            State::Loading => Ok(()),
            _ => Err(Error::bad_request("The queue was paused")),
        };
        if !self.printer.is_free() {
            return Err(Error::unavailable("The printer cannot print now"));
        }
        loading()?;
        let gcode = self.options.job_transition_gcode.trim();
        if transition && !gcode.is_empty() {
            self.printer.run_gcode(gcode).await?;
            loading()?;
        }
        self.set_state(&mut lock(&self.queue), State::Starting);
        self.printer.start_print(&job.filename, job.user.clone()).await
    }

    /// Prints the first file, if the printer is free.
    async fn begin(self: &Arc<Self>) {
        let _turn = self.starting.lock().await;
        let free = self.printer.is_free();
        let mut queue = lock(&self.queue);
        queue.held_by_user = false;
        match queue.state {
            State::Loading | State::Starting => {}
            _ if queue.jobs.is_empty() => self.set_state(&mut queue, State::Paused),
            _ if free => self.load(&mut queue, START_DELAY, false),
            _ => self.set_state(&mut queue, self.idle()),
        }
    }

    fn reply(&self) -> Reply {
        let queue = lock(&self.queue);
        Reply::of(&Status { queued_jobs: shown(&queue), queue_state: queue.state })
    }

    async fn status(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(self.reply())
    }

    async fn post_job(self: Arc<Self>, call: Call<Post>) -> Result<Reply> {
        let Post { filenames, reset } = call.params;
        self.add(filenames, call.caller.identity.user, reset).await?;
        Ok(self.reply())
    }

    async fn delete_job(self: Arc<Self>, call: Call<Delete>) -> Result<Reply> {
        let Delete { job_ids, all } = call.params;
        if lock(&self.queue).jobs.is_empty() || (!all && job_ids.is_empty()) {
            return Ok(self.reply());
        }
        self.change("jobs_removed", |jobs| {
            jobs.retain(|job| !all && !job_ids.contains(&job.job_id));
            Ok(())
        })
        .await?;
        Ok(self.reply())
    }

    async fn pause(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        self.hold(true);
        // a print that is just being started is in one state or the other when this answers
        let _turn = self.starting.lock().await;
        Ok(self.reply())
    }

    async fn start(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        self.begin().await;
        Ok(self.reply())
    }

    async fn jump(self: Arc<Self>, call: Call<Jump>) -> Result<Reply> {
        let id = call.params.job_id;
        self.change("", |jobs| {
            let at = jobs.iter().position(|job| job.job_id == id);
            let at = at.ok_or_else(|| Error::bad_request(format!("Invalid job id: {id}")))?;
            jobs[..=at].rotate_right(1);
            Ok(())
        })
        .await?;
        Ok(self.reply())
    }
}

impl<P: Printer> PrintQueue for JobQueue<P> {
    fn enqueue(
        &self,
        filename: String,
        user: Option<Arc<str>>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            let added = self.add(vec![filename], user, false).await;
            added.inspect_err(|error| log::warn!("An upload is not queued: {error}")).is_ok()
        })
    }
}

fn shown(queue: &Queue) -> Vec<Shown> {
    let now = time::now();
    let show = |job: &Queued| Shown {
        filename: job.filename.clone(),
        job_id: job.job_id.clone(),
        time_added: job.time_added,
        time_in_queue: now - job.time_added,
    };
    queue.jobs.iter().map(show).collect()
}

#[cfg(test)]
mod tests;
