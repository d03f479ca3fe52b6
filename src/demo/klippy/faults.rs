//! What a test has ordered that a Klippy would not do by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::printer::status::Status;

/// Orders that stay in force, also over restarts.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// By endpoint.
    pub(super) delays: BTreeMap<String, Duration>,
    /// Endpoints that do not answer.
    pub(super) mute: BTreeSet<String>,
    /// Endpoints that answer with this error.
    pub(super) errors: BTreeMap<String, String>,
    /// More endpoints, with the JSON text of their answers.
    pub(super) endpoints: BTreeMap<String, String>,
    /// Endpoints that are not there.
    pub(super) missing_endpoints: BTreeSet<String>,
    /// Queries are answered at once instead of at the next tick.
    pub(super) at_once: bool,
    /// Nothing is read or sent.
    pub(super) hung: bool,
    /// The state stays `startup`.
    pub(super) hold: bool,
    /// Fields that objects have instead of, or beside, their own; also objects that there are not.
    pub(super) objects: BTreeMap<String, Map<String, Value>>,
    /// Objects that are not there.
    pub(super) missing: BTreeSet<String>,
}

impl Faults {
    /// The names of the objects that clients see.
    pub(super) fn names(&self, own: Vec<String>) -> Vec<String> {
        let mut names: Vec<String> = own.into_iter().filter(|name| !self.missing.contains(name)).collect();
        let more: Vec<String> = self.objects.keys().filter(|name| !names.contains(name)).cloned().collect();
        names.extend(more);
        names
    }

    /// What clients see of an object. `own` is what it would say by itself.
    pub(super) fn status(&self, name: &str, own: impl FnOnce() -> Option<Status>) -> Option<Status> {
        let fields = self.objects.get(name);
        if self.missing.contains(name) {
            return None;
        }
        let own = own();
        match fields {
            None => own,
            Some(fields) => {
                let mut status = own.unwrap_or_default();
                status.overlay(fields);
                Some(status)
            }
        }
    }
}
