//! Which sections and options the simulated printer knows, of which type they are, and what they are by default.

/// How an option is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Text,
    Float,
    Int,
    Bool,
    Floats,
    Ints,
    Texts,
}

use Kind::{Bool, Float, Floats, Int, Ints, Text, Texts};

/// An option: name, type, and what it is when it is not given.
pub(super) struct Opt {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) default: Given,
}

/// What becomes of an option that is not given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Given {
    /// It must be.
    Required,
    /// It stays away.
    Optional,
    /// It has this value.
    Default(&'static str),
}

const fn required(name: &'static str, kind: Kind) -> Opt {
    Opt { name, kind, default: Given::Required }
}

const fn optional(name: &'static str, kind: Kind) -> Opt {
    Opt { name, kind, default: Given::Optional }
}

const fn default(name: &'static str, kind: Kind, value: &'static str) -> Opt {
    Opt { name, kind, default: Given::Default(value) }
}

const STEPPER: &[Opt] = &[
    required("step_pin", Text),
    required("dir_pin", Text),
    optional("enable_pin", Text),
    required("microsteps", Int),
    required("rotation_distance", Float),
    default("full_steps_per_rotation", Int, "200"),
    default("gear_ratio", Texts, ""),
    required("endstop_pin", Text),
    required("position_endstop", Float),
    default("position_min", Float, "0"),
    required("position_max", Float),
    default("homing_speed", Float, "5"),
    default("homing_retract_dist", Float, "5"),
    optional("homing_retract_speed", Float),
    optional("second_homing_speed", Float),
    default("homing_positive_dir", Bool, "False"),
];

const EXTRUDER: &[Opt] = &[
    required("step_pin", Text),
    required("dir_pin", Text),
    optional("enable_pin", Text),
    required("microsteps", Int),
    required("rotation_distance", Float),
    default("full_steps_per_rotation", Int, "200"),
    default("gear_ratio", Texts, ""),
    required("nozzle_diameter", Float),
    required("filament_diameter", Float),
    optional("max_extrude_cross_section", Float),
    optional("max_extrude_only_velocity", Float),
    optional("max_extrude_only_accel", Float),
    default("max_extrude_only_distance", Float, "50"),
    default("instantaneous_corner_velocity", Float, "1"),
    default("pressure_advance", Float, "0"),
    default("pressure_advance_smooth_time", Float, "0.04"),
];

const HEATER: &[Opt] = &[
    required("heater_pin", Text),
    required("sensor_type", Text),
    optional("sensor_pin", Text),
    required("min_temp", Float),
    required("max_temp", Float),
    default("min_extrude_temp", Float, "170"),
    default("max_power", Float, "1"),
    default("smooth_time", Float, "1"),
    default("control", Text, "pid"),
    optional("pid_kp", Float),
    optional("pid_ki", Float),
    optional("pid_kd", Float),
    default("pwm_cycle_time", Float, "0.1"),
];

const FAN: &[Opt] = &[
    required("pin", Text),
    default("max_power", Float, "1"),
    default("kick_start_time", Float, "0.1"),
    default("off_below", Float, "0"),
    default("cycle_time", Float, "0.01"),
    default("hardware_pwm", Bool, "False"),
    default("shutdown_speed", Float, "0"),
];

const HEATER_FAN: &[Opt] = &[
    default("heater", Texts, "extruder"),
    default("heater_temp", Float, "50"),
    default("fan_speed", Float, "1"),
];

const SENSOR: &[Opt] = &[
    required("sensor_type", Text),
    optional("sensor_pin", Text),
    optional("sensor_path", Text),
    optional("gcode_id", Text),
    default("min_temp", Float, "-273.15"),
    default("max_temp", Float, "99999999.9"),
];

const MACRO: &[Opt] = &[
    required("gcode", Text),
    optional("rename_existing", Text),
    default("description", Text, "G-Code macro"),
];

const MCU: &[Opt] =
    &[required("serial", Text), default("baud", Int, "250000"), optional("restart_method", Text)];

const PRINTER: &[Opt] = &[
    required("kinematics", Text),
    required("max_velocity", Float),
    required("max_accel", Float),
    default("minimum_cruise_ratio", Float, "0.5"),
    default("square_corner_velocity", Float, "5"),
    optional("max_z_velocity", Float),
    optional("max_z_accel", Float),
];

