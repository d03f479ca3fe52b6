//! The part of OctoPrint's API that slicers use to upload and to watch a print (spec api.md §11, behaviour.md
//! §19).
//!
//! Section `[octoprint_compat]`. Endpoints: `/api/*`, HTTP only, answers not wrapped. Uploads to
//! `/api/files/local` are the transport's. Nothing stored.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::{Call, Endpoint, Error, NoParams, Reply, Result};
use crate::files::Files;
use crate::klippy::objects::Wanted;
use crate::klippy::{Klippy, KlippyState, Stage};
use crate::print::PrintQueue;

/// The version of OctoPrint's API that slicers are told; they ask for no more.
const OCTOPRINT_API: &str = "0.1";
const OCTOPRINT_VERSION: &str = "1.5.0";

/// Where slicers that take this for OctoPrint upload to.
pub const UPLOAD_PATH: &str = "/api/files/local";

/// The most extruders that a printer is watched for.
const MAX_TOOLS: usize = 16;

/// Section `[octoprint_compat]`.
#[derive(Debug, Clone)]
pub struct Options {
    /// Tells Cura that it may upload `.ufp` packages.
    pub enable_ufp: bool,
    /// How the camera's picture is to be shown.
    pub flip_h: bool,
    /// The same.
    pub flip_v: bool,
    /// The same.
    pub rotate_90: bool,
    /// Where the camera's stream is.
    pub stream_url: String,
    /// Whether there is a camera.
    pub webcam_enabled: bool,
}

/// OctoPrint's API.
pub struct OctoprintCompat {
    options: Options,
    klippy: Arc<Klippy>,
    files: Files,
    queue: Option<Arc<dyn PrintQueue>>,
}

#[derive(Deserialize)]
struct Commands {
    commands: Vec<String>,
}

#[derive(Deserialize)]
struct Select {
    command: String,
    #[serde(default)]
    print: bool,
}

impl OctoprintCompat {
    /// Offers it.
    pub fn new(
        options: Options,
        klippy: &Arc<Klippy>,
        files: Files,
        queue: Option<Arc<dyn PrintQueue>>,
    ) -> Arc<Self> {
        let weak = Arc::downgrade(klippy);
        klippy.at(Stage::Ready, move |_| {
            let weak = weak.clone();
            async move {
                if let Some(klippy) = weak.upgrade() {
                    watch_heaters(&klippy).await;
                }
            }
        });
        Arc::new(Self { options, klippy: klippy.clone(), files, queue })
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let get = |path| Endpoint::get("", path).http_only().bare().read_only();
        let post = |path| Endpoint::post("", path).http_only().bare();
        vec![
            get("/api/version").to(self, |_, _: Call<NoParams>| async { Ok(version()) }),
            get("/api/server").to(self, Self::server),
            get("/api/settings").to(self, Self::settings),
            get("/api/job").to(self, Self::job),
            get("/api/printer").to(self, Self::printer),
            get("/api/printerprofiles").to(self, |_, _: Call<NoParams>| async { Ok(profiles()) }),
            get("/api/currentuser").to(self, |_, _: Call<NoParams>| async { Ok(user()) }),
            post("/api/login").read_only().to(self, |_, _: Call<NoParams>| async { Ok(user()) }),
            post("/api/printer/command").operator().to(self, Self::command),
            post("/api/files/moonraker/*").operator().to(self, Self::select),
        ]
    }

    async fn server(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let safemode =
            if self.klippy.state() == KlippyState::Ready { Value::Null } else { json!("settings") };
        Ok(Reply::of(&json!({"server": OCTOPRINT_VERSION, "safemode": safemode})))
    }

    async fn settings(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let options = &self.options;
        let plugins = match options.enable_ufp {
            true => json!({"UltimakerFormatPackage": {
                "align_inline_thumbnail": false, "inline_thumbnail": false, "inline_thumbnail_align_value": "left",
                "inline_thumbnail_scale_value": "50", "installed": true, "installed_version": "0.2.2",
                "scale_inline_thumbnail": false, "state_panel_thumbnail": true
            }}),
            false => json!({}),
        };
        Ok(Reply::of(&json!({
            "plugins": plugins,
            "feature": {"sdSupport": false, "temperatureGraph": false},
            "webcam": {
                "flipH": options.flip_h, "flipV": options.flip_v, "rotate90": options.rotate_90,
                "streamUrl": options.stream_url, "webcamEnabled": options.webcam_enabled
            }
        })))
    }

    async fn job(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        Ok(Reply::of(&json!({
            "job": {
                "file": {"name": null}, "estimatedPrintTime": null,
                "filament": {"length": null}, "user": null
            },
            "progress": {"completion": null, "filepos": null, "printTime": null, "printTimeLeft": null,
                         "printTimeOrigin": null},
            "state": self.state_text()
        })))
    }

