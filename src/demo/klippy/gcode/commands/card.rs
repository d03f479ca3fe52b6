//! The virtual SD card.

use super::{Command, helped, plain};
use crate::demo::klippy::gcode::line::{Bound, Gcmd};
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::Turn;
use crate::demo::klippy::printer::machine::Machine;

pub(super) const COMMANDS: &[Command] = &[
    plain("M20", |_, _, _| Ok(Action::List)),
    plain("M21", |_, _, turn| {
        turn.raw("SD card ok");
        Ok(Action::Done)
    }),
    plain("M23", select),
    plain("M24", |machine, _, turn| machine.sd_resume(turn.now).map(|()| Action::Done)),
    plain("M25", |machine, _, turn| {
        machine.sd_pause(turn.now);
        Ok(Action::Done)
    }),
    plain("M26", seek),
    plain("M27", progress),
    plain("M28", |_, _, _| no_write()),
    plain("M29", |_, _, _| no_write()),
    plain("M30", |_, _, _| no_write()),
    helped("SDCARD_RESET_FILE", "Clears a loaded SD File. Stops the print if necessary", reset),
    helped(
        "SDCARD_PRINT_FILE",
        "Loads a SD file and starts the print.  May include files in subdirectories.",
        print,
    ),
    helped("SET_PRINT_STATS_INFO", "Pass slicer info like layer act and total to klipper", layers),
];

fn no_write() -> Outcome {
    Err(CommandError::new("SD write not supported"))
}

fn open(machine: &mut Machine, turn: &Turn<'_>, name: &str, start: bool) -> Outcome {
    machine.sd_reset(turn.now);
    let name = name.strip_prefix('/').unwrap_or(name).to_owned();
    Ok(Action::Open { name, subfolders: start, start })
}

fn select(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.sd.active {
        return Err(CommandError::new("SD busy"));
    }
    open(machine, turn, gcmd.raw_parameters().trim(), false)
}

fn print(machine: &mut Machine, gcmd: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.sd.active {
        return Err(CommandError::new("SD busy"));
    }
    open(machine, turn, gcmd.required("FILENAME")?, true)
}

fn reset(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.sd.cmd_from_sd {
        return Err(CommandError::new("SDCARD_RESET_FILE cannot be run from the sdcard"));
    }
    machine.sd_reset(turn.now);
    Ok(Action::Done)
}

fn seek(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    if machine.sd.active {
        return Err(CommandError::new("SD busy"));
    }
    let position = gcmd.int("S", &[Bound::Min(0.0)])?.ok_or_else(|| gcmd.error("missing S"))?;
    machine.sd.seek(position.unsigned_abs());
    Ok(Action::Done)
}

fn progress(machine: &mut Machine, _: &Gcmd<'_>, turn: &mut Turn<'_>) -> Outcome {
    if machine.sd.is_open() {
        turn.raw(format!("SD printing byte {}/{}", machine.sd.position, machine.sd.size));
    } else {
        turn.raw("Not SD printing.");
    }
    Ok(Action::Done)
}

fn layers(machine: &mut Machine, gcmd: &Gcmd<'_>, _: &mut Turn<'_>) -> Outcome {
    let total = gcmd.int("TOTAL_LAYER", &[Bound::Min(0.0)])?.map(i64::unsigned_abs);
    let current = gcmd.int("CURRENT_LAYER", &[Bound::Min(0.0)])?.map(i64::unsigned_abs);
    machine.print_stats.set_layers(total, current);
    Ok(Action::Done)
}
