//! The text and progress that G-code shows.

use super::status::Status;
use crate::demo::klippy::clock::Seconds;

/// How long the progress of an `M73` counts once the printer rests, in seconds.
const M73_TIMEOUT: Seconds = 5.0;

/// The `display_status` object.
#[derive(Debug, Clone, Default)]
pub(in crate::demo::klippy) struct DisplayStatus {
    /// The text of `M117`.
    pub(in crate::demo::klippy) message: Option<String>,
    /// 0 to 1, and until when it counts.
    progress: Option<(f64, Seconds)>,
}

impl DisplayStatus {
    /// Takes the progress of an `M73`, 0 to 1.
    pub(in crate::demo::klippy) fn set_progress(&mut self, now: Seconds, progress: f64) {
        self.progress = Some((progress.clamp(0.0, 1.0), now + M73_TIMEOUT));
    }

    /// The fields of its object. Without a progress of its own it shows that of the file.
    pub(in crate::demo::klippy) fn status(&mut self, now: Seconds, printing: bool, file: f64) -> Status {
        if self.progress.is_some_and(|(_, expires)| now > expires && !printing) {
            self.progress = None;
        }
        Status::default()
            .number("progress", self.progress.map_or(file, |(progress, _)| progress))
            .maybe("message", self.message.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_expires_at_rest() {
        let mut display = DisplayStatus::default();
        display.set_progress(100.0, 0.5);
        assert!(display.status(200.0, true, 0.1).to_json().contains("0.5"));
        assert!(display.status(200.0, false, 0.1).to_json().contains("0.1"));
        assert!(display.status(200.0, true, 0.1).to_json().contains("0.1"));
    }
}
