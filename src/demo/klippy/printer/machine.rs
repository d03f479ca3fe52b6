//! All parts of the printer together.

use serde_json::{Map, Value};

use super::accessories::Accessories;
use super::bed_mesh::BedMesh;
use super::config::Config;
use super::display_status::DisplayStatus;
use super::exclude_object::ExcludeObject;
use super::gcode_move::GcodeMove;
use super::heaters::Heaters;
use super::idle_timeout::IdleTimeout;
use super::limits::{Limits, Position};
use super::pause_resume::PauseResume;
use super::print_stats::PrintStats;
use super::system::SystemStats;
use super::toolhead::{Homing, Toolhead};
use super::virtual_sdcard::VirtualSdcard;
use super::{Pending, RemoteCall, Turn};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::macros::Macro;
use crate::demo::klippy::gcode::{Action, CommandError};
use crate::demo::klippy::options::Options;

/// How long a filament sensor says nothing after the start and after an event, in seconds.
const FILAMENT_EVENT_DELAY: Seconds = 3.0;

/// Something that happens when the moves before it are over.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::demo::klippy) enum Effect {
    /// The part fan gets another speed.
    Fan(f64),
    /// A line for the terminal.
    Respond(String),
    /// The bed has been measured, for a profile of this name.
    MeshMeasured(String),
}

/// What the probe has found.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::demo::klippy) struct Probe {
    pub(in crate::demo::klippy) position: [f64; 3],
    pub(in crate::demo::klippy) z: f64,
}

/// The printer behind a Klippy that has read its configuration.
pub(in crate::demo::klippy) struct Machine {
    pub(in crate::demo::klippy) config: Config,
    pub(in crate::demo::klippy) toolhead: Toolhead,
    pub(in crate::demo::klippy) gcode_move: GcodeMove,
    pub(in crate::demo::klippy) heaters: Heaters,
    pub(in crate::demo::klippy) accessories: Accessories,
    pub(in crate::demo::klippy) sd: VirtualSdcard,
    pub(in crate::demo::klippy) print_stats: PrintStats,
    pub(in crate::demo::klippy) pause: PauseResume,
    pub(in crate::demo::klippy) display: DisplayStatus,
    pub(in crate::demo::klippy) idle: IdleTimeout,
    pub(in crate::demo::klippy) exclude: ExcludeObject,
    pub(in crate::demo::klippy) mesh: BedMesh,
    pub(in crate::demo::klippy) probe: Option<Probe>,
    pub(in crate::demo::klippy) macros: Vec<Macro>,
    pub(in crate::demo::klippy) system: SystemStats,
    /// The last answer of the endstops: pressed or not; nothing before they were first asked.
    pub(in crate::demo::klippy) endstops: Option<[bool; 3]>,
    pub(in crate::demo::klippy) pressure_advance: f64,
    pub(in crate::demo::klippy) smooth_time: f64,
    /// Which plane `G2` and `G3` turn in, by the index of the axis across it.
    pub(in crate::demo::klippy) arc_axis: usize,
    /// What `SAVE_CONFIG` would store.
    pub(in crate::demo::klippy) pending: Pending,
    pub(in crate::demo::klippy) remote_calls: Vec<RemoteCall>,
    /// Scripts that the printer itself wants to be run.
    pub(in crate::demo::klippy) wanted: Vec<String>,
    /// When the micro-controller was started.
    pub(in crate::demo::klippy) epoch: Seconds,
    effects: Vec<(Seconds, Effect)>,
    filament_quiet_until: Seconds,
}

impl Machine {
    /// The printer of a configuration, switched on just now.
    ///
    /// # Errors
    /// Klippy's message for a macro that cannot be.
    pub(in crate::demo::klippy) fn new(
        config: Config,
        options: &Options,
        now: Seconds,
    ) -> Result<Self, String> {
        let homing = ["stepper_x", "stepper_y", "stepper_z"].map(|axis| {
            let number = |option: &str, default: f64| config.number(axis, option).unwrap_or(default);
            let speed = number("homing_speed", 5.0);
            Homing {
                endstop: number("position_endstop", 0.0),
                speed,
                second_speed: number("second_homing_speed", speed / 2.0),
                retract: number("homing_retract_dist", 5.0),
            }
        });
        let has_probe = config.sections.get("probe").is_some();
        Ok(Self {
            toolhead: Toolhead::new(Limits::new(&config), homing, options.speed, now),
            gcode_move: GcodeMove::new(),
            heaters: Heaters::new(&config, options.noise, now),
            accessories: Accessories::new(&config),
            sd: VirtualSdcard::new(),
            print_stats: PrintStats::new(),
            pause: PauseResume::default(),
            display: DisplayStatus::default(),
            idle: IdleTimeout::new(config.number("idle_timeout", "timeout").unwrap_or(600.0)),
            exclude: ExcludeObject::default(),
            mesh: BedMesh::new(&config),
            probe: has_probe.then(Probe::default),
            macros: Macro::all(&config)?,
            system: SystemStats::default(),
            endstops: None,
            pressure_advance: config.number("extruder", "pressure_advance").unwrap_or_default(),
            smooth_time: config.number("extruder", "pressure_advance_smooth_time").unwrap_or(0.04),
            arc_axis: 2,
            pending: Pending::new(),
            remote_calls: Vec::new(),
            wanted: Vec::new(),
            epoch: now,
            effects: Vec::new(),
            filament_quiet_until: now + FILAMENT_EVENT_DELAY,
            config,
        })
    }

