//! `server.info`, `server.config`, `server.restart`, `server.logs.rollover`: the server itself (spec api.md §3).
//!
//! Section `[server]`, whose options belong to the parts that use them. Nothing stored.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::{Call, Connections, Endpoint, Error, NoParams, Reply, Result, Table, Warnings};
use crate::config::Config;
use crate::files::Files;
use crate::klippy::Klippy;
use crate::logging::LogControl;
use crate::tasks::{Spawner, unblock};

/// The version of the API (spec api.md, title).
const API_VERSION: [u32; 3] = [1, 5, 0];

/// What clients that ask for Moonraker's version are told: the one whose API this is, in the form of a version
/// that they can compare, marked as ours.
const MOONRAKER_VERSION: &str = concat!("v0.10.0-perigee.", env!("CARGO_PKG_VERSION"));

/// How long a restart waits, so that its answer gets out first (spec behaviour.md §1).
const RESTART_DELAY: Duration = Duration::from_millis(500);

/// What this part works with.
pub struct Parts {
    /// The link to Klippy.
    pub klippy: Arc<Klippy>,
    /// The lasting connections.
    pub connections: Arc<Connections>,
    /// The files.
    pub files: Files,
    /// The configuration.
    pub config: Config,
    /// The warnings.
    pub warnings: Arc<Warnings>,
    /// Starts tasks.
    pub spawner: Spawner,
    /// The log of the process, where there is one.
    pub log: Option<LogControl>,
    /// Ends this run of the server and begins another.
    pub restart: Arc<dyn Fn() + Send + Sync>,
}

/// The server's own part of the API.
pub struct Server {
    parts: Parts,
    table: OnceLock<Weak<Table>>,
    failed: Vec<String>,
}

#[derive(Deserialize)]
struct InfoParams {
    #[serde(default)]
    raw: bool,
}

#[derive(miniserde::Serialize)]
struct Info {
    klippy_connected: bool,
    klippy_state: String,
    components: Vec<String>,
    failed_components: Vec<String>,
    registered_directories: Vec<String>,
    warnings: Vec<String>,
    websocket_count: u64,
    moonraker_version: String,
    missing_klippy_requirements: Vec<String>,
    api_version: Vec<u32>,
    api_version_string: String,
}

#[derive(Deserialize)]
struct Rollover {
    application: Option<String>,
}

#[derive(Serialize, Default)]
struct RolledOver {
    rolled_over: Vec<String>,
    failed: BTreeMap<String, String>,
}

impl Server {
    /// Brings the parts together. `failed` are the names of components that could not be started.
    pub fn new(parts: Parts, failed: Vec<String>) -> Arc<Self> {
        Arc::new(Self { parts, table: OnceLock::new(), failed })
    }

    /// Tells which endpoints there are, once all are known.
    pub fn set_table(&self, table: &Arc<Table>) {
        // a second call would only say the same again
        let _ = self.table.set(Arc::downgrade(table));
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![
            Endpoint::get("server.info", "/server/info").read_only().to(self, Self::info),
            Endpoint::get("server.config", "/server/config").read_only().to(self, Self::config),
            Endpoint::post("server.restart", "/server/restart").to(self, Self::restart),
            Endpoint::post("server.logs.rollover", "/server/logs/rollover").to(self, Self::rollover),
        ]
    }

    async fn info(self: Arc<Self>, call: Call<InfoParams>) -> Result<Reply> {
        let Parts { klippy, connections, files, warnings, .. } = &self.parts;
        let state = klippy.state();
        let table = self.table.get().and_then(Weak::upgrade);
        let components =
            table.map(|table| table.components().iter().map(|name| (*name).to_owned()).collect());
        let mut warnings = warnings.texts();
        if !call.params.raw {
            warnings.iter_mut().for_each(|text| *text = text.replace('\n', "<br/>"));
        }
        Ok(Reply::fixed(&Info {
            klippy_connected: klippy.is_connected(),
            klippy_state: state.name().to_owned(),
            components: components.unwrap_or_default(),
            failed_components: self.failed.clone(),
            registered_directories: files.roots().names(),
            warnings,
            websocket_count: connections.len() as u64,
            moonraker_version: MOONRAKER_VERSION.to_owned(),
            missing_klippy_requirements: klippy.missing_requirements(),
            api_version: API_VERSION.to_vec(),
            api_version_string: API_VERSION.map(|part| part.to_string()).join("."),
        }))
    }

    async fn config(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&self.parts.config.to_json()))
    }

    async fn restart(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let part = self.clone();
        self.parts.spawner.spawn(async move {
            smol::Timer::after(RESTART_DELAY).await;
            (part.parts.restart)();
        });
        Ok(Reply::ok())
    }

    async fn rollover(self: Arc<Self>, call: Call<Rollover>) -> Result<Reply> {
        let all = ["moonraker", "klipper"];
        let chosen: Vec<&str> = match call.params.application.as_deref() {
            None => all.to_vec(),
            Some(name) if all.contains(&name) => vec![name],
            Some(name) => {
                return Err(Error::bad_request(format!(
                    "Unknown application {name}, must be one of {all:?}"
                )));
            }
        };
        let mut outcome = RolledOver::default();
        for name in chosen {
            let rolled = match name {
                "moonraker" => self.roll_own_log().await,
                _ => Err(self.klipper_rollover_refusal()),
            };
            match rolled {
                Ok(_) => outcome.rolled_over.push(name.to_owned()),
                Err(reason) => {
                    outcome.failed.insert(name.to_owned(), reason);
                }
            }
        }
        Ok(Reply::of(&outcome))
    }

    async fn roll_own_log(&self) -> std::result::Result<(), String> {
        let log = self.parts.log.clone().ok_or("There is no log")?;
        unblock(move || log.rollover().map(drop).map_err(|error| error.to_string())).await
    }

    /// Klipper keeps its log open, so its log can only be rolled over by stopping it, and that takes a service
    /// manager.
    fn klipper_rollover_refusal(&self) -> String {
        match self.parts.klippy.is_printing() {
            true => "Cannot rollover log while printing".to_owned(),
            false => "Klipper's service is not known".to_owned(),
        }
    }
}
