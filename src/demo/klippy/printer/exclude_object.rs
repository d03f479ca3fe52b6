//! Leaving out single objects of a print.

use serde_json::{Map, Value, json};

use super::status::Status;
use crate::json::to_text;

/// The most objects that a print may define.
const MAX_OBJECTS: usize = 4096;

/// The objects of the print, and which of them are left out. Names are in capitals.
#[derive(Debug, Clone, Default)]
pub(in crate::demo::klippy) struct ExcludeObject {
    objects: Vec<Map<String, Value>>,
    excluded: Vec<String>,
    current: Option<String>,
    /// How much filament was not pushed because of it, in mm.
    pub(in crate::demo::klippy) skipped: f64,
}

impl ExcludeObject {
    /// Forgets everything.
    pub(in crate::demo::klippy) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Whether moves are left out now.
    pub(in crate::demo::klippy) fn is_excluding(&self) -> bool {
        self.current.as_ref().is_some_and(|current| self.excluded.contains(current))
    }

    /// Defines an object, with its `center`, `polygon` and whatever else was given.
    pub(in crate::demo::klippy) fn define(&mut self, name: &str, rest: Map<String, Value>) {
        if self.objects.len() >= MAX_OBJECTS {
            return;
        }
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(name));
        object.extend(rest);
        self.objects.push(object);
        self.objects.sort_by(|one, two| name_of(one).cmp(name_of(two)));
    }

    /// Marks the begin of an object, which need not have been defined.
    pub(in crate::demo::klippy) fn start(&mut self, name: &str) {
        if !self.objects.iter().any(|object| name_of(object) == name) {
            self.define(name, Map::new());
        }
        self.current = Some(name.to_owned());
    }

    /// Marks the end of an object.
    pub(in crate::demo::klippy) fn end(&mut self) {
        self.current = None;
    }

    /// The object that is being printed.
    pub(in crate::demo::klippy) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Leaves an object out.
    pub(in crate::demo::klippy) fn exclude(&mut self, name: &str) {
        if !self.is_excluded(name) && self.excluded.len() < MAX_OBJECTS {
            self.excluded.push(name.to_owned());
            self.excluded.sort();
        }
    }

    /// Takes one object in again, or all.
    pub(in crate::demo::klippy) fn include(&mut self, name: Option<&str>) {
        match name {
            Some(name) => self.excluded.retain(|excluded| excluded != name),
            None => self.excluded.clear(),
        }
    }

    /// Whether the object is left out.
    pub(in crate::demo::klippy) fn is_excluded(&self, name: &str) -> bool {
        self.excluded.iter().any(|excluded| excluded == name)
    }

    /// The names of the objects, or all of them as JSON.
    pub(in crate::demo::klippy) fn list(&self, as_json: bool) -> String {
        if as_json {
            to_text(&self.objects)
        } else {
            self.objects.iter().map(name_of).collect::<Vec<_>>().join(" ")
        }
    }

    /// The names of those left out.
    pub(in crate::demo::klippy) fn list_excluded(&self) -> String {
        self.excluded.join(" ")
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        Status::default()
            .raw("objects", to_text(&self.objects))
            .raw("excluded_objects", to_text(&self.excluded))
            .maybe("current_object", self.current())
    }
}

fn name_of(object: &Map<String, Value>) -> &str {
    object.get("name").and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_sorted_and_can_be_left_out() {
        let mut objects = ExcludeObject::default();
        objects.define("B", Map::new());
        objects.define("A", [("center".to_owned(), json!([1, 2]))].into_iter().collect());
        objects.start("C");
        assert_eq!(objects.list(false), "A B C");
        assert!(!objects.is_excluding());
        objects.exclude("C");
        assert!(objects.is_excluding());
        objects.end();
        assert!(!objects.is_excluding());
        assert_eq!(
            objects.status().to_json(),
            r#"{"objects":[{"center":[1,2],"name":"A"},{"name":"B"},{"name":"C"}],"excluded_objects":["C"],"current_object":null}"#
        );
        objects.include(None);
        assert_eq!(objects.list_excluded(), "");
    }
}
