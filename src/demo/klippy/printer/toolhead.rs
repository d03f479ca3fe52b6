//! The head: where it has been told to go, and where it is on the way there.

use std::collections::VecDeque;

use super::limits::{self, Limits, Position};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::CommandError;

/// How much later than now the first move after a rest begins, in seconds (Klippy's `BUFFER_TIME_START`).
const BUFFER_START: Seconds = 0.25;

/// How far ahead moves are taken before G-code has to wait, in seconds (`BUFFER_TIME_HIGH`).
const BUFFER_HIGH: Seconds = 1.0;

/// The same in real time: a fast printer takes more ahead, so that it needs not be fed more often.
const BUFFER_REAL: Seconds = 0.02;

/// The most moves taken ahead, however short they are.
const MAX_MOVES: usize = 4096;

/// How far an axis that is not homed is taken to be from its endstop, in mm.
const UNKNOWN_DISTANCE: [f64; 3] = [117.0, 117.0, 30.0];

/// A piece of the way, at an even speed.
#[derive(Debug, Clone, Copy)]
struct Segment {
    start: Seconds,
    duration: Seconds,
    from: Position,
    to: Position,
}

/// Where the head is at a time, with its speeds in mm/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::demo::klippy) struct Live {
    pub(in crate::demo::klippy) position: Position,
    pub(in crate::demo::klippy) velocity: f64,
    pub(in crate::demo::klippy) extruder_velocity: f64,
}

/// How an axis is homed.
#[derive(Debug, Clone, Copy)]
pub(in crate::demo::klippy) struct Homing {
    pub(in crate::demo::klippy) endstop: f64,
    /// mm/s.
    pub(in crate::demo::klippy) speed: f64,
    /// mm/s.
    pub(in crate::demo::klippy) second_speed: f64,
    /// mm.
    pub(in crate::demo::klippy) retract: f64,
}

/// The head with its queue of moves.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Toolhead {
    pub(in crate::demo::klippy) limits: Limits,
    pub(in crate::demo::klippy) homing: [Homing; 3],
    pub(in crate::demo::klippy) homed: [bool; 3],
    /// Where the last move ends.
    pub(in crate::demo::klippy) commanded: Position,
    /// When the last move ends.
    pub(in crate::demo::klippy) print_time: Seconds,
    segments: VecDeque<Segment>,
    resting: Position,
    direction: Option<([f64; 3], f64)>,
    buffer: Seconds,
}

impl Toolhead {
    /// A head at rest.
    pub(in crate::demo::klippy) fn new(
        limits: Limits,
        homing: [Homing; 3],
        speed: f64,
        now: Seconds,
    ) -> Self {
        Self {
            limits,
            homing,
            homed: [false; 3],
            commanded: [0.0; 4],
            print_time: now,
            segments: VecDeque::new(),
            resting: [0.0; 4],
            direction: None,
            buffer: BUFFER_HIGH.max(BUFFER_REAL * speed),
        }
    }

    /// Queues a move. `extrudes` is whether the hotend is hot enough.
    ///
    /// # Errors
    /// Klippy's message for a move that cannot be.
    pub(in crate::demo::klippy) fn move_to(
        &mut self,
        now: Seconds,
        to: Position,
        speed: f64,
        extrudes: bool,
    ) -> Result<(), CommandError> {
        let from = self.commanded;
        let delta = [to[0] - from[0], to[1] - from[1], to[2] - from[2]];
        let distance = delta.iter().map(|d| d * d).sum::<f64>().sqrt();
        self.queue_path(now, to, distance, delta, speed, extrudes)
    }

