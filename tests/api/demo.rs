//! `perigee demo`: the printer to try it on.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::server::binary;
use crate::harness::websocket::{self, upgrade_request};
use crate::harness::{Client, Http, Request, Setup, TempDir, eventually};

/// A demo that ends with its value, and the address that it says.
struct Demo {
    child: Child,
    address: SocketAddr,
    said: String,
}

impl Demo {
    fn start(change: impl FnOnce(&mut Command)) -> Self {
        // a port that was free a moment ago; the demo serves on 127.0.0.1
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = binary();
        command.args(["demo", "--port", &port.to_string(), "--speed", "10000"]).stdout(Stdio::piped());
        change(&mut command);
        let child = command.spawn().unwrap();
        let mut demo =
            Self { child, address: SocketAddr::new([127, 0, 0, 1].into(), port), said: String::new() };
        let mut output = BufReader::new(demo.child.stdout.take().unwrap());
        demo.address = loop {
            assert_ne!(output.read_line(&mut demo.said).unwrap(), 0, "the demo ended: {}", demo.said);
            let url = demo.said.split_once("A simulated printer is at http://");
            if let Some(url) = url.and_then(|(_, rest)| rest.split(' ').next()) {
                break url.parse().unwrap();
            }
        };
        // it may say more later, and must not be stopped by a full pipe
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        demo
    }

    fn get(&self, target: &str) -> Value {
        Http::connect(self.address).unwrap().send(&Request::get(target)).result()
    }

    fn stop(&mut self) -> Option<i32> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_sample_is_there_and_can_be_printed() {
    let mut demo = Demo::start(|_| {});
    eventually("the printer", || (demo.get("/server/info")["klippy_state"] == "ready").then_some(()));
    let files = demo.get("/server/files/list");
    let name = files[0]["path"].as_str().unwrap_or_else(|| panic!("no sample in {files}")).to_owned();
    let metadata = demo.get(&format!("/server/files/metadata?filename={name}"));
    assert_matches(
        &metadata,
        &json!({"slicer": "PrusaSlicer", "estimated_time": {"$min": 1}, "thumbnails": {"$type": "array"}}),
    );
    let socket =
        websocket::open(demo.address, &upgrade_request("/websocket")).unwrap_or_else(|r| panic!("{r:?}"));
    let mut client = Client::over(socket);
    client.call("printer.objects.subscribe", json!({"objects": {"print_stats": null}}));
    client.call("printer.print.start", json!({"filename": name}));
    client.expect_where("notify_status_update", |params| params[0]["print_stats"]["state"] == "complete");
    assert!(!demo.said.contains("panicked"));
    assert_eq!(demo.stop(), Some(0));
}

#[test]
fn its_folder_can_be_chosen_and_stays() {
    let dir = TempDir::new();
    let data = dir.join("demo");
    let mut demo = Demo::start(|command| {
        command.arg("--data").arg(&data);
    });
    eventually("the printer", || (demo.get("/server/info")["klippy_state"] == "ready").then_some(()));
    assert!(data.join("config/moonraker.conf").is_file());
    assert!(std::fs::read_dir(data.join("gcodes")).unwrap().count() > 0);
    assert_eq!(demo.stop(), Some(0));
    assert!(data.join("gcodes").is_dir());
    // its configuration is the user's now, and says the port
    let again = Demo::start(|command| {
        command.arg("--data").arg(&data);
    });
    assert_eq!(again.address, demo.address);
    assert!(again.get("/server/info")["klippy_connected"].is_boolean());
}

#[test]
fn a_folder_of_its_own_goes_at_the_end() {
    let dir = TempDir::new();
    let mut demo = Demo::start(|command| {
        command.env("TMPDIR", dir.path());
    });
    eventually("the printer", || (demo.get("/server/info")["klippy_state"] == "ready").then_some(()));
    assert_eq!(demo.stop(), Some(0));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left in the temporary folder");
}

#[test]
fn the_printer_alone_serves_any_server() {
    let setup = Setup::new();
    let socket = setup.klippy_socket();
    let mut printer = binary()
        .args(["demo", "klippy", "--speed", "100", "--socket"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let server = setup.start();
    server.wait_for_klippy("ready");
    assert_eq!(server.post("/printer/gcode/script", json!({"script": "M117"})).result(), "ok");
    kill(Pid::from_raw(printer.id() as i32), Signal::SIGTERM).unwrap();
    assert!(printer.wait().unwrap().success());
    server.wait_for_klippy("disconnected");
    assert!(!socket.exists());
}

#[test]
fn what_it_does_not_understand_is_said() {
    for args in [
        &["demo", "--port", "x"][..],
        &["demo", "--port", "0"],
        &["demo", "--speed", "-1"],
        &["demo", "--frobnicate"],
    ] {
        let output = binary().args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    let output = binary().args(["demo", "frobnicate"]).output().unwrap();
    assert!(!output.status.success());
}
