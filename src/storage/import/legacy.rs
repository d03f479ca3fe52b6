//! The layout of Moonraker before v0.9: everything in namespaces (spec database.md §6).

use serde::Deserialize;
use serde_json::value::RawValue;

use super::sink::Sink;
use crate::json;
use crate::storage::history::{JobRecord, OWN_TOTALS, Total};
use crate::storage::users::User;
use crate::storage::{Access, Result, record};

/// A print of the namespace `history`. What is missing has the values that v0.10 gives it.
#[derive(Deserialize)]
struct Job {
    user: Option<String>,
    filename: Option<String>,
    status: Option<String>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    print_duration: Option<f64>,
    total_duration: Option<f64>,
    filament_used: Option<f64>,
    metadata: Option<Box<RawValue>>,
    auxiliary_data: Option<Box<RawValue>>,
}

impl From<Job> for JobRecord {
    fn from(job: Job) -> Self {
        let empty = |text: &str| RawValue::from_string(text.to_owned()).unwrap_or_else(|_| json::to_raw(&()));
        Self {
            user: job.user.unwrap_or_else(|| "No User".to_owned()),
            filename: job.filename.unwrap_or_else(|| "unknown".to_owned()),
            status: job.status.unwrap_or_else(|| "error".to_owned()),
            start_time: job.start_time.unwrap_or_default(),
            end_time: job.end_time,
            print_duration: job.print_duration.unwrap_or_default(),
            total_duration: job.total_duration.unwrap_or_default(),
            filament_used: job.filament_used.unwrap_or_default(),
            metadata: job.metadata.unwrap_or_else(|| empty("{}")),
            auxiliary_data: job.auxiliary_data.unwrap_or_else(|| empty("[]")),
        }
    }
}

/// The record `history` of the namespace `moonraker`.
#[derive(Deserialize)]
struct Totals {
    #[serde(default)]
    job_totals: std::collections::BTreeMap<String, f64>,
    #[serde(default)]
    aux_totals: Vec<Total>,
}

/// The record `database` of the namespace `moonraker`.
#[derive(Deserialize)]
struct Own {
    unsafe_shutdowns: Option<u64>,
    protected_namespaces: Option<Box<RawValue>>,
    forbidden_namespaces: Option<Box<RawValue>>,
}

/// A record of the namespace `authorized_users`.
#[derive(Deserialize)]
struct OldUser {
    username: String,
    password: Option<String>,
    /// In place of a password, for the user that stands for the API key.
    api_key: Option<String>,
    #[serde(default)]
    created_on: f64,
    salt: Option<String>,
    source: Option<String>,
    jwt_secret: Option<String>,
    jwk_id: Option<String>,
    groups: Option<Vec<String>>,
}

/// Takes one record. Empty keys and values are no records.
pub(super) fn take(namespace: &str, key: &[u8], value: &[u8], sink: &mut Sink<'_>) -> Result<()> {
    if key.is_empty() || value.is_empty() {
        return Ok(());
    }
    let Ok(key) = std::str::from_utf8(key) else {
        sink.problem(format!("a record of '{namespace}' whose key is no text"));
        return Ok(());
    };
    let (text, mended) = match record::decode(value) {
        Ok(decoded) => decoded,
        Err(error) => {
            sink.problem(format!("record '{key}' of '{namespace}': {}", error.message()));
            return Ok(());
        }
    };
    let unknown = |error: serde_json::Error| format!("record '{key}' of '{namespace}': {error}");
    let taken = match (namespace, key) {
        ("authorized_users", _) => serde_json::from_str(&text).map(|user| take_user(user, sink)),
        ("history", _) => serde_json::from_str::<Job>(&text).map(|job| sink.job(None, job.into())),
        ("moonraker", "history") => serde_json::from_str(&text).map(|totals| take_totals(totals, sink)),
        ("moonraker", "database") => serde_json::from_str(&text).map(|own| take_own(own, sink)),
        ("moonraker", "database_version") => Ok(Ok(())),
        _ => Ok(sink.document(namespace, key, text, mended)),
    };
    taken.unwrap_or_else(|error| {
        sink.problem(unknown(error));
        Ok(())
    })
}

fn take_user(user: OldUser, sink: &mut Sink<'_>) -> Result<()> {
    sink.user(User {
        username: user.username,
        password: user.api_key.or(user.password).unwrap_or_default(),
        created_on: user.created_on,
        salt: user.salt.unwrap_or_default(),
        source: user.source.unwrap_or_else(|| "moonraker".to_owned()),
        jwt_secret: user.jwt_secret,
        jwk_id: user.jwk_id,
        groups: user.groups,
    })
}

fn take_totals(totals: Totals, sink: &mut Sink<'_>) -> Result<()> {
    for (field, amount) in totals.job_totals {
        let is_sum = field.starts_with("total_");
        let (maximum, total) = ((!is_sum).then_some(amount), is_sum.then_some(amount));
        sink.total(Total { provider: OWN_TOTALS.to_owned(), field, maximum, total })?;
    }
    totals.aux_totals.into_iter().try_for_each(|total| sink.total(total))
}

fn take_own(own: Own, sink: &mut Sink<'_>) -> Result<()> {
    if let Some(count) = own.unsafe_shutdowns {
        sink.document("database", "unsafe_shutdowns", count.to_string(), false)?;
    }
    for (access, names) in
        [(Access::Protected, own.protected_namespaces), (Access::Forbidden, own.forbidden_namespaces)]
    {
        if let Some(names) = names {
            sink.guards(access, names.get())?;
        }
    }
    Ok(())
}
