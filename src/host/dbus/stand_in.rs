//! A real bus with stand-ins for systemd, logind and polkit on it, for tests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use zbus::fdo;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};

use crate::sync::lock;

const CONFIG: &str = include_str!("../../../tests/fixtures/dbus/system.conf");

/// What the stand-ins were asked, and what they are to do.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) asked: Vec<String>,
    /// Refuse everything, as polkit has it.
    pub(crate) refuse: bool,
}

pub(crate) type Shared = Arc<Mutex<Record>>;

/// The bus daemon, ended with this.
pub(crate) struct Daemon(Child);

impl Daemon {
    /// Starts the daemon of a machine. `None` where it is not installed, which CI does not let pass.
    pub(crate) fn start(machine: &Path) -> Option<Self> {
        let folder = machine.join("run/dbus");
        std::fs::create_dir_all(&folder).unwrap();
        let socket = folder.join("system_bus_socket");
        let _ = std::fs::remove_file(&socket);
        let config = folder.join("bus.conf");
        std::fs::write(&config, CONFIG.replace("SOCKET", &socket.to_string_lossy())).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.arg("--config-file").arg(config).arg("--nofork").arg("--nopidfile").stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            assert!(std::env::var_os("CI").is_none(), "dbus-daemon is not installed");
            return None;
        };
        let daemon = Self(child);
        let start = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "dbus-daemon does not start");
            std::thread::yield_now();
        }
        Some(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The services on the bus.
pub(crate) struct StandIns {
    connection: zbus::Connection,
}

type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn path(text: &str) -> OwnedObjectPath {
    OwnedObjectPath::try_from(text.to_owned()).unwrap()
}

struct Systemd(Shared);

impl Systemd {
    fn job(&self, what: String) -> fdo::Result<OwnedObjectPath> {
        let mut record = lock(&self.0);
        record.asked.push(what);
        if record.refuse {
            return Err(fdo::Error::InteractiveAuthorizationRequired("ask somebody".into()));
        }
        Ok(path("/org/freedesktop/systemd1/job/1"))
    }
}

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Systemd {
    fn subscribe(&self) {
        lock(&self.0).asked.push("subscribe".into());
    }

    fn list_units_filtered(&self, states: Vec<String>) -> Vec<Listed> {
        assert_eq!(states, ["loaded"]);
        let unit = |name: &str, active: &str, sub: &str| {
            let text = |text: &str| text.to_owned();
            (
                text(name),
                text("A unit"),
                text("loaded"),
                text(active),
                text(sub),
                String::new(),
                path("/org/freedesktop/systemd1/unit/x"),
                0,
                String::new(),
                path("/"),
            )
        };
        vec![
            unit("klipper.service", "active", "running"),
            unit("klipper-2.service", "inactive", "dead"),
            unit("ssh.service", "active", "running"),
            unit("klipper.socket", "active", "listening"),
        ]
    }

    fn start_unit(&self, name: &str, mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job(format!("start {name} {mode}"))
    }

    fn stop_unit(&self, name: &str, mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job(format!("stop {name} {mode}"))
    }

    fn restart_unit(&self, name: &str, mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job(format!("restart {name} {mode}"))
    }
}

struct Logind(Shared);

impl Logind {
    fn act(&self, what: &str, interactive: bool) -> fdo::Result<()> {
        let mut record = lock(&self.0);
        record.asked.push(format!("{what} {interactive}"));
        if record.refuse { Err(fdo::Error::AccessDenied("Permission denied".into())) } else { Ok(()) }
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Logind {
    fn power_off(&self, interactive: bool) -> fdo::Result<()> {
        self.act("power off", interactive)
    }

    fn halt(&self, interactive: bool) -> fdo::Result<()> {
        self.act("halt", interactive)
    }

    fn reboot(&self, interactive: bool) -> fdo::Result<()> {
        self.act("reboot", interactive)
    }
}

struct Polkit(Shared);

type Subject = (String, BTreeMap<String, OwnedValue>);

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    fn check_authorization(
        &self,
        subject: Subject,
        action: &str,
        _details: BTreeMap<String, String>,
        flags: u32,
        _cancellation: &str,
    ) -> (bool, bool, BTreeMap<String, String>) {
        let pid = subject.1.get("pid").and_then(|pid| u32::try_from(pid).ok());
        assert_eq!((subject.0.as_str(), pid, flags), ("unix-process", Some(std::process::id()), 0));
        assert!(
            subject.1.get("start-time").is_some_and(|time| u64::try_from(time).is_ok_and(|time| time > 0))
        );
        let mut record = lock(&self.0);
        record.asked.push(format!("check {action}"));
        (!record.refuse, false, BTreeMap::new())
    }
}

impl StandIns {
    /// Puts them on the bus of a machine.
    pub(crate) async fn start(machine: &Path, record: &Shared) -> Self {
        let address = format!("unix:path={}", machine.join("run/dbus/system_bus_socket").display());
        let builder = zbus::connection::Builder::address(address.as_str()).unwrap();
        let builder = builder.serve_at(super::SYSTEMD.path, Systemd(record.clone())).unwrap();
        let builder = builder.serve_at(super::LOGIND.path, Logind(record.clone())).unwrap();
        let builder = builder.serve_at(super::POLKIT.path, Polkit(record.clone())).unwrap();
        let builder = builder.name(super::SYSTEMD.service).unwrap().name(super::LOGIND.service).unwrap();
        let connection = builder.name(super::POLKIT.service).unwrap().build().await.unwrap();
        Self { connection }
    }

    /// A signal of systemd that a unit has other states.
    pub(crate) async fn change(&self, unit_path: &str, states: &[(&str, &str)]) {
        let values: BTreeMap<&str, Value<'_>> =
            states.iter().map(|(key, state)| (*key, Value::from(*state))).collect();
        let body = ("org.freedesktop.systemd1.Unit", values, Vec::<&str>::new());
        let path = format!("/org/freedesktop/systemd1/unit/{unit_path}");
        let sent = self.connection.emit_signal(
            None::<&str>,
            path.as_str(),
            "org.freedesktop.DBus.Properties",
            "PropertiesChanged",
            &body,
        );
        sent.await.unwrap();
    }
}
