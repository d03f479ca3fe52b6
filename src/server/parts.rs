//! The parts of one run: each is built from its options and the parts below it, and gives its endpoints.

use std::sync::Arc;

use smol::channel::Sender;

use super::settings::Settings;
use super::{Process, Stop, backups};
use crate::api::{Connections, Event, Events, Notification, Table, Warnings};
use crate::auth::{self, Auth};
#[cfg(feature = "announcements")]
use crate::components::announcements::{self, Announcements};
use crate::components::authorization::Authorization;
use crate::components::connection::ConnectionPart;
use crate::components::data_store::DataStore;
use crate::components::database::{self, Database};
#[cfg(feature = "extensions")]
use crate::components::extensions::Extensions;
use crate::components::files::FilesPart;
#[cfg(feature = "history")]
use crate::components::history::{self, History};
#[cfg(feature = "job_queue")]
use crate::components::job_queue::{self, JobQueue, KlippyPrinter};
use crate::components::job_state;
use crate::components::machine::{self, Machine};
#[cfg(feature = "octoprint_compat")]
use crate::components::octoprint_compat::{OctoprintCompat, UPLOAD_PATH};
use crate::components::printer::Printer;
use crate::components::proc_stats::ProcStats;
use crate::components::server::{self as server_part, Server};
#[cfg(feature = "webcam")]
use crate::components::webcam::Webcam;
use crate::config::Config;
use crate::files::{self, FileAction, Files, LoadedFile};
use crate::host::Host;
use crate::klippy::{self, Klippy, KlippyState};
use crate::print::{Job, PrintQueue};
use crate::storage::{OpenReport, Storage};
use crate::tasks::Spawner;

/// What all parts are built with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) process: &'a Process,
    pub(super) config: &'a Config,
    pub(super) settings: &'a Settings,
    pub(super) warnings: &'a Arc<Warnings>,
    pub(super) spawner: &'a Spawner,
    /// Where the reason goes for which the run is to end.
    pub(super) stop: &'a Sender<Stop>,
    pub(super) storage: &'a Storage,
    /// How the storage was found.
    pub(super) report: &'a OpenReport,
}

/// The parts of one run.
pub(super) struct Built {
    pub(super) events: Arc<Events>,
    pub(super) connections: Arc<Connections>,
    pub(super) auth: Arc<Auth>,
    pub(super) klippy: Arc<Klippy>,
    pub(super) files: Files,
    pub(super) table: Arc<Table>,
    pub(super) upload_paths: Vec<&'static str>,
    pub(super) queue: Option<Arc<dyn PrintQueue>>,
    #[cfg(feature = "history")]
    pub(super) history: Arc<History>,
}

/// Builds all parts. The names in the table are those that `server.info` lists: Moonraker's.
pub(super) fn build(context: Context<'_>) -> Built {
    let base = Base::new(context);
    let (host, job) = (Host::default(), Arc::<Job>::default());
    let mut table = Table::default();
    let server = base.server();
    table.add("server", server.endpoints());
    table.add("database", base.database().endpoints());
    let Base { events, connections, klippy, auth, .. } = &base;
    let websockets = ConnectionPart::new(connections.clone(), auth.clone(), events.clone());
    table.add("websockets", websockets.endpoints());
    table.add("klippy_apis", Printer::new(klippy.clone()).endpoints());
    table.add("file_manager", base.file_manager().endpoints());
    table.add("authorization", Authorization::new(auth.clone()).endpoints());
    table.add("machine", base.machine(&host).endpoints());
    table.add("proc_stats", base.proc_stats(&host).endpoints());
    table.add("data_store", base.data_store().endpoints());
    job_state::follow(&job, klippy, events);
    table.add("job_state", Vec::new());
    #[cfg(feature = "history")]
    let history = base.history(&job);
    #[cfg(feature = "history")]
    table.add("history", history.endpoints());
    #[cfg(feature = "announcements")]
    table.add("announcements", base.announcements().endpoints());
    #[cfg(not(feature = "job_queue"))]
    let queue = None;
    #[cfg(feature = "job_queue")]
    let queue = {
        let queue = base.job_queue(&job);
        table.add("job_queue", queue.endpoints());
        base.settings.files.queue_gcode_uploads.then_some(queue as Arc<dyn PrintQueue>)
    };
    #[cfg(feature = "extensions")]
    table.add("extensions", Extensions::new(connections.clone(), klippy.clone(), events).endpoints());
    #[cfg(feature = "webcam")]
    table.add("webcam", base.webcam().endpoints());
    #[cfg_attr(not(feature = "octoprint_compat"), expect(unused_mut))]
    let mut upload_paths = Vec::new();
    #[cfg(feature = "octoprint_compat")]
    if let Some(part) = base.octoprint_compat(queue.as_ref()) {
        table.add("octoprint_compat", part.endpoints());
        upload_paths.push(UPLOAD_PATH);
    }
    let table = Arc::new(table);
    server.set_table(&table);
    let Base { events, connections, auth, klippy, files, .. } = base;
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

/// What the parts of the API stand on.
struct Base<'a> {
    context: Context<'a>,
    settings: &'a Settings,
    events: Arc<Events>,
    connections: Arc<Connections>,
    klippy: Arc<Klippy>,
    files: Files,
    auth: Arc<Auth>,
}

