//! G-code: reading lines, the commands, macros, and the task that runs them one after the other.

pub(super) mod commands;
pub(super) mod line;
pub(super) mod literal;
pub(super) mod macros;
pub(super) mod runner;
mod shlex;

use super::clock::Seconds;

/// Klippy's refusal of a command, in its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CommandError(pub(super) String);

impl CommandError {
    /// An error with this text.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// What is left to do when a command has been taken: commands themselves never wait.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// Nothing.
    Done,
    /// Wait until this time of the printer. A shutdown ends the wait.
    Until(Seconds),
    /// The same for homing, where a shutdown is an error.
    Home(Seconds),
    /// Wait for a heater to reach its target.
    Heat(&'static str),
    /// Wait until the temperature of a sensor lies between two values.
    Range(String, f64, f64),
    /// Run the lines of the macro of this number first.
    Macro(usize, String),
    /// Open a file of the virtual SD card.
    Open {
        /// Its path on the card.
        name: String,
        /// Whether it may be in a folder.
        subfolders: bool,
        /// Whether to print it at once.
        start: bool,
    },
    /// List the files of the virtual SD card.
    List,
    /// Store what is pending in the configuration, then restart.
    SaveConfig,
    /// Let the moves end, then start anew.
    Restart,
}

/// What comes of a command.
pub(super) type Outcome = Result<Action, CommandError>;
