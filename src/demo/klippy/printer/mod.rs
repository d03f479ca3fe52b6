//! The simulated printer: what there is of it, and what Klippy knows of it. Everything here is told the time and
//! never waits.

mod accessories;
mod bed_mesh;
mod config;
mod config_file;
mod display_status;
mod exclude_object;
mod gcode_move;
mod heaters;
mod idle_timeout;
mod limits;
pub(super) mod machine;
pub(super) mod objects;
mod pause_resume;
mod print_stats;
mod save_config;
mod schema;
mod state;
pub(super) mod status;
mod system;
mod thermal;
mod toolhead;
pub(super) mod virtual_sdcard;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::clock::Seconds;
use super::gcode::commands::{Handler, Registry};
use super::gcode::line::{Gcmd, prepare};
use super::gcode::{Action, CommandError, Outcome, commands, macros};
use super::options::Options;
use machine::Machine;

pub(super) use accessories::STEPPERS;
pub(super) use bed_mesh::bed_height;
pub(super) use config::Config;
pub use config::PRINTER_CFG;
pub(super) use config_file::Sections;
pub(super) use limits::Position;
pub(super) use save_config::{Pending, merge as merge_saved, write as write_config};
pub use state::State;

/// A call of a method that a client has registered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RemoteCall {
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

/// What a command is told, and where it answers.
pub(super) struct Turn<'a> {
    pub(super) now: Seconds,
    output: &'a mut Vec<String>,
}

impl Turn<'_> {
    /// Sends a line to the terminal as it is.
    pub(super) fn raw(&mut self, text: impl Into<String>) {
        self.output.push(text.into());
    }

    /// Sends text to the terminal, marked as information.
    pub(super) fn info(&mut self, text: &str) {
        self.output.push(info(text));
    }
}

/// Marks every line of a text as information.
pub(super) fn info(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    format!("// {}", lines.join("\n// "))
}

/// Klippy from its start to its end: a restart makes a new one.
pub(super) struct Printer {
    pub(super) state: State,
    /// The printer's parts, as soon as the configuration has been read.
    pub(super) machine: Option<Machine>,
    /// Lines for the terminal that have not been sent yet.
    pub(super) output: Vec<String>,
    /// Calls that have not been sent yet.
    pub(super) remote_calls: Vec<RemoteCall>,
    /// Scripts that the printer itself wants to be run.
    pub(super) wanted: Vec<String>,
    pub(super) registry: Registry,
    pub(super) version: String,
    objects: objects::Cache,
}

impl Printer {
    /// Klippy at the moment of its start.
    pub(super) fn new(options: &Options) -> Self {
        Self {
            state: State::Startup,
            machine: None,
            output: Vec::new(),
            remote_calls: Vec::new(),
            wanted: Vec::new(),
            registry: Registry::core(),
            version: options.software_version.clone(),
            objects: objects::Cache::default(),
        }
    }

    /// Reads the configuration and becomes ready; with a mistake in it, the error that tells of it.
    pub(super) fn start(&mut self, options: &Options, saved: &Sections, now: Seconds) {
        let started = Config::load(options, saved)
            .and_then(|config| Machine::new(config, options, now))
            .and_then(|machine| Ok((Registry::full(&machine.macros)?, machine)));
        match started {
            Ok((registry, machine)) => {
                self.registry = registry;
                self.machine = Some(machine);
                self.set_state(State::Ready, now);
            }
            Err(message) => self.set_state(State::config_error(&message), now),
        }
    }

    /// Changes the state, with all that comes of it.
    pub(super) fn set_state(&mut self, state: State, now: Seconds) {
        let was_ready = self.state == State::Ready;
        match &state {
            State::Ready if !was_ready => self.output.push(info("Klipper state: Ready")),
            State::Shutdown(_) if was_ready => self.output.push(info("Klipper state: Shutdown")),
            _ => {}
        }
        if let (State::Shutdown(_), Some(machine)) = (&state, &mut self.machine) {
            machine.shut_down(now);
        }
        self.state = state;
        self.objects.forget_commands();
    }

    /// Stops everything, for a reason such as `Shutdown due to M112 command`.
    pub(super) fn shut_down(&mut self, reason: &str, now: Seconds) {
        let state = match &self.state {
            State::Shutdown(_) => return,
            State::Error(message) => State::Shutdown(message.clone()),
            State::Startup | State::Ready => State::shutdown(reason),
        };
        log::debug!("Simulated Klippy: {reason}");
        self.set_state(state, now);
    }

