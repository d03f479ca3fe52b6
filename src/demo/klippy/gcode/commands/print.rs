//! Pausing and cancelling a print, leaving objects out, the display, the filament sensor.

use serde_json::Map;

use super::{Command, choose, helped, plain};
use crate::demo::klippy::gcode::line::{Bound, Gcmd};
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::Turn;
use crate::demo::klippy::printer::machine::Machine;

pub(super) const COMMANDS: &[Command] = &[
    helped("PAUSE", "Pauses the current print", pause),
    helped("RESUME", "Resumes the print from a pause", resume),
    helped("CLEAR_PAUSE", "Clears the current paused state without resuming the print", clear),
    helped("CANCEL_PRINT", "Cancel the current print", cancel),
    plain("M73", progress),
    plain("M117", |machine, gcmd, _| {
        machine.display.message = Some(gcmd.raw_parameters().to_owned()).filter(|text| !text.is_empty());
        Ok(Action::Done)
    }),
    helped("SET_DISPLAY_TEXT", "Set or clear the display message", |machine, gcmd, _| {
        machine.display.message = gcmd.get("MSG").map(str::to_owned);
        Ok(Action::Done)
    }),
    helped("SET_IDLE_TIMEOUT", "Set the idle timeout in seconds", idle_timeout),
    helped("EXCLUDE_OBJECT_DEFINE", "Provides a summary of an object", define),
    helped("EXCLUDE_OBJECT_START", "Marks the beginning the current object as labeled", start),
    helped("EXCLUDE_OBJECT_END", "Marks the end the current object", end),
    helped("EXCLUDE_OBJECT", "Cancel moves inside a specified objects", exclude),
    helped("QUERY_FILAMENT_SENSOR", "Query the status of the Filament Sensor", |machine, gcmd, turn| {
        let sensor = filament_sensor(machine, gcmd)?;
        let sensor = &machine.accessories.filament[sensor];
        let found = if sensor.detected { "filament detected" } else { "filament not detected" };
        turn.info(&format!("Filament Sensor {}: {found}", sensor.name));
        Ok(Action::Done)
    }),
    helped("SET_FILAMENT_SENSOR", "Sets the filament sensor on/off", |machine, gcmd, _| {
        let sensor = filament_sensor(machine, gcmd)?;
        machine.accessories.filament[sensor].enabled = gcmd.int("ENABLE", &[])?.unwrap_or(1) != 0;
        Ok(Action::Done)
    }),
];

fn pause(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.pause.is_paused {
        turn.info("Print already paused");
        return Ok(Action::Done);
    }
    machine.send_pause(turn);
    machine.gcode_move.save("PAUSE_STATE");
    machine.pause.is_paused = true;
    Ok(Action::Done)
}

fn resume(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if !machine.pause.is_paused {
        turn.info("Print is not paused, resume aborted");
        return Ok(Action::Done);
    }
    let speed = match gcmd.float("VELOCITY", &[])? {
        Some(speed) => speed,
        None => machine.config.number("pause_resume", "recover_velocity").unwrap_or(50.0),
    };
    if let Some(saved) = machine.gcode_move.restore("PAUSE_STATE") {
        let mut to = machine.gcode_move.now.last;
        to[..3].copy_from_slice(&saved[..3]);
        machine.move_to(turn.now, to, speed.max(0.001))?;
    }
    if std::mem::take(&mut machine.pause.sd_paused) {
        machine.sd_resume(turn.now)?;
    } else {
        turn.info("action:resumed");
    }
    machine.pause.command_sent = false;
    machine.pause.is_paused = false;
    Ok(machine.wait_if_full(turn.now))
}

fn clear(machine: &mut Machine, _: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    machine.pause.is_paused = false;
    machine.pause.command_sent = false;
    Ok(Action::Done)
}

