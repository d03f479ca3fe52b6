//! The simulator as a client sees it, over a real socket.

mod controls;
mod errors;
mod print;
mod sample;
mod state;
mod status;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Controls, Options, Simulator};

/// How long a client of these tests waits for a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// A simulator with a folder of its own, both gone at the end.
struct Bench {
    simulator: Option<Simulator>,
    folder: PathBuf,
}

impl Bench {
    /// A printer that is as fast as it can be, and ready at once.
    fn fast() -> Self {
        Self::new(|options| options.speed = 1000.0)
    }

    fn new(change: impl FnOnce(&mut Options)) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("perigee-sim-{}-{number}", std::process::id()));
        fs::create_dir_all(folder.join("gcodes")).unwrap();
        let mut options = Options::new(folder.join("klippy_uds"), folder.join("gcodes"));
        options.config_file = folder.join("printer.cfg");
        options.tick = Duration::from_millis(20);
        options.startup = Duration::from_millis(1);
        options.restart = Duration::from_millis(10);
        change(&mut options);
        // half an hour of a fast printer is over before a slow machine gets to the next line
        options.extra_config.push_str("\n[idle_timeout]\ntimeout: 1000000000\n");
        Self { simulator: Some(Simulator::start(options).unwrap()), folder }
    }

    fn controls(&self) -> Controls {
        self.simulator.as_ref().unwrap().controls()
    }

    /// A client that has waited until Klippy is ready.
    fn client(&self) -> Client {
        assert!(self.controls().wait_for_state("ready"));
        self.early_client()
    }

    fn early_client(&self) -> Client {
        Client::connect(self.simulator.as_ref().unwrap().socket())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join("gcodes").join(name), text).unwrap();
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.simulator.take());
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A simple client.
struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
    searched: usize,
    /// Messages that came while another was waited for.
    other: Vec<Value>,
    last_id: u64,
}

impl Client {
    fn connect(socket: &std::path::Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, buffer: Vec::new(), searched: 0, other: Vec::new(), last_id: 0 }
    }

    fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn send(&mut self, method: &str, params: &Value) -> u64 {
        self.last_id += 1;
        let text = json!({ "id": self.last_id, "method": method, "params": params }).to_string();
        self.send_raw(format!("{text}\x03").as_bytes());
        self.last_id
    }

    /// The next bytes up to the end of a frame; nothing at the end of the connection.
    fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = memchr::memchr(3, &self.buffer[self.searched..]) {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut frame = std::mem::replace(&mut self.buffer, rest);
                frame.pop();
                self.searched = 0;
                return Some(frame);
            }
            self.searched = self.buffer.len();
            let mut chunk = vec![0; 1 << 16];
            let read = self.stream.read(&mut chunk).ok()?;
            if read == 0 {
                return None;
            }
            self.buffer.extend_from_slice(&chunk[..read]);
        }
    }

    fn message(&mut self) -> Option<Value> {
        self.frame().map(|frame| serde_json::from_slice(&frame).unwrap())
    }

    /// The answer of a request, leaving other messages for later.
    fn answer(&mut self, id: u64) -> Value {
        loop {
            let message = self.message().expect("an answer");
            if message["id"] == id {
                return message;
            }
            self.other.push(message);
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, &params);
        let answer = self.answer(id);
        assert!(answer["error"].is_null(), "{method} {params}: {answer}");
        answer["result"].clone()
    }

    fn error(&mut self, method: &str, params: Value) -> String {
        let id = self.send(method, &params);
        let answer = self.answer(id);
        assert_eq!(answer["error"]["error"], "WebRequestError", "{method} {params}: {answer}");
        answer["error"]["message"].as_str().unwrap().to_owned()
    }

    fn gcode(&mut self, script: &str) {
        assert_eq!(self.call("gcode/script", json!({ "script": script })), json!({}));
    }

    fn gcode_error(&mut self, script: &str) -> String {
        self.error("gcode/script", json!({ "script": script }))
    }

    /// All fields of an object.
    fn object(&mut self, name: &str) -> Value {
        self.call("objects/query", json!({ "objects": { name: null } }))["status"][name].clone()
    }

    /// Takes the next message that is wanted, whether it has come or is to come.
    fn wait<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> T {
        for at in 0..self.other.len() {
            if let Some(found) = wanted(&self.other[at]) {
                self.other.drain(..=at);
                return found;
            }
        }
        self.other.clear();
        loop {
            let message = self.message().expect("a message");
            if let Some(found) = wanted(&message) {
                return found;
            }
        }
    }

    /// Subscribes to the terminal.
    fn watch_terminal(&mut self) {
        self.call("gcode/subscribe_output", json!({ "response_template": { "method": "output" } }));
    }

    /// The lines of the terminal that have come so far.
    fn terminal(&mut self) -> Vec<String> {
        let lines = self.other.iter().filter(|message| message["method"] == "output");
        let lines = lines.map(|message| message["params"]["response"].as_str().unwrap().to_owned()).collect();
        self.other.clear();
        lines
    }

    /// Whether the connection ends, with what comes before.
    fn ends(&mut self) -> bool {
        while self.frame().is_some() {}
        let mut byte = [0];
        matches!(self.stream.read(&mut byte), Ok(0)) || self.stream.read(&mut byte).is_err()
    }
}
