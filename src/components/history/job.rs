//! One print in the history.

use std::borrow::Cow;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::api::{Error, Result};
use crate::json;
use crate::print::{JobStats, file_below};
use crate::storage::history::JobRecord;
use crate::time;

/// How a print stands or ended (spec behaviour.md §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    InProgress,
    Completed,
    Cancelled,
    Error,
    KlippyShutdown,
    KlippyDisconnect,
    ServerExit,
    /// It was in progress when the power failed.
    Interrupted,
}

impl Status {
    fn name(self) -> String {
        json::to_text(&self).trim_matches('"').to_owned()
    }
}

/// A print that begins now.
pub(super) fn begun(user: &str, stats: &JobStats) -> JobRecord {
    JobRecord {
        user: user.to_owned(),
        filename: stats.filename.clone(),
        status: Status::InProgress.name(),
        start_time: time::now(),
        end_time: None,
        print_duration: stats.print_duration,
        total_duration: stats.total_duration,
        filament_used: stats.filament_used,
        metadata: json::to_raw(&serde_json::Map::new()),
        auxiliary_data: json::to_raw(&[(); 0]),
    }
}

/// A print ends now. Stats that are of another print, or were reset, are left out.
pub(super) fn end(record: &mut JobRecord, status: Status, stats: &JobStats) {
    record.end_time = Some(time::now());
    record.status = status.name();
    if stats.filename == record.filename && stats.total_duration >= record.total_duration {
        record.print_duration = stats.print_duration;
        record.total_duration = stats.total_duration;
        record.filament_used = stats.filament_used;
    }
}

/// A print was in progress when the power failed.
pub(super) fn interrupt(record: &mut JobRecord) {
    record.status = Status::Interrupted.name();
}

/// An id as clients see it.
pub(super) fn uid(id: u64) -> String {
    format!("{id:06X}")
}

/// The id that a client means.
///
/// # Errors
/// 400 when it is no hexadecimal number.
pub(super) fn parse_uid(uid: &str) -> Result<u64> {
    u64::from_str_radix(uid.trim(), 16).map_err(|_| Error::bad_request(format!("Invalid job uid: {uid}")))
}

pub(super) fn unknown(uid: &str) -> Error {
    Error::not_found(format!("Invalid job uid: {uid}"))
}

/// A stored print as clients see it: with its id, and whether its file is still the one that was printed. Asks
/// the disk.
pub(super) fn shown(uid: &str, record: &str, gcodes: &Path) -> String {
    let mut out = String::with_capacity(record.len() + uid.len() + 32);
    out.push_str("{\"job_id\":");
    json::push_quoted(&mut out, uid);
    out.push_str(",\"exists\":");
    out.push_str(if exists(record, gcodes) { "true" } else { "false" });
    match record.strip_prefix('{') {
        Some("}") | None => out.push('}'),
        Some(members) => {
            out.push(',');
            out.push_str(members);
        }
    }
    out
}

/// Whether the file is there, and as old as it was. Times are compared as Moonraker compares them: they are
/// equal within 1e-9 of their size, which is about 1.7 seconds.
fn exists(record: &str, gcodes: &Path) -> bool {
    #[derive(Deserialize)]
    struct File<'a> {
        #[serde(borrow)]
        filename: Cow<'a, str>,
        #[serde(default)]
        metadata: Modified,
    }
    #[derive(Default, Deserialize)]
    struct Modified {
        #[serde(default)]
        modified: Option<f64>,
    }
    let Ok(File { filename, metadata: Modified { modified } }) = serde_json::from_str(record) else {
        return false;
    };
    let found = file_below(gcodes, &filename).and_then(|path| std::fs::metadata(path).ok());
    let Some(found) = found else { return false };
    let time = found.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let time = time.map_or(0.0, |time| time.as_secs_f64());
    found.is_file() && modified.is_none_or(|known| (known - time).abs() <= 1e-9 * known.abs().max(time))
}
