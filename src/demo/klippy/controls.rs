//! What a test can do to a simulated Klippy that no client can.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::gcode::CommandError;
use super::printer::State;
use super::record::Received;
use super::request::Template;
use super::world::{Job, Shared, Signal, Work, World};
use crate::json::to_text;

/// How long waiting methods wait at most.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The strings of the puppet: what clients do not get to. Cheap to clone; every method may be called from any
/// thread, and what it orders is in force when it returns. Orders that last (delays, objects, endpoints …) last over
/// restarts of Klippy.
#[derive(Clone)]
pub struct Controls {
    shared: Arc<Shared>,
}

impl Controls {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn order<T>(&self, change: impl FnOnce(&mut World) -> T) -> T {
        self.shared.with(|world, _| change(world))
    }

    // --- state ---

    /// Puts Klippy into a state. `Startup` lasts until another state is set; `Ready` reads the configuration if
    /// that has not been done.
    pub fn set_state(&self, state: State) {
        self.shared.with(|world, now| {
            world.faults.hold = state == State::Startup;
            match state {
                State::Ready if world.printer.machine.is_none() => {
                    world.printer.start(&self.shared.options, &world.saved, now);
                }
                state => world.printer.set_state(state, now),
            }
        });
    }

    /// The state.
    pub fn state(&self) -> State {
        self.shared.look().printer.state.clone()
    }

    /// Restarts Klippy as `RESTART` does, but at once.
    pub fn restart(&self) {
        self.shared.signal(Signal::Restart);
    }

    /// Runs G-code, as if typed at the printer, and does not wait for it.
    pub fn run_gcode(&self, script: &str) {
        let job = Job { work: Work::Script(script.to_owned()), ticket: None };
        self.order(|world| world.jobs.push_back(job));
    }

    /// The filament sensor of this name sees filament, or does not; the first one without a name. While printing,
    /// its end pauses the print.
    pub fn set_filament(&self, name: Option<&str>, present: bool) {
        self.shared.with(|world, now| world.printer.set_filament(name, present, now));
    }

    // --- answers ---

    /// Holds every answer of an endpoint back for this long.
    pub fn delay(&self, endpoint: &str, delay: Duration) {
        self.order(|world| world.faults.delays.insert(endpoint.to_owned(), delay));
    }

    /// Answers of this endpoint are not sent (its work is done all the same).
    pub fn mute(&self, endpoint: &str) {
        self.order(|world| world.faults.mute.insert(endpoint.to_owned()));
    }

    /// An endpoint does nothing, and answers with this error.
    pub fn fail(&self, endpoint: &str, message: &str) {
        self.order(|world| world.faults.errors.insert(endpoint.to_owned(), message.to_owned()));
    }

    /// Takes back [`Self::delay`], [`Self::mute`], [`Self::fail`], [`Self::add_endpoint`] and
    /// [`Self::remove_endpoint`] for an endpoint.
    pub fn restore(&self, endpoint: &str) {
        self.order(|world| {
            world.faults.delays.remove(endpoint);
            world.faults.mute.remove(endpoint);
            world.faults.errors.remove(endpoint);
            world.faults.endpoints.remove(endpoint);
            world.faults.missing_endpoints.remove(endpoint);
        });
    }

    /// Queries are answered at once instead of at the next tick, or no longer. Pushes keep to the tick.
    pub fn answer_at_once(&self, at_once: bool) {
        self.order(|world| world.faults.at_once = at_once);
    }

    /// Klippy hangs: it keeps its connections, but reads and sends nothing until it is told to go on.
    pub fn hang(&self, hung: bool) {
        self.order(|world| world.faults.hung = hung);
    }

    /// Adds an endpoint with a fixed answer.
    pub fn add_endpoint(&self, endpoint: &str, answer: &Value) {
        self.order(|world| world.faults.endpoints.insert(endpoint.to_owned(), to_text(answer)));
    }

    /// Takes an endpoint away.
    pub fn remove_endpoint(&self, endpoint: &str) {
        self.order(|world| world.faults.missing_endpoints.insert(endpoint.to_owned()));
    }

    // --- objects ---

    /// Gives an object these fields, instead of its own of the same names; makes the object if there is none.
    /// What is no JSON object is ignored.
    pub fn set_object(&self, name: &str, fields: Value) {
        if let Value::Object(fields) = fields {
            self.order(|world| {
                world.faults.missing.remove(name);
                world.faults.objects.entry(name.to_owned()).or_default().extend(fields);
            });
        }
    }

    /// Takes an object away.
    pub fn remove_object(&self, name: &str) {
        self.order(|world| {
            world.faults.objects.remove(name);
            world.faults.missing.insert(name.to_owned());
        });
    }

    /// Lets an object be as it is by itself.
    pub fn restore_object(&self, name: &str) {
        self.order(|world| {
            world.faults.objects.remove(name);
            world.faults.missing.remove(name);
        });
    }

