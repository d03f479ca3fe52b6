//! The commands, and which of them there are now.

mod card;
mod core;
mod heat;
mod mesh;
mod moves;
mod other;
mod print;
mod setup;

use std::collections::HashMap;

use super::line::{Gcmd, is_traditional};
use super::macros::Macro;
use super::{CommandError, Outcome};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::printer::machine::Machine;
use crate::demo::klippy::printer::status::{push_field, quoted};
use crate::demo::klippy::printer::{Printer, Turn};

pub(in crate::demo::klippy) use mesh::mesh_saved;
pub(in crate::demo::klippy) use setup::motors_off;

/// A command that needs no printer.
pub(in crate::demo::klippy) type CoreFn = fn(&mut Printer, &Gcmd<'_>, Seconds) -> Outcome;

/// A command of the printer.
pub(in crate::demo::klippy) type MachineFn = fn(&mut Machine, &Gcmd<'_>, &mut Turn<'_>) -> Outcome;

/// What runs a command.
#[derive(Debug, Clone, Copy)]
pub(in crate::demo::klippy) enum Handler {
    Core(CoreFn),
    Machine(MachineFn),
    /// The macro of this number.
    Macro(usize),
}

/// A command as it is written down in its file.
pub(super) struct Command {
    name: &'static str,
    /// Whether it may be used before Klippy is ready.
    always: bool,
    help: Option<&'static str>,
    handler: Handler,
}

/// A command without help: those that other firmware has, too.
const fn plain(name: &'static str, run: MachineFn) -> Command {
    Command { name, always: false, help: None, handler: Handler::Machine(run) }
}

/// A command with help.
const fn helped(name: &'static str, help: &'static str, run: MachineFn) -> Command {
    Command { name, always: false, help: Some(help), handler: Handler::Machine(run) }
}

impl Command {
    const fn always(mut self) -> Self {
        self.always = true;
        self
    }
}

/// A command that can be used.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Entry {
    pub(in crate::demo::klippy) handler: Handler,
    /// Whether its parameters are `KEY=value`.
    pub(in crate::demo::klippy) extended: bool,
    always: bool,
    help: Option<String>,
}

/// All commands by their names.
#[derive(Debug)]
pub(in crate::demo::klippy) struct Registry(HashMap<String, Entry>);

impl Registry {
    /// Those that there are before the configuration has been read.
    pub(in crate::demo::klippy) fn core() -> Self {
        let mut registry = Self(HashMap::new());
        registry.add(core::COMMANDS);
        registry
    }

    /// All, with the macros of the configuration.
    ///
    /// # Errors
    /// Klippy's message for a macro whose name is taken, or that renames what is not there.
    pub(in crate::demo::klippy) fn full(macros: &[Macro]) -> Result<Self, String> {
        let mut registry = Self::core();
        for commands in [
            card::COMMANDS,
            heat::COMMANDS,
            mesh::COMMANDS,
            moves::COMMANDS,
            other::COMMANDS,
            print::COMMANDS,
            setup::COMMANDS,
        ] {
            registry.add(commands);
        }
        for (index, macro_) in macros.iter().enumerate() {
            registry.add_macro(index, macro_)?;
        }
        Ok(registry)
    }

    fn add(&mut self, commands: &[Command]) {
        for command in commands {
            let entry = Entry {
                handler: command.handler,
                extended: !is_traditional(command.name),
                always: command.always,
                help: command.help.map(str::to_owned),
            };
            self.0.insert(command.name.to_owned(), entry);
        }
    }

    fn add_macro(&mut self, index: usize, macro_: &Macro) -> Result<(), String> {
        let name = macro_.name.to_uppercase();
        if let Some(renamed) = &macro_.rename_existing {
            let Some(mut existing) = self.0.remove(&name) else {
                return Err(format!("Existing command '{name}' not found in gcode_macro rename"));
            };
            existing.help = Some(format!("Renamed builtin of '{name}'"));
            existing.always = false;
            self.0.insert(renamed.to_uppercase(), existing);
        } else if self.0.contains_key(&name) {
            return Err(format!("gcode command {name} already registered"));
        }
        let entry = Entry {
            handler: Handler::Macro(index),
            extended: !is_traditional(&name),
            always: false,
            help: Some(macro_.description.clone()),
        };
        self.0.insert(name, entry);
        Ok(())
    }

