//! What waits to be written. Callers of the log put lines in and go on; the log's thread takes them out.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::gate::Gate;
use super::line::Line;
use crate::sync::lock;

/// Bytes that may wait. What comes when the disk has not taken these is left out and counted.
pub const MAX_WAITING: usize = 256 * 1024;

/// Something the log's thread is asked to do after the lines that wait.
pub(super) enum Request {
    /// To begin a new file.
    Rollover(SyncSender<Result<PathBuf, String>>),
    /// To say when all is written.
    Flush(SyncSender<()>),
}

/// What the log's thread is to do next.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) lines: VecDeque<Line>,
    pub(super) requests: Vec<Request>,
    pub(super) end: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    began: Instant,
}

struct State {
    next: Batch,
    weight: usize,
    gate: Gate,
    /// Lines that found no room.
    lost: u64,
}

impl Queue {
    pub(super) fn new(verbose: bool) -> Self {
        let state = State { next: Batch::default(), weight: 0, gate: Gate::new(verbose), lost: 0 };
        Self { state: Mutex::new(state), wake: Condvar::new(), began: Instant::now() }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Adds a line, if it is worth it and there is room.
    pub(super) fn push(&self, line: Line) {
        let now = self.now();
        let mut state = lock(&self.state);
        if !state.gate.admit(now, &line) {
            // The thread has to wake at the time when it is to be said that lines were kept back.
            if state.gate.report_due().is_some_and(|due| due == now.saturating_add(super::gate::REPORT_AFTER))
            {
                self.wake.notify_one();
            }
            return;
        }
        state.report(line.time);
        state.gate.written(&line);
        state.add(line);
        drop(state);
        self.wake.notify_one();
    }

    pub(super) fn request(&self, request: Request) {
        lock(&self.state).next.requests.push(request);
        self.wake.notify_one();
    }

    /// Lets the thread end when all is written.
    pub(super) fn end(&self) {
        lock(&self.state).next.end = true;
        self.wake.notify_one();
    }

    /// Waits until there is something to do. `time` gives the wall clock's milliseconds.
    pub(super) fn take(&self, time: impl Fn() -> i64) -> Batch {
        let mut state = lock(&self.state);
        loop {
            let now = self.now();
            let due = state.gate.report_due();
            if due.is_some_and(|due| due <= now) {
                state.report(time());
            }
            let next = &state.next;
            if !next.lines.is_empty() || !next.requests.is_empty() || next.end {
                if next.end || !next.requests.is_empty() {
                    state.report(time());
                }
                state.weight = 0;
                return std::mem::take(&mut state.next);
            }
            state = match due {
                Some(due) => {
                    let wait = Duration::from_millis(due.saturating_sub(now).max(1));
                    self.wake.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl State {
    fn add(&mut self, line: Line) {
        let weight = line.weight();
        if self.weight + weight > MAX_WAITING {
            self.lost += 1;
            return;
        }
        self.weight += weight;
        if self.lost > 0 {
            let text = format!("{} messages left out: the disk was too slow", std::mem::take(&mut self.lost));
            self.next.lines.push_back(Line::own(line.time, Level::Warn, text));
        }
        self.next.lines.push_back(line);
    }

    /// Says what was kept back.
    fn report(&mut self, time: i64) {
        if let Some(text) = self.gate.report() {
            self.add(Line::own(time, Level::Info, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    fn texts(batch: &Batch) -> Vec<&str> {
        batch.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn lines_come_out_in_order_with_what_was_folded() {
        let queue = Queue::new(false);
        for text in ["a", "b", "b", "b", "c", "c"] {
            queue.push(line(0, Level::Info, text));
        }
        assert_eq!(texts(&queue.take(|| 0)), ["a", "b", "last message repeated 2 times", "c"]);
        let (sender, _receiver) = std::sync::mpsc::sync_channel(1);
        queue.request(Request::Flush(sender));
        let batch = queue.take(|| 0);
        assert_eq!((texts(&batch), batch.requests.len()), (vec!["last message repeated once"], 1));
        queue.end();
        assert!(queue.take(|| 0).end);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut state = State { next: Batch::default(), weight: 0, gate: Gate::new(false), lost: 0 };
        for _ in 0..100 {
            state.add(line(0, Level::Error, &"x".repeat(MAX_WAITING / 10)));
        }
        assert!(state.next.lines.iter().map(Line::weight).sum::<usize>() <= MAX_WAITING);
        assert_eq!((state.next.lines.len(), state.lost), (9, 91));
        (state.next, state.weight) = (Batch::default(), 0);
        state.add(line(0, Level::Error, "after"));
        assert_eq!(texts(&state.next), ["91 messages left out: the disk was too slow", "after"]);
    }
}
