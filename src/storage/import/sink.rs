//! Where what is taken over goes, and the count of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::ControlFlow;

use serde_json::value::RawValue;

use crate::storage::history::{self, JOBS, JobRecord, TIMES, Times, Total};
use crate::storage::users::{self, User};
use crate::storage::view::Read;
use crate::storage::{Access, Error, Kind, ReadDocuments, Result, Rows, Storage, Writer, id, key, number};

/// A write is made when so many bytes have come together.
const BATCH: usize = 256 << 10;
/// How many problems are told one by one.
const MAX_PROBLEMS: usize = 50;

/// How many were taken, and how many left because they were there already or could not be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Taken.
    pub taken: u64,
    /// Left.
    pub left: u64,
}

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Documents by their namespace.
    pub documents: BTreeMap<String, Count>,
    /// Users, the API key among them.
    pub users: Count,
    /// Prints of the history.
    pub jobs: Count,
    /// Totals of the history.
    pub totals: Count,
    /// Rows of a backup of Perigee's own.
    pub rows: Count,
    /// Documents in which NaN or an infinity became `null`.
    pub mended: u64,
    /// What was left for other reasons than being there already; not all, if there are many.
    pub problems: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts =
            [("users", self.users), ("prints", self.jobs), ("totals", self.totals), ("rows", self.rows)];
        let namespaces = self.documents.iter().map(|(name, count)| (format!("records of '{name}'"), *count));
        let all = parts.map(|(name, count)| (name.to_owned(), count)).into_iter().chain(namespaces);
        for (name, Count { taken, left }) in all.filter(|(_, count)| *count != Count::default()) {
            writeln!(f, "{name}: {taken} taken, {left} left")?;
        }
        if self.mended > 0 {
            writeln!(f, "{} records held numbers that JSON does not have; these are null now", self.mended)?;
        }
        self.problems.iter().try_for_each(|problem| writeln!(f, "left: {problem}"))
    }
}

/// Something to take over.
enum Item {
    Document { namespace: String, key: String, json: Box<RawValue> },
    User(User),
    Job { id: Option<u64>, record: Box<JobRecord> },
    Total(Total),
    Row { name: String, raw: Vec<u8>, value: Vec<u8> },
}

/// What became of an item.
enum Outcome {
    Taken,
    There,
    Refused(String),
}

/// Collects items and writes them in batches.
pub(super) struct Sink<'a> {
    storage: &'a Storage,
    report: Report,
    items: Vec<Item>,
    bytes: usize,
    /// When the prints of the history began, as bits: a print with the same start and file is the same print.
    starts: BTreeSet<(u64, String)>,
}

impl<'a> Sink<'a> {
    pub(super) fn new(storage: &'a Storage) -> Result<Self> {
        let starts = storage.read(known_starts)?;
        Ok(Self { storage, report: Report::default(), items: Vec::new(), bytes: 0, starts })
    }

    /// A document. `mended` tells that something in it had to be changed. `null` is no record.
    pub(super) fn document(&mut self, namespace: &str, key: &str, json: String, mended: bool) -> Result<()> {
        self.report.mended += u64::from(mended);
        if json == "null" {
            return Ok(());
        }
        let size = json.len();
        match RawValue::from_string(json) {
            Ok(json) => {
                let (namespace, key) = (namespace.to_owned(), key.to_owned());
                self.push(Item::Document { namespace, key, json }, size)
            }
            Err(error) => {
                self.problem(format!("record '{key}' of '{namespace}': {error}"));
                Ok(())
            }
        }
    }

    pub(super) fn user(&mut self, user: User) -> Result<()> {
        self.push(Item::User(user), 500)
    }

    /// A print; without an id it gets the next one.
    pub(super) fn job(&mut self, id: Option<u64>, mut record: JobRecord) -> Result<()> {
        if !self.starts.insert((record.start_time.to_bits(), record.filename.clone())) {
            self.report.jobs.left += 1;
            return Ok(());
        }
        if record.status == "in_progress" {
            // its server is gone
            record.status = "interrupted".to_owned();
        }
        let size = record.metadata.get().len() + record.auxiliary_data.get().len() + 300;
        self.push(Item::Job { id, record: Box::new(record) }, size)
    }

    pub(super) fn total(&mut self, total: Total) -> Result<()> {
        self.push(Item::Total(total), 200)
    }

    /// A row of one of Perigee's own tables.
    pub(super) fn row(&mut self, name: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let raw = key::row(name, key)?;
        let item = Item::Row { name: name.to_owned(), raw, value: value.to_vec() };
        self.push(item, key.len() + value.len())
    }

    /// Namespaces that clients may not write to, or not even see.
    pub(super) fn guards(&mut self, access: Access, names: &str) -> Result<()> {
        let names: Vec<String> = serde_json::from_str(names).unwrap_or_default();
        // namespaces that have become tables need no guard
        let names = names.into_iter().filter(|name| !matches!(name.as_str(), "authorized_users" | "history"));
        names.into_iter().try_for_each(|name| smol::block_on(self.storage.guard(&name, access)))
    }

