//! The way back: a text backup in the layout that Moonraker reads (spec database.md §6 and §7).
//!
//! Moonraker's backup tool makes an LMDB database of it, which every version can take over. Records go from the
//! database to the file one by one, so a history of years needs no more memory than its largest print.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::backup::{self, Put};
use super::history::{self, JOBS, OWN_TOTALS};
use super::users::{self, API_KEY_USER};
use super::view::Reader;
use super::{Error, ReadDocuments, Result, Rows, Storage, number, record};

/// Longest key of LMDB, in bytes.
const MAX_KEY: usize = 511;
/// How many namespaces Moonraker's tool can take.
const MAX_NAMESPACES: usize = 100;
/// Length of a password's hash in Moonraker's form: 32 bytes as hexadecimal digits.
const HASH_LENGTH: usize = 64;

const USERS: &str = "authorized_users";
const HISTORY: &str = "history";
const MOONRAKER: &str = "moonraker";
/// The storage's own namespace. What Moonraker needs of it goes into a record of its own namespace.
const DATABASE: &str = "database";
/// Records that are made anew.
const OWN_RECORDS: [&str; 3] = ["history", "database", "database_version"];
/// Tables whose content Moonraker's namespaces can hold, or that follow from it.
const KNOWN_TABLES: [&str; 5] = [USERS, "job_history", "job_times", "job_running", "job_totals"];

/// What an export could not take along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Records whose keys are longer than Moonraker can store.
    pub long_keys: u64,
    /// Namespaces beyond those that Moonraker's tool can take, or with a name that it needs itself.
    pub namespaces: Vec<String>,
    /// Tables of things that Moonraker does not have.
    pub tables: Vec<String>,
    /// Users that must be given a new password there, because theirs was hashed in a better way here.
    pub users: Vec<String>,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.long_keys > 0 {
            writeln!(f, "left: {} records with keys that are too long for Moonraker", self.long_keys)?;
        }
        self.namespaces.iter().try_for_each(|name| {
            writeln!(f, "left: the namespace '{name}', for which Moonraker's tool has no place")
        })?;
        self.tables
            .iter()
            .try_for_each(|name| writeln!(f, "left: the table '{name}', which Moonraker does not have"))?;
        self.users.iter().try_for_each(|name| {
            writeln!(
                f,
                "user '{name}' needs a new password there: its hash is of a kind that Moonraker does not know"
            )
        })
    }
}

/// Writes everything that Moonraker knows to a file. Blocking.
///
/// # Errors
/// When the file cannot be written; what was at `path` is as it was then.
pub fn write(storage: &Storage, path: &Path) -> Result<Left> {
    let path = path.to_owned();
    smol::block_on(storage.chore(move |core| {
        let snapshot = core.snapshot()?;
        let view = Reader(&snapshot);
        let (names, left) = contents(&view)?;
        backup::write_plain(&path, &names, |name, put| match name {
            USERS => users_of(&view, put),
            HISTORY => jobs(&view, put),
            MOONRAKER => {
                documents(&view, name, put)?;
                own(&view, put)
            }
            _ => documents(&view, name, put),
        })?;
        Ok(left)
    }))
}

/// The namespaces that are written, and what is left.
fn contents(view: &Reader<'_>) -> Result<(Vec<String>, Left)> {
    let mut left = Left::default();
    let mut names = [MOONRAKER, USERS, HISTORY].map(str::to_owned).to_vec();
    for name in view.namespaces()?.into_iter().filter(|name| name != DATABASE && name != MOONRAKER) {
        match names.len() < MAX_NAMESPACES && !names.contains(&name) {
            true => names.push(name),
            false => left.namespaces.push(name),
        }
    }
    for name in names.iter().filter(|name| !matches!(name.as_str(), USERS | HISTORY)) {
        view.each_record(name, &mut |key, _| {
            left.long_keys += u64::from(key.len() > MAX_KEY);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    left.tables = view.tables()?;
    left.tables.retain(|name| !KNOWN_TABLES.contains(&name.as_str()));
    let needs_password = |user: &users::User| {
        user.username != API_KEY_USER && user.source == "moonraker" && user.password.len() != HASH_LENGTH
    };
    left.users = users::all(view)?.into_iter().filter(needs_password).map(|user| user.username).collect();
    Ok((names, left))
}

fn documents(view: &Reader<'_>, namespace: &str, put: Put<'_>) -> Result<()> {
    view.each_record(namespace, &mut |key, text| {
        let made_anew = namespace == MOONRAKER && OWN_RECORDS.contains(&key);
        if key.len() <= MAX_KEY && !made_anew {
            put(key.as_bytes(), &record::encode_for_moonraker(text))?;
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn users_of(view: &Reader<'_>, put: Put<'_>) -> Result<()> {
    users::all(view)?.into_iter().try_for_each(|user| {
        let mut value = serde_json::to_value(&user).unwrap_or_default();
        if user.username == API_KEY_USER {
            // before v0.9 the key stood under a name of its own
            value["api_key"] = user.password.clone().into();
        }
        put(user.username.as_bytes(), value.to_string().as_bytes())
    })
}

fn jobs(view: &Reader<'_>, put: Put<'_>) -> Result<()> {
    JOBS.scan(view, &Rows::ALL, |key, row| {
        let id = number(key).ok_or_else(|| Error::failed("A print in the history has no number"))?;
        put(format!("{id:06X}").as_bytes(), &with_id(id, row))?;
        Ok(ControlFlow::Continue(()))
    })
}

/// A print with its id in it. Moonraker numbers prints anew, and passes over a member that it does not know.
fn with_id(id: u64, row: &[u8]) -> Vec<u8> {
    match row.strip_prefix(b"{\"") {
        Some(members) => [format!("{{\"job_id\":{id},\"").as_bytes(), members].concat(),
        None => row.to_vec(),
    }
}

/// What Moonraker keeps of itself in its namespace.
fn own(view: &Reader<'_>, put: Put<'_>) -> Result<()> {
    let (own, others): (Vec<_>, Vec<_>) =
        history::totals(view)?.into_iter().partition(|total| total.provider == OWN_TOTALS);
    let own: BTreeMap<String, Option<f64>> =
        own.into_iter().map(|total| (total.field, total.total.or(total.maximum))).collect();
    put(b"history", json!({"job_totals": own, "aux_totals": others}).to_string().as_bytes())?;
    let mut database = Map::new();
    for key in ["unsafe_shutdowns", "protected_namespaces", "forbidden_namespaces"] {
        if let Some(value) = view.record(DATABASE, key)? {
            database.insert(key.to_owned(), serde_json::from_str(value.get()).unwrap_or_default());
        }
    }
    put(b"database", Value::Object(database).to_string().as_bytes())?;
    put(b"database_version", &record::encode("1"))
}
