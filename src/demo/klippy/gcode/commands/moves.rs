//! Moving, and the coordinates of moves.

use std::f64::consts::TAU;

use super::{Command, helped, plain};
use crate::demo::klippy::gcode::line::{Bound, Gcmd, parse_float};
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::Turn;
use crate::demo::klippy::printer::machine::Machine;

const AXES: [&str; 4] = ["X", "Y", "Z", "E"];

pub(super) const COMMANDS: &[Command] = &[
    plain("G0", linear),
    plain("G1", linear),
    plain("G2", |machine, gcmd, turn| arc(machine, gcmd, turn, true)),
    plain("G3", |machine, gcmd, turn| arc(machine, gcmd, turn, false)),
    plain("G4", dwell),
    plain("G17", |machine, _, _| plane(machine, 2)),
    plain("G18", |machine, _, _| plane(machine, 1)),
    plain("G19", |machine, _, _| plane(machine, 0)),
    plain("G20", |_, _, _| Err(CommandError::new("Machine does not support G20 (inches) command"))),
    plain("G21", |_, _, _| Ok(Action::Done)),
    plain("G28", home),
    plain("G90", |machine, _, _| {
        machine.gcode_move.now.absolute_coord = true;
        Ok(Action::Done)
    }),
    plain("G91", |machine, _, _| {
        machine.gcode_move.now.absolute_coord = false;
        Ok(Action::Done)
    }),
    plain("G92", set_position),
    plain("M82", |machine, _, _| {
        machine.gcode_move.now.absolute_extrude = true;
        Ok(Action::Done)
    }),
    plain("M83", |machine, _, _| {
        machine.gcode_move.now.absolute_extrude = false;
        Ok(Action::Done)
    }),
    plain("M114", report).always(),
    plain("M220", speed_factor),
    plain("M221", extrude_factor),
    plain("M400", |machine, _, turn| Ok(Action::Until(machine.toolhead.print_time.max(turn.now)))),
    helped("SET_GCODE_OFFSET", "Set a virtual offset to g-code positions", set_offset),
    helped("SAVE_GCODE_STATE", "Save G-Code coordinate state", |machine, gcmd, _| {
        machine.gcode_move.save(gcmd.get("NAME").unwrap_or("default"));
        Ok(Action::Done)
    }),
    helped("RESTORE_GCODE_STATE", "Restore a previously saved G-Code state", restore_state),
    helped("GET_POSITION", "Return information on the current location of the toolhead", get_position)
        .always(),
];

fn linear(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let mut to = machine.gcode_move.now.last;
    let mut feedrate = None;
    for (key, value) in gcmd.params() {
        let axis = match key {
            "X" => 0,
            "Y" => 1,
            "Z" => 2,
            "E" => 3,
            "F" => 4,
            _ => continue,
        };
        let number = parse_float(value)
            .ok_or_else(|| CommandError(format!("Unable to parse move '{}'", gcmd.line)))?;
        match to.get_mut(axis) {
            Some(target) => *target = machine.gcode_move.target(axis, number),
            None => feedrate = Some(number),
        }
    }
    if let Some(feedrate) = feedrate {
        if feedrate <= 0.0 {
            return Err(CommandError(format!("Invalid speed in '{}'", gcmd.line)));
        }
        machine.gcode_move.set_feedrate(feedrate);
    }
    machine.move_to(turn.now, to, machine.gcode_move.now.speed)
}

fn plane(machine: &mut Machine, across: usize) -> Outcome {
    machine.arc_axis = across;
    Ok(Action::Done)
}

/// An arc is one move of its length: nobody looks closely enough to see the chord.
fn arc(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>, clockwise: bool) -> Outcome {
    let moves = &machine.gcode_move;
    if !moves.now.absolute_coord {
        return Err(CommandError::new("G2/G3 does not support relative move mode"));
    }
    if gcmd.get("R").is_some() {
        return Err(CommandError::new("G2/G3 does not support R moves"));
    }
    let (one, two) = match machine.arc_axis {
        2 => (0, 1),
        1 => (0, 2),
        _ => (1, 2),
    };
    let offset = |axis: usize| gcmd.float(["I", "J", "K"][axis], &[]).map(Option::unwrap_or_default);
    let radius = [-offset(one)?, -offset(two)?];
    if radius == [0.0, 0.0] {
        return Err(CommandError::new("G2/G3 requires IJ, IK or JK parameters"));
    }
    let from = moves.now.last;
    let mut to = from;
    for (axis, name) in AXES.into_iter().enumerate() {
        if let Some(value) = gcmd.float(name, &[])? {
            to[axis] = moves.target(axis, value);
        }
    }
    if let Some(feedrate) = gcmd.float("F", &[Bound::Above(0.0)])? {
        machine.gcode_move.set_feedrate(feedrate);
    }
    let end = [to[one] - (from[one] - radius[0]), to[two] - (from[two] - radius[1])];
    let mut angle = (radius[0] * end[1] - radius[1] * end[0]).atan2(radius[0] * end[0] + radius[1] * end[1]);
    if angle < 0.0 {
        angle += TAU;
    }
    if clockwise {
        angle -= TAU;
    }
    if angle == 0.0 {
        angle = TAU;
    }
    let across = to[machine.arc_axis] - from[machine.arc_axis];
    let length = (angle * radius[0].hypot(radius[1])).hypot(across);
    let turn_sign = if angle < 0.0 { -1.0 } else { 1.0 };
    let mut direction = [0.0; 3];
    direction[one] = -radius[1] * turn_sign;
    direction[two] = radius[0] * turn_sign;
    if machine.exclude.is_excluding() {
        return machine.move_to(turn.now, to, machine.gcode_move.now.speed);
    }
    let mut head = to;
    head[3] -= machine.exclude.skipped;
    machine.switch_on(&head);
    let (speed, extrudes) = (machine.gcode_move.now.speed, machine.heaters.extruder.can_extrude());
    machine.toolhead.queue_path(turn.now, head, length, direction, speed, extrudes)?;
    machine.gcode_move.now.last = to;
    Ok(machine.wait_if_full(turn.now))
}