impl<'a> Base<'a> {
    fn new(context: Context<'a>) -> Self {
        let Context { settings, spawner, storage, .. } = context;
        let events = Arc::new(Events::default());
        let connections = Connections::new(events.clone());
        let options = klippy::Options {
            socket: settings.server.klippy_uds_address.clone(),
            query_from_cache: settings.server.query_from_cache,
        };
        let klippy = Klippy::new(options, events.clone(), spawner.clone());
        let files = file_roots(context, &klippy, &events);
        let parts = auth::Parts {
            storage: storage.clone(),
            connections: connections.clone(),
            events: events.clone(),
            spawner: spawner.clone(),
        };
        let auth = Auth::new(settings.authorization.auth.clone(), parts, context.warnings);
        Self { context, settings, events, connections, klippy, files, auth }
    }

    /// What ends the run for a reason. A reason that was given before counts.
    fn stopper(&self) -> impl Fn(Stop) + Send + Sync + use<> {
        let sender = self.context.stop.clone();
        move |reason| {
            let _ = sender.try_send(reason);
        }
    }

    /// What has everything built anew.
    fn restarter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let stop = self.stopper();
        Arc::new(move || stop(Stop::Restart))
    }

    fn server(&self) -> Arc<Server> {
        let parts = server_part::Parts {
            klippy: self.klippy.clone(),
            connections: self.connections.clone(),
            files: self.files.clone(),
            config: self.context.config.clone(),
            warnings: self.context.warnings.clone(),
            spawner: self.context.spawner.clone(),
            log: self.context.process.log.clone(),
            restart: self.restarter(),
        };
        Server::new(parts, Vec::new())
    }

    fn database(&self) -> Arc<Database> {
        Database::new(database::Parts {
            storage: self.context.storage.clone(),
            klippy: self.klippy.clone(),
            spawner: self.context.spawner.clone(),
            backups: backups(&self.context.process.paths),
            debug: self.context.process.debug,
            unclean: self.context.report.unclean,
            restart: self.restarter(),
        })
    }

    fn file_manager(&self) -> Arc<FilesPart> {
        let (files, warnings) = (self.files.clone(), self.context.warnings.clone());
        FilesPart::new(files, &self.klippy, &self.events, warnings, self.settings.files.part)
    }

    fn machine(&self, host: &Host) -> Arc<Machine> {
        let (paths, stop) = (&self.context.process.paths, self.stopper());
        let parts = machine::Parts {
            host: host.clone(),
            data_path: paths.data_path.clone(),
            config_file: paths.config_file.clone(),
            events: self.events.clone(),
            klippy: self.klippy.clone(),
            warnings: self.context.warnings.clone(),
            spawner: self.context.spawner.clone(),
            restart: self.restarter(),
            end_with: Box::new(move |action| stop(Stop::Power(action))),
        };
        let machine = Machine::new(self.settings.machine.clone(), parts);
        machine.start();
        machine
    }

    fn proc_stats(&self, host: &Host) -> Arc<ProcStats> {
        let stats = ProcStats::new(host, self.events.clone(), self.connections.clone());
        stats.start(self.context.spawner);
        stats
    }

    fn data_store(&self) -> Arc<DataStore> {
        let spawner = self.context.spawner.clone();
        DataStore::new(self.settings.data_store, &self.klippy, &self.events, spawner)
    }

    #[cfg(feature = "history")]
    fn history(&self, job: &Arc<Job>) -> Arc<History> {
        History::new(history::Parts {
            storage: self.context.storage.clone(),
            gcodes: self.context.process.paths.data_path.join("gcodes"),
            job: job.clone(),
            fields: Arc::default(),
            events: self.events.clone(),
            spawner: self.context.spawner.clone(),
        })
    }

    #[cfg(feature = "announcements")]
    fn announcements(&self) -> Arc<Announcements> {
        Announcements::new(announcements::Parts {
            options: self.settings.announcements.clone(),
            storage: self.context.storage.clone(),
            events: self.events.clone(),
            spawner: self.context.spawner.clone(),
            folder: self.context.process.paths.data_path.join("development/announcements"),
        })
    }

    #[cfg(feature = "job_queue")]
    fn job_queue(&self, job: &Arc<Job>) -> Arc<JobQueue<KlippyPrinter>> {
        let queue = JobQueue::new(job_queue::Parts {
            options: self.settings.job_queue.clone(),
            printer: KlippyPrinter::new(self.klippy.clone(), job.clone()),
            storage: self.context.storage.clone(),
            gcodes: self.context.process.paths.data_path.join("gcodes"),
            events: self.events.clone(),
            spawner: self.context.spawner.clone(),
        });
        queue.attach(&self.klippy);
        queue
    }

    #[cfg(feature = "webcam")]
    fn webcam(&self) -> Arc<Webcam> {
        let Context { process, storage, .. } = self.context;
        let cameras = self.settings.webcams.clone();
        Webcam::new(cameras, &process.instance_uuid, storage.clone(), self.events.clone())
    }

    #[cfg(feature = "octoprint_compat")]
    fn octoprint_compat(&self, queue: Option<&Arc<dyn PrintQueue>>) -> Option<Arc<OctoprintCompat>> {
        let options = self.settings.octoprint_compat.clone()?;
        Some(OctoprintCompat::new(options, &self.klippy, self.files.clone(), queue.cloned()))
    }
}

/// The file manager, without its roots.
fn file_roots(context: Context<'_>, klippy: &Arc<Klippy>, events: &Arc<Events>) -> Files {
    let Context { settings, warnings, spawner, storage, .. } = context;
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

/// The file that Klippy prints from, as the file manager is to protect it.
fn loaded_file(klippy: &Klippy) -> Option<LoadedFile> {
    let path: String = klippy.value("print_stats", "filename")?;
    let state: Option<String> = klippy.value("print_stats", "state");
    let active =
        klippy.state() == KlippyState::Ready && matches!(state.as_deref(), Some("printing" | "paused"));
    (!path.is_empty()).then_some(LoadedFile { path, active })
}
