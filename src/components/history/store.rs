//! The tables of the history.
//!
//! `job_history`: id → print as JSON. `job_times`: id → its start and end, so that a filtered list need not look
//! at every print. `job_running`: the id of the print that runs, so that one that a power cut ended is found
//! without a search.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::job::{self, Record};
use super::totals;
use crate::json;
use crate::print::Fields;
use crate::storage::{
    self, Error, KeyPath, Read, ReadDocuments, Result, Rows, Segment, Storage, Table, Writer,
};

pub(super) const JOBS: Table = Table("job_history");
pub(super) const TIMES: Table = Table("job_times");
const RUNNING: Table = Table("job_running");
/// The one key of `job_running`.
const ID: &[u8] = b"id";
/// The namespace of what is known of files.
const METADATA: &str = "gcode_metadata";
/// How many prints one write deletes.
const DELETED_AT_ONCE: usize = 1000;

/// Start and end of a print, in seconds since 1970; no end is NaN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Times {
    fn of(record: &Record) -> Self {
        Self { start: record.start_time, end: record.end_time.unwrap_or(f64::NAN) }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.start.to_le_bytes(), self.end.to_le_bytes()].concat()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (start, end) = bytes.split_first_chunk()?;
        Some(Self { start: f64::from_le_bytes(*start), end: f64::from_le_bytes(end.try_into().ok()?) })
    }
}

/// The stored print with this id, as JSON text.
pub(super) fn get(view: &(impl Read + ?Sized), id: u64) -> Result<Option<String>> {
    let Some(row) = JOBS.get(view, &storage::id(id))? else { return Ok(None) };
    String::from_utf8(row.into_owned())
        .map(Some)
        .map_err(|error| Error::failed("A print in the history cannot be read").caused_by(error))
}

/// Stores a print, in place of the one with its id.
pub(super) fn put(writer: &mut Writer<'_>, id: u64, record: &Record) -> Result<()> {
    JOBS.put(writer, &storage::id(id), json::to_text(record))?;
    TIMES.put(writer, &storage::id(id), Times::of(record).to_bytes())
}

/// Stores a print that begins, with what is known of its file; gives its id.
pub(super) fn begin(writer: &mut Writer<'_>, mut record: Record) -> Result<(u64, Record)> {
    let id = next_id(writer)?;
    record.metadata = metadata_of(writer, &record.filename)?;
    put(writer, id, &record)?;
    RUNNING.put(writer, ID, storage::id(id))?;
    link(writer, &record, id)?;
    Ok((id, record))
}

/// Stores a print that has ended, and counts it.
pub(super) fn finish(
    writer: &mut Writer<'_>,
    id: Option<u64>,
    mut record: Record,
    fields: &Arc<Fields>,
) -> Result<(u64, Record)> {
    let id = id.map_or_else(|| next_id(writer), Ok)?;
    // the file may have been read only after the print began
    record.metadata = metadata_of(writer, &record.filename)?;
    put(writer, id, &record)?;
    RUNNING.delete(writer, ID)?;
    link(writer, &record, id)?;
    totals::add(writer, &record, fields)?;
    Ok((id, record))
}

/// The id after the largest: that of the newest print is used again when that is deleted, as in Moonraker.
fn next_id(view: &(impl Read + ?Sized)) -> Result<u64> {
    let last = JOBS.last_key(view)?.and_then(|key| storage::number(&key));
    Ok(last.unwrap_or_default().saturating_add(1))
}

/// What is known of a file, less what tells of its last print.
fn metadata_of(view: &(impl Read + ?Sized), filename: &str) -> Result<Box<RawValue>> {
    let record = if filename.is_empty() { None } else { view.record(METADATA, filename)? };
    let members = record.as_deref().map(|record| serde_json::from_str(record.get()));
    let mut members: BTreeMap<String, &RawValue> = match members {
        Some(Ok(members)) => members,
        _ => BTreeMap::new(),
    };
    for own in ["print_start_time", "job_id"] {
        members.remove(own);
    }
    Ok(json::to_raw(&members))
}

/// Notes in what is known of the file when it was last printed, and as which job.
fn link(writer: &mut Writer<'_>, record: &Record, id: u64) -> Result<()> {
    if record.filename.is_empty() || writer.record(METADATA, &record.filename)?.is_none() {
        return Ok(());
    }
    let notes =
        [("print_start_time", json::to_raw(&record.start_time)), ("job_id", json::to_raw(&job::uid(id)))];
    notes.iter().try_for_each(|(name, value)| {
        let path = [record.filename.as_str(), name].map(|name| Segment::Name(name.to_owned()));
        writer.insert_item(METADATA, &KeyPath::from_segments(path.to_vec())?, value)
    })
}

/// Deletes a print; says whether it was there.
pub(super) fn delete(writer: &mut Writer<'_>, id: u64) -> Result<bool> {
    TIMES.delete(writer, &storage::id(id))?;
    JOBS.delete(writer, &storage::id(id))
}

/// Deletes some prints, the oldest first; gives their ids, none when there is no more.
pub(super) fn delete_some(writer: &mut Writer<'_>) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    JOBS.scan(writer, &Rows::ALL, |key, _| {
        ids.extend(storage::number(key));
        Ok(if ids.len() < DELETED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    ids.iter().try_for_each(|id| delete(writer, *id).map(drop))?;
    Ok(ids)
}

/// Closes a print that was in progress when the last run of the server ended without order. Its end is not known
/// (spec behaviour.md §8). Gives its id.
///
/// # Errors
/// When it cannot be stored.
pub async fn close_interrupted(storage: &Storage) -> Result<Option<u64>> {
    let has_one = storage.read(|view| Ok(RUNNING.get(view, ID)?.is_some()))?;
    if !has_one {
        return Ok(None);
    }
    storage.write(interrupt).await
}

fn interrupt(writer: &mut Writer<'_>) -> Result<Option<u64>> {
    let id = RUNNING.get(writer, ID)?.and_then(|id| storage::number(&id));
    RUNNING.delete(writer, ID)?;
    let Some((id, text)) = id.and_then(|id| Some((id, get(writer, id).ok()??))) else { return Ok(None) };
    let Ok(mut record) = serde_json::from_str::<Record>(&text) else { return Ok(None) };
    record.interrupt();
    put(writer, id, &record)?;
    Ok(Some(id))
}
