use serde_json::{Value, json};

use super::*;
use crate::api::outbox::Outgoing;
use crate::api::{Caller, Connection, Connections, Identity, Params, Transport};
use crate::host::services::UnitState;
use crate::klippy;

/// A machine with services in `/etc/init.d`, in a folder of its own.
struct Rig {
    folder: PathBuf,
    machine: Arc<Machine>,
    client: Arc<Connection>,
    _connections: Arc<Connections>,
    executor: Arc<smol::Executor<'static>>,
    warnings: Arc<Warnings>,
    ended: Arc<Mutex<Vec<PowerAction>>>,
    restarts: Arc<Mutex<u32>>,
}

impl Rig {
    fn new(name: &str, provider: Kind) -> Self {
        Self::prepared(name, provider, |_| {})
    }

    fn prepared(name: &str, provider: Kind, prepare: impl FnOnce(&Path)) -> Self {
        Self::validated(name, provider, Validation { service: true, config: true, force: false }, prepare)
    }

    fn validated(name: &str, provider: Kind, validation: Validation, prepare: impl FnOnce(&Path)) -> Self {
        let folder = std::env::temp_dir().join(format!("perigee-machine-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("data")).unwrap();
        let events = Arc::new(Events::default());
        let connections = Connections::new(events.clone());
        let client = connections.open(Transport::Websocket, None, Identity::local()).unwrap();
        let executor = Arc::new(smol::Executor::new());
        let spawner = Spawner::new(&executor);
        let warnings = Arc::new(Warnings::default());
        let options = klippy::Options { socket: folder.join("klippy"), query_from_cache: true };
        let ended: Arc<Mutex<Vec<PowerAction>>> = Arc::default();
        let end = Arc::clone(&ended);
        let restarts = Arc::new(Mutex::new(0));
        let restart = Arc::clone(&restarts);
        let mut parts = Parts {
            host: Host::at(&folder),
            data_path: folder.join("data"),
            config_file: folder.join("data/config/moonraker.conf"),
            klippy: Klippy::new(options, events.clone(), spawner.clone()),
            events,
            warnings: warnings.clone(),
            spawner,
            restart: Arc::new(move || *lock(&restart) += 1),
            end_with: Box::new(move |action| lock(&end).push(action)),
        };
        let shutdown_action = PowerAction::PowerOff;
        let options =
            Options { provider, shutdown_action, sudo_password: None, supervisord_config: None, validation };
        // a machine whose files are changed before the component is made
        prepare(&folder);
        let elsewhere = folder.join("etc/moonraker.conf");
        if elsewhere.is_file() {
            parts.config_file = elsewhere;
        }
        let machine = Machine::new(options, parts);
        Self { machine, folder, client, _connections: connections, executor, warnings, ended, restarts }
    }

    fn write(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn script(&self, name: &str) {
        self.write(&format!("etc/init.d/{name}"), "#!/bin/sh\necho $1 >> \"$0.did\"\n");
    }

    fn did(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(format!("etc/init.d/{name}.did"))).unwrap_or_default()
    }

    /// Runs the machine's tasks until there is something.
    fn until<T>(&self, mut there: impl FnMut() -> Option<T>) -> T {
        let late = async {
            smol::Timer::after(std::time::Duration::from_secs(30)).await;
            panic!("waited in vain");
        };
        let work = async {
            loop {
                match there() {
                    Some(found) => return found,
                    None => smol::Timer::after(std::time::Duration::from_millis(5)).await,
                };
            }
        };
        smol::block_on(self.executor.run(smol::future::or(work, late)))
    }

    fn call(&self, rpc: &str, params: Value) -> std::result::Result<Value, (u16, String)> {
        let endpoints = self.machine.endpoints();
        let endpoint = endpoints.iter().find(|endpoint| endpoint.rpc == rpc).unwrap();
        let Value::Object(params) = params else { panic!() };
        let call = Call { caller: Caller::internal(), params: Params::Map(params), tail: String::new() };
        let reply = smol::block_on(self.executor.run(endpoint.call(call)));
        reply
            .map(|reply| serde_json::from_str(reply.as_str()).unwrap())
            .map_err(|error| (error.status(), error.message().to_owned()))
    }

    fn service(&self, action: &str, service: &str) -> std::result::Result<Value, (u16, String)> {
        self.call(&format!("machine.services.{action}"), json!({"service": service}))
    }

    fn started(self) -> Self {
        self.machine.start();
        self.until(|| (!lock(&self.machine.states).is_empty()).then_some(()));
        self
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn system_info_has_every_field() {
    let rig = Rig::new("info", Kind::Sysv);
    rig.script("S60klipper");
    rig.script("S61moonraker");
    rig.script("S50sshd");
    let rig = rig.started();
    let info = rig.call("machine.system_info", json!({})).unwrap();
    let info = info["system_info"].as_object().unwrap();
    let mut names: Vec<&str> = info.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = [
        "available_services",
        "canbus",
        "cpu_info",
        "distribution",
        "instance_ids",
        "network",
        "provider",
        "python",
        "sd_info",
        "service_state",
        "virtualization",
    ];
    assert_eq!(names, expected);
    assert_eq!(info["provider"], "sysv");
    assert_eq!(info["available_services"], json!(["klipper", "moonraker"]));
    assert_eq!(info["service_state"]["klipper"], json!({"active_state": "inactive", "sub_state": "dead"}));
    assert_eq!(info["instance_ids"], json!({"moonraker": "moonraker", "klipper": "klipper"}));
    assert_eq!(info["sd_info"], json!({}));
    assert_eq!(info["python"]["version"].as_array().unwrap().len(), 5);
}

#[test]
fn actions_on_services() {
    let rig = Rig::new("actions", Kind::Sysv);
    rig.script("S60klipper");
    rig.script("S50sshd");
    let rig = rig.started();
    assert_eq!(rig.service("restart", "klipper").unwrap(), json!("ok"));
    assert_eq!(rig.service("stop", "klipper.service").unwrap(), json!("ok"));
    assert_eq!(rig.did("S60klipper"), "restart\nstop\n");
    assert_eq!(rig.service("stop", "sshd").unwrap_err(), (400, "Service 'sshd' not allowed".into()));
    let missing = rig.service("start", "crowsnest").unwrap_err();
    assert_eq!(missing, (400, "Service 'crowsnest' not installed".into()));
    // installed since
    rig.script("S70crowsnest");
    assert_eq!(rig.service("start", "crowsnest").unwrap(), json!("ok"));
    let (status, _) = rig.call("machine.services.start", json!({})).unwrap_err();
    assert_eq!(status, 400);
}

#[test]
fn the_own_service_can_only_be_restarted() {
    let rig = Rig::new("own", Kind::Sysv);
    rig.script("S61moonraker");
    let rig = rig.started();
    let refused = rig.service("stop", "moonraker").unwrap_err();
    assert_eq!(refused, (400, "Service action 'stop' not available for moonraker".into()));
    assert_eq!(rig.service("restart", "moonraker").unwrap(), json!("ok"));
    // after the answer
    assert_eq!(rig.did("S61moonraker"), "");
    rig.until(|| (rig.did("S61moonraker") == "restart\n").then_some(()));
}

#[test]
fn a_failing_script_is_told() {
    let rig = Rig::new("failing", Kind::Sysv);
    rig.write("etc/init.d/S60klipper", "#!/bin/sh\necho 'no such device' >&2\nexit 1\n");
    let rig = rig.started();
    let failed = rig.service("start", "klipper").unwrap_err();
    assert_eq!(failed, (500, "S60klipper: no such device".into()));
}

#[test]
fn changes_are_told() {
    let rig = Rig::new("changes", Kind::Sysv);
    rig.script("S60klipper");
    rig.script("S62sonar");
    let rig = rig.started();
    rig.write("proc/77/stat", "");
    rig.write("run/klipper.pid", "77\n");
    let message = rig.until(|| rig.client.outbox.try_next());
    let Outgoing::Message(message) = message else { panic!() };
    let message: Value = serde_json::from_str(&message).unwrap();
    let state = json!({"active_state": "active", "sub_state": "running"});
    assert_eq!(message["method"], "notify_service_state_changed");
    assert_eq!(message["params"], json!([{"klipper": state}]));
    assert_eq!(lock(&rig.machine.states)["klipper"], UnitState::of("active", "running"));
    assert_eq!(rig.client.outbox.try_next(), None);
}

#[test]
fn without_a_manager_there_are_no_services() {
    let rig = Rig::new("none", Kind::None);
    rig.script("klipper");
    assert_eq!(rig.service("start", "klipper").unwrap_err().0, 400);
    assert_eq!(rig.service("restart", "moonraker").unwrap(), json!("ok"));
    rig.until(|| (*lock(&rig.restarts) == 1).then_some(()));
    let info = rig.call("machine.system_info", json!({})).unwrap();
    assert_eq!(info["system_info"]["provider"], "none");
    assert_eq!(info["system_info"]["service_state"], json!({}));
}

#[test]
fn a_manager_that_is_not_there_is_warned_of() {
    let rig = Rig::new("absent", Kind::SystemdCli);
    rig.machine.start();
    let warning = rig.until(|| rig.warnings.texts().pop());
    assert_eq!(warning, "[machine]: services cannot be managed: systemctl is not installed");
}

#[test]
fn a_provider_that_this_machine_does_not_have() {
    for (kind, folder) in [(Kind::Sysv, "/etc/init.d"), (Kind::OpenRc, "/run/openrc")] {
        let rig = Rig::new(kind.name(), kind);
        rig.machine.start();
        let warning = rig.until(|| rig.warnings.texts().pop());
        assert!(warning.contains(folder) && warning.contains(kind.name()), "{warning}");
    }
}

#[test]
fn services_do_not_wait_for_the_look_at_the_installation() {
    let rig = Rig::new("beside", Kind::SystemdCli);
    let systemctl = "#!/bin/sh\ncase $1 in\nlist-units) echo 'klipper.service loaded active running Klipper';;\n\
                     show) until [ -e \"$0.go\" ]; do sleep 0.01; done; echo NeedDaemonReload=yes;;\nesac\n";
    rig.write("usr/bin/systemctl", systemctl);
    rig.write(&format!("proc/{}/cgroup", std::process::id()), "0::/system.slice/perigee.service\n");
    rig.machine.start();
    rig.until(|| lock(&rig.machine.states).contains_key("klipper").then_some(()));
    assert_eq!(rig.warnings.texts(), Vec::<String>::new());
    rig.write("usr/bin/systemctl.go", "");
    let warning = rig.until(|| rig.warnings.texts().pop());
    assert!(warning.contains("daemon-reload"), "{warning}");
}

/// Warnings of the installation, after everything has been looked at.
fn installation(rig: &Rig) -> Vec<String> {
    smol::block_on(rig.executor.run(rig.machine.validate()));
    rig.warnings.texts()
}

/// A service whose script knows the process that started this one.
fn service_of_parent(folder: &Path) {
    for place in ["etc/init.d", "run"] {
        std::fs::create_dir_all(folder.join(place)).unwrap();
    }
    let parent = nix::unistd::getppid();
    std::fs::create_dir_all(folder.join(format!("proc/{parent}"))).unwrap();
    std::fs::write(folder.join(format!("proc/{parent}/stat")), "").unwrap();
    std::fs::write(folder.join("run/perigee.pid"), parent.to_string()).unwrap();
    std::fs::write(folder.join("etc/init.d/S60perigee"), "#!/bin/sh\n").unwrap();
}

#[test]
fn only_a_service_is_looked_at_unless_forced() {
    let all = Validation { service: true, config: true, force: false };
    assert_eq!(installation(&Rig::new("hand", Kind::Sysv)), Vec::<String>::new());
    let forced = Validation { force: true, ..all };
    for (kind, word) in [(Kind::Sysv, "no service of sysv"), (Kind::None, "no service manager")] {
        let rig = Rig::validated("forced", kind, forced, |_| {});
        let warnings = installation(&rig);
        assert!(warnings[0].contains(word), "{warnings:?}");
        let rig = Rig::validated("off", kind, Validation { service: false, ..forced }, |_| {});
        assert_eq!(installation(&rig), Vec::<String>::new());
    }
    let rig = Rig::validated("service", Kind::Sysv, forced, service_of_parent);
    assert_eq!(smol::block_on(rig.machine.started_by()).as_deref(), Some("perigee"));
    assert!(!installation(&rig).iter().any(|warning| warning.contains("started this server")));
}

#[test]
fn a_configuration_that_front_ends_do_not_show() {
    let all = Validation { service: true, config: true, force: false };
    for (config, expected) in [(true, 1), (false, 0)] {
        let rig = Rig::validated("config", Kind::None, Validation { config, ..all }, |folder| {
            for place in ["data/config", "etc"] {
                std::fs::create_dir_all(folder.join(place)).unwrap();
                std::fs::write(folder.join(place).join("moonraker.conf"), "").unwrap();
            }
        });
        let warnings = installation(&rig);
        assert_eq!(warnings.len(), expected, "{warnings:?}");
        assert!(warnings.iter().all(|warning| warning.contains("is not read")), "{warnings:?}");
    }
}

const LOG: &str = "#!/bin/sh\necho \"$(basename \"$0\") $1\" > \"$0.did\"\n";

#[test]
fn shutdown_and_reboot() {
    let rig = Rig::new("power", Kind::None);
    rig.write("sbin/poweroff", LOG);
    rig.write("sbin/reboot", LOG);
    assert_eq!(rig.call("machine.shutdown", json!({})).unwrap(), json!("ok"));
    assert!(rig.folder.join("sbin/poweroff.did").exists());
    assert_eq!(rig.call("machine.reboot", json!({})).unwrap(), json!("ok"));
    assert!(rig.folder.join("sbin/reboot.did").exists());
    assert!(lock(&rig.ended).is_empty());
}

#[test]
fn no_shutdown_without_a_way() {
    let rig = Rig::new("no-power", Kind::None);
    let refused = rig.call("machine.shutdown", json!({})).unwrap_err();
    assert_eq!(refused, (503, "poweroff is not installed".into()));
    assert!(lock(&rig.ended).is_empty());
}

#[test]
fn no_shutdown_of_a_container() {
    let rig = Rig::prepared("container", Kind::None, |folder| {
        std::fs::write(folder.join(".dockerenv"), "").unwrap()
    });
    rig.write("sbin/reboot", LOG);
    let refused = rig.call("machine.reboot", json!({})).unwrap_err();
    assert_eq!(refused, (400, "Cannot reboot from within a docker container".into()));
    assert_eq!(rig.call("machine.shutdown", json!({})).unwrap_err().0, 400);
    assert!(!rig.folder.join("sbin/reboot.did").exists());
}

#[test]
fn the_sudo_password() {
    let rig = Rig::new("sudo", Kind::None);
    rig.write("bin/true", "#!/bin/sh\n");
    rig.write("usr/bin/sudo", "#!/bin/sh\n[ \"$1\" = -S ] || exit 1\nread -r p\n[ \"$p\" = right ]\n");
    let info = |check| rig.call("machine.sudo.info", json!({"check_access": check})).unwrap();
    assert_eq!(info(false)["sudo_access"], Value::Null);
    assert_eq!(info(true)["sudo_access"], false);
    assert_eq!(info(false)["request_messages"], json!([]));
    let password = |word: &str| rig.call("machine.sudo.password", json!({"password": word}));
    let wrong = password("wrong").unwrap_err();
    assert_eq!(wrong, (400, "Invalid password, sudo access was denied".into()));
    let right = password("right").unwrap();
    assert_eq!(right, json!({"sudo_responses": ["Sudo password successfully set."], "is_restarting": false}));
    assert_eq!(info(true)["sudo_access"], true);
    // a wrong one afterwards is not kept, and neither is the right one
    assert_eq!(password("wrong").unwrap_err().0, 400);
    assert_eq!(info(true)["sudo_access"], false);
}

#[test]
fn what_waits_for_the_password() {
    let rig = Rig::new("sudo-requests", Kind::None);
    let allowed = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let may = allowed.clone();
    rig.machine
        .request_sudo("One needs it", || async { Ok(Done { message: "One done".into(), restart: false }) });
    rig.machine.request_sudo("Two needs it", move || {
        let may = may.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            match may {
                true => Ok(Done { message: "Two done".into(), restart: false }),
                false => Err(crate::api::Error::internal("Two failed")),
            }
        }
    });
    let alert = || match rig.until(|| rig.client.outbox.try_next()) {
        Outgoing::Message(text) => serde_json::from_str::<Value>(&text).unwrap()["params"][0].clone(),
        Outgoing::Close(_) => panic!(),
    };
    assert_eq!(alert(), json!({"sudo_requested": true, "request_messages": ["One needs it"]}));
    assert_eq!(alert()["request_messages"], json!(["One needs it", "Two needs it"]));
    rig.write("bin/true", "#!/bin/sh\n");
    rig.write("usr/bin/sudo", "#!/bin/sh\nread -r p\n");
    let password = || rig.call("machine.sudo.password", json!({"password": "x"}));
    assert_eq!(password().unwrap_err(), (500, "Two failed".into()));
    assert_eq!(alert(), json!({"sudo_requested": true, "request_messages": ["Two needs it"]}));
    allowed.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = password().unwrap();
    assert_eq!(answer["sudo_responses"], json!(["Sudo password successfully set.", "Two done"]));
    assert_eq!(alert(), json!({"sudo_requested": false, "request_messages": []}));
}

#[test]
fn peripherals_have_their_lists() {
    let rig = Rig::new("peripherals", Kind::None);
    assert_eq!(rig.call("machine.peripherals.usb", json!({})).unwrap(), json!({"usb_devices": []}));
    assert_eq!(rig.call("machine.peripherals.serial", json!({})).unwrap(), json!({"serial_devices": []}));
    let video = rig.call("machine.peripherals.video", json!({})).unwrap();
    assert_eq!(video, json!({"v4l2_devices": [], "libcamera_devices": []}));
    let status = rig.call("machine.peripherals.canbus", json!({"interface": "perigee-no"})).unwrap_err().0;
    assert_eq!(status, if cfg!(feature = "can") { 500 } else { 503 });
}

#[cfg(feature = "dbus")]
#[test]
fn missing_rights_are_warned_of() {
    use crate::host::dbus::stand_in::{Daemon, Shared, StandIns};
    let rig = Rig::new("rights", Kind::SystemdDbus);
    let Some(_daemon) = Daemon::start(&rig.folder) else { return };
    let record = Shared::default();
    lock(&record).refuse = true;
    let _stand_ins = smol::block_on(StandIns::start(&rig.folder, &record));
    rig.machine.start();
    let warnings = rig.until(|| Some(rig.warnings.texts()).filter(|texts| texts.len() == 3));
    assert!(warnings[0].ends_with("manage-units: services cannot be started and stopped"), "{warnings:?}");
    let info = rig.call("machine.system_info", json!({})).unwrap();
    assert_eq!(info["system_info"]["available_services"], json!(["klipper", "klipper-2"]));
    let refused = rig.service("restart", "klipper").unwrap_err();
    assert_eq!(refused.0, 403);
}
