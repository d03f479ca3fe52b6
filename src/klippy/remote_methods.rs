//! Methods of ours that G-code macros call (`action_call_remote_method`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::value::RawValue;

use crate::api::{Error, Result};
use crate::sync::lock;

/// What a remote method does with its arguments (a JSON object, or nothing). It must not wait.
pub type RemoteMethod = Arc<dyn Fn(Option<&RawValue>) + Send + Sync>;

/// All remote methods by name.
#[derive(Default)]
pub(super) struct RemoteMethods(Mutex<HashMap<String, RemoteMethod>>);

impl RemoteMethods {
    /// Adds a method.
    ///
    /// # Errors
    /// 400 if there is one of that name.
    pub(super) fn add(&self, name: &str, method: RemoteMethod) -> Result<()> {
        let mut methods = lock(&self.0);
        if methods.contains_key(name) {
            return Err(Error::bad_request(format!("Remote method '{name}' already registered")));
        }
        methods.insert(name.to_owned(), method);
        Ok(())
    }

    /// Takes a method away. Klippy is not told: it has no word for that.
    pub(super) fn remove(&self, name: &str) {
        lock(&self.0).remove(name);
    }

    /// In order: Klippy is told of them in the same one at each connection.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = lock(&self.0).keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// Calls a method for Klippy. No answer is expected.
    pub(super) fn call(&self, name: &str, params: Option<&RawValue>) {
        let method = lock(&self.0).get(name).cloned();
        match method {
            Some(method) => method(params),
            None => log::warn!("Unknown method received: {name}"),
        }
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }
}
