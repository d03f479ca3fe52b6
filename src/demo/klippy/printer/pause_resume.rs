//! Whether the print is paused, and by whom.

/// The `pause_resume` object.
#[derive(Debug, Clone, Default)]
pub(in crate::demo::klippy) struct PauseResume {
    /// A `PAUSE` has run.
    pub(in crate::demo::klippy) is_paused: bool,
    /// What was paused is the virtual SD card's print.
    pub(in crate::demo::klippy) sd_paused: bool,
    /// The print has been stopped; the `PAUSE` may still be to come.
    pub(in crate::demo::klippy) command_sent: bool,
}
