//! The task that runs G-code: one script at a time in the order of their coming, and the lines of the virtual SD
//! card's file whenever no script waits.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::future::{or, yield_now};
use smol::Timer;

use super::{Action, CommandError};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::printer::virtual_sdcard::{self, Next};
use crate::demo::klippy::printer::{Printer, merge_saved, write_config};
use crate::demo::klippy::world::{Job, Shared, Signal, Work, World};
use crate::tasks::unblock;

/// How deep macros may call macros.
const MAX_NESTING: usize = 32;

/// How often a wait for a temperature looks and reports, in the printer's seconds.
const REPORT_INTERVAL: Seconds = 1.0;

/// The same in real time, for fast printers.
const MIN_REPORT: Duration = Duration::from_millis(1);

/// How many lines of a file are run before other tasks get their turn.
const LINES_AT_ONCE: u32 = 64;

/// What the task does next.
enum Step {
    Job(Job),
    Line(String),
    Read,
    Failed(CommandError),
    Rest,
}

/// Runs for as long as Klippy does.
pub(in crate::demo::klippy) async fn run(shared: Arc<Shared>) {
    let runner = Runner { shared: &shared };
    let mut lines = 0;
    loop {
        match shared.with(next) {
            Step::Job(job) => runner.job(job).await,
            Step::Line(line) => {
                runner.print_line(line).await;
                lines += 1;
                if lines % LINES_AT_ONCE == 0 {
                    yield_now().await;
                }
            }
            Step::Read => runner.read().await,
            Step::Failed(error) => runner.print_failed(error).await,
            Step::Rest => shared.runner.wait().await,
        }
    }
}

/// Chooses what to do next. From then on the world is busy.
fn next(world: &mut World, now: Seconds) -> Step {
    world.busy = false;
    let Some(machine) = &mut world.printer.machine else {
        return world.jobs.pop_front().map_or(Step::Rest, |job| start(&mut world.busy, Step::Job(job)));
    };
    if machine.sd.active && machine.sd.must_pause {
        machine.sd_stopped(now, None);
    }
    if let Some(job) = world.jobs.pop_front() {
        return start(&mut world.busy, Step::Job(job));
    }
    if !machine.sd.active {
        return Step::Rest;
    }
    let chosen = match machine.sd.next() {
        Next::Line(line) => Step::Line(line),
        Next::More => Step::Read,
        Next::TooLong => Step::Failed(CommandError::new("Line too long")),
        Next::End => {
            machine.sd.close();
            machine.sd_stopped(now, None);
            world.printer.output.push("Done printing file".to_owned());
            return Step::Rest;
        }
    };
    start(&mut world.busy, chosen)
}

fn start(busy: &mut bool, chosen: Step) -> Step {
    *busy = true;
    chosen
}

/// The lines of a script that are still to be run.
struct Frame {
    script: String,
    at: usize,
    macro_index: Option<usize>,
}

impl Frame {
    fn new(script: String, macro_index: Option<usize>) -> Self {
        Self { script, at: 0, macro_index }
    }

    /// The next line.
    fn line(&mut self) -> Option<&str> {
        let rest = self.script.get(self.at..)?;
        let end = memchr::memchr(b'\n', rest.as_bytes());
        // beyond the end there is no line, not even an empty one
        self.at += end.map_or(rest.len() + 1, |end| end + 1);
        Some(&rest[..end.unwrap_or(rest.len())])
    }
}

struct Runner<'a> {
    shared: &'a Shared,
}

