//! Heaters and temperature sensors.

use super::config::Config;
use super::status::{Status, hundredths};
use super::thermal::{self, AMBIENT, BED, Body, HOTEND, STEP, Thermal};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::CommandError;

/// How near the target counts as reached, in K (Klippy's `PID_SETTLE_DELTA`).
const SETTLE_DELTA: f64 = 1.0;

/// How slow a temperature must change to count as settled, in K/s (`PID_SETTLE_SLOPE`).
const SETTLE_SLOPE: f64 = 0.1;

/// The smallest change of power that is passed on to the heater (`MIN_PWM_CHANGE_RATIO`).
const MIN_POWER_CHANGE: f64 = 0.05;

/// How much of the bed's warmth reaches the chamber's sensor.
const CHAMBER_SHARE: f64 = 0.15;

/// One heater with its sensor.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Heater {
    /// The section of its configuration, which is also its object's name.
    pub(in crate::demo::klippy) name: &'static str,
    /// What `M105` calls it.
    pub(in crate::demo::klippy) gcode_id: &'static str,
    thermal: Thermal,
    smoothed: f64,
    slope: f64,
    /// °C; 0 is off.
    pub(in crate::demo::klippy) target: f64,
    power: f64,
    min: f64,
    max: f64,
    min_extrude: f64,
    smooth_time: f64,
}

impl Heater {
    fn new(config: &Config, name: &'static str, gcode_id: &'static str, body: Body) -> Self {
        let number = |option: &str| config.number(name, option).unwrap_or_default();
        Self {
            name,
            gcode_id,
            thermal: Thermal::new(body),
            smoothed: AMBIENT,
            slope: 0.0,
            target: 0.0,
            power: 0.0,
            min: number("min_temp"),
            max: number("max_temp"),
            min_extrude: number("min_extrude_temp"),
            smooth_time: number("smooth_time").max(STEP),
        }
    }

    /// Sets the target.
    ///
    /// # Errors
    /// Klippy's message for a temperature out of range.
    pub(in crate::demo::klippy) fn set_target(&mut self, degrees: f64) -> Result<(), CommandError> {
        if degrees != 0.0 && (degrees < self.min || degrees > self.max) {
            return Err(CommandError(format!(
                "Requested temperature ({degrees:.1}) out of range ({:.1}:{:.1})",
                self.min, self.max
            )));
        }
        self.target = degrees;
        Ok(())
    }

    /// Whether a wait for the target goes on.
    pub(in crate::demo::klippy) fn is_busy(&self) -> bool {
        (self.target - self.smoothed).abs() > SETTLE_DELTA || self.slope.abs() > SETTLE_SLOPE
    }

    /// Whether it is hot enough to push filament through.
    pub(in crate::demo::klippy) fn can_extrude(&self) -> bool {
        self.smoothed >= self.min_extrude
    }

    /// The smoothed temperature in °C.
    pub(in crate::demo::klippy) fn temperature(&self) -> f64 {
        self.smoothed
    }

    fn step(&mut self, noise: f64) {
        let measured = self.thermal.temperature + noise;
        self.thermal.step(self.target, measured);
        let before = self.smoothed;
        self.smoothed += (measured - self.smoothed) * (STEP / self.smooth_time).min(1.0);
        // the slope of the body, not of the noise
        self.slope = self.slope * 0.7 + (self.smoothed - before) / STEP * 0.3;
        if self.target <= 0.0 {
            self.power = 0.0;
        } else if (self.thermal.power - self.power).abs() >= MIN_POWER_CHANGE || self.power == 0.0 {
            self.power = (self.thermal.power * 1000.0).round() / 1000.0;
        }
    }

    fn settle(&mut self) {
        self.thermal.settle(self.target);
        self.smoothed = self.thermal.temperature;
        self.slope = 0.0;
        self.power = self.thermal.power;
    }

    /// The common fields of a heater's object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        Status::default()
            .number("temperature", hundredths(self.smoothed))
            .number("target", self.target)
            .number("power", self.power)
    }
}

/// A sensor without a heater.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Sensor {
    /// The name of its object, `temperature_sensor X`.
    pub(in crate::demo::klippy) name: String,
    pub(in crate::demo::klippy) temperature: f64,
    lowest: f64,
    highest: f64,
}

impl Sensor {
    fn measure(&mut self, temperature: f64) {
        self.temperature = temperature;
        self.lowest = self.lowest.min(temperature);
        self.highest = self.highest.max(temperature);
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        Status::default()
            .number("temperature", hundredths(self.temperature))
            .number("measured_min_temp", hundredths(self.lowest))
            .number("measured_max_temp", hundredths(self.highest))
    }
}

/// All that has a temperature.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Heaters {
    pub(in crate::demo::klippy) extruder: Heater,
    pub(in crate::demo::klippy) bed: Heater,
    pub(in crate::demo::klippy) sensors: Vec<Sensor>,
    /// Up to when the model has been stepped.
    time: Seconds,
    noise: bool,
    /// A shut-down micro-controller measures nothing.
    frozen: bool,
}

impl Heaters {
    /// The heaters of the configuration, cold.
    pub(in crate::demo::klippy) fn new(config: &Config, noise: bool, now: Seconds) -> Self {
        let sensors = config
            .named("temperature_sensor")
            .map(|name| Sensor {
                name: format!("temperature_sensor {name}"),
                temperature: AMBIENT,
                lowest: 99_999_999.0,
                highest: 0.0,
            })
            .collect();
        let mut heaters = Self {
            extruder: Heater::new(config, "extruder", "T0", HOTEND),
            bed: Heater::new(config, "heater_bed", "B", BED),
            sensors,
            time: now,
            noise,
            frozen: false,
        };
        heaters.measure();
        heaters
    }

