//! All that the simulator's tasks and a test's controls share: the printer, the clients, and what waits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use serde_json::Value;
use smol::channel::{Receiver, Sender, unbounded};

use super::clock::{Clock, Seconds};
use super::faults::Faults;
use super::notify::Notify;
use super::options::Options;
use super::printer::{Printer, Sections};
use super::queries::{Message, Queries, Source};
use super::record::Record;
use super::request::{Template, answer};
use crate::json::to_text;
use crate::sync::lock;

/// The most bytes that may wait for one client. A client that lets more pile up is dropped.
pub(super) const MAX_OUTBOX: usize = 64 * 1024 * 1024;

/// The most requests that may wait for their turn. More are refused (Klippy knows no limit).
pub(super) const MAX_WAITING: usize = 4096;

/// The most methods that clients may register.
pub(super) const MAX_REMOTE_METHODS: usize = 1024;

/// What is asked of the task that keeps the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// Klippy starts anew: all connections end.
    Restart,
    /// The socket goes away.
    Close,
    /// It comes back.
    Open,
    /// Everything ends.
    Stop,
}

/// Who is to be answered.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) client: u64,
    pub(super) id: Value,
    pub(super) method: String,
}

/// Something that needs G-code to be at rest.
#[derive(Debug)]
pub(super) enum Work {
    /// G-code.
    Script(String),
    /// The endpoint `query_endstops/status`.
    Endstops,
}

/// Work with the one who waits for its end, if any.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) ticket: Option<Ticket>,
}

/// A connection.
pub(super) struct Client {
    sender: Sender<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
    /// How the lines of the terminal are sent, if they are wanted.
    pub(super) terminal: Option<Template>,
}

/// The other end of a client's queue.
pub(super) struct Outgoing {
    receiver: Receiver<Vec<u8>>,
    waiting: Arc<AtomicUsize>,
}

impl Outgoing {
    /// The next message; nothing once the client has been dropped and all is sent.
    pub(super) async fn next(&self) -> Option<Vec<u8>> {
        self.receiver.recv().await.ok()
    }

    /// A message has been sent.
    pub(super) fn sent(&self, message: &[u8]) {
        self.waiting.fetch_sub(message.len(), Ordering::Relaxed);
    }
}

/// What is behind the lock.
pub(super) struct World {
    pub(super) printer: Printer,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) queries: Queries,
    pub(super) jobs: VecDeque<Job>,
    /// G-code is being run.
    pub(super) busy: bool,
    /// Who has registered which method.
    pub(super) remote: BTreeMap<String, BTreeMap<u64, Template>>,
    pub(super) delayed: Vec<(Instant, u64, Vec<u8>)>,
    pub(super) faults: Faults,
    pub(super) record: Record,
    /// What `SAVE_CONFIG` has stored where there is no file for it.
    pub(super) saved: Sections,
}

impl World {
    /// Whether one more request may wait.
    ///
    /// # Errors
    /// What the client is told if not.
    pub(super) fn check_waiting(&self) -> Result<(), String> {
        if self.jobs.len() + self.queries.waiting() >= MAX_WAITING {
            return Err("Too many requests are waiting".to_owned());
        }
        Ok(())
    }

    /// A new connection.
    pub(super) fn connect(&mut self) -> (u64, Outgoing) {
        let (sender, receiver) = unbounded();
        let waiting = Arc::new(AtomicUsize::new(0));
        self.record.connections += 1;
        let number = self.record.connections;
        self.clients.insert(number, Client { sender, waiting: waiting.clone(), terminal: None });
        (number, Outgoing { receiver, waiting })
    }

    /// Ends a connection, after what waits for it has been sent.
    pub(super) fn disconnect(&mut self, client: u64) {
        self.clients.remove(&client);
        self.queries.forget(client);
        self.jobs.iter_mut().for_each(|job| {
            job.ticket.take_if(|ticket| ticket.client == client);
        });
        self.delayed.retain(|(_, other, _)| *other != client);
    }

    /// Sends a message, whatever it is. A client with too much waiting is dropped.
    pub(super) fn send(&mut self, client: u64, message: Vec<u8>) {
        let Some(target) = self.clients.get(&client) else {
            return;
        };
        let length = message.len();
        let full = target.waiting.fetch_add(length, Ordering::Relaxed) + length > MAX_OUTBOX;
        if full || target.sender.try_send(message).is_err() {
            self.disconnect(client);
        }
    }

    /// Answers a request: a result as JSON text, or an error's message.
    pub(super) fn answer(&mut self, ticket: &Ticket, result: Result<&str, &str>) {
        if ticket.id.is_null() || self.faults.mute.contains(&ticket.method) {
            return;
        }
        let message = answer(&ticket.id, result);
        match self.faults.delays.get(&ticket.method) {
            Some(delay) => self.delayed.push((Instant::now() + *delay, ticket.client, message)),
            None => self.send(ticket.client, message),
        }
    }

    /// Sends the delayed messages whose time has come. Says when the next one's comes.
    pub(super) fn deliver_due(&mut self, now: Instant) -> Option<Instant> {
        let (due, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.delayed).into_iter().partition(|(time, ..)| *time <= now);
        self.delayed = waiting;
        for (_, client, message) in due {
            self.send(client, message);
        }
        self.delayed.iter().map(|(time, ..)| *time).min()
    }

