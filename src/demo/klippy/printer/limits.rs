//! What the printer can do: how far, how fast, how much filament; and Klippy's refusals.

use std::f64::consts::PI;

use super::config::Config;
use crate::demo::klippy::gcode::CommandError;

/// A position: X, Y, Z in mm, and the length of filament in mm.
pub(in crate::demo::klippy) type Position = [f64; 4];

/// The limits of the axes and of their speeds. `SET_VELOCITY_LIMIT` changes some.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Limits {
    pub(in crate::demo::klippy) min: [f64; 3],
    pub(in crate::demo::klippy) max: [f64; 3],
    /// mm/s.
    pub(in crate::demo::klippy) max_velocity: f64,
    /// mm/s².
    pub(in crate::demo::klippy) max_accel: f64,
    pub(in crate::demo::klippy) minimum_cruise_ratio: f64,
    /// mm/s.
    pub(in crate::demo::klippy) square_corner_velocity: f64,
    max_z_velocity: f64,
    max_z_accel: f64,
    max_e_velocity: f64,
    max_e_distance: f64,
    filament_area: f64,
    nozzle: f64,
    max_e_ratio: f64,
}

impl Limits {
    /// Those of the configuration.
    pub(in crate::demo::klippy) fn new(config: &Config) -> Self {
        let printer = |option: &str| config.number("printer", option);
        let extruder = |option: &str| config.number("extruder", option);
        let axes = ["stepper_x", "stepper_y", "stepper_z"];
        let max_velocity = printer("max_velocity").unwrap_or(300.0).max(0.001);
        let max_accel = printer("max_accel").unwrap_or(3000.0).max(0.001);
        let nozzle = extruder("nozzle_diameter").unwrap_or(0.4);
        let filament_area = PI * (extruder("filament_diameter").unwrap_or(1.75) / 2.0).powi(2);
        let cross_section = 4.0 * nozzle.powi(2);
        Self {
            min: axes.map(|axis| config.number(axis, "position_min").unwrap_or_default()),
            max: axes.map(|axis| config.number(axis, "position_max").unwrap_or_default()),
            max_velocity,
            max_accel,
            minimum_cruise_ratio: printer("minimum_cruise_ratio").unwrap_or(0.5),
            square_corner_velocity: printer("square_corner_velocity").unwrap_or(5.0),
            max_z_velocity: printer("max_z_velocity").unwrap_or(max_velocity).max(0.001),
            max_z_accel: printer("max_z_accel").unwrap_or(max_accel).max(0.001),
            max_e_velocity: extruder("max_extrude_only_velocity")
                .unwrap_or(max_velocity * cross_section / filament_area),
            max_e_distance: extruder("max_extrude_only_distance").unwrap_or(50.0),
            filament_area,
            nozzle,
            max_e_ratio: extruder("max_extrude_cross_section").unwrap_or(cross_section) / filament_area,
        }
    }

    /// Checks the end of a move against the axes' ranges. An axis that is not homed may not move.
    ///
    /// # Errors
    /// Klippy's message.
    pub(super) fn check_axes(
        &self,
        from: &Position,
        to: &Position,
        homed: [bool; 3],
    ) -> Result<(), CommandError> {
        for axis in 0..3 {
            if to[axis] == from[axis] {
                continue;
            }
            let problem = if !homed[axis] {
                "Must home axis first"
            } else if to[axis] < self.min[axis] || to[axis] > self.max[axis] {
                "Move out of range"
            } else {
                continue;
            };
            let [x, y, z, e] = to;
            return Err(CommandError(format!("{problem}: {x:.3} {y:.3} {z:.3} [{e:.3}]")));
        }
        Ok(())
    }

    /// Checks the filament that a move pushes. `distance` is how far the head moves.
    ///
    /// # Errors
    /// Klippy's message.
    pub(super) fn check_extrusion(
        &self,
        filament: f64,
        distance: f64,
        in_plane: bool,
    ) -> Result<(), CommandError> {
        if !in_plane || filament < 0.0 {
            if filament.abs() > self.max_e_distance {
                return Err(CommandError(format!(
                    "Extrude only move too long ({filament:.3}mm vs {:.3}mm)\nSee the 'max_extrude_only_distance' \
                     config option for details",
                    self.max_e_distance
                )));
            }
            return Ok(());
        }
        let ratio = filament / distance;
        if ratio > self.max_e_ratio && filament > self.nozzle * self.max_e_ratio {
            return Err(CommandError(format!(
                "Move exceeds maximum extrusion ({:.3}mm^2 vs {:.3}mm^2)\nSee the 'max_extrude_cross_section' \
                 config option for details",
                ratio * self.filament_area,
                self.max_e_ratio * self.filament_area
            )));
        }
        Ok(())
    }