    /// Queues a move along a path of this length, which sets out in the direction of `delta`.
    ///
    /// # Errors
    /// As [`Self::move_to`].
    pub(in crate::demo::klippy) fn queue_path(
        &mut self,
        now: Seconds,
        to: Position,
        distance: f64,
        delta: [f64; 3],
        speed: f64,
        extrudes: bool,
    ) -> Result<(), CommandError> {
        let from = self.commanded;
        let filament = to[3] - from[3];
        if distance < 1e-9 && filament == 0.0 {
            return Ok(());
        }
        self.limits.check_axes(&from, &to, self.homed)?;
        if filament != 0.0 {
            if !extrudes {
                return Err(CommandError(
                    "Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details"
                        .to_owned(),
                ));
            }
            self.limits.check_extrusion(filament, distance, delta[0] != 0.0 || delta[1] != 0.0)?;
        }
        self.sync(now);
        let duration = if distance < 1e-9 {
            self.direction = None;
            filament.abs() / self.limits.extrude_speed(speed)
        } else {
            let length = delta.iter().map(|d| d * d).sum::<f64>().sqrt().max(1e-9);
            let direction = delta.map(|d| d / length);
            let (speed, accel) = self.limits.speed(speed, direction);
            let corner = match self.direction {
                Some((before, before_speed)) => {
                    self.limits.corner_speed(before, direction, accel).min(before_speed)
                }
                None => 0.0,
            };
            self.direction = Some((direction, speed));
            limits::duration(distance, corner, speed, accel)
        };
        self.push(to, duration);
        Ok(())
    }

    fn push(&mut self, to: Position, duration: Seconds) {
        self.segments.push_back(Segment { start: self.print_time, duration, from: self.commanded, to });
        self.print_time += duration;
        self.commanded = to;
    }

    /// Sees to it that what is queued next is not in the past. Says whether there was a rest before it.
    pub(in crate::demo::klippy) fn sync(&mut self, now: Seconds) -> bool {
        let resting = self.print_time < now + BUFFER_START && self.segments.is_empty();
        if resting || self.print_time < now {
            self.print_time = now + BUFFER_START;
            self.direction = None;
        }
        resting
    }

    /// Lets the moves end, and then this long pass.
    pub(in crate::demo::klippy) fn dwell(&mut self, now: Seconds, delay: Seconds) {
        self.sync(now);
        self.direction = None;
        self.print_time += delay.max(0.0);
    }

    /// Homes an axis. Says when it begins.
    pub(in crate::demo::klippy) fn home(&mut self, now: Seconds, axis: usize) -> Seconds {
        self.sync(now);
        self.direction = None;
        let Homing { endstop, speed, second_speed, retract } = self.homing[axis];
        if !self.homed[axis] {
            self.commanded[axis] = endstop + UNKNOWN_DISTANCE[axis];
        }
        let start = self.print_time;
        for (target, speed) in [(endstop, speed), (endstop + retract, speed), (endstop, second_speed)] {
            let mut to = self.commanded;
            to[axis] = target;
            let distance = (target - self.commanded[axis]).abs();
            self.push(to, distance / speed.max(0.001));
        }
        self.homed[axis] = true;
        start
    }

    /// Sets where the head is taken to be; what is queued is done first.
    pub(in crate::demo::klippy) fn set_position(&mut self, now: Seconds, position: Position) {
        self.sync(now);
        self.direction = None;
        self.commanded = position;
    }

    /// Until when G-code has to wait because enough moves are queued.
    pub(in crate::demo::klippy) fn must_wait(&self, now: Seconds) -> Option<Seconds> {
        let full = self.print_time - now > self.buffer || self.segments.len() >= MAX_MOVES;
        // the half that stays is enough to be fed again in time
        full.then(|| (self.print_time - self.buffer / 2.0).max(now))
    }

    /// Forgets the moves that are over.
    pub(in crate::demo::klippy) fn advance(&mut self, now: Seconds) {
        while let Some(first) = self.segments.front() {
            if first.start + first.duration > now {
                break;
            }
            self.resting = first.to;
            self.segments.pop_front();
        }
    }

    /// Stops where it is, as a shutdown does.
    pub(in crate::demo::klippy) fn stop(&mut self, now: Seconds) {
        self.resting = self.live(now).position;
        self.segments.clear();
        self.direction = None;
        self.print_time = self.print_time.min(now);
    }

    /// Where the head is.
    pub(in crate::demo::klippy) fn live(&self, now: Seconds) -> Live {
        let at = self.segments.partition_point(|segment| segment.start + segment.duration <= now);
        let rest = |position| Live { position, velocity: 0.0, extruder_velocity: 0.0 };
        let Some(segment) = self.segments.get(at) else {
            return rest(self.segments.back().map_or(self.resting, |last| last.to));
        };
        if now < segment.start {
            return rest(segment.from);
        }
        let share = (now - segment.start) / segment.duration;
        let step = |axis: usize| segment.to[axis] - segment.from[axis];
        let distance = (step(0).powi(2) + step(1).powi(2) + step(2).powi(2)).sqrt();
        let position = std::array::from_fn(|axis| segment.from[axis] + step(axis) * share);
        Live {
            position,
            velocity: distance / segment.duration,
            extruder_velocity: step(3) / segment.duration,
        }
    }

