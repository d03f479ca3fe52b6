//! JSON documents in namespaces.

use std::ops::ControlFlow;

use serde_json::value::RawValue;

use super::document;
use super::error::{Error, Result};
use super::key::{self, RecordKey, Space};
use super::path::KeyPath;
use super::view::{Read, Writer};
use crate::json;

/// Reading documents, in [`super::Storage::read`] and [`super::Storage::write`] alike.
pub trait ReadDocuments: Read {
    /// The names of all namespaces that hold a record, sorted.
    ///
    /// # Errors
    /// Failed when the file cannot be read.
    fn namespaces(&self) -> Result<Vec<String>> {
        names(self, Space::Documents)
    }

    /// The names of all tables that hold a row, sorted.
    ///
    /// # Errors
    /// Failed when the file cannot be read.
    fn tables(&self) -> Result<Vec<String>> {
        names(self, Space::Table)
    }

    /// The record with this key, taken literally.
    ///
    /// # Errors
    /// BadRequest for a key that cannot exist, Failed when the file cannot be read.
    fn record(&self, namespace: &str, key: &str) -> Result<Option<Box<RawValue>>> {
        self.record_text(namespace, key)?.map(to_raw).transpose()
    }

    #[doc(hidden)]
    fn record_text(&self, namespace: &str, key: &str) -> Result<Option<String>> {
        let raw_key = RecordKey::document(namespace, key)?.raw;
        let Some(value) = self.parts().get(&raw_key)? else { return Ok(None) };
        let (_, short) = key::split(Space::Documents, &raw_key).unwrap_or_default();
        let (found, text) = key::document(short, &value)?;
        Ok((found == key).then(|| text.to_owned()))
    }

    /// The value that a key path leads to (spec database.md §4).
    ///
    /// # Errors
    /// NotFound when there is none, also where the way leads through something that is no container.
    fn item(&self, namespace: &str, path: &KeyPath) -> Result<Box<RawValue>> {
        let record = self.record_text(namespace, path.record())?;
        let found = record.as_deref().and_then(|text| document::locate(text, path.inner()));
        found.map(|text| to_raw(text.to_owned())).unwrap_or_else(|| Err(no_key(namespace, path)))
    }

    /// A whole namespace as one object.
    ///
    /// # Errors
    /// NotFound when the namespace holds nothing.
    fn whole_namespace(&self, namespace: &str) -> Result<Box<RawValue>> {
        let mut out = String::from("{");
        self.each_record(namespace, &mut |key, text| {
            if out.len() > 1 {
                out.push(',');
            }
            json::push_quoted(&mut out, key);
            out.push(':');
            out.push_str(text);
            Ok(ControlFlow::Continue(()))
        })?;
        if out.len() == 1 {
            return Err(no_namespace(namespace));
        }
        out.push('}');
        to_raw(out)
    }

    /// Calls `visit` with key and JSON text of every record, in the order of the keys, until it breaks.
    ///
    /// # Errors
    /// Those of `visit`; Failed when the file cannot be read.
    fn each_record(
        &self,
        namespace: &str,
        visit: &mut dyn FnMut(&str, &str) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        key::check_namespace(namespace)?;
        let range = key::range_of(key::prefix(Space::Documents, namespace));
        self.parts().scan(&range, false, &mut |raw, value| {
            let (_, short) = key::split(Space::Documents, raw).unwrap_or_default();
            let (key, text) = key::document(short, value)?;
            visit(key, text)
        })
    }
}

impl<T: Read + ?Sized> ReadDocuments for T {}