    /// Calls a method that clients have registered. Says how many there are.
    pub(super) fn call_remote(&mut self, method: &str, params: &str) -> usize {
        let Some(registered) = self.remote.get_mut(method) else {
            return 0;
        };
        registered.retain(|client, _| self.clients.contains_key(client));
        let messages: Vec<(u64, Vec<u8>)> =
            registered.iter().map(|(client, template)| (*client, template.message(params))).collect();
        let count = messages.len();
        for (client, message) in messages {
            self.send(client, message);
        }
        count
    }

    /// Sends a line of the terminal to those who want it.
    pub(super) fn respond(&mut self, line: &str) {
        let params = format!(r#"{{"response":{}}}"#, to_text(line));
        let messages: Vec<(u64, Vec<u8>)> = self
            .clients
            .iter()
            .filter_map(|(number, client)| Some((*number, client.terminal.as_ref()?.message(&params))))
            .collect();
        for (client, message) in messages {
            self.send(client, message);
        }
    }

    /// Sends what the printer has to say, and queues what it wants to be run.
    pub(super) fn flush(&mut self) {
        if !self.printer.output.is_empty() {
            for line in std::mem::take(&mut self.printer.output) {
                if !self.faults.hung {
                    self.respond(&line);
                }
            }
        }
        for call in std::mem::take(&mut self.printer.remote_calls) {
            if self.call_remote(&call.method, &to_text(&call.params)) == 0 {
                log::debug!("Simulated Klippy: remote method '{}' not registered", call.method);
            }
        }
        for script in std::mem::take(&mut self.printer.wanted) {
            self.jobs.push_back(Job { work: Work::Script(script), ticket: None });
        }
    }

    /// Runs a tick, or only answers what waits.
    pub(super) fn tick(&mut self, now: Seconds, event_time: Seconds, answers_only: bool) -> bool {
        if self.faults.hung {
            return true;
        }
        let mut source = Source { printer: &mut self.printer, faults: &self.faults, now, event_time };
        let (messages, again) = if answers_only {
            (self.queries.answer_now(&mut source), true)
        } else {
            self.queries.tick(&mut source)
        };
        for message in messages {
            match message {
                Message::Answer(ticket, result) => self.answer(&ticket, Ok(&result)),
                Message::Push(client, bytes) => self.send(client, bytes),
            }
        }
        again
    }
}

/// The world with the clock and what wakes the tasks.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) clock: Clock,
    world: Mutex<World>,
    /// Notified after every change, for tests that wait.
    pub(super) changed: Condvar,
    pub(super) signals: Sender<Signal>,
    /// There is a job, or a print to go on with.
    pub(super) runner: Notify,
    /// G-code that waits is to look around.
    pub(super) interrupt: Notify,
    /// There are queries or subscriptions.
    pub(super) ticker: Notify,
    /// There is a delayed answer.
    pub(super) delayer: Notify,
}

impl Shared {
    /// A world in which Klippy is about to start.
    pub(super) fn new(options: Options, signals: Sender<Signal>) -> Self {
        let world = World {
            printer: Printer::new(&options),
            clients: BTreeMap::new(),
            queries: Queries::default(),
            jobs: VecDeque::new(),
            busy: false,
            remote: BTreeMap::new(),
            delayed: Vec::new(),
            faults: Faults::default(),
            record: Record::new(options.record),
            saved: Sections::default(),
        };
        Self {
            clock: Clock::new(options.speed.max(0.001)),
            options,
            world: Mutex::new(world),
            changed: Condvar::new(),
            signals,
            runner: Notify::new(),
            interrupt: Notify::new(),
            ticker: Notify::new(),
            delayer: Notify::new(),
        }
    }

    /// The world as it is, without letting time pass.
    pub(super) fn look(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Lets time pass up to now, changes something, sends what comes of it, and wakes who has to do with it.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut World, Seconds) -> T) -> T {
        let mut world = lock(&self.world);
        let now = self.clock.now();
        let was_shutdown = world.printer.is_shutdown();
        let busy = world.busy;
        world.printer.advance(now, busy);
        let result = change(&mut world, now);
        world.flush();
        if world.printer.is_shutdown() && !was_shutdown {
            self.interrupt.notify();
            self.runner.notify();
        }
        if !world.busy && (!world.jobs.is_empty() || world.is_printing()) {
            self.runner.notify();
        }
        if world.queries.has_work() {
            self.ticker.notify();
        }
        if !world.delayed.is_empty() {
            self.delayer.notify();
        }
        drop(world);
        self.changed.notify_all();
        result
    }

    /// Klippy ends and starts anew: what orders a test has given stays.
    pub(super) fn begin(&self) {
        let mut world = lock(&self.world);
        world.printer = Printer::new(&self.options);
        let clients: Vec<u64> = world.clients.keys().copied().collect();
        for client in clients {
            world.disconnect(client);
        }
        world.queries = Queries::default();
        world.jobs.clear();
        world.delayed.clear();
        world.remote.clear();
        world.busy = false;
        for notify in [&self.runner, &self.interrupt, &self.ticker, &self.delayer] {
            notify.clear();
        }
        drop(world);
        self.changed.notify_all();
    }

    /// Asks the task that keeps the socket for something.
    pub(super) fn signal(&self, signal: Signal) {
        // it has ended: nothing to ask any more
        let _ = self.signals.try_send(signal);
    }
}

impl World {
    /// Whether the virtual SD card is being printed.
    fn is_printing(&self) -> bool {
        self.printer.machine.as_ref().is_some_and(|machine| machine.sd.active)
    }
}
