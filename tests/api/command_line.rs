//! The command line, the environment, the data folder and the log (spec config.md §1, behaviour.md §1).

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::server::{binary, free_address};
use crate::harness::{Perigee, Setup, TempDir, eventually};

fn run(args: &[&str]) -> Output {
    binary().args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_the_program_says_of_itself() {
    let version = run(&["version"]);
    assert!(version.status.success());
    assert_eq!(text(&version.stdout).trim(), concat!("perigee ", env!("CARGO_PKG_VERSION")));
    for args in [&["--help"][..], &["-h"], &["run", "--help"]] {
        let help = run(args);
        assert!(help.status.success());
        for word in [
            "--datapath",
            "--configfile",
            "--logfile",
            "--unixsocket",
            "--nologfile",
            "--verbose",
            "--debug",
            "check-config",
        ] {
            assert!(text(&help.stdout).contains(word), "{word}");
        }
    }
}

#[test]
fn what_is_not_understood_is_said_and_ends_with_2() {
    for args in [
        &["--frobnicate"][..],
        &["frobnicate"],
        &["-d"],
        &["-x"],
        &["run", "more"],
        &["check-config", "--port"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = text(&output.stderr);
        assert!(said.starts_with("perigee: ") && !said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn the_data_folder_is_made() {
    let setup = Setup::new();
    setup.write_config();
    let server = setup.start();
    for folder in ["config", "logs", "gcodes", "comms"] {
        assert!(server.data(folder).is_dir(), "{folder}");
    }
    let uuid = fs::read_to_string(server.data(".moonraker.uuid")).unwrap();
    assert!(uuid.len() == 32 && uuid.bytes().all(|byte| byte.is_ascii_hexdigit()), "{uuid}");
    server.wait_for_log(env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_configuration_is_written_where_there_is_none() {
    // what is written listens on the usual port, which may be taken here: only the file counts
    let dir = TempDir::new();
    let data = dir.join("printer_data");
    let mut child =
        binary().arg("-d").arg(&data).arg("-n").stdout(std::process::Stdio::null()).spawn().unwrap();
    let config = data.join("config/moonraker.conf");
    eventually("the file", || config.exists().then_some(()));
    let _ = child.kill();
    child.wait().unwrap();
    let written = fs::read_to_string(&config).unwrap();
    assert!(written.contains("[server]") && written.lines().any(|line| line.starts_with('#')), "{written}");
    let check = binary().args(["check-config", "-d"]).arg(&data).output().unwrap();
    assert!(check.status.success(), "{}", text(&check.stdout));
    assert!(!text(&check.stdout).contains("warning:"), "{}", text(&check.stdout));
}

#[test]
fn a_configuration_that_is_there_is_left_alone() {
    let setup = Setup::new();
    let config = setup.config_text();
    let server = setup.start();
    assert_eq!(fs::read_to_string(server.data("config/moonraker.conf")).unwrap(), config);
}

/// A server whose places are all told by `tell`, which gets names and paths.
fn elsewhere(tell: impl Fn(&mut Command, &str, &Path)) {
    let dir = TempDir::new();
    let address = free_address();
    let config = dir.write(
        "etc/my.conf",
        format!("[server]\nhost: {}\nport: {}\nklippy_uds_address: /nowhere\n", address.ip(), address.port()),
    );
    let (data, log, socket) = (dir.join("data"), dir.join("var/my.log"), dir.join("my.sock"));
    fs::create_dir(dir.join("var")).unwrap();
    let mut command = binary();
    tell(&mut command, "data", &data);
    tell(&mut command, "config", &config);
    tell(&mut command, "log", &log);
    tell(&mut command, "socket", &socket);
    let mut child = command.spawn().unwrap();
    eventually("the socket and an answer", || {
        std::os::unix::net::UnixStream::connect(&socket).ok()?;
        let mut http = crate::harness::Http::connect(address).ok()?;
        http.try_send(&crate::harness::Request::get("/server/info")).ok()
    });
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(fs::read_to_string(&log).unwrap().len() > 100);
    assert!(data.join("gcodes").is_dir());
    assert!(!data.join("logs/moonraker.log").exists() && !data.join("config/moonraker.conf").exists());
}

#[test]
fn places_by_short_flags() {
    elsewhere(|command, name, path| {
        let flag = match name {
            "data" => "-d",
            "config" => "-c",
            "log" => "-l",
            _ => "-u",
        };
        command.arg(flag).arg(path);
    });
}

#[test]
fn places_by_long_flags() {
    elsewhere(|command, name, path| {
        let flag = match name {
            "data" => "--datapath",
            "config" => "--configfile",
            "log" => "--logfile",
            _ => "--unixsocket",
        };
        command.arg(format!("{flag}={}", path.display()));
    });
}

#[test]
fn places_by_environment() {
    elsewhere(|command, name, path| {
        let variable = match name {
            "data" => "MOONRAKER_DATA_PATH",
            "config" => "MOONRAKER_CONFIG_PATH",
            "log" => "MOONRAKER_LOG_PATH",
            _ => "MOONRAKER_UDS_PATH",
        };
        command.env(variable, path);
    });
}

#[test]
fn a_flag_beats_the_environment() {
    let wrong = TempDir::new();
    let server = Setup::new().env("MOONRAKER_DATA_PATH", wrong.join("wrong")).start();
    assert!(server.data("gcodes").is_dir());
    assert!(!wrong.join("wrong").exists());
}

#[test]
fn without_a_log_file_the_log_goes_to_standard_output_alone() {
    for setup in [
        Setup::new().arg("-n"),
        Setup::new().arg("--nologfile"),
        Setup::new().env("MOONRAKER_DISABLE_FILE_LOG", "Y"),
        Setup::new().env("MOONRAKER_DISABLE_FILE_LOG", "true"),
    ] {
        let server = setup.start();
        assert!(!server.data("logs/moonraker.log").exists());
        eventually("the log", || server.output().contains("Listening").then_some(()));
        server.get("/server/files/moonraker.log").error(404);
        let rolled =
            server.post("/server/logs/rollover", serde_json::json!({"application": "moonraker"})).result();
        let why = rolled["failed"]["moonraker"].as_str().unwrap_or_default();
        assert!(why.contains("File Logging Disabled"), "{rolled}");
    }
    // 1 is not among the words for yes
    let server = Setup::new().env("MOONRAKER_DISABLE_FILE_LOG", "1").start();
    assert!(server.data("logs/moonraker.log").exists());
}

#[test]
fn a_structured_log_is_a_line_of_json_each() {
    let server = Setup::new().arg("-s").start();
    server.wait_for_log("Listening");
    let log = server.log();
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    for line in whole.lines() {
        let entry: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["time", "level", "message"] {
            assert!(entry.get(field).is_some(), "{field} in {line}");
        }
    }
}

#[test]
fn a_verbose_log_tells_of_requests() {
    let quiet = Perigee::start();
    let verbose = Setup::new().arg("-v").start();
    for server in [&quiet, &verbose] {
        server.get("/server/files/roots").expect(200);
        server.websocket().call("server.files.roots", Value::Null);
    }
    verbose.wait_for_log("roots");
    assert!(!quiet.log().contains("roots"), "{}", quiet.log());
}

#[test]
fn every_log_begins_with_what_is_to_be_known() {
    let server = Setup::new().sections("[nonsense]\nkey: value").start();
    for part in [env!("CARGO_PKG_VERSION"), "moonraker.conf", "[nonsense]"] {
        server.wait_for_log(part);
    }
    server.post("/server/logs/rollover", serde_json::json!({"application": "moonraker"})).expect(200);
    server.wait_for_log(env!("CARGO_PKG_VERSION"));
    let kept = fs::read_dir(server.data("logs")).unwrap().count();
    assert_eq!(kept, 2, "the new log and the former one");
    for _ in 0..5 {
        server.post("/server/logs/rollover", serde_json::json!({"application": "moonraker"})).expect(200);
    }
    let kept = fs::read_dir(server.data("logs")).unwrap().count();
    assert!(kept <= 4, "{kept} logs are kept");
}

#[test]
fn signals_end_the_server_in_good_order() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = Perigee::start();
        server.signal(signal);
        assert_eq!(server.wait_for_exit().code(), Some(0), "{signal}");
        assert!(!server.unix_socket_path().exists());
    }
}

#[test]
fn a_port_that_is_taken_is_said() {
    let first = Perigee::start();
    let setup = Setup::new().config(&format!(
        "[server]\nhost: {}\nport: {}\nklippy_uds_address: /nowhere\n",
        first.address.ip(),
        first.address.port()
    ));
    setup.write_config();
    let output = setup.command().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains(&first.address.port().to_string()) && said.contains("in use"), "{said}");
    first.get("/server/info").expect(200);
}

#[test]
fn a_data_folder_that_cannot_be_is_said() {
    let dir = TempDir::new();
    dir.write("file", "x");
    let output = binary().arg("-d").arg(dir.join("file/data")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("perigee: "), "{}", text(&output.stderr));
}

#[test]
fn folders_that_are_in_the_way_are_warned_of() {
    let server = Setup::new().file("gcodes", "a file where a folder should be").start();
    let warnings = server.info()["warnings"].to_string();
    assert!(warnings.contains("gcodes"), "{warnings}");
}