    async fn printer(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let text = self.state_text();
        Ok(Reply::of(&json!({
            "temperature": self.temperatures(),
            "state": {
                "text": text,
                "flags": {
                    "operational": !matches!(text, "Offline" | "Error"),
                    "paused": text == "Paused",
                    "printing": text == "Printing",
                    "cancelling": false,
                    "pausing": false,
                    "error": text == "Error",
                    "ready": text == "Operational",
                    "closedOrError": matches!(text, "Offline" | "Error")
                }
            }
        })))
    }

    /// The printer's state in OctoPrint's words.
    fn state_text(&self) -> &'static str {
        match self.klippy.state() {
            KlippyState::Disconnected | KlippyState::Startup => "Offline",
            KlippyState::Error | KlippyState::Shutdown => "Error",
            KlippyState::Ready => match self.klippy.value::<String>("print_stats", "state").as_deref() {
                Some("standby" | "complete") => "Operational",
                Some("printing") => "Printing",
                Some("paused") => "Paused",
                _ => "Error",
            },
        }
    }

    fn temperatures(&self) -> BTreeMap<String, Value> {
        let heaters = std::iter::once(("heater_bed".to_owned(), "bed".to_owned()))
            .chain((0..MAX_TOOLS).map(|n| (tool_object(n), format!("tool{n}"))));
        let read = |(object, name): (String, String)| {
            let actual: f64 = self.klippy.value(&object, "temperature")?;
            let target: f64 = self.klippy.value(&object, "target").unwrap_or_default();
            let round = |value: f64| (value * 100.0).round() / 100.0;
            Some((name, json!({"actual": round(actual), "offset": 0, "target": target})))
        };
        heaters.filter_map(read).collect()
    }

    /// Runs G-code; that some of it failed is not told (spec api.md §11).
    async fn command(self: Arc<Self>, call: Call<Commands>) -> Result<Reply> {
        for command in &call.params.commands {
            if let Err(error) = self.klippy.run_gcode(command).await {
                log::warn!("A command of an OctoPrint client failed: {error}");
            }
        }
        Ok(Reply::of(&json!({})))
    }

    async fn select(self: Arc<Self>, call: Call<Select>) -> Result<Reply> {
        if call.params.command != "select" {
            return Err(Error::bad_request(format!("Unsupported Command: {}", call.params.command)));
        }
        let path = call.tail.strip_prefix("gcodes/");
        let path = path.ok_or_else(|| Error::bad_request(format!("Not a G-code file: {}", call.tail)))?;
        if let Err(error) = self.files.download(&call.tail).await {
            return Err(Error::bad_request(format!("No such file: {}", call.tail)).caused_by(error));
        }
        if call.params.print {
            let user = call.caller.identity.user;
            if matches!(self.state_text(), "Printing" | "Paused") {
                let queued = match &self.queue {
                    Some(queue) => queue.enqueue(path.to_owned(), user).await,
                    None => false,
                };
                return if queued { Ok(Reply::none()) } else { Err(Error::new(409, "Printer is busy")) };
            }
            let started = self.klippy.start_print(path, user).await;
            started.map_err(|error| Error::new(409, "The print could not be started").caused_by(error))?;
        }
        Ok(Reply::none())
    }
}

/// Has Klippy report the heaters that OctoPrint's clients are shown.
async fn watch_heaters(klippy: &Klippy) {
    let heaters = klippy.query_values(&Wanted::all_of(["heaters"])).await;
    let listed = heaters.ok().and_then(|mut objects| objects.remove("heaters")?.remove("available_heaters"));
    let listed: Vec<String> = listed.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let known = |name: &&String| *name == "heater_bed" || (0..MAX_TOOLS).any(|n| tool_object(n) == **name);
    let wanted = Wanted::all_of(listed.iter().filter(known).map(String::as_str));
    if let Err(error) = klippy.subscribe_host(&wanted).await {
        log::warn!("Klippy does not report its heaters: {error}");
    }
}

fn tool_object(tool: usize) -> String {
    if tool == 0 { "extruder".to_owned() } else { format!("extruder{tool}") }
}

fn version() -> Reply {
    let text = concat!("OctoPrint (Moonraker API by Perigee ", env!("CARGO_PKG_VERSION"), ")");
    Reply::of(&json!({"server": OCTOPRINT_VERSION, "api": OCTOPRINT_API, "text": text}))
}

fn user() -> Reply {
    Reply::of(&json!({
        "_is_external_client": false, "_login_mechanism": "apikey", "name": "_api", "active": true,
        "user": true, "admin": true, "apikey": null, "permissions": [], "groups": ["admins", "users"]
    }))
}

fn profiles() -> Reply {
    Reply::of(&json!({"profiles": {"_default": {
        "id": "_default", "name": "Default", "color": "default", "model": "Default", "default": true,
        "current": true, "heatedBed": true, "heatedChamber": false
    }}}))
}
