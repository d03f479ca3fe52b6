//! The tables of the job history: their shape, for the part that keeps it and for moving in and out.
//!
//! `job_history`: id → print as JSON. `job_times`: id → its start and end, so that a filtered list need not look
//! at every print. `job_running`: the id of the print that runs, so that one that a power cut ended is found
//! without a search. `job_totals`: provider, 0, field → what all prints come to.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::table::{Rows, Table, id, number};
use super::{Error, Read, Result, Writer};
use crate::json;

/// The prints.
pub const JOBS: Table = Table("job_history");
/// Their times.
pub const TIMES: Table = Table("job_times");
/// The print that runs, under the one key [`RUNNING_ID`].
pub const RUNNING: Table = Table("job_running");
/// The one key of [`RUNNING`].
pub const RUNNING_ID: &[u8] = b"id";
const TOTALS: Table = Table("job_totals");
/// The provider of the history's own totals; no other may bear the name.
pub const OWN_TOTALS: &str = "history";

/// A print as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobRecord {
    /// Who printed.
    pub user: String,
    /// Path below `gcodes`.
    pub filename: String,
    /// How it stands or ended (spec behaviour.md §8).
    pub status: String,
    /// Seconds since 1970.
    pub start_time: f64,
    /// The same; none while it runs, and if it was interrupted.
    pub end_time: Option<f64>,
    /// Seconds spent printing.
    pub print_duration: f64,
    /// Seconds in all.
    pub total_duration: f64,
    /// Millimetres.
    pub filament_used: f64,
    /// What was known of the file.
    pub metadata: Box<RawValue>,
    /// What sensors and the like recorded.
    pub auxiliary_data: Box<RawValue>,
}

/// What is kept of a field over all prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Total {
    /// Who provides it.
    pub provider: String,
    /// Its name.
    pub field: String,
    /// The largest value of a print.
    pub maximum: Option<f64>,
    /// The sum over all prints.
    pub total: Option<f64>,
}

/// Start and end of a print, in seconds since 1970; no end is NaN.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it began.
    pub start: f64,
    /// When it ended.
    pub end: f64,
}

impl Times {
    fn of(record: &JobRecord) -> Self {
        Self { start: record.start_time, end: record.end_time.unwrap_or(f64::NAN) }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.start.to_le_bytes(), self.end.to_le_bytes()].concat()
    }

    /// Reads a row of [`TIMES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (start, end) = bytes.split_first_chunk()?;
        Some(Self { start: f64::from_le_bytes(*start), end: f64::from_le_bytes(end.try_into().ok()?) })
    }
}

/// The stored print with this id, as JSON text.
///
/// # Errors
/// When it cannot be read.
pub fn job(view: &(impl Read + ?Sized), number: u64) -> Result<Option<String>> {
    let Some(row) = JOBS.get(view, &id(number))? else { return Ok(None) };
    String::from_utf8(row.into_owned())
        .map(Some)
        .map_err(|error| Error::failed("A print in the history cannot be read").caused_by(error))
}

/// Stores a print, in place of the one with its id.
///
/// # Errors
/// BadRequest when it is too large.
pub fn put_job(writer: &mut Writer<'_>, number: u64, record: &JobRecord) -> Result<()> {
    JOBS.put(writer, &id(number), json::to_text(record))?;
    TIMES.put(writer, &id(number), Times::of(record).to_bytes())
}

/// Deletes a print; says whether it was there.
///
/// # Errors
/// When the file cannot be read.
pub fn delete_job(writer: &mut Writer<'_>, number: u64) -> Result<bool> {
    TIMES.delete(writer, &id(number))?;
    JOBS.delete(writer, &id(number))
}

/// The id after the largest: that of the newest print is used again when that is deleted, as in Moonraker.
///
/// # Errors
/// When the file cannot be read.
pub fn next_job_id(view: &(impl Read + ?Sized)) -> Result<u64> {
    let last = JOBS.last_key(view)?.and_then(|key| number(&key));
    Ok(last.unwrap_or_default().saturating_add(1))
}

/// All totals.
///
/// # Errors
/// When one cannot be read.
pub fn totals(view: &(impl Read + ?Sized)) -> Result<Vec<Total>> {
    let mut totals = Vec::new();
    TOTALS.scan(view, &Rows::ALL, |_, row| {
        let total = serde_json::from_slice(row)
            .map_err(|error| Error::failed("A total of the history cannot be read").caused_by(error))?;
        totals.push(total);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(totals)
}

/// Stores a total, in place of the one of its name.
///
/// # Errors
/// BadRequest when its name is too long.
pub fn put_total(writer: &mut Writer<'_>, total: &Total) -> Result<()> {
    let key = [total.provider.as_bytes(), &[0], total.field.as_bytes()].concat();
    TOTALS.put(writer, &key, json::to_text(total))
}

/// Removes all totals.
///
/// # Errors
/// When the file cannot be read.
pub fn clear_totals(writer: &mut Writer<'_>) -> Result<()> {
    TOTALS.clear(writer).map(drop)
}
