//! How the print goes: its state, times and filament.

use super::status::Status;
use crate::demo::klippy::clock::Seconds;

/// Less filament than this is none, in mm.
const NO_FILAMENT: f64 = 1e-7;

/// The `print_stats` object. Times are those of the printer.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct PrintStats {
    pub(in crate::demo::klippy) filename: String,
    pub(in crate::demo::klippy) state: &'static str,
    message: String,
    started: Option<Seconds>,
    paused: Option<Seconds>,
    pause_total: Seconds,
    total: Seconds,
    /// How long it took until the first filament came.
    init: Seconds,
    filament: f64,
    last_e: f64,
    total_layer: Option<u64>,
    current_layer: Option<u64>,
}

impl PrintStats {
    /// No print.
    pub(in crate::demo::klippy) fn new() -> Self {
        Self {
            filename: String::new(),
            state: "standby",
            message: String::new(),
            started: None,
            paused: None,
            pause_total: 0.0,
            total: 0.0,
            init: 0.0,
            filament: 0.0,
            last_e: 0.0,
            total_layer: None,
            current_layer: None,
        }
    }

    /// Another file has been opened.
    pub(in crate::demo::klippy) fn set_file(&mut self, name: &str) {
        *self = Self::new();
        name.clone_into(&mut self.filename);
    }

    /// The print begins or goes on. `e` is the position of the filament.
    pub(in crate::demo::klippy) fn start(&mut self, now: Seconds, e: f64) {
        match (self.started, self.paused.take()) {
            (None, _) => self.started = Some(now),
            (Some(_), Some(since)) => self.pause_total += now - since,
            (Some(_), None) => {}
        }
        self.last_e = e;
        self.state = "printing";
        self.message.clear();
    }

    /// The print stops for now.
    pub(in crate::demo::klippy) fn pause(&mut self, now: Seconds, e: f64, extrude_factor: f64) {
        if self.paused.is_none() {
            self.use_filament(e, extrude_factor);
            self.paused = Some(now);
        }
        if self.state != "error" {
            self.state = "paused";
        }
    }

    /// The print is over: `complete`, `cancelled` or `error` with its reason.
    pub(in crate::demo::klippy) fn finish(&mut self, now: Seconds, state: &'static str, message: &str) {
        let Some(started) = self.started.take() else {
            return;
        };
        self.state = state;
        message.clone_into(&mut self.message);
        self.total = now - started;
        if self.filament < NO_FILAMENT {
            self.init = self.total - self.pause_total;
        }
    }

    /// `SET_PRINT_STATS_INFO`.
    pub(in crate::demo::klippy) fn set_layers(&mut self, total: Option<u64>, current: Option<u64>) {
        let total = total.or(self.total_layer);
        let current = current.or(self.current_layer);
        if total == Some(0) {
            self.total_layer = None;
            self.current_layer = None;
        } else if total != self.total_layer {
            self.total_layer = total;
            self.current_layer = Some(0);
        }
        if let (Some(total), Some(current)) = (self.total_layer, current) {
            self.current_layer = Some(current.min(total));
        }
    }

    fn use_filament(&mut self, e: f64, extrude_factor: f64) {
        self.filament += (e - self.last_e) / extrude_factor;
        self.last_e = e;
    }

    /// Brings times and filament up to date.
    pub(in crate::demo::klippy) fn update(&mut self, now: Seconds, e: f64, extrude_factor: f64) {
        let Some(started) = self.started else {
            return;
        };
        if self.paused.is_none() {
            self.use_filament(e, extrude_factor);
        }
        self.total = now - started;
        if self.filament < NO_FILAMENT {
            self.init = self.total - self.time_paused(now);
        }
    }

    fn time_paused(&self, now: Seconds) -> Seconds {
        match (self.started, self.paused) {
            (Some(_), Some(since)) => self.pause_total + now - since,
            _ => self.pause_total,
        }
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&mut self, now: Seconds, e: f64, extrude_factor: f64) -> Status {
        self.update(now, e, extrude_factor);
        let layer = |layer: Option<u64>| layer.map_or_else(|| "null".to_owned(), |layer| layer.to_string());
        Status::default()
            .text("filename", &self.filename)
            .number("total_duration", self.total)
            .number("print_duration", self.total - self.init - self.time_paused(now))
            .number("filament_used", self.filament)
            .text("state", self.state)
            .text("message", &self.message)
            .raw(
                "info",
                format!(
                    r#"{{"total_layer":{},"current_layer":{}}}"#,
                    layer(self.total_layer),
                    layer(self.current_layer)
                ),
            )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn status(stats: &mut PrintStats, now: f64, e: f64) -> Value {
        serde_json::from_str(&stats.status(now, e, 1.0).to_json()).unwrap()
    }

    #[test]
    fn pauses_and_heating_are_no_print_time() {
        let mut stats = PrintStats::new();
        stats.set_file("a.gcode");
        stats.start(100.0, 0.0);
        let heating = status(&mut stats, 160.0, 0.0);
        assert_eq!((&heating["total_duration"], &heating["print_duration"]), (&60.0.into(), &0.0.into()));
        status(&mut stats, 170.0, 2.0);
        stats.pause(200.0, 10.0, 1.0);
        assert_eq!(status(&mut stats, 250.0, 99.0)["print_duration"], 40.0);
        stats.start(300.0, 10.0);
        assert_eq!(status(&mut stats, 310.0, 15.0)["print_duration"], 50.0);
        stats.finish(320.0, "complete", "");
        let done = status(&mut stats, 999.0, 15.0);
        assert_eq!(done["state"], "complete");
        assert_eq!(done["filament_used"], 15.0);
        assert_eq!((&done["total_duration"], &done["print_duration"]), (&220.0.into(), &60.0.into()));
        stats.finish(2000.0, "error", "late");
        assert_eq!(stats.state, "complete");
    }

    #[test]
    fn layers_are_limited_and_reset() {
        let mut stats = PrintStats::new();
        stats.set_layers(None, Some(3));
        assert_eq!(stats.current_layer, None);
        stats.set_layers(Some(10), None);
        assert_eq!(stats.current_layer, Some(0));
        stats.set_layers(None, Some(12));
        assert_eq!(stats.current_layer, Some(10));
        stats.set_layers(Some(0), None);
        assert_eq!((stats.total_layer, stats.current_layer), (None, None));
    }
}