    /// Lets the time pass up to now.
    pub(in crate::demo::klippy) fn advance(&mut self, turn: &mut Turn<'_>, busy: bool) {
        let now = turn.now;
        self.heaters.advance(now);
        self.toolhead.advance(now);
        if self.effects.first().is_some_and(|(time, _)| *time <= now) {
            let due = self.effects.iter().take_while(|(time, _)| *time <= now).count();
            let effects: Vec<_> = self.effects.drain(..due).collect();
            for (_, effect) in effects {
                self.happen(effect, turn);
            }
        }
        if self.sd.active {
            let (e, factor) = self.filament();
            self.print_stats.update(now, e, factor);
        }
        let speed = if self.heaters.extruder.target > 0.0 || self.heaters.extruder.temperature() > 50.0 {
            1.0
        } else {
            0.0
        };
        for fan in &mut self.accessories.heater_fans {
            fan.speed = speed;
        }
        if self.idle.advance(now, self.toolhead.print_time, busy || self.sd.active) {
            self.wanted.push(self.config.text("idle_timeout", "gcode").to_owned());
        }
    }

    fn happen(&mut self, effect: Effect, turn: &mut Turn<'_>) {
        match effect {
            Effect::Fan(speed) => self.accessories.part_fan.speed = speed,
            Effect::Respond(line) => turn.raw(line),
            Effect::MeshMeasured(name) => {
                self.mesh.measured(&name, &mut self.pending);
                turn.info(&crate::demo::klippy::gcode::commands::mesh_saved(&name));
            }
        }
    }

    /// Lets something happen at a time, after what is to happen before.
    pub(in crate::demo::klippy) fn at(&mut self, time: Seconds, effect: Effect) {
        let index = self.effects.partition_point(|(other, _)| *other <= time);
        self.effects.insert(index, (time, effect));
    }

    /// Lets something happen when the moves that are queued are over, or at once.
    pub(in crate::demo::klippy) fn after_moves(&mut self, turn: &mut Turn<'_>, effect: Effect) {
        self.toolhead.sync(turn.now);
        if self.toolhead.is_moving(turn.now) {
            self.at(self.toolhead.print_time, effect);
        } else {
            self.happen(effect, turn);
        }
    }

    /// When the next thing happens.
    pub(in crate::demo::klippy) fn next_effect(&self) -> Option<Seconds> {
        self.effects.first().map(|(time, _)| *time)
    }

    /// Stops everything where it is.
    pub(super) fn shut_down(&mut self, now: Seconds) {
        self.heaters.advance(now);
        self.heaters.freeze();
        self.toolhead.stop(now);
        self.effects.clear();
        if self.sd.active {
            self.sd.must_pause = true;
        }
    }

    /// Moves the head to a position of the printer's coordinates, from where G-code thinks it is.
    ///
    /// # Errors
    /// Klippy's message for a move that cannot be.
    pub(in crate::demo::klippy) fn move_to(
        &mut self,
        now: Seconds,
        to: Position,
        speed: f64,
    ) -> Result<Action, CommandError> {
        if self.exclude.is_excluding() {
            self.exclude.skipped += to[3] - self.gcode_move.now.last[3];
            self.gcode_move.now.last = to;
            return Ok(Action::Done);
        }
        let mut head = to;
        head[3] -= self.exclude.skipped;
        let extrudes = self.heaters.extruder.can_extrude();
        self.switch_on(&head);
        self.toolhead.move_to(now, head, speed, extrudes)?;
        self.gcode_move.now.last = to;
        Ok(self.wait_if_full(now))
    }

    /// Switches on the motors of a move.
    pub(in crate::demo::klippy) fn switch_on(&mut self, to: &Position) {
        for (axis, enabled) in self.accessories.enabled.iter_mut().enumerate() {
            *enabled |= to[axis] != self.toolhead.commanded[axis];
        }
    }

