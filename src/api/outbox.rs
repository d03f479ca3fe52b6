//! What waits to be sent to one client.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use smol::channel::{Receiver, Sender, bounded};

use super::status::StatusUpdate;
use crate::sync::lock;

/// How many bytes may wait for a client that does not read. One message more than this is sent all the same
/// when nothing else waits. A client that falls behind further is disconnected: it has lost nothing that it
/// cannot ask for again, while everybody else would lose memory.
pub const MAX_QUEUED_BYTES: usize = 2 * 1024 * 1024;

/// How many messages may wait, for the same reason.
pub const MAX_QUEUED_MESSAGES: usize = 4096;

/// Why and how a connection is ended by the server (RFC 6455 §7.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code.
    pub code: u16,
    /// A word to the client.
    pub reason: &'static str,
}

impl CloseReason {
    /// The server stops or restarts (spec api.md §0.6).
    pub const SHUTDOWN: Self = Self { code: 1001, reason: "Server Shutdown" };
    /// The client does not read what it is sent.
    pub const TOO_SLOW: Self = Self { code: 1008, reason: "Client reads too slowly" };
    /// The client did not answer pings.
    pub const NO_PONG: Self = Self { code: 1001, reason: "No answer to ping" };
}

/// The next thing to do for the task that writes to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Send this message.
    Message(Arc<str>),
    /// End the connection.
    Close(CloseReason),
}

enum Waiting {
    Message(Arc<str>),
    /// One update that is also sent to others: its message was built once for all.
    Status(Arc<StatusUpdate>, Arc<str>),
    /// Several updates that have become one since the client last read.
    Merged(StatusUpdate),
}

#[derive(Default)]
struct State {
    queue: VecDeque<Waiting>,
    bytes: usize,
    close: Option<CloseReason>,
}

impl State {
    fn status_slot(&mut self) -> Option<&mut Waiting> {
        self.queue.iter_mut().rev().find(|waiting| !matches!(waiting, Waiting::Message(_)))
    }
}

/// Messages on their way to one client: bounded, in order, with status updates merged while they wait.
pub struct Outbox {
    state: Mutex<State>,
    wake: (Sender<()>, Receiver<()>),
}

impl Default for Outbox {
    fn default() -> Self {
        Self { state: Mutex::default(), wake: bounded(1) }
    }
}

impl Outbox {
    /// Queues a message. When too much waits, the connection is ended instead.
    pub fn push(&self, message: Arc<str>) {
        let mut state = lock(&self.state);
        if state.close.is_some() {
            return;
        }
        let full = state.queue.len() >= MAX_QUEUED_MESSAGES || state.bytes + message.len() > MAX_QUEUED_BYTES;
        if full && !state.queue.is_empty() {
            state.close = Some(CloseReason::TOO_SLOW);
            state.queue.clear();
        } else {
            state.bytes += message.len();
            state.queue.push_back(Waiting::Message(message));
        }
        drop(state);
        self.signal();
    }

    /// Queues a status update; `message` is its text. If an earlier one still waits, they become one.
    pub fn push_status(&self, update: &Arc<StatusUpdate>, message: &Arc<str>) {
        let mut state = lock(&self.state);
        if state.close.is_some() {
            return;
        }
        match state.status_slot() {
            Some(Waiting::Merged(merged)) => merged.merge(update),
            Some(slot) => {
                if let Waiting::Status(earlier, _) = slot {
                    let mut merged = StatusUpdate::clone(earlier);
                    merged.merge(update);
                    *slot = Waiting::Merged(merged);
                }
            }
            None => state.queue.push_back(Waiting::Status(update.clone(), message.clone())),
        }
        drop(state);
        self.signal();
    }

    /// Ends the connection once what waits has been sent.
    pub fn close(&self, reason: CloseReason) {
        lock(&self.state).close.get_or_insert(reason);
        self.signal();
    }

    /// Waits for the next thing to do. One task at a time may wait.
    pub async fn next(&self) -> Outgoing {
        loop {
            if let Some(next) = self.try_next() {
                return next;
            }
            // The sender lives in self, so this cannot fail.
            let _ = self.wake.1.recv().await;
        }
    }

    /// The next thing to do, if there is one now.
    pub fn try_next(&self) -> Option<Outgoing> {
        let mut state = lock(&self.state);
        let message = match state.queue.pop_front() {
            Some(Waiting::Message(message)) => {
                state.bytes -= message.len();
                message
            }
            Some(Waiting::Status(_, message)) => message,
            Some(Waiting::Merged(update)) => update.message(),
            None => return state.close.map(Outgoing::Close),
        };
        Some(Outgoing::Message(message))
    }

    fn signal(&self) {
        let _ = self.wake.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::status::Objects;

    fn update(eventtime: &str, field: &str, value: &str) -> Arc<StatusUpdate> {
        let mut objects = Objects::new();
        objects.entry("fan".into()).or_default().insert(field.into(), value.into());
        Arc::new(StatusUpdate { eventtime: eventtime.into(), objects })
    }

    fn texts(outbox: &Outbox) -> Vec<String> {
        std::iter::from_fn(|| match outbox.try_next()? {
            Outgoing::Message(text) => Some(text.to_string()),
            Outgoing::Close(_) => None,
        })
        .collect()
    }

    #[test]
    fn updates_merge_while_they_wait() {
        let outbox = Outbox::default();
        let first = update("1", "speed", "0.1");
        let message = first.message();
        outbox.push_status(&first, &message);
        outbox.push("between".into());
        for (time, speed) in [("2", "0.2"), ("3", "0.3")] {
            let next = update(time, "speed", speed);
            outbox.push_status(&next, &next.message());
        }
        assert_eq!(texts(&outbox), [update("3", "speed", "0.3").message().to_string(), "between".into()]);
    }

    #[test]
    fn a_client_that_never_reads_is_cut_off_within_bounds() {
        let outbox = Outbox::default();
        let big: Arc<str> = "x".repeat(MAX_QUEUED_BYTES + 1).into();
        outbox.push(big.clone());
        assert_eq!(outbox.try_next(), Some(Outgoing::Message(big)), "one big reply is sent");
        let small: Arc<str> = "x".repeat(1024).into();
        for _ in 0..MAX_QUEUED_BYTES / 1024 + 1 {
            outbox.push(small.clone());
        }
        assert_eq!(outbox.try_next(), Some(Outgoing::Close(CloseReason::TOO_SLOW)));
    }

    #[test]
    fn closing_comes_after_what_waits() {
        let outbox = Outbox::default();
        outbox.push("last".into());
        outbox.close(CloseReason::SHUTDOWN);
        outbox.push("too late".into());
        assert_eq!(smol::block_on(outbox.next()), Outgoing::Message("last".into()));
        assert_eq!(smol::block_on(outbox.next()), Outgoing::Close(CloseReason::SHUTDOWN));
    }
}
