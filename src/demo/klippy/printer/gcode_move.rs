//! The coordinates that G-code speaks, between it and the head: offsets, relative moves, factors.

use std::collections::BTreeMap;

use super::limits::Position;
use super::status::Status;

/// The most coordinate states that `SAVE_GCODE_STATE` keeps.
const MAX_SAVED: usize = 64;

/// What `SAVE_GCODE_STATE` keeps and `RESTORE_GCODE_STATE` brings back.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Coordinates {
    pub(in crate::demo::klippy) absolute_coord: bool,
    pub(in crate::demo::klippy) absolute_extrude: bool,
    /// Where the origin of G-code's coordinates is.
    pub(in crate::demo::klippy) base: Position,
    /// The end of the last move in the printer's coordinates.
    pub(in crate::demo::klippy) last: Position,
    /// What `SET_GCODE_OFFSET` has set.
    pub(in crate::demo::klippy) homing: Position,
    /// mm/s, with the speed factor in it.
    pub(in crate::demo::klippy) speed: f64,
    /// From mm/min of G-code to mm/s, with `M220` in it.
    speed_factor: f64,
    pub(in crate::demo::klippy) extrude_factor: f64,
}

/// G-code's coordinates.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct GcodeMove {
    pub(in crate::demo::klippy) now: Coordinates,
    saved: BTreeMap<String, Coordinates>,
}

impl GcodeMove {
    /// As after a start.
    pub(in crate::demo::klippy) fn new() -> Self {
        Self {
            now: Coordinates {
                absolute_coord: true,
                absolute_extrude: true,
                base: [0.0; 4],
                last: [0.0; 4],
                homing: [0.0; 4],
                speed: 25.0,
                speed_factor: 1.0 / 60.0,
                extrude_factor: 1.0,
            },
            saved: BTreeMap::new(),
        }
    }

    /// Where a coordinate of a `G1` leads. `axis` 3 is the filament.
    pub(in crate::demo::klippy) fn target(&self, axis: usize, value: f64) -> f64 {
        let state = &self.now;
        let (value, absolute) = if axis == 3 {
            (value * state.extrude_factor, state.absolute_coord && state.absolute_extrude)
        } else {
            (value, state.absolute_coord)
        };
        if absolute { value + state.base[axis] } else { state.last[axis] + value }
    }

    /// Takes the speed of an `F`, in mm/min.
    pub(in crate::demo::klippy) fn set_feedrate(&mut self, feedrate: f64) {
        self.now.speed = feedrate * self.now.speed_factor;
    }

    /// Sets the speed factor of `M220` (1 is unchanged).
    pub(in crate::demo::klippy) fn set_speed_factor(&mut self, factor: f64) {
        let speed = self.gcode_speed();
        self.now.speed_factor = factor / 60.0;
        self.now.speed = speed * self.now.speed_factor;
    }

    /// Sets the extrusion factor of `M221` (1 is unchanged), keeping G-code's own position.
    pub(in crate::demo::klippy) fn set_extrude_factor(&mut self, factor: f64) {
        let state = &mut self.now;
        let value = (state.last[3] - state.base[3]) / state.extrude_factor;
        state.base[3] = state.last[3] - value * factor;
        state.extrude_factor = factor;
    }

    /// `G92`: gives the present position these coordinates; without any, all become 0.
    pub(in crate::demo::klippy) fn set_origin(&mut self, offsets: [Option<f64>; 4]) {
        let state = &mut self.now;
        if offsets == [None; 4] {
            state.base = state.last;
        }
        for (axis, offset) in offsets.into_iter().enumerate() {
            if let Some(offset) = offset {
                let offset = if axis == 3 { offset * state.extrude_factor } else { offset };
                state.base[axis] = state.last[axis] - offset;
            }
        }
    }

    /// `SET_GCODE_OFFSET` for one axis. Says how far the origin moves.
    pub(in crate::demo::klippy) fn set_offset(&mut self, axis: usize, offset: f64) -> f64 {
        let delta = offset - self.now.homing[axis];
        self.now.base[axis] += delta;
        self.now.homing[axis] = offset;
        delta
    }