    /// An object as a client would see it now; null if there is none.
    pub fn object(&self, name: &str) -> Value {
        self.shared.with(|world, now| {
            let printer = &mut world.printer;
            let own = || printer.object(name, now, self.shared.clock.event_time());
            let status = world.faults.status(name, own);
            status.and_then(|status| serde_json::from_str(&status.to_json()).ok()).unwrap_or_default()
        })
    }

    // --- messages to clients ---

    /// Sends bytes to every client as they are: half frames, garbage, frames of any size.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.order(|world| {
            let clients: Vec<u64> = world.clients.keys().copied().collect();
            for client in clients {
                world.send(client, bytes.to_owned());
            }
        });
    }

    /// Sends every client a well-formed message of about this many bytes, which nobody has asked for.
    pub fn send_huge(&self, bytes: usize) {
        let filler = format!("\"{}\"", "x".repeat(bytes));
        let template: Map<String, Value> = [("method".to_owned(), "huge".into())].into_iter().collect();
        self.send_raw(&Template::new(Some(&template)).message(&filler));
    }

    /// Writes a line to the terminal, as it is.
    pub fn respond(&self, line: &str) {
        self.order(|world| world.printer.output.push(line.to_owned()));
    }

    /// Calls a method that clients have registered. Says how many clients.
    pub fn call_remote_method(&self, method: &str, params: &Value) -> usize {
        self.order(|world| world.call_remote(method, &to_text(params)))
    }

    // --- connections ---

    /// Ends all connections; what was sent before arrives.
    pub fn drop_connections(&self) {
        self.order(|world| {
            let clients: Vec<u64> = world.clients.keys().copied().collect();
            for client in clients {
                world.disconnect(client);
            }
        });
    }

    /// Removes the socket: there are no new connections until [`Self::open_listener`]. Waits until it is gone.
    pub fn close_listener(&self) {
        self.shared.signal(Signal::Close);
        self.wait_for(|world| (!world.record.listening).then_some(()));
    }

    /// Makes the socket anew. Waits until it is there.
    pub fn open_listener(&self) {
        self.shared.signal(Signal::Open);
        self.wait_for(|world| world.record.listening.then_some(()));
    }

    /// How many connections there are now.
    pub fn connections(&self) -> usize {
        self.shared.look().clients.len()
    }

    /// How many there have been in all.
    pub fn connections_total(&self) -> u64 {
        self.shared.look().record.connections
    }

    // --- what clients did ---

    /// The requests that were received, the oldest first.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.look().record.requests().cloned().collect()
    }

    /// Those to one endpoint.
    pub fn requests_to(&self, endpoint: &str) -> Vec<Received> {
        self.shared.look().record.requests().filter(|request| request.method == endpoint).cloned().collect()
    }

    /// How many frames were no request.
    pub fn garbage(&self) -> u64 {
        self.shared.look().record.garbage
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.order(|world| world.record.clear());
    }

    // --- waiting ---

    /// Waits until there is a request to an endpoint that `wanted` takes, and gives it; nothing after
    /// [`PATIENCE`].
    pub fn wait_for_request(&self, endpoint: &str, wanted: impl Fn(&Received) -> bool) -> Option<Received> {
        self.wait_for(|world| {
            world.record.requests().find(|request| request.method == endpoint && wanted(request)).cloned()
        })
    }

    /// Waits until this many connections are open. Says whether it came to that within [`PATIENCE`].
    pub fn wait_for_connections(&self, count: usize) -> bool {
        self.wait_for(|world| (world.clients.len() == count).then_some(())).is_some()
    }

    /// Waits until Klippy has been started this often, counted from 1, and can be connected to. Says whether it came
    /// to that within [`PATIENCE`].
    pub fn wait_for_starts(&self, starts: u64) -> bool {
        self.wait_for(|world| (world.record.starts >= starts && world.record.listening).then_some(()))
            .is_some()
    }

    /// Waits for a state. Says whether it came within [`PATIENCE`].
    pub fn wait_for_state(&self, name: &str) -> bool {
        self.wait_for(|world| (world.printer.state.name() == name).then_some(())).is_some()
    }

    /// Waits until all G-code that was sent so far has run. Says whether it came to that within [`PATIENCE`].
    pub fn wait_for_gcode(&self) -> bool {
        self.wait_for(|world| (!world.busy && world.jobs.is_empty()).then_some(())).is_some()
    }

    /// Waits until G-code is being run. Says whether it came to that within [`PATIENCE`].
    pub fn wait_for_busy(&self) -> bool {
        self.wait_for(|world| world.busy.then_some(())).is_some()
    }

    fn wait_for<T>(&self, look: impl Fn(&World) -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        let mut world = self.shared.look();
        loop {
            if let Some(found) = look(&world) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.shared.changed.wait_timeout(world, left);
            world = waited.map_or_else(|poisoned| poisoned.into_inner().0, |(world, _)| world);
        }
    }
}

/// Klippy's refusals come out as their texts.
impl From<CommandError> for String {
    fn from(error: CommandError) -> Self {
        error.0
    }
}
