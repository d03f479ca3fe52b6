//! Serving, until a signal says otherwise.

use std::process::ExitCode;
use std::sync::Arc;

use async_signal::{Signal, Signals};
use futures_lite::StreamExt;
use perigee::config::{ProcessOptions, data_folder, default_file};
use perigee::host::power;
use perigee::server::{Process, Server, StartError, Stop};
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
    let folder = data_folder::prepare(&paths)?;
    let mut warnings = folder.warnings;
    match default_file::write_if_missing(&paths.config_file) {
        Ok(_) => {}
        Err(error) => warnings.push(format!("No configuration could be written: {error}")),
    }
    Ok(Process { paths, warnings })
}

/// Runs the server, again after each restart, until a signal ends it. `started` is told of each run.
pub(super) fn serve(process: &Process, started: impl Fn(&Server)) -> ExitCode {
    loop {
        let executor = Arc::new(Executor::new());
        let run = async {
            let server = Server::start(process, executor.clone()).await?;
            started(&server);
            let stop = smol::future::or(server.stopped(), signalled()).await;
            log::info!("{}", if stop == Stop::Restart { "Restarting" } else { "Stopping" });
            server.shut_down().await;
            Ok::<_, StartError>(stop)
        };
        match async_io::block_on(executor.run(run)) {
            Ok(Stop::Restart) => {}
            Ok(stop) => {
                log::info!("Stopped");
                log::logger().flush();
                if let Stop::Power(action) = stop
                    && let Err(error) = power::tell_kernel(action)
                {
                    eprintln!("perigee: the kernel does not {}: {error}", action.name());
                }
                return ExitCode::SUCCESS;
            }
            Err(error) => {
                log::error!("{error}");
                log::logger().flush();
                eprintln!("perigee: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
}

/// Waits for a signal that ends the process.
async fn signalled() -> Stop {
    match Signals::new([Signal::Term, Signal::Int]) {
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
