//! The way back: a text backup in the layout that Moonraker reads (spec database.md §6 and §7).
//!
//! Moonraker's backup tool makes an LMDB database of it, which every version can take over.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use super::backup::Records;
use super::history::{self, JOBS, OWN_TOTALS};
use super::users::{self, API_KEY_USER};
use super::view::Reader;
use super::{Error, ReadDocuments, Result, Rows, Storage, backup, number, record};

/// Longest key of LMDB, in bytes.
const MAX_KEY: usize = 511;
/// How many namespaces Moonraker's tool can take.
const MAX_NAMESPACES: usize = 100;

/// What an export could not take along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Records whose keys are longer than Moonraker can store.
    pub long_keys: u64,
    /// Namespaces beyond those that Moonraker's tool can take.
    pub namespaces: Vec<String>,
}

type Namespaces = BTreeMap<String, Records>;

/// Writes everything that Moonraker knows to a file. Blocking.
///
/// # Errors
/// When the file cannot be written.
pub fn write(storage: &Storage, path: &Path) -> Result<Left> {
    let mut left = Left::default();
    let mut all = storage.read(|view| {
        let mut all = documents(view, &mut left)?;
        all.insert("authorized_users".to_owned(), users_of(view)?);
        all.insert("history".to_owned(), jobs(view)?);
        own(view, all.entry("moonraker".to_owned()).or_default())?;
        Ok(all)
    })?;
    while all.len() > MAX_NAMESPACES {
        left.namespaces.extend(all.pop_last().map(|(name, _)| name));
    }
    backup::write_plain(path, &all)?;
    Ok(left)
}

fn documents(view: &Reader<'_>, left: &mut Left) -> Result<Namespaces> {
    let mut all = Namespaces::new();
    for namespace in view.namespaces()?.into_iter().filter(|name| name != "database") {
        let records = all.entry(namespace.clone()).or_default();
        view.each_record(&namespace, &mut |key, text| {
            match key.len() <= MAX_KEY {
                true => records.push((key.as_bytes().to_vec(), record::encode_for_moonraker(text))),
                false => left.long_keys += 1,
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(all)
}

fn users_of(view: &Reader<'_>) -> Result<Records> {
    let entry = |user: users::User| {
        let mut value = serde_json::to_value(&user).unwrap_or_default();
        if user.username == API_KEY_USER {
            // before v0.9 the key stood under a name of its own
            value["api_key"] = user.password.clone().into();
        }
        (user.username.into_bytes(), value.to_string().into_bytes())
    };
    Ok(users::all(view)?.into_iter().map(entry).collect())
}

fn jobs(view: &Reader<'_>) -> Result<Records> {
    let mut jobs = Vec::new();
    JOBS.scan(view, &Rows::ALL, |key, row| {
        let id = number(key).ok_or_else(|| Error::failed("A print in the history has no number"))?;
        jobs.push((format!("{id:06X}").into_bytes(), row.to_vec()));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(jobs)
}

/// What Moonraker keeps of itself in its namespace.
fn own(view: &Reader<'_>, records: &mut Records) -> Result<()> {
    let (own, others): (Vec<_>, Vec<_>) =
        history::totals(view)?.into_iter().partition(|total| total.provider == OWN_TOTALS);
    let own: BTreeMap<String, Option<f64>> =
        own.into_iter().map(|total| (total.field, total.total.or(total.maximum))).collect();
    let totals = serde_json::json!({"job_totals": own, "aux_totals": others});
    records.push((b"history".to_vec(), totals.to_string().into_bytes()));
    let mut database = serde_json::Map::new();
    for key in ["unsafe_shutdowns", "protected_namespaces", "forbidden_namespaces"] {
        if let Some(value) = view.record("database", key)? {
            database.insert(key.to_owned(), serde_json::from_str(value.get()).unwrap_or_default());
        }
    }
    records.push((b"database".to_vec(), serde_json::Value::Object(database).to_string().into_bytes()));
    records.push((b"database_version".to_vec(), record::encode("1")));
    Ok(())
}