    /// A command, if it may be used now.
    pub(in crate::demo::klippy) fn get(&self, name: &str, ready: bool) -> Option<&Entry> {
        self.0.get(name).filter(|entry| ready || entry.always)
    }

    /// Those that may be used now with their help, by name.
    fn sorted(&self, ready: bool) -> Vec<(&String, &Entry)> {
        let mut entries: Vec<_> = self.0.iter().filter(|(_, entry)| ready || entry.always).collect();
        entries.sort_by_key(|(name, _)| *name);
        entries
    }

    /// The text of `HELP`.
    fn help_lines(&self, ready: bool) -> String {
        let mut lines = Vec::new();
        if !ready {
            lines.push("Printer is not ready - not all commands available.".to_owned());
        }
        lines.push("Available extended commands:".to_owned());
        for (name, entry) in self.sorted(ready) {
            if let Some(help) = &entry.help {
                lines.push(format!("{name:<10}: {help}"));
            }
        }
        lines.join("\n")
    }

    /// The commands that have help, with it, as a JSON object.
    pub(in crate::demo::klippy) fn help_json(&self) -> String {
        let mut out = String::from("{");
        for (name, entry) in self.sorted(true) {
            if let Some(help) = &entry.help {
                push_field(&mut out, name, &quoted(help));
            }
        }
        out.push('}');
        out
    }

    /// The commands that may be used now as `gcode.commands` has them.
    pub(in crate::demo::klippy) fn commands_json(&self, ready: bool) -> String {
        let mut out = String::from("{");
        for (name, entry) in self.sorted(ready) {
            let help = entry.help.as_ref().map(|help| format!("{{\"help\":{}}}", quoted(help)));
            push_field(&mut out, name, help.as_deref().unwrap_or("{}"));
        }
        out.push('}');
        out
    }
}

/// Checks a parameter that names one of several things, such as `HEATER=extruder`.
///
/// # Errors
/// Klippy's message for a missing or unknown one.
fn choose<'g>(gcmd: &'g Gcmd<'_>, key: &str, options: &[&str]) -> Result<&'g str, CommandError> {
    let value = gcmd.required(key)?;
    if options.contains(&value) {
        return Ok(value);
    }
    let near = options.iter().rev().find(|option| !value.is_empty() && option.contains(value));
    let hint = match near {
        Some(near) => format!(". Did you mean '{near}'?"),
        None => {
            let quoted: Vec<String> = options.iter().map(|option| format!("'{option}'")).collect();
            format!(". Options: {}", quoted.join(", "))
        }
    };
    Err(CommandError(format!("The value '{value}' is not valid for {key}{hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_commands_are_there_from_the_start() {
        let registry = Registry::core();
        for name in ["M112", "M115", "RESTART", "FIRMWARE_RESTART", "STATUS", "HELP", "ECHO", "M110"] {
            assert!(registry.get(name, false).is_some(), "{name}");
        }
        assert!(registry.get("G28", true).is_none());
        let full = Registry::full(&[]).unwrap();
        assert!(full.get("G28", true).is_some() && full.get("G28", false).is_none());
        assert!(full.get("M105", false).is_some());
        assert!(full.get("PAUSE", true).unwrap().extended && !full.get("M23", true).unwrap().extended);
    }

    #[test]
    fn the_lists_are_json() {
        let full = Registry::full(&[]).unwrap();
        for text in [full.help_json(), full.commands_json(true), full.commands_json(false)] {
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert!(value["RESTART"].is_object() || value["RESTART"].is_string());
        }
        assert!(full.help_lines(false).starts_with("Printer is not ready"));
    }
}
