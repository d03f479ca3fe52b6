//! The layout of Moonraker v0.9 and later (spec database.md §2).

use std::path::Path;

use serde_json::value::RawValue;

use super::sink::{Sink, unreadable};
use crate::json;
use crate::storage::history::{JobRecord, Total};
use crate::storage::sqlite_file::{Damage, Row, SqliteFile, Value};
use crate::storage::users::User;
use crate::storage::{Access, Error, Result, record};

/// What a table's rows are taken with.
type Take = fn(&mut Row<'_>, &mut Sink<'_>) -> Result<()>;

const TABLES: [(&str, Take); 4] =
    [("namespace_store", document), ("authorized_users", user), ("job_history", job), ("job_totals", total)];

/// Takes over a database.
pub(super) fn read(path: &Path, sink: &mut Sink<'_>) -> Result<()> {
    let file = SqliteFile::open(path).map_err(|damage| unreadable(path, damage))?;
    if !file.has_table("namespace_store") {
        return Err(Error::bad_request(format!("'{}' is no database of Moonraker", path.display())));
    }
    for (table, take) in TABLES {
        let mut failed = None;
        let visited = file.rows(table, &mut |mut row| {
            take(&mut row, sink).map_err(|error| {
                failed = Some(error);
                Damage::Stopped
            })
        });
        match (failed, visited) {
            (Some(error), _) => return Err(error),
            (None, Err(damage)) => return Err(unreadable(path, damage)),
            (None, Ok(())) => {}
        }
    }
    Ok(())
}

fn document(row: &mut Row<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let (namespace, key, value) =
        (row.take("namespace").into_text(), row.take("key").into_text(), row.take("value").into_bytes());
    let (Some(namespace), Some(key), Some(value)) = (namespace, key, value) else {
        sink.problem(format!("row {} of namespace_store", row.id));
        return Ok(());
    };
    let (text, mended) = match record::decode(&value) {
        Ok(decoded) => decoded,
        Err(error) => {
            sink.problem(format!("record '{key}' of '{namespace}': {}", error.message()));
            return Ok(());
        }
    };
    match (namespace.as_str(), key.as_str()) {
        ("database", "protected_namespaces") => sink.guards(Access::Protected, &text),
        ("database", "forbidden_namespaces") => sink.guards(Access::Forbidden, &text),
        ("database", "database_version") => Ok(()),
        _ => sink.document(&namespace, &key, text, mended),
    }
}

fn user(row: &mut Row<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let Some(username) = row.take("username").into_text() else { return Ok(()) };
    let groups = row.take("groups").into_text();
    sink.user(User {
        username,
        password: row.take("password").into_text().unwrap_or_default(),
        created_on: row.take("created_on").as_number().unwrap_or_default(),
        salt: row.take("salt").into_text().unwrap_or_default(),
        source: row.take("source").into_text().unwrap_or_else(|| "moonraker".to_owned()),
        jwt_secret: row.take("jwt_secret").into_text(),
        jwk_id: row.take("jwk_id").into_text(),
        groups: groups.and_then(|groups| serde_json::from_str(&groups).ok()),
    })
}

fn job(row: &mut Row<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let Ok(id) = u64::try_from(row.id) else {
        sink.problem(format!("a print with the id {}", row.id));
        return Ok(());
    };
    let text = |value: Value, default: &str| value.into_text().unwrap_or_else(|| default.to_owned());
    let record = JobRecord {
        user: text(row.take("user"), "No User"),
        filename: text(row.take("filename"), "unknown"),
        status: text(row.take("status"), "error"),
        start_time: row.take("start_time").as_number().unwrap_or_default(),
        end_time: row.take("end_time").as_number(),
        print_duration: row.take("print_duration").as_number().unwrap_or_default(),
        total_duration: row.take("total_duration").as_number().unwrap_or_default(),
        filament_used: row.take("filament_used").as_number().unwrap_or_default(),
        metadata: document_of(row.take("metadata"), "{}"),
        auxiliary_data: document_of(row.take("auxiliary_data"), "[]"),
    };
    sink.job(Some(id), record)
}

/// A column of JSON; `default` for what is none.
fn document_of(value: Value, default: &str) -> Box<RawValue> {
    let stored = value.into_bytes().and_then(|bytes| record::decode(&bytes).ok());
    let text = stored.map_or_else(|| default.to_owned(), |(text, _)| text);
    RawValue::from_string(text).unwrap_or_else(|_| json::to_raw(&()))
}

fn total(row: &mut Row<'_>, sink: &mut Sink<'_>) -> Result<()> {
    let (Some(provider), Some(field)) = (row.take("provider").into_text(), row.take("field").into_text())
    else {
        return Ok(());
    };
    sink.total(Total {
        provider,
        field,
        maximum: row.take("maximum").as_number(),
        total: row.take("total").as_number(),
    })
}
