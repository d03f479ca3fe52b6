//! The arguments and answers of the item endpoints.

use std::ops::ControlFlow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::params::{FromParams, Params};
use crate::api::{Argument, Error, Reply, Result};
use crate::json;
use crate::storage::{self, KeyPath, Read, Rows};

/// An item's place, and its value where one is sent. The value is kept as the client wrote it.
pub(super) struct Item {
    pub(super) namespace: String,
    key: Option<Box<RawValue>>,
    /// None when there is no such argument; `null` is a value.
    pub(super) value: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Sent {
    #[serde(default, deserialize_with = "present")]
    namespace: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    key: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "present")]
    value: Option<Box<RawValue>>,
}

/// Tells `null` from nothing.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl FromParams for Item {
    fn from_params(params: Params) -> Result<Self> {
        let sent: Sent = serde_json::from_str(params.into_raw().get())
            .map_err(|error| Error::bad_request(format!("Invalid params: {error}")))?;
        let given = |sent: Option<Box<RawValue>>| sent.filter(|sent| sent.get() != "null");
        let namespace = given(sent.namespace);
        let namespace = namespace.ok_or_else(|| Error::bad_request("No data for argument: namespace"))?;
        // a namespace that is no text is taken by its text, as every argument that should be one
        let namespace = serde_json::from_str(namespace.get()).unwrap_or_else(|_| namespace.get().to_owned());
        Ok(Self { namespace, key: given(sent.key), value: sent.value })
    }

    fn describe() -> Vec<Argument> {
        let argument = |name, kind: &str, required| Argument { name, kind: kind.to_owned(), required };
        vec![
            argument("namespace", "string", true),
            argument("key", "string|list", false),
            argument("value", "any", false),
        ]
    }
}

impl Item {
    pub(super) fn path(&self) -> storage::Result<Option<KeyPath>> {
        self.key.as_deref().map(KeyPath::from_json).transpose()
    }

    pub(super) fn required_path(&self) -> Result<KeyPath> {
        self.path()?.ok_or_else(|| Error::bad_request("No data for argument: key"))
    }

    /// The answer: where, and what.
    pub(super) fn reply(&self, value: &RawValue) -> Reply {
        let key = self.key.as_deref().map_or("null", RawValue::get);
        let mut out = String::with_capacity(value.get().len() + key.len() + self.namespace.len() + 40);
        out.push_str("{\"namespace\":");
        json::push_quoted(&mut out, &self.namespace);
        out.push_str(",\"key\":");
        out.push_str(key);
        out.push_str(",\"value\":");
        out.push_str(value.get());
        out.push('}');
        Reply::from_json_text(out)
    }
}

/// All rows of a table, each with its place as `rowid`. Rows that are JSON objects show their members, others
/// their bytes as text.
pub(super) fn table_rows(view: &(impl Read + ?Sized), name: &str) -> storage::Result<Vec<Box<RawValue>>> {
    let mut rows = Vec::new();
    storage::scan_table(view, name, &Rows::ALL, |key, value| {
        let text = String::from_utf8_lossy(value);
        let rowid = storage::number(key).unwrap_or(rows.len() as u64 + 1);
        let key = json::to_text(&String::from_utf8_lossy(key));
        let members = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
        let row = match members {
            Some(members) if serde_json::from_str::<&RawValue>(&text).is_ok() && !members.is_empty() => {
                format!("{{\"rowid\":{rowid},{members}}}")
            }
            _ => format!("{{\"rowid\":{rowid},\"key\":{key},\"value\":{}}}", json::to_text(&text)),
        };
        rows.extend(RawValue::from_string(row));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}
