//! Builds every part from the configuration, in order; starts, restarts and stops them. The one place where
//! parts meet.

#[cfg(feature = "ldap")]
mod ldap;
mod listen;
mod parts;
mod settings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::Executor;
use smol::channel::{Receiver, Sender, bounded};

use crate::api::outbox::CloseReason;
use crate::api::table::Description;
use crate::api::{Connections, Events, Warnings};
#[cfg(feature = "history")]
use crate::components::history::History;
use crate::config::{self, Config, ConfigErrors, Paths, ProcessOptions, Variables};
use crate::files::{Access, Files};
use crate::host::power::PowerAction;
use crate::klippy::Klippy;
use crate::logging::LogControl;
use crate::storage::{self, Storage};
use crate::tasks::{Spawner, unblock};
use crate::transport::http::{self, Site};
use crate::transport::unix_socket::UnixSocket;
use crate::transport::{self};

use parts::{Built, Context};
use settings::Settings;

/// How long clients may take to leave when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a run of the server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The process is to end.
    Exit,
    /// Everything is to be built anew.
    Restart,
    /// The process is to end, and then the kernel is to do this: there is no init system that would.
    Power(PowerAction),
}

/// Why a run of the server could not begin.
#[derive(Debug)]
pub enum StartError {
    /// The configuration is wrong, and there is no backup of one that worked.
    Config(ConfigErrors),
    /// Clients cannot be listened for.
    Listen(String, io::Error),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(errors) => write!(f, "{errors}"),
            Self::Listen(where_, error) => write!(f, "Cannot listen on {where_}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What the process is and stays through all runs.
#[derive(Clone)]
pub struct Process {
    /// Where things are.
    pub paths: Paths,
    /// The log, once it is started.
    pub log: Option<LogControl>,
    /// Warnings from before the first run.
    pub warnings: Vec<String>,
    /// Whether the debug endpoints are offered.
    pub debug: bool,
    /// 32 hexadecimal digits that stay the same for the life of the data folder.
    pub instance_uuid: String,
}

/// Reads a configuration with everything that would be used of it.
///
/// # Errors
/// All errors in it.
pub fn check_config(paths: &Paths) -> Result<Vec<String>, ConfigErrors> {
    let config = read_config(paths)?.0;
    let mut warnings = config.warnings();
    warnings.extend(config.unparsed_warnings());
    Ok(warnings)
}

fn read_config(paths: &Paths) -> Result<(Config, Settings), ConfigErrors> {
    read_config_file(&paths.config_file, paths)
}

fn read_config_file(file: &std::path::Path, paths: &Paths) -> Result<(Config, Settings), ConfigErrors> {
    let config = Config::read(file, &Variables::new(paths.data_path.clone()))?;
    match Settings::read(&config) {
        Ok(settings) => Ok((config, settings)),
        Err(_) => Err(config.errors()),
    }
}

/// The configuration, or the backup of the last one that worked, with the errors that made that necessary.
fn config_or_backup(paths: &Paths) -> Result<(Config, Settings, Option<ConfigErrors>), StartError> {
    let errors = match read_config(paths) {
        Ok((config, settings)) => return Ok((config, settings, None)),
        Err(errors) => errors,
    };
    let backup =
        config::backup::find(&paths.config_file).and_then(|file| read_config_file(&file, paths).ok());
    match backup {
        Some((config, settings)) => Ok((config, settings, Some(errors))),
        None => Err(StartError::Config(errors)),
    }
}

/// One run of the server.
pub struct Server {
    executor: Arc<Executor<'static>>,
    events: Arc<Events>,
    klippy: Arc<Klippy>,
    connections: Arc<Connections>,
    storage: Storage,
    stop: (Sender<Stop>, Receiver<Stop>),
    port: u16,
    #[cfg(feature = "history")]
    history: Arc<History>,
}

impl Server {
    /// Builds all parts and starts them.
    ///
    /// # Errors
    /// A wrong configuration, or a port that is taken.
    pub async fn start(process: &Process, executor: Arc<Executor<'static>>) -> Result<Self, StartError> {
        let (config, settings, errors) = config_or_backup(&process.paths)?;
        let warnings = Arc::new(Warnings::default());
        process.warnings.iter().for_each(|text| warnings.add(text.clone()));
        let from_backup = errors.is_some();
        if let Some(errors) = errors {
            warnings.add(format!("The configuration has errors, its last working backup is used:\n{errors}"));
        }
        let spawner = Spawner::new(&executor);
        let stop = bounded(1);
        let (storage, report) = open_storage(&process.paths, &warnings).await;
        #[cfg(feature = "history")]
        close_interrupted(&storage).await;
        let context = Context {
            process,
            config: &config,
            settings: &settings,
            warnings: &warnings,
            spawner: &spawner,
            stop: &stop.0,
            storage: &storage,
            report: &report,
        };
        let built = parts::build(context);
        if let Err(error) = built.auth.prepare().await {
            warnings.add(format!("The API key is good until the server stops, it cannot be kept: {error}"));
        }
        let writable = settings.files.enable_config_write_access;
        open_roots(&built.files, &process.paths, writable, &warnings).await;
        if let Some(log) = &process.log {
            log.set_header_item("config", &config.masked_text());
        }
        tell_of_config(&config, from_backup, &warnings);
        open_transports(context, &built).await?;
        built.files.start();
        spawner.spawn(built.klippy.clone().run());
        Ok(Self {
            events: built.events,
            klippy: built.klippy,
            connections: built.connections,
            #[cfg(feature = "history")]
            history: built.history,
            port: settings.server.port,
            executor,
            storage,
            stop,
        })
    }

    /// The port for HTTP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has the run end; the first reason given counts.
    pub fn stopper(&self) -> Sender<Stop> {
        self.stop.0.clone()
    }

    /// Waits until the run is to end.
    pub async fn stopped(&self) -> Stop {
        self.stop.1.recv().await.unwrap_or(Stop::Exit)
    }

    /// Ends the run: clients are told, then every part goes.
    pub async fn shut_down(self) {
        #[cfg(feature = "history")]
        self.history.close().await;
        self.connections.close_all(CloseReason::SHUTDOWN);
        let begun = Instant::now();
        while !self.connections.is_empty() && begun.elapsed() < CLOSE_TIMEOUT {
            smol::Timer::after(Duration::from_millis(10)).await;
        }
        // The parts point at each other through these; without them the last owner of each goes.
        self.klippy.close();
        self.events.clear();
        self.storage.close().await;
        drop(self.executor);
    }
}

/// Warns of what is odd in the configuration, which is known once every part has read its own; keeps a copy of one in
/// which nothing is.
fn tell_of_config(config: &Config, from_backup: bool, warnings: &Warnings) {
    let told: Vec<String> = config.warnings().into_iter().chain(config.unparsed_warnings()).collect();
    // what else is wrong with the machine does not make it a worse configuration
    if !from_backup
        && told.is_empty()
        && let Err(error) = config.write_backup()
    {
        log::warn!("The configuration could not be backed up: {error}");
    }
    told.into_iter().for_each(|text| warnings.add(text));
}

/// Lets clients in.
async fn open_transports(context: Context<'_>, built: &Built) -> Result<(), StartError> {
    let Context { process, settings, warnings, spawner, .. } = context;
    let rates = transport::Rates::new(settings.authorization.stranger_request_rate);
    let entrance = transport::Context {
        table: built.table.clone(),
        connections: built.connections.clone(),
        auth: built.auth.clone(),
        rates: Arc::new(rates),
        spawner: spawner.clone(),
    };
    let options = http::Options {
        route_prefix: settings.server.route_prefix.clone(),
        max_upload_size: settings.server.max_upload_size,
        max_websockets: settings.server.max_websocket_connections,
        cors: settings.authorization.cors.clone(),
        rules: settings.authorization.rules.clone(),
        upload_paths: built.upload_paths.clone(),
    };
    let (klippy, files, queue) = (built.klippy.clone(), built.files.clone(), built.queue.clone());
    let site = Site::new(entrance.clone(), klippy, files, queue, warnings.clone(), options);
    match UnixSocket::bind(&process.paths.unix_socket) {
        Ok(socket) => spawner.spawn(socket.run(entrance)),
        Err(error) => warnings
            .add(format!("The unix socket {} cannot be used: {error}", process.paths.unix_socket.display())),
    }
    let listeners = listen::all(&settings.server, &process.paths, warnings).await?;
    http::run(listeners, site).await;
    Ok(())
}

/// Opens the database. Without one the server runs all the same: a printer must not stand still because its
/// memory card has worn out.
async fn open_storage(paths: &Paths, warnings: &Warnings) -> (Storage, storage::OpenReport) {
    let folder = paths.data_path.join("database");
    let options = storage::Options { backups: Some(backups(paths)), ..storage::Options::default() };
    match unblock(move || Storage::open(&folder, &options)).await {
        Ok((storage, report)) => {
            report.warnings.iter().for_each(|text| warnings.add(text.clone()));
            #[cfg(feature = "import")]
            move_in(paths, &storage, warnings).await;
            (storage, report)
        }
        Err(error) => {
            warnings.add(format!("The database cannot be used, nothing is remembered: {error}"));
            (Storage::closed(&error), storage::OpenReport::default())
        }
    }
}

/// Closes the print that a power cut ended.
#[cfg(feature = "history")]
async fn close_interrupted(storage: &Storage) {
    match crate::components::history::close_interrupted(storage).await {
        Ok(Some(id)) => log::info!("Print {id:06X} was interrupted"),
        Ok(None) => {}
        Err(error) => log::warn!("The history could not be looked after: {error}"),
    }
}

/// Takes over the database of the Moonraker that ran on this data folder before (spec database.md §1).
#[cfg(feature = "import")]
async fn move_in(paths: &Paths, storage: &Storage, warnings: &Warnings) {
    let mut folders = vec![paths.data_path.join("database")];
    if paths.is_default_data_path
        && let Some(home) = std::env::home_dir()
    {
        folders.push(home.join(".moonraker_database"));
    }
    let moved = storage.clone();
    let moved = unblock(move || storage::import::first_start(&moved, &folders));
    match moved.await {
        Ok(None) => {}
        Ok(Some((source, report))) => log::info!("Moved in from Moonraker's {source}:\n{report}"),
        Err(error) => warnings.add(format!("Moonraker's database could not be taken over: {error}")),
    }
}

/// Where the database's backups are.
fn backups(paths: &Paths) -> PathBuf {
    paths.data_path.join("backup/database")
}

/// Every endpoint that this build has, with every part of it configured.
pub fn describe_api() -> Vec<Description> {
    let paths = ProcessOptions { data_path: Some("/nonexistent".into()), ..Default::default() }.paths(None);
    let config = Config::parse("moonraker.conf", EVERYTHING, &Variables::new(paths.data_path.clone()));
    let read = config.and_then(|config| match Settings::read(&config) {
        Ok(settings) => Ok((config, settings)),
        Err(_) => Err(config.errors()),
    });
    let Ok((config, settings)) = read else { return Vec::new() };
    let built = parts::build(Context {
        process: &Process {
            paths,
            log: None,
            warnings: Vec::new(),
            debug: true,
            instance_uuid: String::new(),
        },
        config: &config,
        settings: &settings,
        warnings: &Arc::default(),
        spawner: &Spawner::new(&Arc::new(Executor::new())),
        stop: &bounded(1).0,
        storage: &Storage::closed(&storage::Error::failed("not opened")),
        report: &storage::OpenReport::default(),
    });
    built.table.describe()
}

/// A configuration that has every section.
const EVERYTHING: &str = "[server]\n[octoprint_compat]\n";

/// Gives the file manager the folders of the data folder (spec behaviour.md §5.1).
async fn open_roots(files: &Files, paths: &Paths, config_writable: bool, warnings: &Warnings) {
    let roots = files.roots();
    for name in RESERVED {
        roots.reserve(name, &paths.data_path.join(name), false);
    }
    if let Some(log) = &paths.log_file {
        roots.register_file("moonraker.log", log);
    }
    let config = if config_writable { Access::Write } else { Access::Read };
    for (name, access) in [("config", config), ("logs", Access::Read), ("gcodes", Access::Write)] {
        if let Err(warning) = files.register_root(name, paths.data_path.join(name), access).await {
            warnings.add(warning);
        }
    }
}

/// What in the data folder clients neither see nor change, whatever root it may lie under.
const RESERVED: [&str; 6] =
    ["database", "certs", "systemd", "backup", crate::config::SECRETS_FILE, "moonraker.asvc"];
