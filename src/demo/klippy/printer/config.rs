//! The configuration that the printer was started with: the `configfile` object, and the values of the model.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::config_file::Sections;
use super::schema::{self, Given, Kind};
use crate::demo::klippy::options::Options;
use crate::json::to_text;

/// The configuration of the simulated printer, in Klipper's syntax. It is used where no other is found.
pub const PRINTER_CFG: &str = include_str!("printer.cfg");

/// A checked configuration.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Config {
    pub(in crate::demo::klippy) sections: Sections,
    /// Section and option in lower case → value with its type, defaults filled in.
    settings: Map<String, Value>,
    /// `configfile.config` as JSON text.
    pub(in crate::demo::klippy) config_text: Arc<str>,
    /// `configfile.settings` as JSON text.
    pub(in crate::demo::klippy) settings_text: Arc<str>,
}

impl Config {
    /// Reads the configuration that the options name, and checks it. `saved` are the values that `SAVE_CONFIG`
    /// has stored where there is no file to store them in.
    ///
    /// # Errors
    /// Klippy's message for the first mistake.
    pub(in crate::demo::klippy) fn load(options: &Options, saved: &Sections) -> Result<Self, String> {
        let folder = options.config_file.parent().unwrap_or(Path::new("/"));
        let mut sections = Sections::default();
        match std::fs::read_to_string(&options.config_file) {
            Ok(text) => {
                let (text, stored) = super::save_config::split(&text);
                let mut autosave = Sections::default();
                autosave.read(&stored, folder)?;
                sections.read(text, folder)?;
                for section in autosave.0 {
                    for (option, value) in section.options {
                        sections.set(&section.name, &option, value);
                    }
                }
            }
            Err(_) => {
                sections.read(PRINTER_CFG, folder)?;
                for section in &saved.0 {
                    for (option, value) in &section.options {
                        sections.set(&section.name, option, value.clone());
                    }
                }
            }
        }
        sections.read(&options.extra_config, folder)?;
        sections.set("virtual_sdcard", "path", options.gcodes.to_string_lossy().into_owned());
        Self::check(sections)
    }

    /// Checks sections against what is known.
    fn check(sections: Sections) -> Result<Self, String> {
        for needed in ["mcu", "printer", "stepper_x", "stepper_y", "stepper_z", "extruder", "heater_bed"] {
            if sections.get(needed).is_none() {
                return Err(format!("Section '{needed}' must be specified"));
            }
        }
        let mut settings = Map::new();
        for section in &sections.0 {
            let lower = section.name.to_lowercase();
            let Some(groups) = schema::section(&lower) else {
                return Err(format!("Section '{lower}' is not a valid config section"));
            };
            let mut values = Map::new();
            for option in groups.iter().copied().flatten() {
                let text = match (section.get(option.name), option.default) {
                    (Some(text), _) => text,
                    (None, Given::Default(text)) => text,
                    (None, Given::Optional) => continue,
                    (None, Given::Required) => {
                        return Err(format!(
                            "Option '{}' in section '{}' must be specified",
                            option.name, section.name
                        ));
                    }
                };
                let value = typed(option.kind, text).ok_or_else(|| {
                    format!("Unable to parse option '{}' in section '{}'", option.name, section.name)
                })?;
                values.insert(option.name.to_owned(), value);
            }
            for (option, text) in &section.options {
                if option.starts_with("variable_") && lower.starts_with("gcode_macro ") {
                    values.insert(option.clone(), json!(text));
                } else if !values.contains_key(option) {
                    return Err(format!("Option '{option}' is not valid in section '{lower}'"));
                }
            }
            settings.insert(lower, Value::Object(values));
        }
        let raw: Map<String, Value> = sections
            .0
            .iter()
            .map(|section| {
                let options: Map<String, Value> =
                    section.options.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
                (section.name.clone(), Value::Object(options))
            })
            .collect();
        Ok(Self {
            config_text: to_text(&raw).into(),
            settings_text: to_text(&settings).into(),
            sections,
            settings,
        })
    }

    /// A setting.
    pub(in crate::demo::klippy) fn setting(&self, section: &str, option: &str) -> Option<&Value> {
        self.settings.get(&section.to_lowercase())?.get(option)
    }