    /// The speed and acceleration that a move in this direction may have.
    pub(super) fn speed(&self, wanted: f64, direction: [f64; 3]) -> (f64, f64) {
        let mut speed = wanted.min(self.max_velocity);
        let mut accel = self.max_accel;
        let z = direction[2].abs();
        if z > 0.0 {
            speed = speed.min(self.max_z_velocity / z);
            accel = accel.min(self.max_z_accel / z);
        }
        (speed, accel)
    }

    /// The speed that a move of filament alone may have.
    pub(super) fn extrude_speed(&self, wanted: f64) -> f64 {
        wanted.min(self.max_e_velocity)
    }

    /// How fast a corner may be taken between moves in these directions, in mm/s.
    pub(super) fn corner_speed(&self, before: [f64; 3], after: [f64; 3], accel: f64) -> f64 {
        let cos = -(before[0] * after[0] + before[1] * after[1] + before[2] * after[2]);
        let sin_half = (0.5 * (1.0 - cos)).max(0.0).sqrt();
        if sin_half > 0.999_999 {
            return f64::INFINITY;
        }
        let deviation =
            self.square_corner_velocity.powi(2) * (std::f64::consts::SQRT_2 - 1.0) / self.max_accel;
        (sin_half / (1.0 - sin_half) * deviation * accel).sqrt()
    }
}

/// How long a move takes that begins and ends at `corner`, and would like to go at `speed`.
pub(super) fn duration(distance: f64, corner: f64, speed: f64, accel: f64) -> f64 {
    let corner = corner.min(speed);
    let ramp = (speed * speed - corner * corner) / (2.0 * accel);
    if 2.0 * ramp <= distance {
        2.0 * (speed - corner) / accel + (distance - 2.0 * ramp) / speed
    } else {
        let peak = (corner * corner + accel * distance).sqrt();
        2.0 * (peak - corner) / accel
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::*;

    #[test]
    fn a_move_takes_its_trapezoid() {
        // 10 mm/s² up to 10 mm/s takes 5 mm and 1 s on either side
        assert!((duration(30.0, 0.0, 10.0, 10.0) - 4.0).abs() < 1e-9);
        // too short to get there
        assert!((duration(10.0 / 4.0, 0.0, 10.0, 10.0) - 1.0).abs() < 1e-9);
        // no ramp at all
        assert!((duration(30.0, 10.0, 10.0, 10.0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn corners_slow_down() {
        let limits = Limits::new(&config());
        let straight = limits.corner_speed([1.0, 0.0, 0.0], [1.0, 0.0, 0.0], 3000.0);
        let square = limits.corner_speed([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], 3000.0);
        let back = limits.corner_speed([1.0, 0.0, 0.0], [-1.0, 0.0, 0.0], 3000.0);
        assert_eq!(straight, f64::INFINITY);
        assert!((square - 5.0).abs() < 1e-6, "{square}");
        assert!(back < 0.001);
    }

    #[test]
    fn refusals_are_those_of_klippy() {
        let limits = Limits::new(&config());
        let zero = [0.0; 4];
        let error = |to, homed| limits.check_axes(&zero, &to, homed).unwrap_err().0;
        assert_eq!(
            error([200.0, 0.0, 0.0, 0.0], [false; 3]),
            "Must home axis first: 200.000 0.000 0.000 [0.000]"
        );
        assert_eq!(
            error([300.0, 0.0, 0.0, 0.0], [true; 3]),
            "Move out of range: 300.000 0.000 0.000 [0.000]"
        );
        limits.check_axes(&zero, &[0.0, 0.0, 0.0, 5.0], [false; 3]).unwrap();
        assert!(
            limits
                .check_extrusion(200.0, 0.0, false)
                .unwrap_err()
                .0
                .starts_with("Extrude only move too long")
        );
        assert!(limits.check_extrusion(5.0, 1.0, true).unwrap_err().0.starts_with("Move exceeds maximum"));
        limits.check_extrusion(0.05, 1.0, true).unwrap();
    }
}
