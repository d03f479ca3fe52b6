//! The printer's objects: their names, and their fields now.

use std::sync::Arc;

use super::machine::Machine;
use super::status::{Status, number, numbers};
use super::{Printer, State, system};
use crate::demo::klippy::clock::Seconds;
use crate::demo::klippy::gcode::commands::Registry;
use crate::json::to_text;

/// Long texts that seldom change.
#[derive(Default)]
pub(super) struct Cache {
    commands: Option<Arc<str>>,
    help: Option<Arc<str>>,
}

impl Cache {
    /// The state has changed, and with it which commands there are.
    pub(super) fn forget_commands(&mut self) {
        *self = Self::default();
    }

    fn commands(&mut self, registry: &Registry, ready: bool) -> Arc<str> {
        self.commands.get_or_insert_with(|| registry.commands_json(ready).into()).clone()
    }

    /// The commands with their help.
    pub(super) fn help(&mut self, registry: &Registry) -> Arc<str> {
        self.help.get_or_insert_with(|| registry.help_json().into()).clone()
    }
}

impl Printer {
    /// The names of all objects, in the order in which Klippy makes them.
    pub(in crate::demo::klippy) fn object_names(&self) -> Vec<String> {
        let mut names: Vec<String> = ["gcode", "webhooks"].map(str::to_owned).into();
        let Some(machine) = &self.machine else {
            if matches!(self.state, State::Error(_)) {
                names.push("configfile".to_owned());
            }
            return names;
        };
        let own = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        names.extend(own(&["configfile", "mcu"]));
        names.extend(machine.macros.iter().map(|macro_| format!("gcode_macro {}", macro_.name)));
        names.extend(own(&["heaters", "heater_bed"]));
        names.extend(machine.heaters.sensors.iter().map(|sensor| sensor.name.clone()));
        names.extend(own(&["fan"]));
        let accessories = &machine.accessories;
        names.extend(accessories.heater_fans.iter().chain(&accessories.fans).map(|fan| fan.name.clone()));
        names.extend(own(&["stepper_enable"]));
        names.extend(accessories.pins.iter().map(|pin| pin.name.clone()));
        names.extend(
            accessories.filament.iter().map(|sensor| format!("filament_switch_sensor {}", sensor.name)),
        );
        if machine.probe.is_some() {
            names.push("probe".to_owned());
        }
        names.extend(own(&[
            "gcode_move",
            "bed_mesh",
            "virtual_sdcard",
            "print_stats",
            "idle_timeout",
            "exclude_object",
            "pause_resume",
            "display_status",
            "query_endstops",
            "motion_report",
            "toolhead",
            "extruder",
            "system_stats",
            "manual_probe",
        ]));
        names
    }

    /// The fields of an object; nothing if there is no such object. `time` is real, `now` the printer's.
    pub(in crate::demo::klippy) fn object(
        &mut self,
        name: &str,
        now: Seconds,
        time: Seconds,
    ) -> Option<Status> {
        match name {
            "webhooks" => {
                return Some(
                    Status::default()
                        .text("state", self.state.name())
                        .text("state_message", self.state.message()),
                );
            }
            "gcode" => {
                let commands = self.objects.commands(&self.registry, self.state == State::Ready);
                return Some(Status::default().shared("commands", &commands));
            }
            _ => {}
        }
        let Some(machine) = &mut self.machine else {
            let broken = name == "configfile" && matches!(self.state, State::Error(_));
            return broken.then(|| {
                Status::default()
                    .raw("config", "{}")
                    .raw("warnings", "[]")
                    .flag("save_config_pending", false)
                    .raw("save_config_pending_items", "{}")
                    .raw("settings", "{}")
            });
        };
        if name == "mcu" {
            return Some(system::mcu_status(&self.version, now - machine.epoch));
        }
        machine.core_object(name, now, time).or_else(|| machine.other_object(name))
    }
}

