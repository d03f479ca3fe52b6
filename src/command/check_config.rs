//! `perigee check-config`: what is wrong with a configuration, with file and line, without starting anything.

use std::process::ExitCode;

use perigee::config::ProcessOptions;
use perigee::server::check_config;

/// Prints every error and warning. Fails if there is an error.
pub(super) fn run(options: ProcessOptions) -> ExitCode {
    let paths = options.paths(std::env::home_dir().as_deref());
    match check_config(&paths) {
        Ok(warnings) => {
            for warning in &warnings {
                println!("warning: {warning}");
            }
            println!("{}: no errors, {} warnings", paths.config_file.display(), warnings.len());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors.iter() {
                println!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