impl Runner<'_> {
    async fn job(&self, job: Job) {
        let result = match job.work {
            Work::Script(script) => self.script(script).await.map(|restart| ("{}".to_owned(), restart)),
            Work::Endstops => self.endstops().map(|json| (json, false)),
        };
        let restart = self.shared.with(|world, _| {
            if let Some(ticket) = &job.ticket {
                let answer = result.as_ref().map(|(json, _)| json.as_str()).map_err(|error| error.0.as_str());
                world.answer(ticket, answer);
            }
            result.is_ok_and(|(_, restart)| restart)
        });
        self.restart_if(restart).await;
    }

    fn endstops(&self) -> Result<String, CommandError> {
        self.shared.with(|world, now| {
            let running = !world.printer.is_shutdown();
            let machine = world.printer.machine.as_mut().filter(|_| running);
            let pressed = machine
                .map(|machine| machine.query_endstops(now))
                .ok_or_else(|| CommandError::new("Unable to obtain 'endstop_state' response"))?;
            let words = pressed.map(|pressed| if pressed { "TRIGGERED" } else { "open" });
            Ok(format!(
                r#"{{"stepper_x":"{}","stepper_y":"{}","stepper_z":"{}"}}"#,
                words[0], words[1], words[2]
            ))
        })
    }

    /// Runs a script to its end, or to the first error, of which the terminal is told. Says whether Klippy is to
    /// start anew.
    async fn script(&self, script: String) -> Result<bool, CommandError> {
        let mut frames = vec![Frame::new(script, None)];
        let result = self.frames(&mut frames).await;
        if !frames.is_empty() {
            self.shared.with(|world, _| {
                for frame in &frames {
                    release(&mut world.printer, frame);
                    if let Err(error) = &result {
                        // every script around it tells of it once more, as in Klippy
                        world.printer.respond_error(error);
                    }
                }
            });
        }
        result
    }

    async fn frames(&self, frames: &mut Vec<Frame>) -> Result<bool, CommandError> {
        loop {
            let depth = frames.len();
            let Some(frame) = frames.last_mut() else {
                return Ok(false);
            };
            let Some(line) = frame.line() else {
                if let Some(frame) = frames.pop()
                    && frame.macro_index.is_some()
                {
                    self.shared.with(|world, _| release(&mut world.printer, &frame));
                }
                continue;
            };
            let action = self.shared.with(|world, now| world.printer.execute(line, now))?;
            if let Action::Macro(index, script) = action {
                frames.push(Frame::new(script, Some(index)));
                if depth >= MAX_NESTING {
                    return Err(CommandError::new("Macros nested too deeply"));
                }
            } else if self.wait(action).await? {
                return Ok(true);
            }
        }
    }

    /// Does what is left to do of a command. Says whether Klippy is to start anew.
    async fn wait(&self, action: Action) -> Result<bool, CommandError> {
        match action {
            Action::Done | Action::Macro(..) => {}
            Action::Until(time) => {
                self.until(time).await;
            }
            Action::Home(time) => {
                if self.until(time).await {
                    return Err(CommandError::new("Homing failed due to printer shutdown"));
                }
            }
            Action::Heat(name) => {
                self.temperature(|printer| {
                    let heater = printer.machine.as_ref().and_then(|machine| machine.heaters.get(name));
                    heater.is_none_or(|heater| !heater.is_busy())
                })
                .await;
            }
            Action::Range(sensor, min, max) => {
                self.temperature(|printer| {
                    let heaters = printer.machine.as_ref().map(|machine| &machine.heaters);
                    let temperature = heaters.and_then(|heaters| heaters.temperature(&sensor));
                    temperature.is_none_or(|temperature| (min..=max).contains(&temperature))
                })
                .await;
            }
            Action::Open { name, subfolders, start } => self.open(name, subfolders, start).await?,
            Action::List => self.list().await?,
            Action::SaveConfig => {
                self.save_config().await?;
                self.prepare_restart().await;
                return Ok(true);
            }
            Action::Restart => {
                self.prepare_restart().await;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until a time of the printer. Says whether a shutdown has ended the wait.
    async fn until(&self, time: Seconds) -> bool {
        loop {
            let (shutdown, now, next) = self.shared.with(|world, now| {
                let next = world.printer.machine.as_ref().and_then(|machine| machine.next_effect());
                (world.printer.is_shutdown(), now, next)
            });
            if shutdown || now >= time {
                return shutdown;
            }
            let wake = next.map_or(time, |next| next.min(time));
            self.sleep(self.shared.clock.instant(wake)).await;
        }
    }

    async fn sleep(&self, until: Instant) {
        or(
            async {
                Timer::at(until).await;
            },
            self.shared.interrupt.wait(),
        )
        .await;
    }

    /// Waits until `done`, telling the terminal the temperatures. A shutdown ends it.
    async fn temperature(&self, done: impl Fn(&Printer) -> bool) {
        loop {
            let over = self.shared.with(|world, now| {
                if world.printer.is_shutdown() || done(&world.printer) {
                    return true;
                }
                if let Some(machine) = &mut world.printer.machine {
                    machine.toolhead.sync(now);
                    world.printer.output.push(machine.heaters.report());
                }
                false
            });
            if over {
                return;
            }
            let next = self.shared.clock.instant(self.shared.clock.now() + REPORT_INTERVAL);
            self.sleep(next.max(Instant::now() + MIN_REPORT)).await;
        }
    }

    async fn open(&self, name: String, subfolders: bool, start: bool) -> Result<(), CommandError> {
        let folder = self.shared.options.gcodes.clone();
        let wanted = name.clone();
        let found = unblock(move || virtual_sdcard::find(&folder, &wanted, subfolders)).await;
        let found = found.map_err(CommandError)?;
        self.shared.with(|world, now| {
            let Some(machine) = &mut world.printer.machine else {
                return Err(CommandError::new("Printer not ready"));
            };
            world.printer.output.push(format!("File opened:{name} Size:{}", found.size));
            world.printer.output.push("File selected".to_owned());
            machine.sd.load(found);
            machine.print_stats.set_file(&name);
            if start { machine.sd_resume(now) } else { Ok(()) }
        })
    }

    async fn list(&self) -> Result<(), CommandError> {
        let folder = self.shared.options.gcodes.clone();
        let files = unblock(move || virtual_sdcard::list(&folder, false)).await.map_err(CommandError)?;
        self.shared.with(|world, _| {
            let output = &mut world.printer.output;
            output.push("Begin file list".to_owned());
            output.extend(files.into_iter().map(|(name, size)| format!("{name} {size}")));
            output.push("End file list".to_owned());
        });
        Ok(())
    }

    async fn save_config(&self) -> Result<(), CommandError> {
        let pending = self.shared.with(|world, _| {
            let machine = world.printer.machine.as_mut();
            let pending = machine.map(|machine| std::mem::take(&mut machine.pending)).unwrap_or_default();
            merge_saved(&mut world.saved, &pending);
            pending
        });
        let file = self.shared.options.config_file.clone();
        let write = move || {
            if Path::new(&file).exists() { write_config(&file, &pending, &date()) } else { Ok(()) }
        };
        unblock(write).await.map_err(|_| CommandError::new("Unable to write config file during SAVE_CONFIG"))
    }

    async fn prepare_restart(&self) {
        let end = self.shared.with(|world, now| world.printer.prepare_restart(now));
        self.until(end).await;
    }

    /// Runs a line of the file.
    async fn print_line(&self, line: String) {
        self.shared.look().set_from_sd(true);
        match self.script(line).await {
            Ok(restart) => {
                self.shared.look().line_printed();
                self.restart_if(restart).await;
            }
            Err(error) => self.print_failed(error).await,
        }
    }

    /// Asks for a new start. This task ends with the rest of this Klippy.
    async fn restart_if(&self, restart: bool) {
        if restart {
            self.shared.signal(Signal::Restart);
            std::future::pending::<()>().await;
        }
    }

    /// A line of the file was refused: the print ends.
    async fn print_failed(&self, error: CommandError) {
        let script = self.shared.with(|world, _| {
            let machine = world.printer.machine.as_ref();
            machine.map(|machine| machine.config.text("virtual_sdcard", "on_error_gcode").to_owned())
        });
        if let Some(script) = script {
            // what goes wrong now has been told to the terminal
            let _ = self.script(script).await;
        }
        self.shared.with(|world, now| {
            if let Some(machine) = &mut world.printer.machine {
                machine.sd_stopped(now, Some(&error.0));
            }
        });
    }

    /// Reads on in the file.
    async fn read(&self) {
        let reading = self.shared.look().printer.machine.as_ref().and_then(|machine| machine.sd.reading());
        let Some(reading) = reading else {
            return;
        };
        let bytes = unblock(move || reading.read()).await;
        self.shared.with(|world, _| {
            let Some(machine) = &mut world.printer.machine else {
                return;
            };
            match bytes {
                Ok(bytes) => machine.sd.feed(&bytes),
                Err(error) => {
                    log::debug!("Simulated Klippy: {error}");
                    machine.sd.must_pause = true;
                }
            }
        });
    }
}

impl World {
    fn set_from_sd(&mut self, from_sd: bool) {
        if let Some(machine) = &mut self.printer.machine {
            machine.sd.cmd_from_sd = from_sd;
        }
    }

    fn line_printed(&mut self) {
        if let Some(machine) = &mut self.printer.machine {
            machine.sd.cmd_from_sd = false;
            machine.sd.advance();
        }
    }
}

/// The date and time (UTC) as in the name of a configuration that `SAVE_CONFIG` has replaced.
fn date() -> String {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let (days, seconds) = (now / 86_400, now % 86_400);
    // days since 1 March 0000: a year then ends with its leap day
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    format!("{year:04}{month:02}{day:02}_{:02}{:02}{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A macro has ended, and may be called again.
fn release(printer: &mut Printer, frame: &Frame) {
    let macros = printer.machine.as_mut().map(|machine| &mut machine.macros);
    if let (Some(index), Some(macros)) = (frame.macro_index, macros)
        && let Some(macro_) = macros.get_mut(index)
    {
        macro_.running = false;
    }
}
