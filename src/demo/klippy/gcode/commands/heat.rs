//! Heaters and fans.

use super::{Command, choose, helped, plain};
use crate::demo::klippy::gcode::line::{Bound, Gcmd};
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::Turn;
use crate::demo::klippy::printer::machine::{Effect, Machine};

pub(super) const COMMANDS: &[Command] = &[
    plain("M104", |machine, gcmd, turn| extruder(machine, gcmd, turn, false)),
    plain("M109", |machine, gcmd, turn| extruder(machine, gcmd, turn, true)),
    plain("M140", |machine, gcmd, turn| bed(machine, gcmd, turn, false)),
    plain("M190", |machine, gcmd, turn| bed(machine, gcmd, turn, true)),
    plain("M105", |machine, _, turn| {
        turn.raw(machine.heaters.report());
        Ok(Action::Done)
    })
    .always(),
    plain("M106", part_fan),
    plain("M107", |machine, _, turn| {
        machine.after_moves(turn, Effect::Fan(0.0));
        Ok(Action::Done)
    }),
    helped("SET_HEATER_TEMPERATURE", "Sets a heater temperature", set_heater),
    helped("TURN_OFF_HEATERS", "Turn off all heaters", |machine, _, _| {
        machine.heaters.turn_off();
        Ok(Action::Done)
    }),
    helped("TEMPERATURE_WAIT", "Wait for a temperature on a sensor", wait),
    helped("SET_FAN_SPEED", "Sets the speed of a fan", set_fan),
];

fn heat(machine: &mut Machine, turn: &Turn<'_>, name: &'static str, degrees: f64, wait: bool) -> Outcome {
    machine.toolhead.sync(turn.now);
    if let Some(heater) = machine.heaters.get_mut(name) {
        heater.set_target(degrees)?;
    }
    Ok(if wait && degrees != 0.0 { Action::Heat(name) } else { Action::Done })
}

fn extruder(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>, wait: bool) -> Outcome {
    let degrees = gcmd.float("S", &[])?.unwrap_or_default();
    if gcmd.int("T", &[Bound::Min(0.0)])?.unwrap_or(0) != 0 {
        return if degrees <= 0.0 {
            Ok(Action::Done)
        } else {
            Err(CommandError::new("Extruder not configured"))
        };
    }
    heat(machine, turn, "extruder", degrees, wait)
}

fn bed(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>, wait: bool) -> Outcome {
    let degrees = gcmd.float("S", &[])?.unwrap_or_default();
    heat(machine, turn, "heater_bed", degrees, wait)
}

fn set_heater(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = if choose(gcmd, "HEATER", &["heater_bed", "extruder"])? == "extruder" {
        "extruder"
    } else {
        "heater_bed"
    };
    let degrees = gcmd.float("TARGET", &[])?.unwrap_or_default();
    heat(machine, turn, name, degrees, false)
}

fn wait(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let sensor = choose(gcmd, "SENSOR", &machine.heaters.sensor_names())?.to_owned();
    let min = gcmd.float("MINIMUM", &[])?;
    let above = [Bound::Above(min.unwrap_or(f64::NEG_INFINITY))];
    let max = gcmd.float("MAXIMUM", &above)?;
    if min.is_none() && max.is_none() {
        return Err(CommandError::new("Error on 'TEMPERATURE_WAIT': missing MINIMUM or MAXIMUM."));
    }
    Ok(Action::Range(sensor, min.unwrap_or(f64::NEG_INFINITY), max.unwrap_or(f64::INFINITY)))
}

fn part_fan(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let speed = gcmd.float("S", &[Bound::Min(0.0)])?.unwrap_or(255.0) / 255.0;
    machine.after_moves(turn, Effect::Fan(speed.min(1.0)));
    Ok(Action::Done)
}

fn set_fan(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let fans = &mut machine.accessories.fans;
    let short = |name: &str| name.split_once(' ').map_or(name, |(_, short)| short).to_owned();
    let names: Vec<String> = fans.iter().map(|fan| short(&fan.name)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let name = choose(gcmd, "FAN", &names)?;
    let speed = gcmd
        .float("SPEED", &[])?
        .ok_or_else(|| CommandError::new("SET_FAN_SPEED must specify SPEED or TEMPLATE"))?;
    if let Some(fan) = fans.iter_mut().find(|fan| short(&fan.name) == name) {
        fan.speed = speed.clamp(0.0, 1.0);
    }
    Ok(Action::Done)
}
