//! What a service manager is told: sd_notify(3), with a real socket as systemd has one.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::harness::{Http, Perigee, Request, Setup};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The manager's side.
struct Manager(UnixDatagram);

impl Manager {
    /// One that listens at a path in the test's folder, and a server that will be told of it.
    fn at_path(setup: Setup) -> (Self, Setup) {
        let path = setup.dir.join("notify");
        (Self(UnixDatagram::bind(&path).unwrap()), setup.env("NOTIFY_SOCKET", path))
    }

    /// One with an abstract name, which no file has.
    fn abstract_name(setup: Setup) -> (Self, Setup) {
        let name = format!("perigee{}", setup.dir.path().display());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        (Self(UnixDatagram::bind_addr(&address).unwrap()), setup.env("NOTIFY_SOCKET", format!("@{name}")))
    }

    /// The next message, or nothing within this time.
    fn within(&self, patience: Duration) -> Option<String> {
        let mut buffer = [0; 4096];
        self.0.set_read_timeout(Some(patience)).unwrap();
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    /// The first message with this line in it; what came before.
    #[track_caller]
    fn expect(&self, line: &str) -> (String, Vec<String>) {
        let begun = Instant::now();
        let mut before = Vec::new();
        while let Some(message) = self.within(PATIENCE.saturating_sub(begun.elapsed()).max(TICK)) {
            if message.lines().any(|other| other == line) {
                return (message, before);
            }
            before.push(message);
        }
        panic!("not told {line:?}, but {before:?}")
    }

    /// Everything that was said until now.
    fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.within(TICK)).collect()
    }
}

const TICK: Duration = Duration::from_millis(1);

/// Starts a server without asking it anything.
fn spawn(setup: Setup) -> Perigee {
    setup.write_config();
    setup.spawn()
}

#[test]
fn ready_means_that_requests_are_answered() {
    for place in [Manager::at_path, Manager::abstract_name] {
        let (manager, setup) = place(Setup::new());
        let mut server = spawn(setup);
        let (_, before) = manager.expect("READY=1");
        // the first try counts
        Http::connect(server.address).unwrap().send(&Request::get("/server/info")).expect(200);
        assert!(before.iter().all(|message| message.starts_with("EXTEND_TIMEOUT_USEC=")), "{before:?}");
        assert!(!before.is_empty(), "a start that takes long would be ended");
        assert!(server.stop().success());
        manager.expect("STOPPING=1");
        assert_eq!(manager.rest(), Vec::<String>::new());
    }
}

#[test]
fn a_restart_is_a_reload() {
    let (manager, setup) = Manager::at_path(Setup::new());
    let server = spawn(setup);
    manager.expect("READY=1");
    let mut client = server.websocket();
    client.call("server.restart", Value::Null);
    let (reloading, _) = manager.expect("RELOADING=1");
    let time = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    manager.expect("READY=1");
    server.send(&Request::get("/server/info")).expect(200);
}

/// A server that has to give signs of life, and has given the first.
fn watched(limit: Duration) -> (Manager, Perigee) {
    let (manager, setup) = Manager::at_path(Setup::new());
    let server = spawn(setup.env("WATCHDOG_USEC", limit.as_micros().to_string()));
    manager.expect("READY=1");
    manager.expect("WATCHDOG=1");
    (manager, server)
}

#[test]
fn signs_of_life_come_in_time_and_stop_with_the_process() {
    const LIMIT: Duration = Duration::from_secs(2);
    let (manager, server) = watched(LIMIT);
    // also after a restart, which has an executor of its own
    server.post("/server/restart", json!({}));
    manager.expect("RELOADING=1");
    for _ in 0..2 {
        assert_eq!(manager.expect("WATCHDOG=1").0, "WATCHDOG=1");
    }
    server.signal(Signal::SIGSTOP);
    manager.rest();
    assert_eq!(manager.within(LIMIT), None, "a process that stands still says that it lives");
    server.signal(Signal::SIGCONT);
    manager.expect("WATCHDOG=1");
}

/// The first thread runs the executor. A debugger can hold it alone, so everything that other threads do goes on: signs of
/// life that came from one of them would not stop.
#[test]
fn signs_of_life_come_from_the_executor() {
    const LIMIT: Duration = Duration::from_secs(1);
    let (manager, server) = watched(LIMIT);
    let executor = Pid::from_raw(server.pid().try_into().unwrap());
    match ptrace::seize(executor, ptrace::Options::empty()) {
        Err(Errno::EPERM) => return eprintln!("skipped: processes must not be traced here"),
        seized => seized.unwrap(),
    }
    ptrace::interrupt(executor).unwrap();
    waitpid(executor, Some(WaitPidFlag::__WALL)).unwrap();
    let states = thread_states(executor);
    assert_eq!(states.iter().filter(|(thread, _)| *thread == executor.as_raw()).count(), 1);
    assert!(states.len() > 1, "there is nobody else who could give signs of life: {states:?}");
    for (thread, state) in &states {
        assert_eq!(*state == 't', *thread == executor.as_raw(), "only the executor stands still: {states:?}");
    }
    manager.rest();
    assert_eq!(manager.within(2 * LIMIT), None, "another thread says that this one lives");
    ptrace::detach(executor, None).unwrap();
    manager.expect("WATCHDOG=1");
    server.send(&Request::get("/server/info")).expect(200);
}

/// Each thread with its state, the letter after its name in proc_pid_stat(5).
fn thread_states(process: Pid) -> Vec<(i32, char)> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let state = |thread: std::io::Result<std::fs::DirEntry>| {
        let path = thread.ok()?.path();
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        Some((path.file_name()?.to_str()?.parse().ok()?, state))
    };
    threads.filter_map(state).collect()
}

#[test]
fn the_watchdog_of_another_process_is_not_ours() {
    let (manager, setup) = Manager::at_path(Setup::new());
    let mut server = spawn(setup.env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1"));
    manager.expect("READY=1");
    assert!(server.stop().success());
    let (_, before) = manager.expect("STOPPING=1");
    assert_eq!(before, Vec::<String>::new());
}

#[test]
fn a_failed_start_says_why() {
    let (manager, setup) = Manager::at_path(Setup::new().config("[server]\nport: many\n"));
    let mut server = spawn(setup);
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let told = manager.rest();
    assert!(!told.iter().any(|message| message.contains("READY")), "{told:?}");
    let status = told.iter().find_map(|message| message.strip_prefix("STATUS="));
    assert!(status.is_some_and(|text| text.contains("port")), "{told:?}");
}

#[test]
fn a_manager_that_is_not_there_is_no_obstacle() {
    for name in ["/nonexistent/notify", "relative", "vsock:2:5", "@", ""] {
        let server = Setup::new().env("NOTIFY_SOCKET", name).env("WATCHDOG_USEC", "10000").start();
        server.get("/server/info").expect(200);
    }
}
