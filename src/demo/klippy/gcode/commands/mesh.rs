//! The probe, the bed mesh, the endstops.

use super::{Command, helped, plain};
use crate::demo::klippy::gcode::line::Gcmd;
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::machine::{Effect, Machine};
use crate::demo::klippy::printer::{Position, Turn, bed_height, info};

pub(super) const COMMANDS: &[Command] = &[
    helped("BED_MESH_CALIBRATE", "Perform Mesh Bed Leveling", calibrate),
    helped("BED_MESH_PROFILE", "Bed Mesh Persistent Storage management", profile),
    helped("BED_MESH_OUTPUT", "Retrieve interpolated grid of probed z-points", |machine, _, turn| {
        turn.info(machine.mesh.output().as_deref().unwrap_or("Bed has not been probed"));
        Ok(Action::Done)
    }),
    helped("BED_MESH_MAP", "Serialize mesh and output to terminal", |machine, _, turn| {
        match machine.mesh.map() {
            Some(map) => turn.raw(map),
            None => turn.info("Bed has not been probed"),
        }
        Ok(Action::Done)
    }),
    helped("BED_MESH_CLEAR", "Clear the Mesh so no z-adjustment is made", |machine, _, _| {
        machine.mesh.clear();
        Ok(Action::Done)
    }),
    helped("PROBE", "Probe Z-height at current XY position", probe),
    helped("QUERY_PROBE", "Return the status of the z-probe", |machine, _, turn| {
        has_probe(machine)?;
        turn.info("probe: open");
        Ok(Action::Done)
    }),
    helped("Z_OFFSET_APPLY_PROBE", "Adjust the probe's z_offset", |machine, _, turn| {
        has_probe(machine)?;
        apply_offset(machine, turn, "probe", "probe", "z_offset")
    }),
    helped("Z_OFFSET_APPLY_ENDSTOP", "Adjust the z endstop_position", |machine, _, turn| {
        apply_offset(machine, turn, "stepper_z", "stepper_z", "position_endstop")
    }),
    helped("QUERY_ENDSTOPS", "Report on the status of each endstop", endstops),
    plain("M119", endstops),
];

/// What is said when a mesh has been kept.
pub(in crate::demo::klippy) fn mesh_saved(name: &str) -> String {
    format!(
        "Bed Mesh state has been saved to profile [{name}]\nfor the current session.  The SAVE_CONFIG command \
         will\nupdate the printer config file and restart the printer."
    )
}

fn has_probe(machine: &Machine) -> Result<(), CommandError> {
    machine.probe.map(drop).ok_or_else(|| CommandError::new("Probe not configured"))
}

fn check_homed(machine: &Machine, to: &Position) -> Result<(), CommandError> {
    if machine.toolhead.homed == [true; 3] {
        return Ok(());
    }
    let [x, y, z, e] = to;
    Err(CommandError(format!("Must home axis first: {x:.3} {y:.3} {z:.3} [{e:.3}]")))
}

/// Lifts the head, moves it over the point, and lowers it to the bed. Says when it touches.
fn touch(machine: &mut Machine, now: f64, point: [f64; 2], lift: f64) -> Result<(), CommandError> {
    let section = "bed_mesh";
    let travel = machine.config.number(section, "speed").unwrap_or(50.0);
    let down = machine.config.number("probe", "speed").unwrap_or(5.0);
    let [mut to, mut over] = [machine.toolhead.commanded; 2];
    to[2] = lift;
    machine.toolhead.move_to(now, to, down, true)?;
    [over[0], over[1], over[2]] = [point[0], point[1], lift];
    machine.toolhead.move_to(now, over, travel, true)?;
    over[2] = bed_height(point[0], point[1]).max(machine.toolhead.limits.min[2]);
    machine.toolhead.move_to(now, over, down, true)
}