    /// A number among the settings; nothing if it is not there.
    pub(in crate::demo::klippy) fn number(&self, section: &str, option: &str) -> Option<f64> {
        self.setting(section, option)?.as_f64()
    }

    /// A text among the settings; empty if it is not there.
    pub(in crate::demo::klippy) fn text(&self, section: &str, option: &str) -> &str {
        self.setting(section, option).and_then(Value::as_str).unwrap_or_default()
    }

    /// A switch among the settings.
    pub(in crate::demo::klippy) fn flag(&self, section: &str, option: &str) -> bool {
        self.setting(section, option).and_then(Value::as_bool).unwrap_or_default()
    }

    /// The first two numbers of a list among the settings.
    pub(in crate::demo::klippy) fn pair(&self, section: &str, option: &str) -> [f64; 2] {
        let list = self.setting(section, option).and_then(Value::as_array);
        let at = |index: usize| list.and_then(|list| list.get(index)).and_then(Value::as_f64);
        let first = at(0).unwrap_or_default();
        [first, at(1).unwrap_or(first)]
    }

    /// The second words of the sections that begin with `prefix`, in their order.
    pub(in crate::demo::klippy) fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.sections
            .0
            .iter()
            .filter_map(move |section| section.name.strip_prefix(prefix)?.strip_prefix(' ').map(str::trim))
    }
}

/// Reads an option's text.
fn typed(kind: Kind, text: &str) -> Option<Value> {
    let float = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    let items = || text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
    Some(match kind {
        Kind::Text => json!(text),
        Kind::Float => json!(float(text)?),
        Kind::Int => json!(text.trim().parse::<i64>().ok()?),
        Kind::Bool => match text.trim().to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => json!(true),
            "false" | "no" | "off" | "0" => json!(false),
            _ => return None,
        },
        Kind::Floats => json!(items().map(float).collect::<Option<Vec<_>>>()?),
        Kind::Ints => json!(items().map(|item| item.parse().ok()).collect::<Option<Vec<i64>>>()?),
        Kind::Texts => json!(items().collect::<Vec<_>>()),
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The built-in configuration.
    pub(in crate::demo::klippy) fn config() -> Config {
        load("").unwrap()
    }

    fn load(extra: &str) -> Result<Config, String> {
        let mut options = Options::new("/nonexistent/socket", "/nonexistent/gcodes");
        options.config_file = "/nonexistent/printer.cfg".into();
        options.extra_config = extra.to_owned();
        Config::load(&options, &Sections::default())
    }

    #[test]
    fn the_built_in_configuration_is_valid_and_typed() {
        let config = config();
        assert_eq!(config.number("printer", "max_velocity"), Some(300.0));
        assert_eq!(config.setting("printer", "minimum_cruise_ratio"), Some(&json!(0.5)));
        assert_eq!(config.setting("stepper_x", "microsteps"), Some(&json!(16)));
        assert_eq!(config.pair("bed_mesh", "mesh_max"), [215.0, 215.0]);
        assert_eq!(config.text("virtual_sdcard", "path"), "/nonexistent/gcodes");
        assert!(config.flag("force_move", "enable_force_move"));
        assert_eq!(config.named("temperature_sensor").collect::<Vec<_>>(), ["raspberry_pi", "chamber"]);
        assert!(config.config_text.contains(r#""max_velocity":"300""#));
        assert!(config.settings_text.contains(r#""gcode_macro start_print":{"#));
    }

    #[test]
    fn mistakes_are_told_as_klippy_tells_them() {
        for (extra, message) in [
            ("[nonsense]\n", "Section 'nonsense' is not a valid config section"),
            ("[fan]\nwings: 2\n", "Option 'wings' is not valid in section 'fan'"),
            ("[fan_generic x]\n", "Option 'pin' in section 'fan_generic x' must be specified"),
            ("[printer]\nmax_accel: fast\n", "Unable to parse option 'max_accel' in section 'printer'"),
        ] {
            assert_eq!(load(extra).unwrap_err(), message);
        }
    }
}