    pub(super) fn problem(&mut self, text: String) {
        if self.report.problems.len() < MAX_PROBLEMS {
            self.report.problems.push(text);
        }
    }

    fn push(&mut self, item: Item, size: usize) -> Result<()> {
        self.items.push(item);
        self.bytes += size;
        if self.bytes < BATCH { Ok(()) } else { self.flush() }
    }

    fn flush(&mut self) -> Result<()> {
        let items = std::mem::take(&mut self.items);
        self.bytes = 0;
        let outcomes = self.storage.write_blocking(move |writer| {
            let take = |item| -> Result<(Kept, Outcome)> {
                let kept = Kept::of(&item);
                Ok((kept, take(writer, item)?))
            };
            items.into_iter().map(take).collect::<Result<Vec<_>>>()
        })?;
        for (kept, outcome) in outcomes {
            self.count(kept, outcome);
        }
        Ok(())
    }

    fn count(&mut self, kept: Kept, outcome: Outcome) {
        let count = match &kept {
            Kept::Document(namespace, _) => self.report.documents.entry(namespace.clone()).or_default(),
            Kept::User(_) => &mut self.report.users,
            Kept::Job(_) => &mut self.report.jobs,
            Kept::Total => &mut self.report.totals,
            Kept::Row => &mut self.report.rows,
        };
        match outcome {
            Outcome::Taken => count.taken += 1,
            Outcome::There => count.left += 1,
            Outcome::Refused(why) => {
                count.left += 1;
                self.problem(format!("{kept}: {why}"));
            }
        }
    }

    pub(super) fn finish(mut self) -> Result<Report> {
        self.flush()?;
        Ok(self.report)
    }
}

/// What an item was, after it is gone.
enum Kept {
    Document(String, String),
    User(String),
    Job(String),
    Total,
    Row,
}

impl Kept {
    fn of(item: &Item) -> Self {
        match item {
            Item::Document { namespace, key, .. } => {
                Self::Document(namespace.clone(), key.chars().take(80).collect())
            }
            Item::User(user) => Self::User(user.username.clone()),
            Item::Job { record, .. } => Self::Job(record.filename.clone()),
            Item::Total(_) => Self::Total,
            Item::Row { .. } => Self::Row,
        }
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(namespace, key) => write!(f, "record '{key}' of '{namespace}'"),
            Self::User(name) => write!(f, "user '{name}'"),
            Self::Job(filename) => write!(f, "a print of '{filename}'"),
            Self::Total => f.write_str("a total"),
            Self::Row => f.write_str("a row"),
        }
    }
}

fn take(writer: &mut Writer<'_>, item: Item) -> Result<Outcome> {
    let taken = match item {
        Item::Document { namespace, key, json } => match writer.record(&namespace, &key) {
            Ok(Some(_)) => return Ok(Outcome::There),
            Ok(None) => writer.put_record(&namespace, &key, &json),
            Err(error) => Err(error),
        },
        Item::User(user) => match users::get(writer, &user.username) {
            Ok(Some(_)) => return Ok(Outcome::There),
            Ok(None) => users::put(writer, &user),
            Err(error) => Err(error),
        },
        Item::Job { id, record } => {
            let wanted = match id {
                Some(number) if JOBS.get(writer, &id_key(number))?.is_none() => number,
                _ => history::next_job_id(writer)?,
            };
            history::put_job(writer, wanted, &record)
        }
        Item::Total(total) => {
            let same = |known: &Total| known.provider == total.provider && known.field == total.field;
            if history::totals(writer)?.iter().any(same) {
                return Ok(Outcome::There);
            }
            history::put_total(writer, &total)
        }
        Item::Row { name, raw, value } => {
            if writer.parts().get(&raw)?.is_some() {
                return Ok(Outcome::There);
            }
            log::debug!("import: a row of '{name}'");
            writer.put_raw(raw, value)
        }
    };
    match taken {
        Ok(()) => Ok(Outcome::Taken),
        // the record is at fault, the others can be taken
        Err(error) if error.kind() == Kind::BadRequest => Ok(Outcome::Refused(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

fn id_key(number: u64) -> [u8; 8] {
    id(number)
}

/// Start and file of every print of the history.
fn known_starts(view: &crate::storage::Reader<'_>) -> Result<BTreeSet<(u64, String)>> {
    #[derive(serde::Deserialize)]
    struct File {
        filename: String,
    }
    let mut starts = BTreeSet::new();
    TIMES.scan(view, &Rows::ALL, |key, times| {
        let job = number(key).map(|number| history::job(view, number)).transpose()?.flatten();
        let file = job.and_then(|job| serde_json::from_str::<File>(&job).ok());
        if let (Some(times), Some(file)) = (Times::from_bytes(times), file) {
            starts.insert((times.start.to_bits(), file.filename));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(starts)
}

/// An error that a damaged source gives.
pub(super) fn unreadable(
    path: &std::path::Path,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::bad_request(format!("'{}' cannot be read: {cause}", path.display())).caused_by(cause)
}
