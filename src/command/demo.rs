//! `perigee demo`: a simulated printer with a server in front of it; `perigee demo klippy`: the printer alone.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use perigee::config::{ProcessOptions, UsageError, split_subcommand};
use perigee::demo::klippy::{Options, Simulator};
use perigee::demo::{SAMPLE_GCODE, SAMPLE_NAME};

use super::run;

/// The port of Moonraker's API.
const DEFAULT_PORT: u16 = 7125;

/// What the command line says.
struct Demo {
    port: u16,
    data: Option<PathBuf>,
    socket: Option<PathBuf>,
    speed: f64,
}

/// Runs the demo with these arguments.
pub(super) fn run(args: Vec<OsString>) -> Result<ExitCode, UsageError> {
    let (command, args) = split_subcommand(args);
    #[cfg(feature = "can")]
    if command.as_deref() == Some("can-node") {
        return super::can_node::run(args);
    }
    let mut demo = Demo { port: DEFAULT_PORT, data: None, socket: None, speed: 1.0 };
    let parsed = ProcessOptions::parse_with(
        args,
        |name| std::env::var_os(name),
        |flag, value| {
            match flag {
                "--port" => demo.port = number(flag, &value()?)?,
                "--speed" => demo.speed = number(flag, &value()?)?,
                "--data" => demo.data = Some(value()?.into()),
                "--socket" => demo.socket = Some(value()?.into()),
                _ => return Ok(false),
            }
            Ok(true)
        },
    )?;
    if demo.port == 0 || !(0.001..=10_000.0).contains(&demo.speed) {
        return Err(UsageError("--port must not be 0, --speed is from 0.001 to 10000".into()));
    }
    super::with(parsed, |options| {
        let outcome = match command.as_deref() {
            None => with_server(&demo, options),
            Some("klippy") => printer_alone(&demo),
            Some(other) => Err(io::Error::other(format!("there is no command 'demo {other}'"))),
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("perigee: {error}");
            ExitCode::FAILURE
        })
    })
}

fn number<T: std::str::FromStr>(flag: &str, value: &OsString) -> Result<T, UsageError> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.ok_or_else(|| UsageError(format!("{flag} needs a number, not '{}'", value.to_string_lossy())))
}

/// The printer alone, until a signal ends it.
fn printer_alone(demo: &Demo) -> io::Result<ExitCode> {
    let socket = demo.socket.clone().ok_or_else(|| io::Error::other("demo klippy needs --socket PATH"))?;
    let gcodes = match &demo.data {
        Some(data) => data.join("gcodes"),
        None => std::env::current_dir()?,
    };
    let mut options = Options::new(&socket, gcodes);
    options.speed = demo.speed;
    let printer = Simulator::start(options)?;
    println!("A simulated Klippy listens on {}", socket.display());
    printer.run_until_signal()?;
    Ok(ExitCode::SUCCESS)
}

/// The printer and a server, until a signal ends them.
fn with_server(demo: &Demo, options: ProcessOptions) -> io::Result<ExitCode> {
    let folder = match &demo.data {
        Some(data) => Folder::Kept(std::path::absolute(data)?),
        None => Folder::temporary()?,
    };
    let data = folder.path();
    lay_out(data, demo.port)?;
    let klippy = data.join("comms/klippy.sock");
    let mut simulated = Options::new(&klippy, data.join("gcodes"));
    simulated.speed = demo.speed;
    simulated.config_file = data.join("config/printer.cfg");
    simulated.log_file = data.join("logs/klippy.log");
    let _printer = Simulator::start(simulated)?;
    let options = ProcessOptions {
        data_path: Some(data.to_owned()),
        config_file: None,
        log_file: None,
        unix_socket: None,
        ..options
    };
    let process = run::prepare(&options)?;
    let shown = data.display().to_string();
    Ok(run::serve(&process, move |server| {
        // a folder that was there may have another port in its configuration than the command line
        let port = server.port();
        // nobody has to read it
        let _ = writeln!(
            io::stdout(),
            "\n  A simulated printer is at http://127.0.0.1:{port} (data in {shown}).\n  \
             {SAMPLE_NAME} can be printed. Ctrl-C ends the demo.\n"
        );
    }))
}

/// Makes the folders, the configuration and the sample, where they are missing.
fn lay_out(data: &Path, port: u16) -> io::Result<()> {
    for folder in ["config", "gcodes", "comms", "logs"] {
        std::fs::create_dir_all(data.join(folder))?;
    }
    let configuration = format!(
        "[server]\nhost: 127.0.0.1\nport: {port}\nklippy_uds_address: {{data_path}}/comms/klippy.sock\n\n\
         [authorization]\ntrusted_clients:\n    127.0.0.0/8\ncors_domains:\n    *.local\n    *://localhost\n    *://localhost:*\n    \
         *://my.mainsail.xyz\n    *://app.fluidd.xyz\n\n[octoprint_compat]\n"
    );
    write_if_missing(&data.join("config/moonraker.conf"), configuration.as_bytes())?;
    write_if_missing(&data.join("config/printer.cfg"), perigee::demo::klippy::PRINTER_CFG.as_bytes())?;
    write_if_missing(&data.join("gcodes").join(SAMPLE_NAME), SAMPLE_GCODE.as_bytes())
}

fn write_if_missing(path: &Path, content: &[u8]) -> io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    std::fs::write(path, content)
}

/// Where the demo's data is.
enum Folder {
    /// The user's own.
    Kept(PathBuf),
    /// Gone when the demo ends.
    Temporary(PathBuf),
}

impl Folder {
    fn temporary() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("perigee-demo-{}", std::process::id()));
        // fails when somebody else has made it: what is in it would not be ours
        std::fs::create_dir(&path)?;
        Ok(Self::Temporary(path))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            // what cannot be removed is left to whoever cleans the system's temporary folder
            let _ = std::fs::remove_dir_all(path);
        }
    }
}
