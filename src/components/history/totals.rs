//! What all prints come to, kept up to date with each, so that nobody has to add them up.

use std::sync::Arc;

use serde::Serialize;

use crate::job_fields::Fields;
use crate::storage::history::{self, JobRecord, OWN_TOTALS, Total, clear_totals, put_total};
use crate::storage::{Read, Result, Writer};

/// A total: none before the first print. Clients get the number 0 then, and one with a point afterwards, as from
/// Moonraker.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Amount(Option<f64>);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self.0 {
            Some(amount) => serializer.serialize_f64(amount),
            None => serializer.serialize_u8(0),
        }
    }
}

/// The totals of the history itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct JobTotals {
    pub(super) total_jobs: Amount,
    pub(super) total_time: Amount,
    pub(super) total_print_time: Amount,
    pub(super) total_filament_used: Amount,
    pub(super) longest_job: Amount,
    pub(super) longest_print: Amount,
}

impl JobTotals {
    fn fields(&mut self) -> [(&'static str, &mut Amount); 6] {
        [
            ("total_jobs", &mut self.total_jobs),
            ("total_time", &mut self.total_time),
            ("total_print_time", &mut self.total_print_time),
            ("total_filament_used", &mut self.total_filament_used),
            ("longest_job", &mut self.longest_job),
            ("longest_print", &mut self.longest_print),
        ]
    }
}

/// The totals of the history, and those of others.
pub(super) fn read(view: &(impl Read + ?Sized)) -> Result<(JobTotals, Vec<Total>)> {
    let mut totals = JobTotals::default();
    let (own, others): (Vec<Total>, _) =
        history::totals(view)?.into_iter().partition(|total| total.provider == OWN_TOTALS);
    for total in own {
        if let Some((_, amount)) = totals.fields().into_iter().find(|(name, _)| *name == total.field) {
            amount.0 = total.total.or(total.maximum);
        }
    }
    Ok((totals, others))
}

/// Counts a print in.
pub(super) fn add(writer: &mut Writer<'_>, record: &JobRecord, fields: &Arc<Fields>) -> Result<()> {
    let (mut totals, others) = read(writer)?;
    let sum = |amount: &mut Amount, value: f64| amount.0 = Some(amount.0.unwrap_or_default() + value);
    let max = |amount: &mut Amount, value: f64| amount.0 = Some(amount.0.unwrap_or_default().max(value));
    sum(&mut totals.total_jobs, 1.0);
    sum(&mut totals.total_time, record.total_duration);
    sum(&mut totals.total_print_time, record.print_duration);
    sum(&mut totals.total_filament_used, record.filament_used);
    max(&mut totals.longest_job, record.total_duration);
    max(&mut totals.longest_print, record.print_duration);
    for (name, amount) in totals.fields() {
        let is_sum = name.starts_with("total_");
        let total = Total {
            provider: OWN_TOTALS.to_owned(),
            field: name.to_owned(),
            maximum: amount.0.filter(|_| !is_sum),
            total: amount.0.filter(|_| is_sum),
        };
        put_total(writer, &total)?;
    }
    fields.add_to(&others).iter().try_for_each(|total| put_total(writer, total))
}

/// Begins to count anew; gives what there was.
pub(super) fn reset(writer: &mut Writer<'_>, none: &[Total]) -> Result<(JobTotals, Vec<Total>)> {
    let last = read(writer)?;
    clear_totals(writer)?;
    none.iter().try_for_each(|total| put_total(writer, total))?;
    Ok(last)
}