    /// Whether it was shut down.
    pub(super) fn is_shutdown(&self) -> bool {
        matches!(self.state, State::Shutdown(_))
    }

    /// Lets the time pass up to `now`. `busy` is whether G-code is being run.
    pub(super) fn advance(&mut self, now: Seconds, busy: bool) {
        if let Some(machine) = &mut self.machine {
            machine.advance(&mut Turn { now, output: &mut self.output }, busy);
            self.wanted.append(&mut machine.wanted);
        }
    }

    /// A filament sensor sees filament, or sees it end.
    pub(super) fn set_filament(&mut self, name: Option<&str>, present: bool, now: Seconds) {
        if let Some(machine) = &mut self.machine {
            machine.filament_present(&mut Turn { now, output: &mut self.output }, name, present);
            self.wanted.append(&mut machine.wanted);
        }
    }

    /// Takes one line of G-code.
    ///
    /// # Errors
    /// Klippy's refusal.
    pub(super) fn execute(&mut self, line: &str, now: Seconds) -> Outcome {
        let line = line.trim();
        let upper = prepare(line);
        let gcmd = Gcmd::parse(line, upper.trim());
        let Some(entry) = self.registry.get(gcmd.name, self.state == State::Ready) else {
            return self.unknown(gcmd, now);
        };
        let gcmd = if entry.extended { gcmd.extended()? } else { gcmd };
        let handler = entry.handler;
        self.run(handler, &gcmd, now)
    }

    fn run(&mut self, handler: Handler, gcmd: &Gcmd<'_>, now: Seconds) -> Outcome {
        match handler {
            Handler::Core(run) => run(self, gcmd, now),
            Handler::Machine(run) => {
                let Some(machine) = &mut self.machine else {
                    return Err(CommandError::new("Printer not ready"));
                };
                let outcome = run(machine, gcmd, &mut Turn { now, output: &mut self.output });
                if outcome.is_err() {
                    machine.reset_last_position();
                }
                self.remote_calls.append(&mut machine.remote_calls);
                outcome
            }
            Handler::Macro(index) => {
                let script = macros::call(self, index, gcmd, now)?;
                Ok(Action::Macro(index, script))
            }
        }
    }

    /// A line whose command is not known, or not now.
    fn unknown(&mut self, gcmd: Gcmd<'_>, now: Seconds) -> Outcome {
        match gcmd.name {
            "M105" => {
                self.output.push("T:0".to_owned());
                return Ok(Action::Done);
            }
            "M21" => return Ok(Action::Done),
            _ => {}
        }
        if self.state != State::Ready {
            return Err(CommandError::new(self.state.message()));
        }
        if gcmd.name.is_empty() {
            return Ok(Action::Done);
        }
        if let Some((real @ ("M117" | "M118" | "M23"), _)) = gcmd.name.split_once(' ')
            && let Some(entry) = self.registry.get(real, true)
        {
            let handler = entry.handler;
            return self.run(handler, &gcmd.renamed(real), now);
        }
        self.output.push(info(&format!("Unknown command:\"{}\"", gcmd.name)));
        Ok(Action::Done)
    }

    /// Tells the terminal of a refusal.
    pub(super) fn respond_error(&mut self, error: &CommandError) {
        let mut lines = error.0.trim().lines();
        let first = lines.next().unwrap_or_default().trim();
        if lines.next().is_some() {
            self.output.push(info(&error.0));
        }
        self.output.push(format!("!! {first}"));
    }

    /// What a restart does before Klippy ends: heaters and motors off. Says until when to wait.
    pub(super) fn prepare_restart(&mut self, now: Seconds) -> Seconds {
        match (&mut self.machine, &self.state) {
            (Some(machine), State::Ready) => {
                machine.heaters.turn_off();
                commands::motors_off(machine, now);
                machine.toolhead.dwell(now, 0.5);
                machine.toolhead.print_time
            }
            _ => now,
        }
    }

    /// The commands with their help, as JSON text.
    pub(super) fn help_text(&mut self) -> Arc<str> {
        self.objects.help(&self.registry)
    }
}
