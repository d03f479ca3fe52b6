//! How a heated thing warms and cools: one heat capacity, one heat resistance to the room, one controller.

use crate::demo::klippy::clock::Seconds;

/// The temperature of the room, in °C.
pub(super) const AMBIENT: f64 = 22.0;

/// How often the model is stepped and a sensor measured, in seconds (Klippy's report time of a sensor).
pub(super) const STEP: Seconds = 0.3;

/// The most steps that are taken at once. When nobody has looked for longer, the temperature is where it would be
/// in the end.
const MAX_STEPS: u32 = 4_000;

/// What makes one heater differ from another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    /// How far above the room full power heats it in the end, in K.
    pub(super) rise: f64,
    /// How long it takes to cool to 37 % of that, in seconds.
    pub(super) decay: Seconds,
    /// How long the controller takes for the last degrees, in seconds.
    pub(super) response: Seconds,
}

/// A hotend: 40 W, 3 K/s from cold.
pub(super) const HOTEND: Body = Body { rise: 375.0, decay: 118.0, response: 4.0 };

/// A bed: half a degree a second from cold.
pub(super) const BED: Body = Body { rise: 200.0, decay: 380.0, response: 12.0 };

/// A body with its temperature and controller.
#[derive(Debug, Clone)]
pub(super) struct Thermal {
    body: Body,
    /// °C.
    pub(super) temperature: f64,
    /// Share of full power, 0 to 1.
    pub(super) power: f64,
}

impl Thermal {
    /// A cold body.
    pub(super) fn new(body: Body) -> Self {
        Self { body, temperature: AMBIENT, power: 0.0 }
    }

    /// Lets one step pass with the controller aiming at `target` (0 is off). `measured` is what its sensor says.
    pub(super) fn step(&mut self, target: f64, measured: f64) {
        let Body { rise, decay, response } = self.body;
        self.power = if target > 0.0 {
            let hold = (target - AMBIENT) / rise;
            let gain = (decay / response - 1.0) / rise;
            (hold + gain * (target - measured)).clamp(0.0, 1.0)
        } else {
            0.0
        };
        let end = AMBIENT + self.power * rise;
        self.temperature = end + (self.temperature - end) * (-STEP / decay).exp();
    }

    /// Lets so much time pass that stepping is a waste.
    pub(super) fn settle(&mut self, target: f64) {
        let hold = ((target - AMBIENT) / self.body.rise).clamp(0.0, 1.0);
        self.power = if target > 0.0 { hold } else { 0.0 };
        self.temperature = AMBIENT + self.power * self.body.rise;
    }
}

/// How many steps of [`STEP`] to take from `from` to `to`; nothing if it is so long that they need not be taken.
pub(super) fn steps(from: Seconds, to: Seconds) -> Option<u32> {
    let steps = ((to - from) / STEP).floor();
    if steps > f64::from(MAX_STEPS) { None } else { Some(steps.max(0.0) as u32) }
}

/// The tremble of a measurement, in K: the same for the same sensor and sample, without a state.
pub(super) fn noise(sensor: u64, sample: u64) -> f64 {
    let mut bits =
        sample.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(sensor.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    bits ^= bits >> 30;
    bits = bits.wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    ((bits % 1001) as f64 / 1000.0 - 0.5) * 0.06
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes until `done`, in seconds, and the highest temperature on the way.
    fn run(thermal: &mut Thermal, target: f64, done: impl Fn(f64) -> bool) -> (f64, f64) {
        let mut time = 0.0;
        let mut peak = thermal.temperature;
        while !done(thermal.temperature) && time < 3600.0 {
            let measured = thermal.temperature;
            thermal.step(target, measured);
            time += STEP;
            peak = peak.max(thermal.temperature);
        }
        (time, peak)
    }

    #[test]
    fn a_hotend_heats_in_a_minute_and_a_half_without_overshoot() {
        let mut hotend = Thermal::new(HOTEND);
        let (time, _) = run(&mut hotend, 205.0, |t| t > 204.0);
        assert!((50.0..120.0).contains(&time), "{time}");
        for _ in 0..1000 {
            let measured = hotend.temperature;
            hotend.step(205.0, measured);
        }
        assert!((hotend.temperature - 205.0).abs() < 0.1, "{}", hotend.temperature);
        assert!((hotend.power - 183.0 / 375.0).abs() < 0.01);
        let (_, peak) = run(&mut hotend, 205.0, |_| false);
        assert!(peak < 205.5, "{peak}");
    }

    #[test]
    fn a_bed_heats_in_minutes_and_cools_slowly() {
        let mut bed = Thermal::new(BED);
        let (heating, _) = run(&mut bed, 60.0, |t| t > 59.0);
        assert!((60.0..240.0).contains(&heating), "{heating}");
        let (cooling, _) = run(&mut bed, 0.0, |t| t < 30.0);
        assert!((400.0..1200.0).contains(&cooling), "{cooling}");
    }

    #[test]
    fn a_target_out_of_reach_ends_at_full_power() {
        let mut bed = Thermal::new(BED);
        bed.settle(1000.0);
        assert_eq!((bed.temperature, bed.power), (AMBIENT + BED.rise, 1.0));
        bed.settle(0.0);
        assert_eq!((bed.temperature, bed.power), (AMBIENT, 0.0));
    }

    #[test]
    fn stepping_is_bounded_and_noise_is_small() {
        assert_eq!(steps(10.0, 10.2), Some(0));
        assert_eq!(steps(10.0, 13.1), Some(10));
        assert_eq!(steps(10.0, 5.0), Some(0));
        assert_eq!(steps(0.0, 1e9), None);
        assert!((0..10_000).all(|sample| noise(7, sample).abs() <= 0.03));
        assert_ne!(noise(1, 5), noise(2, 5));
    }
}
