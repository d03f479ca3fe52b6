//! What the start and the end of a print change in the database.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::job;
use super::totals;
use crate::job_fields::Fields;
use crate::json;
use crate::storage::history::{self, JOBS, JobRecord, RUNNING, RUNNING_ID, delete_job, next_job_id, put_job};
use crate::storage::{self, KeyPath, Read, ReadDocuments, Result, Rows, Segment, Storage, Writer};

/// The namespace of what is known of files.
const METADATA: &str = "gcode_metadata";
/// How many prints one write deletes.
const DELETED_AT_ONCE: usize = 1000;

/// Stores a print that begins, with what is known of its file; gives its id.
pub(super) fn begin(writer: &mut Writer<'_>, mut record: JobRecord) -> Result<(u64, JobRecord)> {
    let id = next_job_id(writer)?;
    record.metadata = metadata_of(writer, &record.filename)?;
    put_job(writer, id, &record)?;
    RUNNING.put(writer, RUNNING_ID, storage::id(id))?;
    link(writer, &record, id)?;
    Ok((id, record))
}

/// Stores a print that has ended, and counts it.
pub(super) fn finish(
    writer: &mut Writer<'_>,
    id: Option<u64>,
    mut record: JobRecord,
    fields: &Arc<Fields>,
) -> Result<(u64, JobRecord)> {
    let id = id.map_or_else(|| next_job_id(writer), Ok)?;
    // the file may have been read only after the print began
    record.metadata = metadata_of(writer, &record.filename)?;
    put_job(writer, id, &record)?;
    RUNNING.delete(writer, RUNNING_ID)?;
    link(writer, &record, id)?;
    totals::add(writer, &record, fields)?;
    Ok((id, record))
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
fn link(writer: &mut Writer<'_>, record: &JobRecord, id: u64) -> Result<()> {
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

/// Deletes some prints, the oldest first; gives their ids, none when there is no more.
pub(super) fn delete_some(writer: &mut Writer<'_>) -> Result<Vec<u64>> {
    let mut ids = Vec::new();
    JOBS.scan(writer, &Rows::ALL, |key, _| {
        ids.extend(storage::number(key));
        Ok(if ids.len() < DELETED_AT_ONCE { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    ids.iter().try_for_each(|id| delete_job(writer, *id).map(drop))?;
    Ok(ids)
}

/// Closes a print that was in progress when the last run of the server ended without order. Its end is not known
/// (spec behaviour.md §8). Gives its id.
///
/// # Errors
/// When it cannot be stored.
pub async fn close_interrupted(storage: &Storage) -> Result<Option<u64>> {
    let has_one = storage.read(|view| Ok(RUNNING.get(view, RUNNING_ID)?.is_some()))?;
    if !has_one {
        return Ok(None);
    }
    storage.write(interrupt).await
}

fn interrupt(writer: &mut Writer<'_>) -> Result<Option<u64>> {
    let id = RUNNING.get(writer, RUNNING_ID)?.and_then(|id| storage::number(&id));
    RUNNING.delete(writer, RUNNING_ID)?;
    let Some((id, text)) = id.and_then(|id| Some((id, history::job(writer, id).ok()??))) else {
        return Ok(None);
    };
    let Ok(mut record) = serde_json::from_str::<JobRecord>(&text) else { return Ok(None) };
    job::interrupt(&mut record);
    put_job(writer, id, &record)?;
    Ok(Some(id))
}
