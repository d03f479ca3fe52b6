//! Lists of prints.

use std::ops::ControlFlow;
use std::path::Path;

use serde::Deserialize;

use super::job;
use crate::api::{Error, Result};
use crate::storage::history::{self, TIMES, Times};
use crate::storage::{self, Rows, Storage};

/// How many prints a list has when nothing is said.
const LIMIT: u64 = 50;
/// Largest list, in bytes of JSON. It ends there, and `count` tells how far it came: a history of years must not
/// fill the memory of a small board because a client wants all of it at once.
pub(super) const MAX_LIST: usize = 8 << 20;
/// How many prints are read from the database at once, so that others can read it meanwhile.
const AT_ONCE: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    Asc,
    Desc,
}

/// The arguments of `server.history.list`.
#[derive(Debug, Deserialize)]
pub(super) struct Arguments {
    before: Option<f64>,
    since: Option<f64>,
    limit: Option<i64>,
    start: Option<i64>,
    order: Option<Order>,
}

/// Which prints are wanted.
#[derive(Debug)]
pub(super) struct Filter {
    /// Only those that ended before this.
    before: Option<f64>,
    /// Only those that began after this.
    since: Option<f64>,
    /// None for no limit.
    limit: Option<u64>,
    /// How many are left out at the beginning.
    start: u64,
    order: Order,
}

impl Filter {
    /// # Errors
    /// 400 for a negative number of prints.
    pub(super) fn new(arguments: Arguments) -> Result<Self> {
        let count = |name: &str, number: Option<i64>, default: u64| match number.map(u64::try_from) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Error::bad_request(format!("Invalid `{name}` value: it is negative"))),
        };
        let limit = count("limit", arguments.limit, LIMIT)?;
        let start = count("start", arguments.start, 0)?;
        // -1 stands for none in Moonraker
        let time = |time: Option<f64>| time.filter(|time| *time != -1.0);
        Ok(Self {
            before: time(arguments.before),
            since: time(arguments.since),
            limit: (limit > 0).then_some(limit),
            start: if limit > 0 { start } else { 0 },
            order: arguments.order.unwrap_or(Order::Desc),
        })
    }

    fn takes(&self, times: Times) -> bool {
        // a print without an end ended before nothing
        self.before.is_none_or(|before| times.end < before)
            && self.since.is_none_or(|since| times.start > since)
    }

    /// The ids of the prints, in order.
    fn ids(&self, storage: &Storage) -> storage::Result<Vec<u64>> {
        let mut ids = Vec::new();
        let mut left_out = 0;
        let rows = if self.order == Order::Desc { Rows::NEWEST_FIRST } else { Rows::ALL };
        storage.read(|view| {
            TIMES.scan(view, &rows, |key, times| {
                let taken = Times::from_bytes(times).is_some_and(|times| self.takes(times));
                if taken && left_out < self.start {
                    left_out += 1;
                } else if taken {
                    ids.extend(storage::number(key));
                }
                let full = self.limit.is_some_and(|limit| ids.len() as u64 >= limit);
                Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })
        })?;
        Ok(ids)
    }
}

/// The answer of `server.history.list`. Asks the disk.
pub(super) fn list(storage: &Storage, filter: &Filter, gcodes: &Path) -> Result<String> {
    let mut count = 0u64;
    let mut jobs = String::new();
    for ids in filter.ids(storage)?.chunks(AT_ONCE) {
        let records = storage.read(|view| {
            let record = |id: &u64| Ok(history::job(view, *id)?.map(|record| (*id, record)));
            ids.iter().filter_map(|id| record(id).transpose()).collect::<storage::Result<Vec<_>>>()
        })?;
        for (id, record) in records {
            if jobs.len() + record.len() > MAX_LIST {
                return Ok(answer(count, &jobs));
            }
            if count > 0 {
                jobs.push(',');
            }
            jobs.push_str(&job::shown(&job::uid(id), &record, gcodes));
            count += 1;
        }
    }
    Ok(answer(count, &jobs))
}

fn answer(count: u64, jobs: &str) -> String {
    format!("{{\"count\":{count},\"jobs\":[{jobs}]}}")
}
