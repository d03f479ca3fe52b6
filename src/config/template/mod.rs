//! Option values that are computed: Jinja templates with Moonraker's delimiters (spec config.md §2).
//!
//! With the feature `templates` this is minijinja ([`jinja`]). Without it ([`plain`]) a template may only name
//! values, such as `{data_path}` or `{secrets.mqtt.password}`: what a minimal build needs of its paths and
//! passwords, at no cost.

#[cfg(feature = "templates")]
mod jinja;
#[cfg(feature = "templates")]
pub(super) use jinja::Engine;
#[cfg(feature = "templates")]
pub use jinja::{MAX_FUEL, Template, from_value, to_value};

#[cfg(not(feature = "templates"))]
mod plain;
#[cfg(not(feature = "templates"))]
pub use plain::Template;
#[cfg(not(feature = "templates"))]
pub(super) use plain::Engine;

use std::fmt;

/// Bytes of a rendered template.
pub const MAX_OUTPUT: usize = 256 * 1024;

/// Why a template could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What `raise_error(message, code)` was called with, else 500: the HTTP status of a call that needed it.
    pub code: u16,
    /// What `raise_error` was called with, or what is wrong with the template.
    pub message: String,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for TemplateError {}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str) -> Result<String, TemplateError> {
        let engine = Engine::new(&json!({"mqtt": {"user": "mqttuser", "a-b": "x"}, "port": 1883}));
        let template = engine.compile(source).map_err(|message| TemplateError { code: 0, message })?;
        assert_eq!(template.source(), source);
        template.render(&[("data_path", json!("/data")), ("payload", json!({"on": true}))])
    }

    #[test]
    fn names_of_values() {
        assert_eq!(render("{secrets.mqtt.user}").unwrap(), "mqttuser");
        assert_eq!(render("{ secrets.port }/x").unwrap(), "1883/x");
        assert_eq!(render("{data_path}/comms/klippy.sock").unwrap(), "/data/comms/klippy.sock");
        assert_eq!(render("plain text").unwrap(), "plain text");
        assert_eq!(render("  {data_path}\n ").unwrap(), "/data", "the result is trimmed");
        assert_eq!(render("").unwrap(), "");
        assert_eq!(render("{secrets.mqtt.none}").unwrap(), "", "an unknown last part is empty");
        assert_eq!(render("{payload.on}").unwrap(), "True", "booleans are written as Python writes them");
    }

    #[test]
    fn wrong_ones_are_errors() {
        for source in ["{secrets.none.user}", "{data_path", "{% if %}", "{.a}"] {
            assert!(render(source).is_err(), "{source}");
        }
    }

    #[test]
    fn what_is_rendered_is_bounded() {
        let engine = Engine::new(&json!({}));
        let template = engine.compile("{a}{a}").unwrap();
        assert!(template.render(&[("a", json!("x".repeat(MAX_OUTPUT / 2)))]).is_ok());
        assert!(template.render(&[("a", json!("x".repeat(MAX_OUTPUT)))]).is_err());
    }
}