    /// Waits if enough moves are queued.
    pub(in crate::demo::klippy) fn wait_if_full(&self, now: Seconds) -> Action {
        self.toolhead.must_wait(now).map_or(Action::Done, Action::Until)
    }

    /// Lets G-code think that the head is where it is: after homing, and after an error.
    pub(in crate::demo::klippy) fn reset_last_position(&mut self) {
        let mut position = self.toolhead.commanded;
        position[3] += self.exclude.skipped;
        self.gcode_move.now.last = position;
    }

    /// The position of the filament, as G-code counts it.
    fn filament(&self) -> (f64, f64) {
        (self.gcode_move.now.last[3], self.gcode_move.now.extrude_factor)
    }

    /// Begins to print the open file where it stands, or goes on with it.
    ///
    /// # Errors
    /// Klippy's message if it is being printed already.
    pub(in crate::demo::klippy) fn sd_resume(&mut self, now: Seconds) -> Result<(), CommandError> {
        if self.sd.active {
            return Err(CommandError::new("SD busy"));
        }
        self.sd.must_pause = false;
        if self.sd.is_open() {
            self.sd.seek(self.sd.position);
            self.sd.active = true;
            self.print_stats.start(now, self.filament().0);
        }
        Ok(())
    }

    /// Stops printing the file: at once, or after the line at hand if that is the file's.
    pub(in crate::demo::klippy) fn sd_pause(&mut self, now: Seconds) {
        if self.sd.active {
            self.sd.must_pause = true;
            if !self.sd.cmd_from_sd {
                self.sd_stopped(now, None);
            }
        }
    }

    /// Printing has stopped, perhaps for an error.
    pub(in crate::demo::klippy) fn sd_stopped(&mut self, now: Seconds, error: Option<&str>) {
        self.sd.active = false;
        self.sd.cmd_from_sd = false;
        let (e, factor) = self.filament();
        // what the print has used up to here
        self.print_stats.update(now, e, factor);
        match error {
            Some(message) => self.print_stats.finish(now, "error", message),
            None if self.sd.is_open() => self.print_stats.pause(now, e, factor),
            None => self.print_stats.finish(now, "complete", ""),
        }
    }

    /// Ends the print for good.
    pub(in crate::demo::klippy) fn sd_cancel(&mut self, now: Seconds) {
        if self.sd.is_open() {
            self.sd_pause(now);
            self.sd.close();
            self.print_stats.finish(now, "cancelled", "");
        }
        self.sd.position = 0;
        self.sd.size = 0;
    }

    /// Takes the file off the card.
    pub(in crate::demo::klippy) fn sd_reset(&mut self, now: Seconds) {
        if self.sd.is_open() {
            self.sd_pause(now);
            self.sd.close();
        }
        self.sd.position = 0;
        self.sd.size = 0;
        self.print_stats = PrintStats::new();
        self.exclude.reset();
        self.reset_last_position();
    }

    /// The first half of a pause: the print stops.
    pub(in crate::demo::klippy) fn send_pause(&mut self, turn: &mut Turn<'_>) {
        if self.pause.command_sent {
            return;
        }
        self.pause.sd_paused = self.sd.active;
        if self.sd.active {
            self.sd_pause(turn.now);
        } else {
            turn.info("action:paused");
        }
        self.pause.command_sent = true;
    }

    /// The filament sensor of this short name sees filament, or sees it end; the first one if there is no name.
    pub(in crate::demo::klippy) fn filament_present(
        &mut self,
        turn: &mut Turn<'_>,
        name: Option<&str>,
        present: bool,
    ) {
        let now = turn.now;
        let sensors = &mut self.accessories.filament;
        let Some(sensor) = sensors.iter_mut().find(|sensor| name.is_none_or(|name| sensor.name == name))
        else {
            return;
        };
        if std::mem::replace(&mut sensor.detected, present) == present || !sensor.enabled || present {
            return;
        }
        let runout = sensor.runout_gcode.clone();
        if now < self.filament_quiet_until || !self.idle.is_printing() {
            return;
        }
        self.filament_quiet_until = now + FILAMENT_EVENT_DELAY;
        if sensor.pauses {
            self.send_pause(turn);
            self.wanted.push(format!("PAUSE\n{runout}\nM400"));
        } else if !runout.is_empty() {
            self.wanted.push(format!("{runout}\nM400"));
        }
    }

    /// Calls a method that clients have registered.
    pub(in crate::demo::klippy) fn call_remote(&mut self, method: String, params: Map<String, Value>) {
        self.remote_calls.push(RemoteCall { method, params });
    }

    /// The fields of `print_stats`.
    pub(super) fn print_status(&mut self, now: Seconds) -> super::status::Status {
        let (e, factor) = self.filament();
        self.print_stats.status(now, e, factor)
    }
}
