//! Fans, output pins, the filament sensor, the motors' switches.

use super::config::Config;
use super::status::Status;

/// A fan with its object's name.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Fan {
    pub(in crate::demo::klippy) name: String,
    /// 0 to 1.
    pub(in crate::demo::klippy) speed: f64,
}

impl Fan {
    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        Status::default().number("speed", self.speed).raw("rpm", "null")
    }
}

/// An output pin with its object's name.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Pin {
    pub(in crate::demo::klippy) name: String,
    pub(in crate::demo::klippy) pwm: bool,
    pub(in crate::demo::klippy) scale: f64,
    /// 0 to 1.
    pub(in crate::demo::klippy) value: f64,
}

/// A filament sensor.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct FilamentSensor {
    /// Its short name.
    pub(in crate::demo::klippy) name: String,
    pub(in crate::demo::klippy) detected: bool,
    pub(in crate::demo::klippy) enabled: bool,
    pub(in crate::demo::klippy) pauses: bool,
    pub(in crate::demo::klippy) runout_gcode: String,
}

/// The names of the motors.
pub(in crate::demo::klippy) const STEPPERS: [&str; 4] = ["stepper_x", "stepper_y", "stepper_z", "extruder"];

/// All of them.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Accessories {
    /// The fan of `M106`.
    pub(in crate::demo::klippy) part_fan: Fan,
    /// `heater_fan X`: they follow the hotend.
    pub(in crate::demo::klippy) heater_fans: Vec<Fan>,
    /// `fan_generic X`.
    pub(in crate::demo::klippy) fans: Vec<Fan>,
    pub(in crate::demo::klippy) pins: Vec<Pin>,
    pub(in crate::demo::klippy) filament: Vec<FilamentSensor>,
    /// Which of [`STEPPERS`] are switched on.
    pub(in crate::demo::klippy) enabled: [bool; 4],
}

impl Accessories {
    /// Those of the configuration, off.
    pub(in crate::demo::klippy) fn new(config: &Config) -> Self {
        let fans = |prefix: &'static str| -> Vec<Fan> {
            config.named(prefix).map(|name| Fan { name: format!("{prefix} {name}"), speed: 0.0 }).collect()
        };
        let pins = config
            .named("output_pin")
            .map(|name| {
                let section = format!("output_pin {name}");
                let scale = config.number(&section, "scale").unwrap_or(1.0);
                Pin {
                    pwm: config.flag(&section, "pwm"),
                    value: config.number(&section, "value").unwrap_or_default() / scale,
                    scale,
                    name: section,
                }
            })
            .collect();
        let filament = config
            .named("filament_switch_sensor")
            .map(|name| {
                let section = format!("filament_switch_sensor {name}");
                FilamentSensor {
                    name: name.to_owned(),
                    detected: true,
                    enabled: true,
                    pauses: config.flag(&section, "pause_on_runout"),
                    runout_gcode: config.text(&section, "runout_gcode").to_owned(),
                }
            })
            .collect();
        Self {
            part_fan: Fan { name: "fan".to_owned(), speed: 0.0 },
            heater_fans: fans("heater_fan"),
            fans: fans("fan_generic"),
            pins,
            filament,
            enabled: [false; 4],
        }
    }

    /// The fields of `stepper_enable`.
    pub(in crate::demo::klippy) fn stepper_status(&self) -> Status {
        let steppers: Vec<String> =
            STEPPERS.iter().zip(self.enabled).map(|(name, on)| format!("\"{name}\":{on}")).collect();
        Status::default().raw("steppers", format!("{{{}}}", steppers.join(",")))
    }
}