fn calibrate(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    has_probe(machine)?;
    let name = gcmd.get("PROFILE").unwrap_or("default").to_owned();
    if name.trim().is_empty() {
        return Err(CommandError::new("Value for parameter 'PROFILE' must be specified"));
    }
    let lift = machine.config.number("bed_mesh", "horizontal_move_z").unwrap_or(5.0);
    let mut first = machine.toolhead.commanded;
    first[2] = lift;
    check_homed(machine, &first)?;
    machine.mesh.clear();
    for point in machine.mesh.params().points() {
        touch(machine, turn.now, point, lift)?;
        let [x, y] = point;
        let line = format!("probe: at {x:.3},{y:.3} bed will contact at z={:.6}", bed_height(x, y));
        machine.at(machine.toolhead.print_time, Effect::Respond(info(&line)));
    }
    let mut up = machine.toolhead.commanded;
    up[2] = lift;
    machine.toolhead.move_to(turn.now, up, 10.0, true)?;
    machine.reset_last_position();
    let end = machine.toolhead.print_time;
    machine.at(end, Effect::Respond(info("Mesh Bed Leveling Complete")));
    machine.at(end, Effect::MeshMeasured(name));
    Ok(Action::Until(end))
}

fn profile(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    for key in ["LOAD", "SAVE", "REMOVE"] {
        let Some(name) = gcmd.get(key) else {
            continue;
        };
        if name.trim().is_empty() {
            return Err(CommandError(format!("Value for parameter '{key}' must be specified")));
        }
        match key {
            "LOAD" if !machine.mesh.load(name) => {
                return Err(CommandError(format!("bed_mesh: Unknown profile [{name}]")));
            }
            "LOAD" => {}
            "SAVE" if name == "default" => {
                turn.info("Profile 'default' is reserved, please choose another profile name.");
            }
            "SAVE" if machine.mesh.save(name, &mut machine.pending) => turn.info(&mesh_saved(name)),
            "SAVE" => turn.info(&format!("Unable to save to profile [{name}], the bed has not been probed")),
            _ if machine.mesh.remove(name, &mut machine.pending) => turn.info(&format!(
                "Profile [{name}] removed from storage for this session.\nThe SAVE_CONFIG command will update the \
                 printer\nconfiguration and restart the printer"
            )),
            _ => turn.info(&format!("No profile named [{name}] to remove")),
        }
        return Ok(Action::Done);
    }
    turn.info(&format!("Invalid syntax '{}'", gcmd.line));
    Ok(Action::Done)
}

fn probe(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    has_probe(machine)?;
    if !machine.toolhead.homed[2] {
        return Err(CommandError::new("Must home before probe"));
    }
    let [x, y, z, _] = machine.toolhead.commanded;
    let height = bed_height(x, y);
    touch(machine, turn.now, [x, y], z.max(height))?;
    machine.reset_last_position();
    let end = machine.toolhead.print_time;
    for line in [
        format!("probe: at {x:.3},{y:.3} bed will contact at z={height:.6}"),
        format!("Result: at {x:.3},{y:.3} estimate contact at z={height:.6}"),
    ] {
        machine.at(end, Effect::Respond(info(&line)));
    }
    let offset = machine.config.number("probe", "z_offset").unwrap_or_default();
    if let Some(probe) = &mut machine.probe {
        probe.position = [x, y, height];
        probe.z = height + offset;
    }
    Ok(Action::Until(end))
}

fn apply_offset(
    machine: &mut Machine,
    turn: &mut Turn<'_>,
    label: &str,
    section: &str,
    option: &str,
) -> Outcome {
    let offset = machine.gcode_move.now.homing[2];
    if offset == 0.0 {
        turn.info("Nothing to do: Z Offset is 0");
        return Ok(Action::Done);
    }
    let value = machine.config.number(section, option).unwrap_or_default() - offset;
    turn.info(&format!(
        "{label}: {option}: {value:.3}\nThe SAVE_CONFIG command will update the printer config file\nwith the above \
         and restart the printer."
    ));
    if let Some(options) =
        machine.pending.entry(section.to_owned()).or_default().get_or_insert_default().into()
    {
        let options: &mut std::collections::BTreeMap<String, String> = options;
        options.insert(option.to_owned(), format!("{value:.3}"));
    }
    Ok(Action::Done)
}

fn endstops(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    let words = ["stepper_x", "stepper_y", "stepper_z"]
        .into_iter()
        .zip(machine.query_endstops(turn.now))
        .map(|(name, pressed)| format!("{name}:{}", if pressed { "TRIGGERED" } else { "open" }));
    turn.raw(words.collect::<Vec<_>>().join(" "));
    Ok(Action::Done)
}
