//! What the queue needs of a printer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::Result;
use crate::klippy::{Klippy, KlippyState};
use crate::print::{Job, JobState};

/// How long Klippy may take to come back when the G-code of a transition restarted it (spec behaviour.md §9).
const RESTART_TIMEOUT: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// Something that prints files.
pub trait Printer: Send + Sync + 'static {
    /// Whether a print runs or waits.
    fn is_busy(&self) -> bool;
    /// Whether a print can be started.
    fn is_free(&self) -> bool;
    /// Runs G-code to its end.
    fn run_gcode(&self, gcode: &str) -> impl Future<Output = Result<()>> + Send;
    /// Starts to print a file.
    fn start_print(&self, filename: &str, user: Option<Arc<str>>) -> impl Future<Output = Result<()>> + Send;
}

/// The printer that Klippy runs.
pub struct KlippyPrinter {
    klippy: Arc<Klippy>,
    job: Arc<Job>,
}

impl KlippyPrinter {
    /// Prints through this link, of which `job` tells.
    pub fn new(klippy: Arc<Klippy>, job: Arc<Job>) -> Self {
        Self { klippy, job }
    }
}

impl Printer for KlippyPrinter {
    fn is_busy(&self) -> bool {
        let state = self.job.stats().state;
        self.klippy.state() == KlippyState::Ready && matches!(state, JobState::Printing | JobState::Paused)
    }

    fn is_free(&self) -> bool {
        self.klippy.state() == KlippyState::Ready && !self.is_busy()
    }

    async fn run_gcode(&self, gcode: &str) -> Result<()> {
        self.klippy.run_gcode(gcode).await
    }

    async fn start_print(&self, filename: &str, user: Option<Arc<str>>) -> Result<()> {
        let begun = Instant::now();
        let waits = || matches!(self.klippy.state(), KlippyState::Startup | KlippyState::Disconnected);
        while waits() && begun.elapsed() < RESTART_TIMEOUT {
            smol::Timer::after(LOOK).await;
        }
        self.klippy.start_print(filename, user).await
    }
}
