//! Serving, until a signal says otherwise.

use std::process::ExitCode;
use std::sync::Arc;

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use perigee::config::{Paths, ProcessOptions, data_folder, default_file};
use perigee::host::power;
use perigee::host::service_manager::{ServiceManager, State};
use perigee::logging::{self, LogControl, LogOptions};
use perigee::server::{Process, Server, StartError, Stop};
use perigee::tasks::{Spawner, drive};
use perigee::time;
use smol::Executor;

/// Runs the server with these options.
pub(super) fn run(options: ProcessOptions) -> ExitCode {
    let process = match prepare(&options) {
        Ok(process) => process,
        Err(error) => {
            eprintln!("perigee: {error}");
            return ExitCode::FAILURE;
        }
    };
    serve(&process, |_| {})
}

/// Makes what the process needs before its first run: folders, a configuration, the log.
pub(super) fn prepare(options: &ProcessOptions) -> std::io::Result<Process> {
    let paths = options.paths(std::env::home_dir().as_deref());
    time::resume_from(data_folder::last_written(&paths));
    let folder = data_folder::prepare(&paths)?;
    let mut warnings = folder.warnings;
    match default_file::write_if_missing(&paths.config_file) {
        Ok(_) => {}
        Err(error) => warnings.push(format!("No configuration could be written: {error}")),
    }
    let (log, warning) = logging::start(LogOptions {
        file: paths.log_file.clone(),
        structured: options.structured_logging,
        verbose: options.verbose,
        header: header(&paths),
    })?;
    logging::log_panics(&log);
    warnings.extend(warning);
    Ok(Process { paths, log: Some(log), warnings, debug: options.debug, instance_uuid: folder.instance_uuid })
}

/// What each log file begins with.
fn header(paths: &Paths) -> Vec<(String, String)> {
    let command: Vec<_> = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
    [
        ("version", concat!("Perigee ", env!("CARGO_PKG_VERSION")).to_owned()),
        ("command line", command.join(" ")),
        ("data folder", paths.data_path.display().to_string()),
        ("configuration", paths.config_file.display().to_string()),
        ("unix socket", paths.unix_socket.display().to_string()),
    ]
    .map(|(name, text)| (name.to_owned(), text))
    .into()
}

/// Runs the server, again after each restart, until a signal ends it. `started` is told of each run.
pub(super) fn serve(process: &Process, started: impl Fn(&Server)) -> ExitCode {
    let manager = ServiceManager::from_environment(|name| std::env::var_os(name));
    loop {
        let executor = Arc::new(Executor::new());
        let run = async {
            Spawner::new(&executor).spawn(manager.clone().signs_of_life());
            let server = manager.while_starting(Server::start(process, executor.clone())).await?;
            started(&server);
            // from now on a signal is an orderly end; whoever is told that we are ready may send one at once
            let signals = Signals::new([Signal::Term, Signal::Int]);
            manager.tell(State::Ready).await;
            // as a task it is only looked at when there is a signal
            let signal = executor.spawn(signalled(signals));
            let stop = smol::future::or(server.stopped(), signal).await;
            let (word, state) = match stop {
                Stop::Restart => ("Restarting", State::Reloading),
                Stop::Exit | Stop::Power(_) => ("Stopping", State::Stopping),
            };
            log::info!("{word}");
            manager.tell(state).await;
            server.shut_down().await;
            Ok::<_, StartError>(stop)
        };
        match drive(executor.run(run)) {
            Ok(Stop::Restart) => {}
            Ok(stop) => {
                log::info!("Stopped");
                process.log.iter().for_each(LogControl::stop);
                if let Stop::Power(action) = stop
                    && let Err(error) = power::tell_kernel(action)
                {
                    eprintln!("perigee: the kernel does not {}: {error}", action.name());
                }
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                log::error!("{error}");
                smol::block_on(manager.tell(State::Failed(&error.to_string())));
                process.log.iter().for_each(LogControl::stop);
                eprintln!("perigee: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Waits for a signal that ends the process.
async fn signalled(signals: std::io::Result<Signals>) -> Stop {
    match signals {
        Ok(mut signals) => {
            signals.next().await;
            Stop::Exit
        }
        Err(error) => {
            log::error!("Signals cannot be waited for: {error}");
            std::future::pending().await
        }
    }
}
