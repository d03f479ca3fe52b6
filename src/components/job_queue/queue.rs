//! The list of files, in memory and on disk.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::api::{self, Error};
use crate::json;
use crate::storage::{Result, Storage, Table};
use crate::time;

const TABLE: Table = Table("job_queue");
/// The one key: the list is short, and each change writes one row.
const LIST: &[u8] = b"list";

/// What the queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It goes on when the print is done.
    Ready,
    /// It prepares to start a print.
    Loading,
    /// It starts a print.
    Starting,
    /// It does nothing.
    Paused,
}

/// A file that waits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Queued {
    pub(super) job_id: String,
    /// Path below `gcodes`.
    pub(super) filename: String,
    /// Seconds since 1970.
    pub(super) time_added: f64,
    /// Who added it.
    #[serde(default)]
    pub(super) user: Option<Arc<str>>,
}

impl Queued {
    /// A file that is added now.
    pub(super) fn new(filename: String, user: Option<Arc<str>>) -> api::Result<Self> {
        let id = getrandom::u64();
        let id =
            id.map_err(|error| Error::internal("There is no source of random numbers").caused_by(error))?;
        Ok(Self { job_id: format!("{id:016X}"), filename, time_added: time::now(), user })
    }
}

/// The queue.
pub(super) struct Queue {
    pub(super) jobs: Vec<Queued>,
    pub(super) state: State,
    /// Whether somebody asked for the pause.
    pub(super) held_by_user: bool,
    /// Counts up; a print that was to start in an earlier turn does not.
    pub(super) turn: u64,
}

impl Queue {
    pub(super) fn new(jobs: Vec<Queued>) -> Self {
        Self { jobs, state: State::Paused, held_by_user: false, turn: 0 }
    }

    pub(super) fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}

/// The stored list.
pub(super) fn load(storage: &Storage) -> Result<Vec<Queued>> {
    storage.read(|view| {
        let row = TABLE.get(view, LIST)?;
        // a list that an unknown version wrote is left out rather than half understood
        Ok(row.and_then(|row| serde_json::from_slice(&row).ok()).unwrap_or_default())
    })
}

/// Stores the list.
pub(super) async fn store(storage: &Storage, jobs: &[Queued]) -> Result<()> {
    let list = (!jobs.is_empty()).then(|| json::to_text(jobs));
    storage
        .write(move |writer| match list {
            Some(list) => TABLE.put(writer, LIST, list),
            None => TABLE.delete(writer, LIST).map(drop),
        })
        .await
}
