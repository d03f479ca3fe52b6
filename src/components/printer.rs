//! `printer.*`: running the printer, and everything that Klippy itself offers (spec api.md §4).
//!
//! Endpoints: `printer.*`. Events: `PrintRequested`, through the link to Klippy. No options, nothing stored.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::api::{Call, Endpoint, Error, NoParams, Params, Reply, Result, Transport};
use crate::klippy::Klippy;
use crate::klippy::objects::Wanted;

/// Endpoints that every Klippy offers or that printers commonly have. They are passed on like all others; they
/// are named here so that they are described, and need no more rights than they should.
const LOOK: [(&str, &str); 4] = [
    ("printer.info", "/printer/info"),
    ("printer.objects.list", "/printer/objects/list"),
    ("printer.gcode.help", "/printer/gcode/help"),
    ("printer.query_endstops.status", "/printer/query_endstops/status"),
];
const RUN: [(&str, &str); 7] = [
    ("printer.emergency_stop", "/printer/emergency_stop"),
    ("printer.gcode.script", "/printer/gcode/script"),
    ("printer.gcode.restart", "/printer/gcode/restart"),
    ("printer.gcode.firmware_restart", "/printer/gcode/firmware_restart"),
    ("printer.pause_resume.pause", "/printer/pause_resume/pause"),
    ("printer.pause_resume.resume", "/printer/pause_resume/resume"),
    ("printer.pause_resume.cancel", "/printer/pause_resume/cancel"),
];

/// The part of the API that is Klippy's.
pub struct Printer {
    klippy: Arc<Klippy>,
}

#[derive(Deserialize)]
struct StartPrint {
    filename: String,
}

impl Printer {
    /// Offers this Klippy.
    pub fn new(klippy: Arc<Klippy>) -> Arc<Self> {
        Arc::new(Self { klippy })
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let command = |rpc, path| Endpoint::post(rpc, path).operator();
        let mut endpoints = vec![
            command("printer.print.start", "/printer/print/start").to(self, Self::start_print),
            command("printer.print.pause", "/printer/print/pause")
                .to(self, |part, call| part.command(call, "pause_resume/pause")),
            command("printer.print.resume", "/printer/print/resume")
                .to(self, |part, call| part.command(call, "pause_resume/resume")),
            command("printer.print.cancel", "/printer/print/cancel")
                .to(self, |part, call| part.command(call, "pause_resume/cancel")),
            command("printer.restart", "/printer/restart")
                .to(self, |part, call| part.restart(call, "RESTART")),
            command("printer.firmware_restart", "/printer/firmware_restart")
                .to(self, |part, call| part.restart(call, "FIRMWARE_RESTART")),
            Endpoint::any("printer.objects.query", "/printer/objects/query")
                .read_only()
                .object_query()
                .to(self, Self::query),
            Endpoint::any("printer.objects.subscribe", "/printer/objects/subscribe")
                .read_only()
                .object_query()
                .to(self, Self::subscribe),
        ];
        let forwarded = LOOK.map(|names| (names, true)).into_iter().chain(RUN.map(|names| (names, false)));
        for ((rpc, path), looks) in forwarded {
            let endpoint = Endpoint::any(rpc, path);
            let endpoint = if looks { endpoint.read_only() } else { endpoint.operator() };
            let name = path.trim_start_matches("/printer/");
            endpoints.push(endpoint.to(self, move |part, call: Call| part.forward(call, name.to_owned())));
        }
        endpoints.push(Endpoint::any("printer.*", "/printer/*").operator().to(self, |part, call: Call| {
            let name = call.tail.clone();
            part.forward(call, name)
        }));
        endpoints
    }

    async fn start_print(self: Arc<Self>, call: Call<StartPrint>) -> Result<Reply> {
        self.klippy.start_print(&call.params.filename, call.caller.identity.user).await?;
        Ok(Reply::ok())
    }

    async fn command(self: Arc<Self>, _: Call<NoParams>, endpoint: &'static str) -> Result<Reply> {
        self.klippy.request(endpoint, None).await?;
        Ok(Reply::ok())
    }

    async fn restart(self: Arc<Self>, _: Call<NoParams>, command: &'static str) -> Result<Reply> {
        self.klippy.restart(command).await?;
        Ok(Reply::ok())
    }

    async fn forward(self: Arc<Self>, call: Call, endpoint: String) -> Result<Reply> {
        self.klippy.forward(&endpoint, &call.params.into_raw()).await
    }

    async fn query(self: Arc<Self>, call: Call) -> Result<Reply> {
        let wanted =
            objects(call.params)?.ok_or_else(|| Error::bad_request("No data for argument: objects"))?;
        self.klippy.query(&wanted).await
    }

    async fn subscribe(self: Arc<Self>, call: Call) -> Result<Reply> {
        let Some(connection) = call.caller.connection else {
            return Err(match call.caller.transport {
                Transport::HttpJsonRpc => Error::not_found("Subscriptions not available for HTTP transport"),
                _ => Error::bad_request("No connection associated with subscription request"),
            });
        };
        let wanted = objects(call.params)?.unwrap_or_default();
        self.klippy.subscribe(&connection, wanted).await
    }
}

/// The `objects` argument, if there is one.
fn objects(params: Params) -> Result<Option<Wanted>> {
    #[derive(Deserialize)]
    struct Objects {
        objects: Option<Box<RawValue>>,
    }
    let text = params.into_raw();
    let read: Objects = serde_json::from_str(text.get())
        .map_err(|error| Error::bad_request("Invalid params").caused_by(error))?;
    let Some(objects) = read.objects else { return Ok(None) };
    let value = serde_json::from_str(objects.get())
        .map_err(|error| Error::bad_request("Invalid argument 'objects'").caused_by(error))?;
    Wanted::parse(&value).map(Some)
}
