//! What a printer object tells of itself: fields as JSON text, made once and compared as text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::json::{push_quoted, to_text};

/// The value of a field.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) enum Json {
    /// Made for this status.
    Own(Box<str>),
    /// Long text that seldom changes, shared.
    Shared(Arc<str>),
}

impl Json {
    /// The JSON text.
    pub(in crate::demo::klippy) fn text(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Shared(text) => text,
        }
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shared(one), Self::Shared(two)) if Arc::ptr_eq(one, two) => true,
            _ => self.text() == other.text(),
        }
    }
}

/// The JSON text of a number; what is no number in JSON becomes 0.
pub(in crate::demo::klippy) fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { "0.0".to_owned() }
}

/// The JSON text of a list of numbers.
pub(in crate::demo::klippy) fn numbers(values: &[f64]) -> String {
    let mut text = String::with_capacity(2 + values.len() * 8);
    text.push('[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&number(*value));
    }
    text.push(']');
    text
}

/// The JSON text of a string.
pub(in crate::demo::klippy) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    push_quoted(&mut out, text);
    out
}

/// Rounds to hundredths, as Klippy rounds temperatures.
pub(in crate::demo::klippy) fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The fields of one object in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::demo::klippy) struct Status {
    fields: Vec<(Cow<'static, str>, Json)>,
}

impl Status {
    /// The value of a field.
    pub(in crate::demo::klippy) fn get(&self, name: &str) -> Option<&Json> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// The names of the fields.
    pub(in crate::demo::klippy) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_ref())
    }

    /// With a field given as JSON text.
    pub(in crate::demo::klippy) fn raw(
        mut self,
        name: impl Into<Cow<'static, str>>,
        json: impl Into<Box<str>>,
    ) -> Self {
        self.fields.push((name.into(), Json::Own(json.into())));
        self
    }

    /// With a field whose JSON text is shared.
    pub(in crate::demo::klippy) fn shared(mut self, name: &'static str, json: &Arc<str>) -> Self {
        self.fields.push((Cow::Borrowed(name), Json::Shared(json.clone())));
        self
    }

    /// With a number.
    pub(in crate::demo::klippy) fn number(self, name: &'static str, value: f64) -> Self {
        self.raw(name, number(value))
    }

    /// With a whole number.
    pub(in crate::demo::klippy) fn int(self, name: &'static str, value: u64) -> Self {
        self.raw(name, value.to_string())
    }

    /// With a list of numbers.
    pub(in crate::demo::klippy) fn numbers(self, name: &'static str, values: &[f64]) -> Self {
        self.raw(name, numbers(values))
    }

    /// With a switch.
    pub(in crate::demo::klippy) fn flag(self, name: &'static str, value: bool) -> Self {
        self.raw(name, if value { "true" } else { "false" })
    }

    /// With a text.
    pub(in crate::demo::klippy) fn text(self, name: &'static str, value: &str) -> Self {
        self.raw(name, quoted(value))
    }

    /// With a text or null.
    pub(in crate::demo::klippy) fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
        self.raw(name, value.map_or_else(|| "null".to_owned(), quoted))
    }

    /// Puts other fields in the place of those of the same name, and adds the rest.
    pub(in crate::demo::klippy) fn overlay(&mut self, fields: &Map<String, Value>) {
        for (name, value) in fields {
            let json = Json::Own(to_text(value).into());
            match self.fields.iter_mut().find(|(field, _)| field == name) {
                Some(field) => field.1 = json,
                None => self.fields.push((Cow::Owned(name.clone()), json)),
            }
        }
    }

    /// The whole as the text of a JSON object.
    pub(in crate::demo::klippy) fn to_json(&self) -> String {
        let mut out = String::from("{");
        for (name, value) in &self.fields {
            push_field(&mut out, name, value.text());
        }
        out.push('}');
        out
    }
}

/// Appends a member to the text of a JSON object that has been opened but not closed.
pub(in crate::demo::klippy) fn push_field(out: &mut String, name: &str, json: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    push_quoted(out, name);
    // writing to a string cannot fail
    let _ = write!(out, ":{json}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_valid_json_whatever_they_are() {
        for value in [0.0, -0.0, 1e-9, 1e300, 205.0, f64::NAN, f64::INFINITY] {
            serde_json::from_str::<f64>(&number(value)).unwrap();
        }
        assert_eq!(numbers(&[0.0, 1.5]), "[0.0,1.5]");
    }

    #[test]
    fn an_overlay_replaces_and_adds() {
        let mut status = Status::default().number("speed", 0.0).maybe("rpm", None).text("name", "a\"b");
        let fields: Map<String, Value> = serde_json::from_str(r#"{"rpm":1200,"extra":[1]}"#).unwrap();
        status.overlay(&fields);
        assert_eq!(status.to_json(), r#"{"speed":0.0,"rpm":1200,"name":"a\"b","extra":[1]}"#);
    }
}