    /// After homing: the head's position, and the offset as origin.
    pub(in crate::demo::klippy) fn homed(&mut self, axis: usize, position: Position) {
        self.now.last = position;
        self.now.base[axis] = self.now.homing[axis];
    }

    /// Keeps the coordinates under a name. Beyond [`MAX_SAVED`] names nothing is kept.
    pub(in crate::demo::klippy) fn save(&mut self, name: &str) {
        if self.saved.len() < MAX_SAVED || self.saved.contains_key(name) {
            self.saved.insert(name.to_owned(), self.now.clone());
        }
    }

    /// Brings coordinates back. Says where the head was then; nothing for a name that is not known.
    pub(in crate::demo::klippy) fn restore(&mut self, name: &str) -> Option<Position> {
        let saved = self.saved.get(name)?;
        let state = &mut self.now;
        state.absolute_coord = saved.absolute_coord;
        state.absolute_extrude = saved.absolute_extrude;
        state.base = saved.base;
        state.homing = saved.homing;
        state.speed = saved.speed;
        state.speed_factor = saved.speed_factor;
        state.extrude_factor = saved.extrude_factor;
        state.base[3] += state.last[3] - saved.last[3];
        Some(saved.last)
    }

    /// The position in G-code's coordinates.
    pub(in crate::demo::klippy) fn gcode_position(&self) -> Position {
        let state = &self.now;
        let mut position: Position = std::array::from_fn(|axis| state.last[axis] - state.base[axis]);
        position[3] /= state.extrude_factor;
        position
    }

    /// G-code's own speed in mm/min.
    fn gcode_speed(&self) -> f64 {
        self.now.speed / self.now.speed_factor
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        Status::default()
            .number("speed_factor", self.now.speed_factor * 60.0)
            .number("speed", self.gcode_speed())
            .number("extrude_factor", self.now.extrude_factor)
            .flag("absolute_coordinates", self.now.absolute_coord)
            .flag("absolute_extrude", self.now.absolute_extrude)
            .numbers("homing_origin", &self.now.homing)
            .numbers("position", &self.now.last)
            .numbers("gcode_position", &self.gcode_position())
            .raw("axis_map", r#"{"X":0,"Y":1,"Z":2,"E":3}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_and_factors_keep_gcode_positions() {
        let mut moves = GcodeMove::new();
        moves.now.last = [10.0, 20.0, 1.0, 5.0];
        moves.set_origin([None, None, None, Some(0.0)]);
        assert_eq!(moves.gcode_position(), [10.0, 20.0, 1.0, 0.0]);
        moves.set_extrude_factor(0.5);
        assert_eq!(moves.target(3, 2.0), 6.0);
        assert_eq!(moves.set_offset(2, 0.2), 0.2);
        assert!((moves.target(2, 1.0) - 1.2).abs() < 1e-9);
        moves.now.absolute_coord = false;
        assert_eq!(moves.target(0, 5.0), 15.0);
    }

    #[test]
    fn a_restored_state_does_not_pull_filament_back() {
        let mut moves = GcodeMove::new();
        moves.save("a");
        moves.now.absolute_coord = false;
        moves.now.last = [5.0, 0.0, 0.0, 3.0];
        assert_eq!(moves.restore("a"), Some([0.0; 4]));
        assert!(moves.now.absolute_coord);
        assert_eq!(moves.gcode_position()[3], 0.0);
        assert_eq!(moves.restore("b"), None);
    }

    #[test]
    fn a_speed_factor_keeps_the_speed_of_gcode() {
        let mut moves = GcodeMove::new();
        moves.set_feedrate(6000.0);
        moves.set_speed_factor(1.5);
        assert!((moves.now.speed - 150.0).abs() < 1e-9);
        assert!((moves.gcode_speed() - 6000.0).abs() < 1e-6);
    }
}