    /// The heater of this short name.
    pub(in crate::demo::klippy) fn get(&self, name: &str) -> Option<&Heater> {
        [&self.bed, &self.extruder].into_iter().find(|heater| heater.name == name)
    }

    /// The same, to change it.
    pub(in crate::demo::klippy) fn get_mut(&mut self, name: &str) -> Option<&mut Heater> {
        [&mut self.bed, &mut self.extruder].into_iter().find(|heater| heater.name == name)
    }

    /// The temperature of a heater or sensor, by its object's name.
    pub(in crate::demo::klippy) fn temperature(&self, name: &str) -> Option<f64> {
        self.get(name).map(Heater::temperature).or_else(|| {
            self.sensors.iter().find(|sensor| sensor.name == name).map(|sensor| sensor.temperature)
        })
    }

    /// The names of all sensors, as `heaters.available_sensors` lists them.
    pub(in crate::demo::klippy) fn sensor_names(&self) -> Vec<&str> {
        let mut names = vec![self.bed.name];
        names.extend(self.sensors.iter().map(|sensor| sensor.name.as_str()));
        names.push(self.extruder.name);
        names
    }

    /// Turns all heaters off.
    pub(in crate::demo::klippy) fn turn_off(&mut self) {
        self.extruder.target = 0.0;
        self.bed.target = 0.0;
    }

    /// Stops measuring and heating, for good.
    pub(in crate::demo::klippy) fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Lets the time pass up to `now`.
    pub(in crate::demo::klippy) fn advance(&mut self, now: Seconds) {
        if self.frozen {
            return;
        }
        match thermal::steps(self.time, now) {
            Some(steps) => {
                for _ in 0..steps {
                    self.time += STEP;
                    let noise = |sensor| self.tremble(sensor);
                    let (extruder, bed) = (noise(0), noise(1));
                    self.extruder.step(extruder);
                    self.bed.step(bed);
                }
                if steps > 0 {
                    self.measure();
                }
            }
            None => {
                self.time = now;
                self.extruder.settle();
                self.bed.settle();
                self.measure();
            }
        }
    }

    /// The tremble of a sensor's measurement now.
    fn tremble(&self, sensor: u64) -> f64 {
        if self.noise { thermal::noise(sensor, (self.time / STEP) as u64) } else { 0.0 }
    }

    fn measure(&mut self) {
        let bed = self.bed.smoothed;
        for index in 0..self.sensors.len() {
            let noise = self.tremble(index as u64 + 2);
            let wave = if self.noise { 2.0 * (self.time / 97.0).sin() } else { 0.0 };
            let sensor = &mut self.sensors[index];
            let temperature = if sensor.name.ends_with("raspberry_pi") {
                48.0 + wave
            } else {
                AMBIENT + CHAMBER_SHARE * (bed - AMBIENT)
            };
            sensor.measure(temperature + noise);
        }
    }

    /// The answer of `M105`.
    pub(in crate::demo::klippy) fn report(&self) -> String {
        [&self.bed, &self.extruder]
            .map(|heater| format!("{}:{:.1} /{:.1}", heater.gcode_id, heater.smoothed, heater.target))
            .join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::*;

    #[test]
    fn a_target_is_reached_and_out_of_range_refused() {
        let mut heaters = Heaters::new(&config(), true, 100.0);
        heaters.extruder.set_target(205.0).unwrap();
        assert!(heaters.extruder.is_busy() && !heaters.extruder.can_extrude());
        let mut now = 100.0;
        while heaters.extruder.is_busy() && now < 400.0 {
            now += 1.0;
            heaters.advance(now);
        }
        assert!((now - 100.0) < 150.0, "{now}");
        assert!(heaters.extruder.can_extrude());
        assert!((heaters.extruder.temperature() - 205.0).abs() <= 1.0);
        let error = heaters.extruder.set_target(400.0).unwrap_err();
        assert_eq!(error.0, "Requested temperature (400.0) out of range (0.0:300.0)");
        assert_eq!(heaters.extruder.target, 205.0);
    }

    #[test]
    fn a_settled_heater_stays_settled_in_spite_of_noise() {
        let mut heaters = Heaters::new(&config(), true, 0.0);
        heaters.bed.set_target(60.0).unwrap();
        heaters.advance(2000.0);
        for second in 0..300 {
            heaters.advance(2000.0 + f64::from(second));
            assert!(!heaters.bed.is_busy(), "{:?}", heaters.bed);
        }
    }

    #[test]
    fn time_that_nobody_watched_costs_nothing() {
        let mut heaters = Heaters::new(&config(), false, 0.0);
        heaters.bed.set_target(60.0).unwrap();
        heaters.advance(1e9);
        assert!((heaters.bed.temperature() - 60.0).abs() < 0.01);
        heaters.turn_off();
        heaters.advance(2e9);
        assert_eq!(heaters.report(), "B:22.0 /0.0 T0:22.0 /0.0");
    }

    #[test]
    fn a_shut_down_printer_measures_nothing() {
        let mut heaters = Heaters::new(&config(), true, 0.0);
        heaters.extruder.set_target(200.0).unwrap();
        heaters.advance(30.0);
        let before = heaters.extruder.temperature();
        heaters.freeze();
        heaters.advance(60.0);
        assert_eq!(heaters.extruder.temperature(), before);
    }
}
