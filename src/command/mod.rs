//! What can be asked of the program: run (the default), demo, check-config, api, version.

#[cfg(all(feature = "demo", feature = "can"))]
mod can_node;
mod check_config;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "import")]
mod moving;
mod run;

use std::ffi::OsString;
use std::process::ExitCode;

use perigee::config::{Parsed, ProcessOptions, USAGE, UsageError, split_subcommand};

/// How many threads may wait for the disk at once. More would only make it seek.
const BLOCKING_THREADS: &str = "4";

const COMMANDS: &str = "\
perigee: the API server of a Klipper 3D printer

Usage: perigee [run] [OPTIONS]      serve (the default)
       perigee check-config [OPTIONS]  read the configuration and report what is wrong with it
       perigee import [PATH] [OPTIONS]  take over a database or backup of Moonraker (the server must not run)
       perigee export FILE [OPTIONS]  write a backup that Moonraker can read (the same)
       perigee api                  print the description of the API as JSON
       perigee version              print the version
";

#[cfg(feature = "demo")]
const DEMO_COMMANDS: &str = "\
       perigee demo [--port N] [--data DIR] [--speed X]   a simulated printer with a server
       perigee demo klippy --socket PATH [--speed X]      the simulated printer alone
       perigee demo can-node --interface NAME --uuid HEX [--application katapult]
                                                          a board on a CAN bus, if built with the feature can
";
#[cfg(not(feature = "demo"))]
const DEMO_COMMANDS: &str = "";

/// Runs the command line without the program's name.
pub(crate) fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // SAFETY: this is the first thing that the program does; there are no other threads yet.
    unsafe { std::env::set_var("BLOCKING_MAX_THREADS", BLOCKING_THREADS) };
    let (command, args) = split_subcommand(args);
    let outcome = match command.as_deref() {
        None | Some("run") => options(args).and_then(|options| with(options, run::run)),
        Some("check-config") => options(args).and_then(|options| with(options, check_config::run)),
        Some("api") => {
            print_api();
            Ok(ExitCode::SUCCESS)
        }
        Some("version") => {
            println!("perigee {}", env!("CARGO_PKG_VERSION"));
            Ok(ExitCode::SUCCESS)
        }
        #[cfg(feature = "import")]
        Some("import") => options(args).and_then(|options| with_path(options, moving::import)),
        #[cfg(feature = "import")]
        Some("export") => options(args).and_then(|options| with_path(options, moving::export)),
        #[cfg(feature = "demo")]
        Some("demo") => demo::run(args),
        Some(other) => Err(UsageError(format!("there is no command '{other}'"))),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("perigee: {error}");
        ExitCode::from(2)
    })
}

fn options(args: Vec<OsString>) -> Result<Parsed, UsageError> {
    ProcessOptions::parse(args, |name| std::env::var_os(name))
}

/// Does something with options, or prints what there is to be said.
fn with(parsed: Parsed, act: impl FnOnce(ProcessOptions) -> ExitCode) -> Result<ExitCode, UsageError> {
    with_words(parsed, 0, act)
}

/// The same for a command that takes a path.
#[cfg(feature = "import")]
fn with_path(parsed: Parsed, act: impl FnOnce(&ProcessOptions) -> ExitCode) -> Result<ExitCode, UsageError> {
    with_words(parsed, 1, |options| act(&options))
}

/// The same for a command that takes up to `count` words.
fn with_words(
    parsed: Parsed,
    count: usize,
    act: impl FnOnce(ProcessOptions) -> ExitCode,
) -> Result<ExitCode, UsageError> {
    match parsed {
        Parsed::Help => {
            print!("{COMMANDS}{DEMO_COMMANDS}\n{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Parsed::Options(options) => match options.positional.get(count) {
            Some(word) => Err(UsageError(format!("'{}' is not understood", word.to_string_lossy()))),
            None => Ok(act(options)),
        },
    }
}

/// Prints every endpoint of this build with its names, rights and arguments.
fn print_api() {
    match serde_json::to_string_pretty(&perigee::server::describe_api()) {
        Ok(text) => println!("{text}"),
        Err(error) => eprintln!("perigee: {error}"),
    }
}