const OUTPUT_PIN: &[Opt] = &[
    required("pin", Text),
    default("pwm", Bool, "False"),
    default("scale", Float, "1"),
    default("cycle_time", Float, "0.1"),
    default("hardware_pwm", Bool, "False"),
    default("value", Float, "0"),
    default("shutdown_value", Float, "0"),
];

const FILAMENT_SENSOR: &[Opt] = &[
    required("switch_pin", Text),
    default("debounce_delay", Float, "0"),
    default("pause_on_runout", Bool, "True"),
    default("runout_gcode", Text, ""),
    optional("insert_gcode", Text),
    default("pause_delay", Float, "0.5"),
    default("event_delay", Float, "3"),
];

const PROBE: &[Opt] = &[
    required("pin", Text),
    default("x_offset", Float, "0"),
    default("y_offset", Float, "0"),
    required("z_offset", Float),
    default("speed", Float, "5"),
    optional("lift_speed", Float),
    default("samples", Int, "1"),
    default("sample_retract_dist", Float, "2"),
    default("samples_result", Text, "average"),
    default("samples_tolerance", Float, "0.1"),
    default("samples_tolerance_retries", Int, "0"),
];

const BED_MESH: &[Opt] = &[
    default("adaptive_margin", Float, "0"),
    default("probe_count", Ints, "3, 3"),
    required("mesh_min", Floats),
    required("mesh_max", Floats),
    default("mesh_pps", Ints, "2, 2"),
    default("algorithm", Text, "lagrange"),
    default("bicubic_tension", Float, "0.2"),
    default("horizontal_move_z", Float, "5"),
    default("speed", Float, "50"),
    default("fade_start", Float, "1"),
    default("fade_end", Float, "0"),
    default("split_delta_z", Float, "0.025"),
    default("move_check_distance", Float, "5"),
];

/// A stored mesh: written by `SAVE_CONFIG`.
const BED_MESH_PROFILE: &[Opt] = &[
    required("version", Int),
    required("points", Text),
    required("min_x", Float),
    required("max_x", Float),
    required("min_y", Float),
    required("max_y", Float),
    required("x_count", Int),
    required("y_count", Int),
    required("mesh_x_pps", Int),
    required("mesh_y_pps", Int),
    required("algo", Text),
    required("tension", Float),
];

const VIRTUAL_SDCARD: &[Opt] =
    &[required("path", Text), default("on_error_gcode", Text, "\nTURN_OFF_HEATERS\n")];

const IDLE_TIMEOUT: &[Opt] =
    &[default("timeout", Float, "600"), default("gcode", Text, "\nTURN_OFF_HEATERS\nM84\n")];

/// The groups of options of a section, by the first word of its name; none for a section that is not known.
pub(super) fn section(name: &str) -> Option<&'static [&'static [Opt]]> {
    Some(match name.split_whitespace().next()? {
        "mcu" => &[MCU],
        "printer" => &[PRINTER],
        "stepper_x" | "stepper_y" | "stepper_z" => &[STEPPER],
        "extruder" => &[EXTRUDER, HEATER],
        "heater_bed" => &[HEATER],
        "temperature_sensor" => &[SENSOR],
        "fan" | "fan_generic" => &[FAN],
        "heater_fan" => &[FAN, HEATER_FAN],
        "output_pin" => &[OUTPUT_PIN],
        "filament_switch_sensor" => &[FILAMENT_SENSOR],
        "probe" => &[PROBE],
        "bed_mesh" if name == "bed_mesh" => &[BED_MESH],
        "bed_mesh" => &[BED_MESH_PROFILE],
        "virtual_sdcard" => &[VIRTUAL_SDCARD],
        "idle_timeout" => &[IDLE_TIMEOUT],
        "gcode_macro" => &[MACRO],
        "pause_resume" => &[&[Opt { name: "recover_velocity", kind: Float, default: Given::Default("50") }]],
        "force_move" => &[&[Opt { name: "enable_force_move", kind: Bool, default: Given::Default("False") }]],
        "respond" => &[&[Opt { name: "default_type", kind: Text, default: Given::Default("echo") }]],
        "gcode_arcs" => &[&[Opt { name: "resolution", kind: Float, default: Given::Default("1") }]],
        "exclude_object" | "display_status" => &[],
        _ => return None,
    })
}