impl Writer<'_> {
    /// Stores a record under this key, taken literally. `null` is not stored; like in Moonraker, it leaves
    /// everything as it is (spec database.md §4).
    ///
    /// # Errors
    /// BadRequest for a key or value beyond the limits.
    pub fn put_record(&mut self, namespace: &str, key: &str, value: &RawValue) -> Result<()> {
        if !json::depth_within(value.get().as_bytes(), json::MAX_DEPTH) {
            return Err(Error::bad_request(format!(
                "The value is nested deeper than {} levels",
                json::MAX_DEPTH
            )));
        }
        if value.get().trim() == "null" {
            return Ok(());
        }
        self.put_text(namespace, key, document::minify(value.get()))
    }

    fn put_text(&mut self, namespace: &str, key: &str, text: String) -> Result<()> {
        let record = RecordKey::document(namespace, key)?;
        let value = record.value(key, text);
        self.put_raw(record.raw, value)
    }

    /// Stores a value at a key path. Missing parents are made; a record that is no object is replaced by one.
    ///
    /// # Errors
    /// BadRequest when a parent inside the record is no object, or beyond the limits.
    pub fn insert_item(&mut self, namespace: &str, path: &KeyPath, value: &RawValue) -> Result<()> {
        if path.inner().is_empty() {
            return self.put_record(namespace, path.record(), value);
        }
        let record = self.record_text(namespace, path.record())?;
        let base = match &record {
            Some(text) if document::is_object(text) => text,
            Some(_) => {
                log::info!("database: record '{}' of '{namespace}' is replaced by an object", path.record());
                "{}"
            }
            None => "{}",
        };
        let text = document::insert(base, path.inner(), &document::minify(value.get())).map_err(|_| {
            Error::bad_request(format!(
                "Item at key '{path}' in namespace '{namespace}' is not a dictionary object"
            ))
        })?;
        if !json::depth_within(text.as_bytes(), json::MAX_DEPTH) {
            return Err(Error::bad_request(format!(
                "The value is nested deeper than {} levels",
                json::MAX_DEPTH
            )));
        }
        self.put_text(namespace, path.record(), text)
    }

    /// Removes a record; gives what it held.
    ///
    /// # Errors
    /// BadRequest for a key that cannot exist.
    pub fn delete_record(&mut self, namespace: &str, key: &str) -> Result<Option<Box<RawValue>>> {
        let Some(text) = self.record_text(namespace, key)? else { return Ok(None) };
        self.delete_raw(RecordKey::document(namespace, key)?.raw)?;
        to_raw(text).map(Some)
    }

    /// Removes what a key path leads to; gives what it held. A record that is empty then goes, too.
    ///
    /// # Errors
    /// NotFound when there is nothing.
    pub fn delete_item(&mut self, namespace: &str, path: &KeyPath) -> Result<Box<RawValue>> {
        let missing = || no_key(namespace, path);
        if path.inner().is_empty() {
            return self.delete_record(namespace, path.record())?.ok_or_else(missing);
        }
        let text = self.record_text(namespace, path.record())?.ok_or_else(missing)?;
        let (removed, rest) = document::remove(&text, path.inner()).ok_or_else(missing)?;
        if document::is_empty(&rest) {
            self.delete_raw(RecordKey::document(namespace, path.record())?.raw)?;
        } else {
            self.put_text(namespace, path.record(), rest)?;
        }
        to_raw(removed)
    }

    /// Gives a record another key, replacing what is there; says whether it was there.
    ///
    /// # Errors
    /// BadRequest for a key that cannot exist.
    pub fn move_record(&mut self, namespace: &str, from: &str, to: &str) -> Result<bool> {
        let Some(text) = self.record_text(namespace, from)? else { return Ok(false) };
        self.delete_raw(RecordKey::document(namespace, from)?.raw)?;
        self.put_text(namespace, to, text)?;
        Ok(true)
    }

    /// Removes all records of a namespace; gives their number.
    ///
    /// # Errors
    /// BadRequest when that is more than one write may change.
    pub fn clear_namespace(&mut self, namespace: &str) -> Result<usize> {
        key::check_namespace(namespace)?;
        self.clear_range(key::prefix(Space::Documents, namespace))
    }

    pub(super) fn clear_range(&mut self, prefix: Vec<u8>) -> Result<usize> {
        let mut keys = Vec::new();
        self.parts().scan(&key::range_of(prefix), false, &mut |raw, _| {
            keys.push(raw.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
        let count = keys.len();
        for key in keys {
            self.delete_raw(key)?;
        }
        Ok(count)
    }
}

fn names(view: &(impl Read + ?Sized), space: Space) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut range = key::range_of(vec![space as u8]);
    loop {
        let mut found = None;
        view.parts().scan(&range, false, &mut |raw, _| {
            found = key::split(space, raw).map(|(name, _)| name.to_owned());
            Ok(ControlFlow::Break(()))
        })?;
        let Some(name) = found else {
            // "ab" lies before "a" in the file, because of what follows the name there
            names.sort_unstable();
            return Ok(names);
        };
        // the next namespace starts after the last possible key of this one
        range.0 = key::range_of(key::prefix(space, &name)).1;
        if let std::ops::Bound::Excluded(end) = range.0 {
            range.0 = std::ops::Bound::Included(end);
        }
        names.push(name);
    }
}

/// Stored text as a raw value. It was JSON when it was stored, so an error means a damaged file.
fn to_raw(text: String) -> Result<Box<RawValue>> {
    RawValue::from_string(text)
        .map_err(|error| Error::failed("The database holds a record that is not JSON").caused_by(error))
}

fn no_key(namespace: &str, path: &KeyPath) -> Error {
    Error::not_found(format!("Key '{path}' in namespace '{namespace}' not found"))
}

fn no_namespace(namespace: &str) -> Error {
    Error::not_found(format!("Namespace '{namespace}' not found"))
}
