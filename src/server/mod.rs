//! Builds every part from the configuration, in order; starts, restarts and stops them. The one place where
//! parts meet.

#[cfg(feature = "ldap")]
mod ldap;
mod listen;
mod settings;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::Executor;
use smol::channel::{Receiver, Sender, bounded};

use crate::api::outbox::CloseReason;
use crate::api::table::Description;
use crate::api::{Connections, Event, Events, Notification, Table, Warnings};
use crate::auth::{self, Auth};
use crate::components::authorization::Authorization;
#[cfg(feature = "history")]
use crate::components::history::History;
use crate::components::{
    connection, data_store, database, files as files_part, job_state, machine, printer, proc_stats,
    server as server_part,
};
use crate::config::{self, Config, ConfigErrors, Paths, ProcessOptions, Variables};
use crate::files::{self, Access, FileAction, Files, LoadedFile};
use crate::host::Host;
use crate::host::power::PowerAction;
use crate::klippy::{self, Klippy, KlippyState};
use crate::logging::LogControl;
use crate::print::{Job, PrintQueue};
use crate::storage::{self, Storage};
use crate::tasks::{Spawner, unblock};
use crate::transport::http::{self, Site};
use crate::transport::unix_socket::UnixSocket;
use crate::transport::{self};

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
        let context =
            Context { config: &config, settings: &settings, warnings: &warnings, spawner: &spawner };
        let built = build(process, context, &stop.0, &storage, &report);
        #[cfg(feature = "history")]
        let history = built.history;
        let Built { events, connections, auth, klippy, files, table, upload_paths, queue, .. } = built;
        if let Err(error) = auth.prepare().await {
            warnings.add(format!("The API key is good until the server stops, it cannot be kept: {error}"));
        }

        let writable = settings.files.enable_config_write_access;
        open_roots(&files, &process.paths, writable, &warnings).await;
        if let Some(log) = &process.log {
            log.set_header_item("config", &config.masked_text());
        }

        // what the configuration has left over is known now
        let told: Vec<String> = config.warnings().into_iter().chain(config.unparsed_warnings()).collect();
        // what else is wrong with the machine does not make it a worse configuration
        if !from_backup
            && told.is_empty()
            && let Err(error) = config.write_backup()
        {
            log::warn!("The configuration could not be backed up: {error}");
        }
        told.into_iter().for_each(|text| warnings.add(text));

        // floor 4: transports
        let rates = transport::Rates::new(settings.authorization.stranger_request_rate);
        let context = transport::Context {
            table,
            connections: connections.clone(),
            auth,
            rates: Arc::new(rates),
            spawner: spawner.clone(),
        };
        let options = http::Options {
            route_prefix: settings.server.route_prefix.clone(),
            max_upload_size: settings.server.max_upload_size,
            max_websockets: settings.server.max_websocket_connections,
            cors: settings.authorization.cors.clone(),
            rules: settings.authorization.rules.clone(),
            upload_paths,
        };
        let site =
            Site::new(context.clone(), klippy.clone(), files.clone(), queue, warnings.clone(), options);
        match UnixSocket::bind(&process.paths.unix_socket) {
            Ok(socket) => spawner.spawn(socket.run(context)),
            Err(error) => warnings.add(format!(
                "The unix socket {} cannot be used: {error}",
                process.paths.unix_socket.display()
            )),
        }
        let listeners = listen::all(&settings.server, &process.paths, &warnings).await?;
        http::run(listeners, site).await;
        files.start();
        spawner.spawn(klippy.clone().run());
        Ok(Self {
            executor,
            events,
            klippy,
            connections,
            storage,
            stop,
            port: settings.server.port,
            #[cfg(feature = "history")]
            history,
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

/// The parts of one run, before any is started.
struct Built {
    events: Arc<Events>,
    connections: Arc<Connections>,
    auth: Arc<Auth>,
    klippy: Arc<Klippy>,
    files: Files,
    table: Arc<Table>,
    upload_paths: Vec<&'static str>,
    queue: Option<Arc<dyn PrintQueue>>,
    #[cfg(feature = "history")]
    history: Arc<History>,
}

/// What all parts are built with.
#[derive(Clone, Copy)]
struct Context<'a> {
    config: &'a Config,
    settings: &'a Settings,
    warnings: &'a Arc<Warnings>,
    spawner: &'a Spawner,
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

/// Builds all parts, each from its options and the parts below it.
fn build(
    process: &Process,
    context: Context<'_>,
    stop: &Sender<Stop>,
    storage: &Storage,
    report: &storage::OpenReport,
) -> Built {
    let Context { config, settings, warnings, spawner } = context;
    let paths = &process.paths;
    // floor 2 and 3: connections, Klippy, files, accounts
    let events = Arc::new(Events::default());
    let connections = Connections::new(events.clone());
    let klippy = Klippy::new(
        klippy::Options {
            socket: settings.server.klippy_uds_address.clone(),
            query_from_cache: settings.server.query_from_cache,
        },
        events.clone(),
        spawner.clone(),
    );
    let files = build_files(settings, &klippy, &events, context, storage);
    let auth = Auth::new(
        settings.authorization.auth.clone(),
        auth::Parts {
            storage: storage.clone(),
            connections: connections.clone(),
            events: events.clone(),
            spawner: spawner.clone(),
        },
        warnings,
    );

    // floor 4: the parts of the API
    let stop_for = |sender: &Sender<Stop>| {
        let sender = sender.clone();
        move |reason| {
            // a reason before this one counts
            let _ = sender.try_send(reason);
        }
    };
    let restart: Arc<dyn Fn() + Send + Sync> = {
        let stop = stop_for(stop);
        Arc::new(move || stop(Stop::Restart))
    };
    let mut table = Table::default();
    let server = server_part::Server::new(
        server_part::Parts {
            klippy: klippy.clone(),
            connections: connections.clone(),
            files: files.clone(),
            config: config.clone(),
            warnings: warnings.clone(),
            spawner: spawner.clone(),
            log: process.log.clone(),
            restart: restart.clone(),
        },
        Vec::new(),
    );
    table.add("server", server.endpoints());
    let database = database::Database::new(database::Parts {
        storage: storage.clone(),
        klippy: klippy.clone(),
        spawner: spawner.clone(),
        backups: backups(paths),
        debug: process.debug,
        unclean: report.unclean,
        restart,
    });
    table.add("database", database.endpoints());
    let part = connection::ConnectionPart::new(connections.clone(), auth.clone(), events.clone());
    table.add("websockets", part.endpoints());
    table.add("klippy_apis", printer::Printer::new(klippy.clone()).endpoints());
    let part = settings.files.part;
    let part = files_part::FilesPart::new(files.clone(), &klippy, &events, warnings.clone(), part);
    table.add("file_manager", part.endpoints());
    table.add("authorization", Authorization::new(auth.clone()).endpoints());
    let host = Host::default();
    let end_with = stop_for(stop);
    let machine = machine::Machine::new(
        settings.machine.clone(),
        machine::Parts {
            host: host.clone(),
            data_path: paths.data_path.clone(),
            config_file: paths.config_file.clone(),
            events: events.clone(),
            klippy: klippy.clone(),
            warnings: warnings.clone(),
            spawner: spawner.clone(),
            restart: {
                let restart = stop_for(stop);
                Box::new(move || restart(Stop::Restart))
            },
            end_with: Box::new(move |action| end_with(Stop::Power(action))),
        },
    );
    table.add("machine", machine.endpoints());
    machine.start();
    let stats = proc_stats::ProcStats::new(&host, events.clone(), connections.clone());
    table.add("proc_stats", stats.endpoints());
    stats.start(spawner);
    let store = data_store::DataStore::new(settings.data_store, &klippy, &events, spawner.clone());
    table.add("data_store", store.endpoints());
    let job = Arc::<Job>::default();
    job_state::follow(&job, &klippy, &events);
    // a part of the API by its Moonraker name, though without endpoints
    table.add("job_state", Vec::new());
    #[cfg(feature = "history")]
    let history = History::new(crate::components::history::Parts {
        storage: storage.clone(),
        gcodes: paths.data_path.join("gcodes"),
        job: job.clone(),
        fields: Arc::default(),
        events: events.clone(),
        spawner: spawner.clone(),
    });
    #[cfg(feature = "history")]
    table.add("history", history.endpoints());
    #[cfg(feature = "announcements")]
    {
        use crate::components::announcements::{Announcements, Parts};
        let part = Announcements::new(Parts {
            options: settings.announcements.clone(),
            storage: storage.clone(),
            events: events.clone(),
            spawner: spawner.clone(),
            folder: paths.data_path.join("development/announcements"),
        });
        table.add("announcements", part.endpoints());
    }
    #[cfg(not(feature = "job_queue"))]
    let queue = None;
    #[cfg(feature = "job_queue")]
    let queue = {
        use crate::components::job_queue::{JobQueue, KlippyPrinter, Parts};
        let queue = JobQueue::new(Parts {
            options: settings.job_queue.clone(),
            printer: KlippyPrinter::new(klippy.clone(), job.clone()),
            storage: storage.clone(),
            gcodes: paths.data_path.join("gcodes"),
            events: events.clone(),
            spawner: spawner.clone(),
        });
        queue.attach(&klippy);
        table.add("job_queue", queue.endpoints());
        settings.files.queue_gcode_uploads.then_some(queue as Arc<dyn PrintQueue>)
    };
    #[cfg(feature = "extensions")]
    {
        use crate::components::extensions::Extensions;
        let extensions = Extensions::new(connections.clone(), klippy.clone(), &events);
        table.add("extensions", extensions.endpoints());
    }
    #[cfg(feature = "webcam")]
    {
        use crate::components::webcam::Webcam;
        let cameras = settings.webcams.clone();
        let part = Webcam::new(cameras, &process.instance_uuid, storage.clone(), events.clone());
        table.add("webcam", part.endpoints());
    }
    #[cfg_attr(not(feature = "octoprint_compat"), expect(unused_mut))]
    let mut upload_paths = Vec::new();
    #[cfg(feature = "octoprint_compat")]
    if let Some(options) = settings.octoprint_compat.clone() {
        use crate::components::octoprint_compat::{OctoprintCompat, UPLOAD_PATH};
        table.add(
            "octoprint_compat",
            OctoprintCompat::new(options, &klippy, files.clone(), queue.clone()).endpoints(),
        );
        upload_paths.push(UPLOAD_PATH);
    }
    let table = Arc::new(table);
    server.set_table(&table);
    Built {
        events,
        connections,
        auth,
        klippy,
        files,
        table,
        upload_paths,
        queue,
        #[cfg(feature = "history")]
        history,
    }
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
    let spawner = Spawner::new(&Arc::new(Executor::new()));
    let context =
        Context { config: &config, settings: &settings, warnings: &Arc::default(), spawner: &spawner };
    let storage = Storage::closed(&storage::Error::failed("not opened"));
    let process =
        Process { paths, log: None, warnings: Vec::new(), debug: true, instance_uuid: String::new() };
    build(&process, context, &bounded(1).0, &storage, &storage::OpenReport::default()).table.describe()
}

/// A configuration that has every section.
const EVERYTHING: &str = "[server]\n[octoprint_compat]\n";

/// The file manager, without its roots.
fn build_files(
    settings: &Settings,
    klippy: &Arc<Klippy>,
    events: &Arc<Events>,
    context: Context<'_>,
    storage: &Storage,
) -> Files {
    let Context { warnings, spawner, .. } = context;
    let (loaded_from, told) = (Arc::downgrade(klippy), Arc::downgrade(events));
    Files::new(files::Setup {
        spawner: spawner.clone(),
        loaded: Arc::new(move || loaded_file(&*loaded_from.upgrade()?)),
        sink: Arc::new(move |action: &FileAction| {
            if let Some(events) = told.upgrade() {
                events.emit(&Event::Notify(Notification::new("notify_filelist_changed", action)));
            }
        }),
        warnings: warnings.clone(),
        observer: if settings.files.observe { files::Observer::Inotify } else { files::Observer::None },
        observer_warnings: settings.files.enable_observer_warnings,
        define_objects: settings.files.enable_object_processing,
        storage: storage.clone(),
        max_upload: settings.server.max_upload_size,
    })
}

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

/// The file that Klippy prints from, as the file manager is to protect it.
fn loaded_file(klippy: &Klippy) -> Option<LoadedFile> {
    let path: String = klippy.value("print_stats", "filename")?;
    let state: Option<String> = klippy.value("print_stats", "state");
    let active =
        klippy.state() == KlippyState::Ready && matches!(state.as_deref(), Some("printing" | "paused"));
    (!path.is_empty()).then_some(LoadedFile { path, active })
}
