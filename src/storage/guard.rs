//! Which namespaces clients may read and write.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::error::{Error, Kind, Result};
use super::namespace::ReadDocuments;
use super::view::Reader;
use super::{Storage, Writer};
use crate::json;
use crate::sync::lock;

/// The storage's own namespace.
const NAMESPACE: &str = "database";
const PROTECTED: &str = "protected_namespaces";
const FORBIDDEN: &str = "forbidden_namespaces";
/// Namespaces that are guarded before any component says so (spec database.md §3).
const ALWAYS_PROTECTED: [&str; 2] = ["moonraker", "gcode_metadata"];

/// What clients may not do with a namespace. Both are kept in the database, so they outlive the removal of the
/// component that asked for them (spec database.md §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Clients may read it.
    Protected,
    /// Clients may not even see it.
    Forbidden,
}

/// What a client wants to do with a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Read it.
    Read,
    /// Change it.
    Write,
}

#[derive(Default)]
pub(super) struct Guards {
    protected: BTreeSet<String>,
    forbidden: BTreeSet<String>,
}

impl Guards {
    pub(super) fn load(view: &Reader<'_>) -> Result<Self> {
        let set = |key| -> Result<BTreeSet<String>> {
            let list = view.record(NAMESPACE, key)?;
            Ok(list.and_then(|list| serde_json::from_str(list.get()).ok()).unwrap_or_default())
        };
        let mut guards = Self { protected: set(PROTECTED)?, forbidden: set(FORBIDDEN)? };
        guards.protected.extend(ALWAYS_PROTECTED.map(str::to_owned));
        guards.forbidden.insert(NAMESPACE.to_owned());
        Ok(guards)
    }

    fn list(&self, access: Access) -> (&'static str, Box<RawValue>) {
        match access {
            Access::Protected => (PROTECTED, json::to_raw(&self.protected)),
            Access::Forbidden => (FORBIDDEN, json::to_raw(&self.forbidden)),
        }
    }
}

impl Storage {
    /// Guards a component's namespace from clients, from now on and after every restart.
    ///
    /// # Errors
    /// As [`Storage::write`]; the namespace is guarded until the next restart even then.
    pub async fn guard(&self, namespace: &str, access: Access) -> Result<()> {
        let (key, list) = {
            let mut guards = lock(&self.guards);
            let set = match access {
                Access::Protected => &mut guards.protected,
                Access::Forbidden => &mut guards.forbidden,
            };
            set.insert(namespace.to_owned());
            guards.list(access)
        };
        self.write(move |writer: &mut Writer<'_>| writer.put_record(NAMESPACE, key, &list)).await
    }

    /// Whether clients may use a namespace so.
    ///
    /// # Errors
    /// Forbidden when they may not.
    pub fn check_access(&self, namespace: &str, wanted: Use) -> Result<()> {
        let guards = lock(&self.guards);
        let refused = if guards.forbidden.contains(namespace) {
            "Read/Write access to namespace"
        } else if wanted == Use::Write && guards.protected.contains(namespace) {
            "Write access to namespace"
        } else {
            return Ok(());
        };
        Err(Error::new(Kind::Forbidden, format!("{refused} {namespace} is forbidden")))
    }

    /// Whether clients may see that a namespace exists.
    pub fn is_visible(&self, namespace: &str) -> bool {
        !lock(&self.guards).forbidden.contains(namespace)
    }
}