fn dwell(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let delay = gcmd.float("P", &[Bound::Min(0.0)])?.unwrap_or_default() / 1000.0;
    machine.toolhead.dwell(turn.now, delay);
    Ok(machine.wait_if_full(turn.now))
}

fn home(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let asked: Vec<usize> = (0..3).filter(|&axis| gcmd.get(AXES[axis]).is_some()).collect();
    let axes = if asked.is_empty() { vec![0, 1, 2] } else { asked };
    for axis in axes {
        machine.toolhead.home(turn.now, axis);
        machine.accessories.enabled[axis] = true;
        machine.gcode_move.homed(axis, machine.toolhead.commanded);
    }
    machine.reset_last_position();
    Ok(Action::Home(machine.toolhead.print_time))
}

fn set_position(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let mut offsets = [None; 4];
    for (offset, axis) in offsets.iter_mut().zip(AXES) {
        *offset = gcmd.float(axis, &[])?;
    }
    machine.gcode_move.set_origin(offsets);
    Ok(Action::Done)
}

fn report(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let [x, y, z, e] = machine.gcode_move.gcode_position();
    turn.raw(format!("X:{x:.3} Y:{y:.3} Z:{z:.3} E:{e:.3}"));
    Ok(Action::Done)
}

fn speed_factor(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let percent = gcmd.float("S", &[Bound::Above(0.0)])?.unwrap_or(100.0);
    machine.gcode_move.set_speed_factor(percent / 100.0);
    Ok(Action::Done)
}

fn extrude_factor(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let percent = gcmd.float("S", &[Bound::Above(0.0)])?.unwrap_or(100.0);
    machine.gcode_move.set_extrude_factor(percent / 100.0);
    Ok(Action::Done)
}

fn set_offset(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let mut to = machine.gcode_move.now.last;
    for (axis, name) in AXES.into_iter().enumerate() {
        let adjusted = gcmd.float(&format!("{name}_ADJUST"), &[])?;
        let before = machine.gcode_move.now.homing[axis];
        if let Some(offset) = gcmd.float(name, &[])?.or(adjusted.map(|adjust| before + adjust)) {
            to[axis] += machine.gcode_move.set_offset(axis, offset);
        }
    }
    if gcmd.int("MOVE", &[])?.unwrap_or(0) == 0 {
        return Ok(Action::Done);
    }
    let speed = gcmd.float("MOVE_SPEED", &[Bound::Above(0.0)])?;
    machine.move_to(turn.now, to, speed.unwrap_or(machine.gcode_move.now.speed))
}

fn restore_state(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = gcmd.get("NAME").unwrap_or("default");
    let saved = machine
        .gcode_move
        .restore(name)
        .ok_or_else(|| CommandError(format!("Unknown g-code state: {name}")))?;
    if gcmd.int("MOVE", &[])?.unwrap_or(0) == 0 {
        return Ok(Action::Done);
    }
    let speed = gcmd.float("MOVE_SPEED", &[Bound::Above(0.0)])?.unwrap_or(machine.gcode_move.now.speed);
    let mut to = machine.gcode_move.now.last;
    to[..3].copy_from_slice(&saved[..3]);
    machine.move_to(turn.now, to, speed)
}

fn get_position(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let steps = [80.0, 80.0, 400.0];
    let at = machine.toolhead.commanded;
    let list = |names: &[&str], values: &[f64]| -> String {
        names
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{name}:{value:.6}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let motors = ["stepper_x", "stepper_y", "stepper_z"];
    let counts: Vec<String> = motors
        .iter()
        .enumerate()
        .map(|(axis, name)| format!("{name}:{:.0}", at[axis] * steps[axis]))
        .collect();
    let moves = &machine.gcode_move.now;
    turn.info(&format!(
        "mcu: {}\nstepper: {}\nkinematic: {}\ntoolhead: {}\ngcode: {}\ngcode base: {}\ngcode homing: {}",
        counts.join(" "),
        list(&motors, &at),
        list(&AXES[..3], &at),
        list(&AXES, &at),
        list(&AXES, &moves.last),
        list(&AXES, &moves.base),
        list(&AXES[..3], &moves.homing),
    ));
    Ok(Action::Done)
}