    /// Whether a move is queued or under way.
    pub(in crate::demo::klippy) fn is_moving(&self, now: Seconds) -> bool {
        self.print_time > now
    }

    /// The letters of the homed axes.
    pub(in crate::demo::klippy) fn homed_axes(&self) -> String {
        "xyz".chars().zip(self.homed).filter_map(|(letter, homed)| homed.then_some(letter)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::*;

    fn toolhead() -> Toolhead {
        let homing = Homing { endstop: 0.0, speed: 80.0, second_speed: 40.0, retract: 5.0 };
        Toolhead::new(Limits::new(&config()), [homing; 3], 1.0, 1000.0)
    }

    #[test]
    fn a_move_takes_time_and_can_be_watched() {
        let mut toolhead = toolhead();
        toolhead.homed = [true; 3];
        toolhead.move_to(1000.0, [100.0, 0.0, 0.0, 0.0], 100.0, false).unwrap();
        let took = toolhead.print_time - 1000.0 - BUFFER_START;
        assert!((1.0..1.2).contains(&took), "{took}");
        assert_eq!(toolhead.live(1000.1).velocity, 0.0);
        let live = toolhead.live(1000.25 + took / 2.0);
        assert!((live.position[0] - 50.0).abs() < 1.0 && live.velocity > 90.0, "{live:?}");
        toolhead.advance(1002.0);
        assert_eq!(toolhead.live(1002.0).position, [100.0, 0.0, 0.0, 0.0]);
        assert!(!toolhead.is_moving(1002.0));
    }

    #[test]
    fn the_queue_is_bounded_in_time_and_number() {
        let mut toolhead = toolhead();
        toolhead.homed = [true; 3];
        let mut x = 0.0;
        while toolhead.must_wait(1000.0).is_none() {
            x = if x > 0.0 { 0.0 } else { 50.0 };
            toolhead.move_to(1000.0, [x, 0.0, 0.0, 0.0], 100.0, false).unwrap();
        }
        assert!(toolhead.print_time - 1000.0 < 2.5);
        let until = toolhead.must_wait(1000.0).unwrap();
        assert!(toolhead.must_wait(until).is_none());

        let mut y = 0.0;
        toolhead.advance(2000.0);
        for _ in 0..MAX_MOVES {
            y += 1e-7;
            toolhead.move_to(2000.0, [x, y, 0.0, 0.0], 100.0, false).unwrap();
        }
        assert!(toolhead.must_wait(2000.0).is_some());
    }

    #[test]
    fn homing_goes_to_the_endstop_twice() {
        let mut toolhead = toolhead();
        assert_eq!(toolhead.homed_axes(), "");
        assert_eq!(toolhead.home(1000.0, 0), 1000.25);
        assert_eq!(toolhead.homed_axes(), "x");
        assert!((toolhead.print_time - 1000.25 - 117.0 / 80.0 - 5.0 / 80.0 - 5.0 / 40.0).abs() < 1e-6);
        assert_eq!(toolhead.commanded[0], 0.0);
        assert!(toolhead.live(1000.3).position[0] > 100.0);
    }

    #[test]
    fn a_stop_leaves_it_where_it_is() {
        let mut toolhead = toolhead();
        toolhead.homed = [true; 3];
        toolhead.move_to(1000.0, [100.0, 0.0, 0.0, 0.0], 100.0, false).unwrap();
        toolhead.stop(1000.8);
        let live = toolhead.live(1005.0);
        assert!(live.position[0] > 20.0 && live.position[0] < 80.0 && live.velocity == 0.0, "{live:?}");
    }

    #[test]
    fn cold_extrusion_is_refused() {
        let mut toolhead = toolhead();
        let error = toolhead.move_to(0.0, [0.0, 0.0, 0.0, 5.0], 5.0, false).unwrap_err();
        assert!(error.0.starts_with("Extrude below minimum temp\n"));
        toolhead.move_to(0.0, [0.0, 0.0, 0.0, 5.0], 5.0, true).unwrap();
    }
}
