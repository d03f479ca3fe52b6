//! The commands that there are even without a printer.

use super::{Command, CoreFn, Handler};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::line::Gcmd;
use crate::demo::klippy::gcode::{Action, CommandError, Outcome};
use crate::demo::klippy::printer::{Printer, State, info};

const fn core(name: &'static str, help: Option<&'static str>, run: CoreFn) -> Command {
    Command { name, always: true, help, handler: Handler::Core(run) }
}

pub(super) const COMMANDS: &[Command] = &[
    core("M110", None, |_, _, _| Ok(Action::Done)),
    core("M112", None, emergency_stop),
    core("M115", None, version),
    core("RESTART", Some("Reload config file and restart host software"), |_, _, _| Ok(Action::Restart)),
    core("FIRMWARE_RESTART", Some("Restart firmware, host, and reload config"), |_, _, _| {
        Ok(Action::Restart)
    }),
    core("ECHO", None, echo),
    core("STATUS", Some("Report the printer status"), status),
    core("HELP", Some("Report the list of available extended G-Code commands"), help),
];

fn emergency_stop(printer: &mut Printer, _: &Gcmd<'_>, now: Seconds) -> Outcome {
    printer.shut_down("Shutdown due to M112 command", now);
    Ok(Action::Done)
}

fn version(printer: &mut Printer, _: &Gcmd<'_>, _: Seconds) -> Outcome {
    printer.output.push(info(&format!("FIRMWARE_NAME:Klipper FIRMWARE_VERSION:{}", printer.version)));
    Ok(Action::Done)
}

fn echo(printer: &mut Printer, gcmd: &Gcmd<'_>, _: Seconds) -> Outcome {
    printer.output.push(info(gcmd.line));
    Ok(Action::Done)
}

fn status(printer: &mut Printer, _: &Gcmd<'_>, _: Seconds) -> Outcome {
    if printer.state != State::Ready {
        let message = printer.state.message().trim_end();
        return Err(CommandError(format!("{message}\nKlipper state: Not ready")));
    }
    printer.output.push(info("Klipper state: Ready"));
    Ok(Action::Done)
}

fn help(printer: &mut Printer, _: &Gcmd<'_>, _: Seconds) -> Outcome {
    let lines = printer.registry.help_lines(printer.state == State::Ready);
    printer.output.push(info(&lines));
    Ok(Action::Done)
}