fn cancel(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.sd.active || machine.pause.sd_paused {
        machine.sd_cancel(turn.now);
        machine.pause.sd_paused = false;
    } else {
        turn.info("action:cancel");
    }
    clear(machine, gcmd, turn)
}

fn progress(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if let Some(percent) = gcmd.float("P", &[])? {
        machine.display.set_progress(turn.now, percent / 100.0);
    }
    Ok(Action::Done)
}

fn idle_timeout(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    machine.idle.timeout = gcmd.float("TIMEOUT", &[Bound::Above(0.0)])?.unwrap_or(machine.idle.timeout);
    turn.info(&format!("idle_timeout: Timeout set to {:.2} s", machine.idle.timeout));
    Ok(Action::Done)
}

fn name_of(gcmd: &Gcmd<'_>) -> Option<String> {
    gcmd.get("NAME").filter(|name| !name.is_empty()).map(str::to_uppercase)
}

fn is_set(gcmd: &Gcmd<'_>, key: &str) -> bool {
    gcmd.get(key).is_some_and(|value| !value.is_empty())
}

fn define(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if is_set(gcmd, "RESET") {
        machine.exclude.reset();
        machine.reset_last_position();
        return Ok(Action::Done);
    }
    let Some(name) = name_of(gcmd) else {
        let list = machine.exclude.list(gcmd.get("JSON").is_some());
        turn.info(&format!("Known objects: {list}"));
        return Ok(Action::Done);
    };
    let parse = |text: &str| {
        serde_json::from_str(text).map_err(|_| CommandError(format!("Malformed command '{}'", gcmd.line)))
    };
    let mut rest = Map::new();
    for (key, value) in gcmd.params() {
        match key {
            "NAME" => continue,
            "CENTER" => rest.insert("center".to_owned(), parse(&format!("[{value}]"))?),
            "POLYGON" => rest.insert("polygon".to_owned(), parse(value)?),
            _ => rest.insert(key.to_owned(), value.into()),
        };
    }
    machine.exclude.define(&name, rest);
    Ok(Action::Done)
}

fn start(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    machine.exclude.start(&gcmd.required("NAME")?.to_uppercase());
    Ok(Action::Done)
}

fn end(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    match (machine.exclude.current(), name_of(gcmd)) {
        (None, None) => {
            turn.info("EXCLUDE_OBJECT_END called, but no object is currently active");
        }
        (current, Some(name)) if current != Some(name.as_str()) => {
            let current = current.unwrap_or("None");
            turn.info(&format!(
                "EXCLUDE_OBJECT_END NAME={name} does not match the current object NAME={current}"
            ));
        }
        _ => {}
    }
    machine.exclude.end();
    Ok(Action::Done)
}

fn exclude(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = name_of(gcmd);
    if is_set(gcmd, "RESET") {
        if let Some(name) = &name {
            turn.info(&format!("Unexcluding object {name}"));
        }
        machine.exclude.include(name.as_deref());
        return Ok(Action::Done);
    }
    let name = match (name, is_set(gcmd, "CURRENT")) {
        (Some(name), _) => name,
        (None, true) => machine
            .exclude
            .current()
            .ok_or_else(|| CommandError::new("There is no current object to cancel"))?
            .to_owned(),
        (None, false) => {
            turn.info(&format!("Excluded objects: {}", machine.exclude.list_excluded()));
            return Ok(Action::Done);
        }
    };
    if !machine.exclude.is_excluded(&name) {
        turn.info(&format!("Excluding object {name}"));
        machine.exclude.exclude(&name);
    }
    Ok(Action::Done)
}

fn filament_sensor(machine: &Machine, gcmd: &Gcmd<'_>) -> Result<usize, CommandError> {
    let names: Vec<&str> = machine.accessories.filament.iter().map(|sensor| sensor.name.as_str()).collect();
    let name = choose(gcmd, "SENSOR", &names)?;
    names.iter().position(|known| *known == name).ok_or_else(|| CommandError::new("Unknown sensor"))
}
