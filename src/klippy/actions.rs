//! What is often asked of Klippy (spec behaviour.md §2.6).

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Klippy;
use crate::api::{Error, Event, Reply, Result};
use crate::json;

impl Klippy {
    /// Passes a call on to one of Klippy's endpoints. An empty answer becomes `"ok"`.
    ///
    /// # Errors
    /// Those of [`Klippy::request`]; 404 for an endpoint that Klippy does not have.
    pub async fn forward(&self, endpoint: &str, params: &RawValue) -> Result<Reply> {
        match self.offers(endpoint) {
            Some(true) => {}
            Some(false) => return Err(Error::not_found("Method not found")),
            None => return Err(Error::unavailable("Klippy Host not connected")),
        }
        if endpoint == "gcode/script" {
            self.note_script(params);
        }
        let answer = self.request(endpoint, Some(params)).await?;
        Ok(if json::is_falsy(answer.get()) { Reply::ok() } else { answer.into() })
    }

    /// Runs G-code, and waits until it has run.
    ///
    /// # Errors
    /// Those of [`Klippy::request`].
    pub async fn run_gcode(&self, script: &str) -> Result<()> {
        let params = json::to_raw(&serde_json::json!({ "script": script }));
        if self.is_connected() {
            self.note_script(&params);
        }
        self.request("gcode/script", Some(&params)).await.map(drop)
    }

    /// Tells of every script that is handed to Klippy, before it answers (spec behaviour.md §3, gcode_store).
    fn note_script(&self, params: &RawValue) {
        #[derive(serde::Deserialize)]
        struct Script {
            script: String,
        }
        if let Ok(Script { script }) = serde_json::from_str(params.get())
            && !script.trim().is_empty()
        {
            self.events.emit(&Event::GcodeCommand(script.into()));
        }
    }

    /// Starts printing a file, given by its path below `gcodes`. That it exists is left to Klippy.
    ///
    /// # Errors
    /// 400 for an empty name or one that G-code cannot carry; those of [`Klippy::request`].
    pub async fn start_print(&self, filename: &str, user: Option<Arc<str>>) -> Result<()> {
        let filename = filename.strip_prefix('/').unwrap_or(filename);
        if filename.is_empty() || filename.contains(['\n', '\r', '\0']) {
            return Err(Error::bad_request("Invalid file name"));
        }
        let escaped = filename.replace('"', "\\\"");
        self.run_gcode(&format!("SDCARD_PRINT_FILE FILENAME=\"{escaped}\"")).await?;
        self.events.emit(&Event::PrintRequested(user));
        Ok(())
    }

    /// Runs `RESTART` or `FIRMWARE_RESTART`. Klippy drops the connection when it restarts, often before it has
    /// answered: that counts as success.
    ///
    /// # Errors
    /// Those of [`Klippy::request`].
    pub async fn restart(&self, command: &str) -> Result<()> {
        match self.run_gcode(command).await {
            Err(error) if error.message() == "Klippy Disconnected" => Ok(()),
            other => other,
        }
    }
}
