//! Follows the print: makes events of the changes of `print_stats` (spec behaviour.md §7).
//!
//! No section, no endpoints, nothing stored.

use std::sync::{Arc, Weak};

use serde_json::value::RawValue;

use crate::api::status::Objects;
use crate::api::{Event, Events};
use crate::klippy::objects::Wanted;
use crate::klippy::{Klippy, KlippyState, Stage};
use crate::print::{Job, JobStats};

/// The object that tells of the print.
const OBJECT: &str = "print_stats";

/// Begins to follow the print: keeps `job` up to date and emits [`Event::Job`].
pub fn follow(job: &Arc<Job>, klippy: &Arc<Klippy>, events: &Arc<Events>) {
    let (weak, begun) = (Arc::downgrade(klippy), job.clone());
    klippy.at(Stage::Started, move |state| {
        let (weak, job) = (weak.clone(), begun.clone());
        async move {
            if let (KlippyState::Ready, Some(klippy)) = (state, weak.upgrade()) {
                begin(&job, &klippy).await;
            }
        }
    });
    let (followed, told) = (job.clone(), Arc::downgrade(events));
    klippy.listen(Arc::new(move |update| apply(&followed, &update.objects, &told)));
    let ended = job.clone();
    events.subscribe(move |event| {
        if matches!(event, Event::KlippyDisconnected) {
            ended.end();
        }
    });
}

async fn begin(job: &Job, klippy: &Klippy) {
    let wanted = Wanted::all_of([OBJECT]);
    if let Err(error) = klippy.subscribe_host(&wanted).await {
        return log::warn!("The state of the print is not known: {error}");
    }
    let value = |name: &str| Some((name.into(), klippy.value::<Box<RawValue>>(OBJECT, name)?.get().into()));
    job.begin(&JobStats::FIELDS.iter().filter_map(|name| value(name)).collect());
}

fn apply(job: &Job, objects: &Objects, events: &Weak<Events>) {
    let (Some(fields), Some(events)) = (objects.get(OBJECT), events.upgrade()) else { return };
    for change in job.update(fields) {
        log::debug!("print: {:?} '{}'", change.event, change.current.filename);
        events.emit(&Event::Job(Arc::new(change)));
    }
}
