//! The simulated printer of the tests: quick, quiet, and with its strings in the tests' hands.

use std::path::{Path, PathBuf};
use std::time::Duration;

use perigee::demo::klippy::{Controls, Options, Received, Simulator};
use serde_json::{Value, json};

pub use perigee::demo::klippy::State;

use crate::harness::{Perigee, Setup, eventually};

/// How long an answer that is held back waits.
const HELD: Duration = Duration::from_millis(1500);

/// The G-code file that the project brings along.
pub fn sample() -> &'static [u8] {
    perigee::demo::SAMPLE_GCODE.as_bytes()
}

/// A simulated Klippy that ends with its value.
pub struct Sim {
    simulator: Simulator,
    controls: Controls,
}

impl Sim {
    /// A printer at the place where this server will look for it, ready at once.
    pub fn start(setup: &Setup) -> Self {
        Self::start_with(setup, |_| {})
    }

    /// A printer and a server that has found it ready.
    pub fn ready() -> (Self, Perigee) {
        let setup = Setup::new();
        let sim = Self::start(&setup);
        let server = setup.start();
        server.wait_for_klippy("ready");
        (sim, server)
    }

    pub fn start_with(setup: &Setup, change: impl FnOnce(&mut Options)) -> Self {
        Self::at(&setup.klippy_socket(), setup.data().join("gcodes"), change)
    }

    /// A printer that prints an hour in two seconds.
    pub fn fast(setup: &Setup) -> Self {
        Self::start_with(setup, |options| options.speed = 2000.0)
    }

    /// One that is in a state from the start.
    pub fn start_in(setup: &Setup, state: State) -> Self {
        let sim = Self::start(setup);
        assert!(sim.controls.wait_for_state("ready"));
        sim.controls.set_state(state);
        sim
    }

    pub fn at(socket: &Path, gcodes: PathBuf, change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::new(socket, gcodes);
        options.speed = 50.0;
        options.tick = Duration::from_millis(20);
        options.startup = Duration::from_millis(1);
        options.restart = Duration::from_millis(30);
        options.noise = false;
        change(&mut options);
        let simulator = Simulator::start(options).expect("the simulator starts");
        Self { controls: simulator.controls(), simulator }
    }

    /// Everything that a test can do to it.
    pub fn controls(&self) -> &Controls {
        &self.controls
    }

    /// Answers of an endpoint come late from now on.
    pub fn hold(&self, endpoint: &str) {
        self.controls.delay(endpoint, HELD);
    }

    /// Answers of an endpoint never come from now on.
    pub fn mute(&self, endpoint: &str) {
        self.controls.mute(endpoint);
    }

    /// An endpoint is as it was.
    pub fn restore(&self, endpoint: &str) {
        self.controls.restore(endpoint);
    }

    /// The requests so far, as they came.
    pub fn requests(&self) -> Vec<Value> {
        self.controls.requests().iter().map(message).collect()
    }

    /// Those to one endpoint.
    pub fn requests_of(&self, endpoint: &str) -> Vec<Value> {
        self.controls.requests_to(endpoint).iter().map(message).collect()
    }

    /// Whether there was a request to an endpoint with this in it.
    pub fn has_received(&self, endpoint: &str, text: &str) -> bool {
        self.requests_of(endpoint).iter().any(|request| request.to_string().contains(text))
    }

    /// Waits for such a request.
    #[track_caller]
    pub fn expect(&self, endpoint: &str, text: &str) {
        eventually(&format!("{endpoint} with {text}"), || self.has_received(endpoint, text).then_some(()));
    }

    /// An endpoint, one of Klippy's own or another, answers with this result.
    pub fn answer(&self, endpoint: &str, result: &Value) {
        self.controls.add_endpoint(endpoint, result);
    }

    /// Waits for the next request to a muted endpoint and answers it with this text, from after its id up to the
    /// end of the message.
    pub fn answer_with(&self, endpoint: &str, rest: &str) {
        let request = self.controls.wait_for_request(endpoint, |_| true).expect("a request in time");
        self.controls.clear_requests();
        self.send_bytes(format!("{{\"id\":{}{rest}}}\x03", request.id).as_bytes());
    }

    /// Writes a line to the terminal.
    pub fn respond(&self, text: &str) {
        self.controls.respond(text);
    }

    /// Runs G-code as if typed at the printer, and waits until it is done.
    #[track_caller]
    pub fn run(&self, script: &str) {
        self.controls.run_gcode(script);
        assert!(self.controls.wait_for_gcode(), "{script} did not end");
    }

    /// Sends a message to all clients.
    pub fn send(&self, message: &Value) {
        self.send_bytes(format!("{message}\x03").as_bytes());
    }

    /// Sends bytes to all clients.
    pub fn send_bytes(&self, bytes: &[u8]) {
        self.controls.send_raw(bytes);
    }

    pub fn drop_connections(&self) {
        self.controls.drop_connections();
    }

    /// Ends it; its socket goes too.
    pub fn stop(self) {
        self.simulator.stop();
    }
}

fn message(request: &Received) -> Value {
    json!({"id": request.id, "method": request.method, "params": request.params})
}
