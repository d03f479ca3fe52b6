//! Whether the printer is ready, and what Klippy says about it.

/// What Klippy says when it is ready.
pub(in crate::demo::klippy) const MESSAGE_READY: &str = "Printer is ready";

/// What it says while it starts.
pub(in crate::demo::klippy) const MESSAGE_STARTUP: &str = "\nPrinter is not ready\nThe klippy host software is \
     attempting to connect.  Please\nretry in a few moments.\n";

/// What it adds to a mistake in the configuration.
pub(in crate::demo::klippy) const MESSAGE_RESTART: &str = "\nOnce the underlying issue is corrected, use the \
     \"RESTART\"\ncommand to reload the config and restart the host software.\nPrinter is halted\n";

/// What it adds to the reason of a shutdown.
pub(in crate::demo::klippy) const MESSAGE_SHUTDOWN: &str = "\nOnce the underlying issue is corrected, use the\n\
     \"FIRMWARE_RESTART\" command to reset the firmware, reload the\nconfig, and restart the host software.\n\
     Printer is shutdown\n";

/// The states of Klippy with their messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It connects to its micro-controllers.
    Startup,
    /// It takes G-code.
    Ready,
    /// It could not start: the message says why.
    Error(String),
    /// It was stopped: the message says why.
    Shutdown(String),
}

impl State {
    /// The error that follows from a mistake in the configuration.
    pub fn config_error(reason: &str) -> Self {
        Self::Error(format!("{reason}\n{MESSAGE_RESTART}"))
    }

    /// The state after a shutdown for a reason, such as `Shutdown due to M112 command`.
    pub fn shutdown(reason: &str) -> Self {
        Self::Shutdown(format!("{reason}{MESSAGE_SHUTDOWN}"))
    }

    /// The word for it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Ready => "ready",
            Self::Error(_) => "error",
            Self::Shutdown(_) => "shutdown",
        }
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        match self {
            Self::Startup => MESSAGE_STARTUP,
            Self::Ready => MESSAGE_READY,
            Self::Error(message) | Self::Shutdown(message) => message,
        }
    }
}
