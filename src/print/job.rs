//! The state of a print as Klippy's `print_stats` tells it, and the events in it (spec behaviour.md §7).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use crate::sync::lock;

/// `print_stats.state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Nothing has been printed since Klippy started, or the file was let go.
    #[default]
    Standby,
    /// A print runs.
    Printing,
    /// A print waits.
    Paused,
    /// The print came to its end.
    Complete,
    /// Klippy ended the print.
    Error,
    /// Somebody ended the print.
    Cancelled,
}

impl JobState {
    fn is_idle(self) -> bool {
        !matches!(self, Self::Printing | Self::Paused)
    }
}

/// `print_stats` as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobStats {
    /// Path below `gcodes`; empty when no file is loaded.
    pub filename: String,
    /// What is going on.
    pub state: JobState,
    /// Seconds since the start.
    pub total_duration: f64,
    /// Seconds that were spent printing.
    pub print_duration: f64,
    /// Millimetres.
    pub filament_used: f64,
}

impl JobStats {
    /// The fields of `print_stats` that are read.
    pub const FIELDS: [&str; 5] = ["filename", "state", "total_duration", "print_duration", "filament_used"];

    /// Takes over the fields of an update: field name → JSON text. What is no value of its field is left out.
    fn apply(&mut self, fields: &BTreeMap<Arc<str>, Arc<str>>) {
        fn take<'a, T: Deserialize<'a>>(place: &mut T, text: Option<&'a Arc<str>>) {
            if let Some(value) = text.and_then(|text| serde_json::from_str(text).ok()) {
                *place = value;
            }
        }
        take(&mut self.filename, fields.get("filename"));
        take(&mut self.state, fields.get("state"));
        take(&mut self.total_duration, fields.get("total_duration"));
        take(&mut self.print_duration, fields.get("print_duration"));
        take(&mut self.filament_used, fields.get("filament_used"));
    }
}

/// What happened to a print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// The file was let go.
    Standby,
    /// A print began.
    Started,
    /// It waits.
    Paused,
    /// It goes on.
    Resumed,
    /// It came to its end.
    Complete,
    /// Klippy ended it.
    Error,
    /// Somebody ended it.
    Cancelled,
}

/// An event with the state before and after it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobChange {
    /// What happened.
    pub event: JobEvent,
    /// Before.
    pub previous: JobStats,
    /// After.
    pub current: JobStats,
}

/// The print of this moment, shared by the part that follows it and those that ask.
#[derive(Debug, Default)]
pub struct Job {
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    stats: JobStats,
    /// Whether Klippy reports.
    live: bool,
}

impl Job {
    /// The last that Klippy said, also after it went away.
    pub fn stats(&self) -> JobStats {
        lock(&self.now).stats.clone()
    }

    /// Klippy has come and says this. A print that runs already is no event.
    pub fn begin(&self, fields: &BTreeMap<Arc<str>, Arc<str>>) {
        let mut now = lock(&self.now);
        now.stats = JobStats::default();
        now.stats.apply(fields);
        now.live = true;
    }

    /// Klippy has gone. A print that ran has failed, which is told by nobody.
    pub fn end(&self) {
        let mut now = lock(&self.now);
        now.live = false;
        if !now.stats.state.is_idle() {
            now.stats.state = JobState::Error;
        }
    }

    /// Klippy reports changed fields of `print_stats`; gives the events in it. Nothing before [`Job::begin`].
    pub fn update(&self, fields: &BTreeMap<Arc<str>, Arc<str>>) -> Vec<JobChange> {
        let mut now = lock(&self.now);
        if !now.live {
            return Vec::new();
        }
        let previous = now.stats.clone();
        now.stats.apply(fields);
        let current = now.stats.clone();
        let change = |event| JobChange { event, previous: previous.clone(), current: current.clone() };
        events(&previous, &current).into_iter().flatten().map(change).collect()
    }
}

/// The events between two states. A print that was over before it was seen to begin has begun, too.
fn events(previous: &JobStats, current: &JobStats) -> [Option<JobEvent>; 2] {
    let goes_on = previous.filename == current.filename && current.total_duration > previous.total_duration;
    let event = match (previous.state, current.state) {
        (old, new) if old == new => return [None, None],
        (JobState::Paused, JobState::Printing) if goes_on => JobEvent::Resumed,
        (_, JobState::Printing) => JobEvent::Started,
        (_, JobState::Standby) => JobEvent::Standby,
        (_, JobState::Paused) => JobEvent::Paused,
        (_, JobState::Complete) => JobEvent::Complete,
        (_, JobState::Error) => JobEvent::Error,
        (_, JobState::Cancelled) => JobEvent::Cancelled,
    };
    let unseen = previous.state.is_idle() && !matches!(event, JobEvent::Started | JobEvent::Standby);
    [unseen.then_some(JobEvent::Started), Some(event)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> BTreeMap<Arc<str>, Arc<str>> {
        list.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect()
    }

    fn after(from: &str, to: &[(&str, &str)]) -> Vec<JobEvent> {
        let job = Job::default();
        let from = format!("\"{from}\"");
        job.begin(&fields(&[("state", &from), ("filename", "\"a\""), ("total_duration", "10")]));
        job.update(&fields(to)).iter().map(|change| change.event).collect()
    }

    #[test]
    fn every_row_of_the_table() {
        use JobEvent::*;
        for idle in ["standby", "complete", "cancelled", "error"] {
            assert_eq!(after(idle, &[("state", "\"printing\"")]), [Started], "{idle}");
            assert_eq!(after(idle, &[("state", "\"paused\"")]), [Started, Paused], "{idle}");
        }
        assert_eq!(after("complete", &[("state", "\"error\"")]), [Started, Error]);
        assert_eq!(after("error", &[("state", "\"standby\"")]), [Standby]);
        assert_eq!(after("paused", &[("state", "\"printing\""), ("total_duration", "11")]), [Resumed]);
        assert_eq!(after("paused", &[("state", "\"printing\""), ("total_duration", "0")]), [Started]);
        let other = [("state", "\"printing\""), ("total_duration", "11"), ("filename", "\"b\"")];
        assert_eq!(after("paused", &other), [Started]);
        for (to, event) in [
            ("paused", Paused),
            ("complete", Complete),
            ("error", Error),
            ("cancelled", Cancelled),
            ("standby", Standby),
        ] {
            assert_eq!(after("printing", &[("state", &format!("\"{to}\""))]), [event]);
        }
        assert_eq!(after("printing", &[("total_duration", "11")]), []);
        assert_eq!(after("printing", &[("state", "\"unheard of\""), ("filename", "null")]), []);
    }

    #[test]
    fn nothing_is_told_of_a_print_that_runs_when_klippy_comes() {
        let job = Job::default();
        assert!(job.update(&fields(&[("state", "\"printing\"")])).is_empty());
        job.begin(&fields(&[("state", "\"printing\""), ("print_duration", "5.5")]));
        assert_eq!(job.stats().print_duration, 5.5);
        job.end();
        assert_eq!(job.stats().state, JobState::Error);
        assert!(job.update(&fields(&[("state", "\"complete\"")])).is_empty());
    }
}
