//! Messages, pins, macro variables, the configuration, calls of clients.

use serde_json::{Map, Value};

use super::{Command, choose, helped, plain};
use crate::demo::klippy::gcode::line::{Bound, Gcmd};
use crate::demo::klippy::gcode::{Action, CommandError, Outcome, literal};
use crate::demo::klippy::printer::Turn;
use crate::demo::klippy::printer::machine::Machine;

pub(super) const COMMANDS: &[Command] = &[
    plain("M118", |_, gcmd, turn| {
        turn.raw(format!("echo: {}", gcmd.raw_parameters()));
        Ok(Action::Done)
    })
    .always(),
    helped("RESPOND", "Echo the message prepended with a prefix", respond).always(),
    helped("SET_PIN", "Set the value of an output pin", set_pin),
    helped("SET_GCODE_VARIABLE", "Set the value of a G-Code macro variable", set_variable),
    helped("SAVE_CONFIG", "Overwrite config file and restart", |machine, _, _| {
        Ok(if machine.pending.is_empty() { Action::Done } else { Action::SaveConfig })
    }),
    helped(
        "ACTION_CALL_REMOTE_METHOD",
        "Call METHOD of a client with the other parameters (only in the simulator)",
        call_remote,
    ),
];

fn respond(_: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let (prefix, space) = match gcmd.get("TYPE").map(str::to_lowercase).as_deref() {
        None | Some("echo") => ("echo:", " "),
        Some("command") => ("//", " "),
        Some("error") => ("!!", " "),
        Some("echo_no_space") => ("echo:", ""),
        Some(other) => {
            return Err(CommandError(format!(
                "RESPOND TYPE '{other}' is invalid. Must be one of 'echo', 'command', or 'error'"
            )));
        }
    };
    let prefix = gcmd.get("PREFIX").unwrap_or(prefix);
    turn.raw(format!("{prefix}{space}{}", gcmd.get("MSG").unwrap_or_default()));
    Ok(Action::Done)
}

fn set_pin(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let short = |name: &str| name.split_once(' ').map_or(name, |(_, short)| short).to_owned();
    let names: Vec<String> = machine.accessories.pins.iter().map(|pin| short(&pin.name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = choose(gcmd, "PIN", &names)?;
    let Some(pin) = machine.accessories.pins.iter_mut().find(|pin| short(&pin.name) == name) else {
        return Ok(Action::Done);
    };
    let value = gcmd
        .float("VALUE", &[Bound::Min(0.0), Bound::Max(pin.scale)])?
        .ok_or_else(|| CommandError::new("SET_PIN command must specify VALUE or TEMPLATE"))?
        / pin.scale;
    if !pin.pwm && value != 0.0 && value != 1.0 {
        return Err(CommandError::new("Invalid pin value"));
    }
    pin.value = value;
    Ok(Action::Done)
}

fn set_variable(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let names: Vec<&str> = machine.macros.iter().map(|macro_| macro_.name.as_str()).collect();
    let name = choose(gcmd, "MACRO", &names)?;
    let (variable, text) = (gcmd.required("VARIABLE")?, gcmd.required("VALUE")?);
    let value = machine
        .macros
        .iter_mut()
        .find(|macro_| macro_.name == name)
        .and_then(|macro_| macro_.variables.get_mut(variable))
        .ok_or_else(|| CommandError(format!("Unknown gcode_macro variable '{variable}'")))?;
    *value = literal::parse(text).ok_or_else(|| {
        CommandError(format!(
            "Unable to parse '{text}' as a literal: malformed node or string in '{}'",
            gcmd.line
        ))
    })?;
    Ok(Action::Done)
}

fn call_remote(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let method = gcmd.required("METHOD")?.to_owned();
    let params: Map<String, Value> = gcmd
        .params()
        .filter(|(key, _)| *key != "METHOD")
        .map(|(key, value)| (key.to_lowercase(), literal::parse(value).unwrap_or_else(|| value.into())))
        .collect();
    machine.call_remote(method, params);
    Ok(Action::Done)
}
