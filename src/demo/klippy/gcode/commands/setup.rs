//! Motors, limits, and forcing positions.

use super::{Command, choose, helped, plain};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::line::{Bound, Gcmd};
use crate::demo::klippy::gcode::{Action, Outcome};
use crate::demo::klippy::printer::machine::Machine;
use crate::demo::klippy::printer::{STEPPERS, Turn};

/// How long the moves stop around a switch of the motors, in seconds (Klippy's `DISABLE_STALL_TIME`).
const STALL_TIME: Seconds = 0.1;

pub(super) const COMMANDS: &[Command] = &[
    plain("M18", |machine, _, turn| Ok(motors_off(machine, turn.now))),
    plain("M84", |machine, _, turn| Ok(motors_off(machine, turn.now))),
    plain("M204", acceleration),
    helped("SET_VELOCITY_LIMIT", "Set printer velocity limits", velocity_limit),
    helped("SET_PRESSURE_ADVANCE", "Set pressure advance parameters", pressure_advance),
    helped("SET_STEPPER_ENABLE", "Enable/disable individual stepper by name", stepper_enable),
    helped("FORCE_MOVE", "Manually move a stepper; invalidates kinematics", force_move),
    helped("SET_KINEMATIC_POSITION", "Force a low-level kinematic position", kinematic_position),
    helped("ACTIVATE_EXTRUDER", "Change the active extruder", activate_extruder),
];

/// Switches the motors off when the moves are over, with which no axis is homed any more.
pub(in crate::demo::klippy) fn motors_off(machine: &mut Machine, now: Seconds) -> Action {
    machine.toolhead.dwell(now, 2.0 * STALL_TIME);
    machine.accessories.enabled = [false; 4];
    machine.toolhead.homed = [false; 3];
    machine.wait_if_full(now)
}

fn acceleration(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let value = |name: &str| gcmd.float(name, &[Bound::Above(0.0)]);
    let accel = match (value("S")?, value("P")?, value("T")?) {
        (Some(accel), _, _) => accel,
        (None, Some(print), Some(travel)) => print.min(travel),
        _ => {
            turn.info(&format!("Invalid M204 command \"{}\"", gcmd.line));
            return Ok(Action::Done);
        }
    };
    machine.toolhead.limits.max_accel = accel;
    Ok(Action::Done)
}

fn velocity_limit(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let velocity = gcmd.float("VELOCITY", &[Bound::Above(0.0)])?;
    let accel = gcmd.float("ACCEL", &[Bound::Above(0.0)])?;
    let corner = gcmd.float("SQUARE_CORNER_VELOCITY", &[Bound::Min(0.0)])?;
    let ratio = gcmd.float("MINIMUM_CRUISE_RATIO", &[Bound::Min(0.0), Bound::Below(1.0)])?;
    let limits = &mut machine.toolhead.limits;
    limits.max_velocity = velocity.unwrap_or(limits.max_velocity);
    limits.max_accel = accel.unwrap_or(limits.max_accel);
    limits.square_corner_velocity = corner.unwrap_or(limits.square_corner_velocity);
    limits.minimum_cruise_ratio = ratio.unwrap_or(limits.minimum_cruise_ratio);
    if [velocity, accel, corner, ratio] == [None; 4] {
        turn.info(&format!(
            "max_velocity: {:.6}\nmax_accel: {:.6}\nminimum_cruise_ratio: {:.6}\nsquare_corner_velocity: {:.6}",
            limits.max_velocity, limits.max_accel, limits.minimum_cruise_ratio, limits.square_corner_velocity
        ));
    }
    Ok(Action::Done)
}

fn pressure_advance(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if gcmd.get("EXTRUDER").is_some() {
        choose(gcmd, "EXTRUDER", &["extruder"])?;
    }
    let advance = gcmd.float("ADVANCE", &[Bound::Min(0.0)])?;
    let smooth = gcmd.float("SMOOTH_TIME", &[Bound::Min(0.0), Bound::Max(0.2)])?;
    machine.pressure_advance = advance.unwrap_or(machine.pressure_advance);
    machine.smooth_time = smooth.unwrap_or(machine.smooth_time);
    turn.info(&format!(
        "pressure_advance: {:.6}\npressure_advance_smooth_time: {:.6}",
        machine.pressure_advance, machine.smooth_time
    ));
    Ok(Action::Done)
}

fn stepper_enable(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = choose(gcmd, "STEPPER", &STEPPERS)?;
    let enable = gcmd.int("ENABLE", &[])?.unwrap_or(1) != 0;
    machine.toolhead.dwell(turn.now, STALL_TIME);
    for (stepper, enabled) in STEPPERS.iter().zip(&mut machine.accessories.enabled) {
        if *stepper == name {
            *enabled = enable;
        }
    }
    Ok(machine.wait_if_full(turn.now))
}

fn force_move(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = choose(gcmd, "STEPPER", &STEPPERS)?;
    let distance = gcmd.float("DISTANCE", &[])?.ok_or_else(|| gcmd.error("missing DISTANCE"))?;
    let speed =
        gcmd.float("VELOCITY", &[Bound::Above(0.0)])?.ok_or_else(|| gcmd.error("missing VELOCITY"))?;
    for (stepper, enabled) in STEPPERS.iter().zip(&mut machine.accessories.enabled) {
        *enabled |= *stepper == name;
    }
    machine.toolhead.dwell(turn.now, distance.abs() / speed);
    Ok(Action::Until(machine.toolhead.print_time))
}

fn kinematic_position(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let mut position = machine.toolhead.commanded;
    for (value, name) in position.iter_mut().zip(["X", "Y", "Z"]) {
        *value = gcmd.float(name, &[])?.unwrap_or(*value);
    }
    let set = gcmd.get("SET_HOMED").unwrap_or("xyz").to_lowercase();
    let clear = gcmd.get("CLEAR_HOMED").or_else(|| gcmd.get("CLEAR")).unwrap_or_default().to_lowercase();
    machine.toolhead.set_position(turn.now, position);
    for (homed, axis) in machine.toolhead.homed.iter_mut().zip(['x', 'y', 'z']) {
        *homed = (*homed || set.contains(axis)) && !clear.contains(axis);
    }
    machine.reset_last_position();
    Ok(Action::Done)
}

fn activate_extruder(_: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let name = choose(gcmd, "EXTRUDER", &["extruder"])?;
    turn.info(&format!("Extruder {name} already active"));
    Ok(Action::Done)
}
