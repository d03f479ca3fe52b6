//! A change of printer objects, as it goes to subscribers.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Values of the fields of printer objects: object name → field name → JSON text.
pub type Objects = BTreeMap<Arc<str>, BTreeMap<Arc<str>, Arc<str>>>;

/// Fields that changed, with Klippy's clock at that time. Values are slices of what Klippy sent, never decoded
/// and encoded again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusUpdate {
    /// Klippy's `eventtime` in seconds, as JSON text.
    pub eventtime: String,
    /// The fields.
    pub objects: Objects,
}

impl StatusUpdate {
    /// The fields as the text of a JSON object.
    pub fn status_json(&self) -> String {
        let mut out = String::with_capacity(self.json_len());
        push_objects(&mut out, &self.objects);
        out
    }

    /// The `notify_status_update` message (spec notifications.md row 2).
    pub fn message(&self) -> Arc<str> {
        let mut out = String::with_capacity(self.json_len() + 80);
        out.push_str(r#"{"jsonrpc":"2.0","method":"notify_status_update","params":["#);
        push_objects(&mut out, &self.objects);
        out.push(',');
        out.push_str(if self.eventtime.is_empty() { "0.0" } else { &self.eventtime });
        out.push_str("]}");
        out.into()
    }

    /// Takes over all fields of a newer update.
    pub fn merge(&mut self, newer: &Self) {
        self.eventtime.clone_from(&newer.eventtime);
        for (object, fields) in &newer.objects {
            match self.objects.get_mut(object) {
                Some(known) => known.extend(fields.iter().map(|(k, v)| (k.clone(), v.clone()))),
                None => {
                    self.objects.insert(object.clone(), fields.clone());
                }
            }
        }
    }

    /// About how many bytes the JSON takes.
    fn json_len(&self) -> usize {
        let field = |(name, value): (&Arc<str>, &Arc<str>)| name.len() + value.len() + 4;
        self.objects
            .iter()
            .map(|(name, fields)| name.len() + 6 + fields.iter().map(field).sum::<usize>())
            .sum()
    }
}

fn push_objects(out: &mut String, objects: &Objects) {
    push_map(out, objects, |out, fields| push_map(out, fields, |out, value| out.push_str(value)));
}

fn push_map<V>(out: &mut String, map: &BTreeMap<Arc<str>, V>, push_value: impl Fn(&mut String, &V)) {
    out.push('{');
    for (index, (name, value)) in map.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        crate::json::push_quoted(out, name);
        out.push(':');
        push_value(out, value);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(eventtime: &str, fields: &[(&str, &str, &str)]) -> StatusUpdate {
        let mut update = StatusUpdate { eventtime: eventtime.into(), objects: Objects::new() };
        for (object, field, value) in fields {
            update.objects.entry((*object).into()).or_default().insert((*field).into(), (*value).into());
        }
        update
    }

    #[test]
    fn a_message_holds_values_as_they_came() {
        let update = update("1.50", &[("fan", "speed", "0.10"), ("gcode_macro \"A\"", "x", "[1, 2]")]);
        assert_eq!(
            &*update.message(),
            r#"{"jsonrpc":"2.0","method":"notify_status_update","params":[{"fan":{"speed":0.10},"gcode_macro \"A\"":{"x":[1, 2]}},1.50]}"#
        );
    }

    #[test]
    fn the_latest_value_wins() {
        let mut old = update("1", &[("fan", "speed", "0"), ("fan", "rpm", "1")]);
        old.merge(&update("2", &[("fan", "speed", "5"), ("toolhead", "x", "3")]));
        assert_eq!(old, update("2", &[("fan", "speed", "5"), ("fan", "rpm", "1"), ("toolhead", "x", "3")]));
    }
}
