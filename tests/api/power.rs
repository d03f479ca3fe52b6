//! Shutdown and reboot of the machine: everything is in order before the power goes.

use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use zbus::fdo;

use crate::harness::machine::Machine;
use crate::harness::{PATIENCE, Setup, eventually};
use crate::sim::Sim;

/// logind, which notes what it is asked for. What it would do then is up to the test.
struct Logind(Sender<&'static str>);

impl Logind {
    fn note(&self, what: &'static str, interactive: bool) -> fdo::Result<()> {
        assert!(!interactive, "nobody is there to ask");
        self.0.send(what).map_err(|error| fdo::Error::Failed(error.to_string()))
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn power_off(&self, interactive: bool) -> fdo::Result<()> {
        self.note("power off", interactive)
    }

    fn halt(&self, interactive: bool) -> fdo::Result<()> {
        self.note("halt", interactive)
    }

    fn reboot(&self, interactive: bool) -> fdo::Result<()> {
        self.note("reboot", interactive)
    }
}

/// The bus of a machine with logind on it.
struct Bus {
    daemon: Child,
    _logind: zbus::Connection,
    asked: Receiver<&'static str>,
}

impl Bus {
    /// None where there is no daemon, which it says.
    fn start(machine: &Machine) -> Option<Self> {
        let socket = machine.root().join("run/dbus/system_bus_socket");
        let config =
            include_str!("../fixtures/dbus/system.conf").replace("SOCKET", &socket.to_string_lossy());
        machine.write("/run/dbus/bus.conf", &config, 0o644);
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(machine.root().join("run/dbus/bus.conf"));
        let Ok(daemon) = command.args(["--nofork", "--nopidfile"]).stderr(Stdio::null()).spawn() else {
            println!("skipped: dbus-daemon is not installed");
            return None;
        };
        eventually("the bus", || std::os::unix::net::UnixStream::connect(&socket).ok());
        let (sender, asked) = mpsc::channel();
        let address = format!("unix:path={}", socket.display());
        let connection = async {
            let builder = zbus::connection::Builder::address(address.as_str())?;
            let builder = builder.serve_at("/org/freedesktop/login1", Logind(sender))?;
            builder.name("org.freedesktop.login1")?.build().await
        };
        let logind = smol::block_on(connection).expect("logind gets on the bus");
        Some(Self { daemon, _logind: logind, asked })
    }

    fn asked(&self) -> &'static str {
        self.asked.recv_timeout(PATIENCE).expect("logind is asked")
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A G-code file that takes longer than the test.
fn long() -> String {
    let lines = (0..20_000).map(|n| format!("G1 X{} Y{} F600\n", 10 + n % 100, 10 + (n * 7) % 100));
    format!("G28\n{}", lines.collect::<String>())
}

#[test]
fn everything_is_in_order_before_the_power_goes() {
    let Some(machine) = Machine::new() else { return };
    let Some(bus) = Bus::start(&machine) else { return };
    let setup = Setup::new().file("gcodes/long.gcode", long()).sections("[machine]\nprovider: none");
    let home = setup.dir.path().to_owned();
    let sim = Sim::fast(&setup);
    let mut server = setup.through(machine.enter(0, &home)).start();
    server.wait_for_klippy("ready");
    let mut client = server.websocket();
    client.call("printer.print.start", json!({"filename": "long.gcode"}));
    let added = |params: &Value| params[0]["action"] == "added";
    client.expect_where("notify_history_changed", added);
    client.call("server.database.post_item", json!({"namespace": "last", "key": "word", "value": 1}));

    assert_eq!(client.call("machine.shutdown", Value::Null), "ok");
    assert_eq!(bus.asked(), "power off");
    // systemd ends all services before it switches the power off
    server.signal(Signal::SIGTERM);
    assert_eq!(client.expect_close(), (Some(1001), "Server Shutdown".to_owned()));
    assert!(server.wait_for_exit().success());

    server.start_again();
    let last = server.get("/server/history/list?limit=1").result()["jobs"][0].take();
    assert_eq!(last["status"], "server_exit", "{last}");
    assert!(last["end_time"].is_f64());
    let word = server.get("/server/database/item?namespace=last&key=word").result();
    assert_eq!(word["value"], 1);
    assert!(!server.info()["warnings"].to_string().contains("database"), "it was closed as it should");

    // a macro may ask too
    server.wait_for_klippy("ready");
    eventually("the remote method", || {
        (sim.controls().call_remote_method("reboot_machine", &json!({})) > 0).then_some(())
    });
    assert_eq!(bus.asked(), "reboot");
    assert!(sim.controls().call_remote_method("shutdown_machine", &json!({})) > 0);
    assert_eq!(bus.asked(), "power off");

    // a container has no power of its own
    server.stop();
    machine.write("/.dockerenv", "", 0o644);
    server.start_again();
    let refused = server.post("/machine/shutdown", json!({})).error(400);
    assert_eq!(refused, "Cannot shutdown from within a docker container");
    assert!(bus.asked.try_recv().is_err());
}
