//! Moving in from Moonraker and out again, while the server does not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use perigee::config::ProcessOptions;
use perigee::storage::import::{self, Source};
use perigee::storage::{Options, Storage, export};

/// Takes over a database or backup of Moonraker's; without a path, the one in the data folder.
pub(super) fn import(options: &ProcessOptions) -> ExitCode {
    let (folder, path) = places(options);
    run(&folder, |storage| {
        let source = Source::find(path.as_deref().unwrap_or(&folder))?;
        println!("From the {source}:");
        let report = import::run(storage, &source)?;
        print!("{report}");
        Ok(ExitCode::SUCCESS)
    })
}

/// Writes everything that Moonraker knows to a text backup.
pub(super) fn export(options: &ProcessOptions) -> ExitCode {
    let (folder, path) = places(options);
    let Some(path) = path else {
        eprintln!("perigee: export needs the name of the file to write");
        return ExitCode::from(2);
    };
    run(&folder, |storage| {
        let left = export::write(storage, &path)?;
        println!("Written to {}.", path.display());
        if left.long_keys > 0 {
            println!("{} records have keys that are too long for Moonraker; they were left.", left.long_keys);
        }
        for name in left.namespaces {
            println!("The namespace '{name}' was left: Moonraker's tool takes no more than a hundred.");
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The database's folder, and the path that the command line names.
fn places(options: &ProcessOptions) -> (PathBuf, Option<PathBuf>) {
    let paths = options.paths(std::env::home_dir().as_deref());
    (paths.data_path.join("database"), options.positional.first().map(PathBuf::from))
}

/// Does something with the database, and closes it.
fn run(folder: &Path, act: impl FnOnce(&Storage) -> perigee::storage::Result<ExitCode>) -> ExitCode {
    let outcome = Storage::open(folder, &Options::default()).and_then(|(storage, report)| {
        report.warnings.iter().for_each(|warning| eprintln!("perigee: {warning}"));
        let outcome = act(&storage);
        smol::block_on(storage.close());
        outcome
    });
    outcome.unwrap_or_else(|error| {
        eprintln!("perigee: {error}");
        ExitCode::FAILURE
    })
}