impl Machine {
    /// The objects that a printer always has.
    fn core_object(&mut self, name: &str, now: Seconds, time: Seconds) -> Option<Status> {
        Some(match name {
            "configfile" => Status::default()
                .shared("config", &self.config.config_text)
                .raw("warnings", "[]")
                .flag("save_config_pending", !self.pending.is_empty())
                .raw("save_config_pending_items", to_text(&self.pending))
                .shared("settings", &self.config.settings_text),
            "toolhead" => self.toolhead_status(now),
            "gcode_move" => self.gcode_move.status(),
            "extruder" => self
                .heaters
                .extruder
                .status()
                .flag("can_extrude", self.heaters.extruder.can_extrude())
                .number("pressure_advance", self.pressure_advance)
                .number("smooth_time", self.smooth_time)
                .raw("motion_queue", "null"),
            "heater_bed" => self.heaters.bed.status(),
            "heaters" => Status::default()
                .raw("available_heaters", r#"["heater_bed","extruder"]"#)
                .raw("available_sensors", to_text(&self.heaters.sensor_names()))
                .raw("available_monitors", "[]"),
            "virtual_sdcard" => self.sd.status(),
            "print_stats" => self.print_status(now),
            "pause_resume" => Status::default().flag("is_paused", self.pause.is_paused),
            "display_status" => {
                let (printing, progress) = (self.idle.is_printing(), self.sd.progress());
                self.display.status(now, printing, progress)
            }
            "idle_timeout" => self.idle.status(now),
            "exclude_object" => self.exclude.status(),
            "bed_mesh" => self.mesh.status(),
            "motion_report" => self.motion_status(now),
            "system_stats" => self.system.status(time),
            "stepper_enable" => self.accessories.stepper_status(),
            "query_endstops" => Status::default().raw("last_query", self.endstops_json()),
            "manual_probe" => Status::default()
                .flag("is_active", false)
                .raw("z_position", "null")
                .raw("z_position_lower", "null")
                .raw("z_position_upper", "null"),
            "fan" => self.accessories.part_fan.status(),
            _ => return None,
        })
    }

    /// The objects that the configuration names.
    fn other_object(&self, name: &str) -> Option<Status> {
        if let Some(macro_name) = name.strip_prefix("gcode_macro ") {
            return self.macros.iter().find(|macro_| macro_.name == macro_name).map(|macro_| macro_.status());
        }
        if let Some(sensor_name) = name.strip_prefix("filament_switch_sensor ") {
            let sensor = self.accessories.filament.iter().find(|sensor| sensor.name == sensor_name)?;
            return Some(
                Status::default().flag("filament_detected", sensor.detected).flag("enabled", sensor.enabled),
            );
        }
        if let (Some(probe), "probe") = (&self.probe, name) {
            let [x, y, z] = probe.position;
            return Some(
                Status::default()
                    .text("name", "probe")
                    .flag("last_query", false)
                    .numbers("last_probe_position", &[x, y, z, 0.0])
                    .number("last_z_result", probe.z),
            );
        }
        let accessories = &self.accessories;
        let fan = accessories.heater_fans.iter().chain(&accessories.fans).find(|fan| fan.name == name);
        let pin = || accessories.pins.iter().find(|pin| pin.name == name);
        let sensor = || self.heaters.sensors.iter().find(|sensor| sensor.name == name);
        fan.map(super::accessories::Fan::status)
            .or_else(|| pin().map(|pin| Status::default().number("value", pin.value)))
            .or_else(|| sensor().map(super::heaters::Sensor::status))
    }

    fn toolhead_status(&self, now: Seconds) -> Status {
        let limits = &self.toolhead.limits;
        let axes = |values: &[f64; 3]| {
            format!("[{},{},{},0]", number(values[0]), number(values[1]), number(values[2]))
        };
        Status::default()
            .text("homed_axes", &self.toolhead.homed_axes())
            .raw("axis_minimum", axes(&limits.min))
            .raw("axis_maximum", axes(&limits.max))
            .number("print_time", (self.toolhead.print_time - self.epoch).max(0.0))
            .int("stalls", 0)
            .number("estimated_print_time", now - self.epoch)
            .text("extruder", "extruder")
            .numbers("position", &self.toolhead.commanded)
            .number("max_velocity", limits.max_velocity)
            .number("max_accel", limits.max_accel)
            .number("minimum_cruise_ratio", limits.minimum_cruise_ratio)
            .number("square_corner_velocity", limits.square_corner_velocity)
            .raw("extra_axes", r#"{"extruder":3}"#)
    }

    fn motion_status(&self, now: Seconds) -> Status {
        let live = self.toolhead.live(now);
        Status::default()
            .raw("live_position", numbers(&live.position))
            .number("live_velocity", live.velocity)
            .number("live_extruder_velocity", live.extruder_velocity)
            .raw("steppers", r#"["extruder","stepper_x","stepper_y","stepper_z"]"#)
            .raw("trapq", r#"["extruder","toolhead"]"#)
    }

    fn endstops_json(&self) -> String {
        self.endstops.map_or_else(
            || "{}".to_owned(),
            |[x, y, z]| {
                format!(
                    r#"{{"stepper_x":{},"stepper_y":{},"stepper_z":{}}}"#,
                    u8::from(x),
                    u8::from(y),
                    u8::from(z)
                )
            },
        )
    }

    /// Asks the endstops: an axis at its end presses its own.
    pub(in crate::demo::klippy) fn query_endstops(&mut self, now: Seconds) -> [bool; 3] {
        let live = self.toolhead.live(now).position;
        let pressed = std::array::from_fn(|axis| {
            self.toolhead.homed[axis] && live[axis] <= self.toolhead.homing[axis].endstop
        });
        self.endstops = Some(pressed);
        pressed
    }
}
