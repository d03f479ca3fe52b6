//! Group commit: writes that arrive while the disk is busy share the next transaction, and its one sync.
//!
//! A write is a closure. The drain loop runs on the blocking pool, only while there is something to do: it takes
//! what has queued up, runs the closures one after the other on one set of pending changes (one that fails takes
//! back its own), commits the set, and only then answers. So closures need not know of each other, a commit that
//! must be repeated (the map had to grow) does not run them twice, and an answer means: it is on disk.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use smol::channel::Sender;

use super::core::Core;
use super::error::{Error, Result};
use super::view::{Pending, Snapshot, Writer};
use crate::sync::lock;
use crate::tasks::unblock;

/// How many writes may wait for the disk; more callers wait outside, at no cost but their own.
pub(super) const MAX_QUEUED: usize = 256;
/// A transaction is committed when it holds this many bytes, even if more writes wait.
const MAX_BATCH: usize = 1 << 20;

/// A write on its way: what to do, then whom to answer.
pub(super) trait Job: Send {
    /// Makes the changes; false when they are to be taken back.
    fn run(&mut self, writer: &mut Writer<'_>) -> bool;
    /// Answers the caller.
    fn finish(self: Box<Self>, committed: &Result<()>);
}

/// Something that needs the writer's place without being a transaction, such as a compaction.
pub(super) type Chore = Box<dyn FnOnce(&Core) + Send>;

enum Work {
    Write(Box<dyn Job>),
    Chore(Chore),
}

/// The queue in front of the one writer.
pub(super) struct Group {
    core: Arc<Core>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    work: VecDeque<Work>,
    draining: bool,
}

impl Group {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core, queue: Mutex::default() }
    }

    pub(super) fn write(self: &Arc<Self>, job: Box<dyn Job>) {
        self.push(Work::Write(job));
    }

    pub(super) fn chore(self: &Arc<Self>, chore: Chore) {
        self.push(Work::Chore(chore));
    }

    fn push(self: &Arc<Self>, work: Work) {
        let mut queue = lock(&self.queue);
        queue.work.push_back(work);
        if !std::mem::replace(&mut queue.draining, true) {
            let group = Arc::clone(self);
            unblock(move || group.drain()).detach();
        }
    }

    fn drain(&self) {
        loop {
            let work = {
                let mut queue = lock(&self.queue);
                if queue.work.is_empty() {
                    queue.draining = false;
                    queue.work.shrink_to(MAX_QUEUED / 8);
                    return;
                }
                std::mem::take(&mut queue.work)
            };
            self.run(work);
        }
    }

    fn run(&self, mut work: VecDeque<Work>) {
        while let Some(next) = work.pop_front() {
            match next {
                Work::Chore(chore) => chore(&self.core),
                Work::Write(job) => {
                    work.push_front(Work::Write(job));
                    self.run_batch(&mut work);
                }
            }
        }
    }

    /// Runs and commits the writes at the head of `work`, as many as one transaction takes.
    fn run_batch(&self, work: &mut VecDeque<Work>) {
        let mut pending = Pending::default();
        let mut done = Vec::new();
        let outcome = self.core.snapshot().and_then(|snapshot| {
            while pending.bytes() < MAX_BATCH
                && let Some(Work::Write(_)) = work.front()
                && let Some(Work::Write(job)) = work.pop_front()
            {
                done.push(run_job(job, &snapshot, &mut pending));
            }
            // the writer's own read transaction is over before the write transaction begins
            drop(snapshot);
            if pending.is_empty() { Ok(()) } else { self.core.commit(&pending) }
        });
        if let Err(error) = &outcome {
            log::error!("database: a commit failed: {error}");
            if done.is_empty()
                && let Some(Work::Write(job)) = work.pop_front()
            {
                done.push(job);
            }
        }
        done.into_iter().for_each(|job| job.finish(&outcome));
    }
}

fn run_job(mut job: Box<dyn Job>, snapshot: &Snapshot, pending: &mut Pending) -> Box<dyn Job> {
    let mut writer = Writer::new(snapshot, pending);
    if !job.run(&mut writer) {
        writer.roll_back();
    }
    job
}

/// A closure, its result, and the caller that waits for it.
pub(super) struct Call<F, T> {
    state: State<F, T>,
    caller: Sender<Result<T>>,
}

enum State<F, T> {
    Waiting(Option<F>),
    Ran(Result<T>),
}

impl<F, T> Call<F, T> {
    pub(super) fn new(write: F, caller: Sender<Result<T>>) -> Self {
        Self { state: State::Waiting(Some(write)), caller }
    }
}

impl<F, T> Job for Call<F, T>
where
    F: FnOnce(&mut Writer<'_>) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, writer: &mut Writer<'_>) -> bool {
        let State::Waiting(write) = &mut self.state else { return true };
        let Some(write) = write.take() else { return true };
        let result = write(writer);
        let keep = result.is_ok();
        self.state = State::Ran(result);
        keep
    }

    fn finish(self: Box<Self>, committed: &Result<()>) {
        let answer = match (self.state, committed) {
            (State::Ran(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.clone()),
            (State::Ran(Ok(value)), Ok(())) => Ok(value),
            (State::Waiting(_), Ok(())) => Err(Error::failed("The write did not run")),
        };
        // a caller that has gone away wants no answer
        drop(self.caller.try_send(answer));
    }
}
