//! The status cache, and who is told of changes (spec behaviour.md §2.5).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::message::Status;
use super::objects::Wanted;
use crate::api::status::{Objects, StatusUpdate};
use crate::api::{Connection, Reply};

/// Called with every change of a subscribed field, before clients are told.
pub type Listener = Arc<dyn Fn(&Arc<StatusUpdate>) + Send + Sync>;

/// Fields of one object: name → JSON text.
type Fields = BTreeMap<Arc<str>, Arc<str>>;

struct Subscriber {
    connection: Arc<Connection>,
    wanted: Arc<Wanted>,
}

/// The last value of every subscribed field, and the subscriptions.
#[derive(Default)]
pub(super) struct StatusCache {
    objects: Objects,
    /// What Klippy was last asked to report, and does.
    live: Wanted,
    /// What parts of this program want.
    host: Wanted,
    subscribers: HashMap<u64, Subscriber>,
    /// Subscriptions on their way to Klippy, so that one request can serve several.
    asked: Vec<Arc<Wanted>>,
    clock: Option<(f64, Instant)>,
}

impl StatusCache {
    /// Forgets everything: Klippy is gone.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether all of this is reported by Klippy without being asked.
    pub(super) fn is_live(&self, wanted: &Wanted) -> bool {
        self.live.covers(wanted)
    }

    /// What of this has to be asked of Klippy.
    pub(super) fn missing(&self, wanted: &Wanted) -> Wanted {
        wanted.without(&self.live)
    }

    /// The text of a field.
    pub(super) fn field(&self, object: &str, field: &str) -> Option<Arc<str>> {
        self.objects.get(object)?.get(field).cloned()
    }

    /// Adds to what parts of this program want.
    pub(super) fn want_for_host(&mut self, wanted: &Wanted) {
        self.host.merge(wanted);
    }

    /// Notes a subscription that is about to be asked for.
    pub(super) fn announce(&mut self, wanted: &Arc<Wanted>) {
        self.asked.push(wanted.clone());
    }

    /// Takes that note back.
    pub(super) fn retract(&mut self, wanted: &Arc<Wanted>) {
        self.asked.retain(|asked| !Arc::ptr_eq(asked, wanted));
    }

    /// All that anybody wants: what Klippy is to be asked to report.
    pub(super) fn union(&self) -> Wanted {
        let mut union = self.host.clone();
        let subscribed = self.subscribers.values().map(|subscriber| &subscriber.wanted);
        for wanted in subscribed.chain(&self.asked) {
            union.merge(wanted);
        }
        union
    }

    /// Subscribes a connection in place of its former subscription.
    pub(super) fn subscribe(&mut self, connection: &Arc<Connection>, wanted: Wanted) {
        // Equal subscriptions share one value, so that an update is filtered and written once for all of them.
        let shared = self.subscribers.values().map(|s| &s.wanted).find(|known| ***known == wanted).cloned();
        let wanted = shared.unwrap_or_else(|| Arc::new(wanted));
        self.subscribers.insert(connection.id(), Subscriber { connection: connection.clone(), wanted });
    }

    /// Ends a connection's subscription. Klippy goes on reporting until somebody subscribes anew.
    pub(super) fn unsubscribe(&mut self, connection: u64) {
        self.subscribers.remove(&connection);
    }

    /// Answers a query or subscription with what is known, and with `more` that Klippy was asked for.
    pub(super) fn reply(&self, wanted: &Wanted, more: Option<Objects>) -> Reply {
        let mut objects = wanted.select(&self.objects, true);
        objects.extend(more.into_iter().flatten());
        let update = StatusUpdate { eventtime: self.eventtime(), objects };
        Reply::from_json_text(format!(
            r#"{{"eventtime":{},"status":{}}}"#,
            update.eventtime,
            update.status_json()
        ))
    }

    /// Klippy's clock now: what it said last, plus the time since.
    fn eventtime(&self) -> String {
        let now = self.clock.map_or(0.0, |(said, at)| said + at.elapsed().as_secs_f64());
        format!("{now:.6}")
    }

    /// Takes over fields that Klippy reported as changed, and returns them as one update.
    pub(super) fn update(&mut self, status: &Status<'_>) -> Arc<StatusUpdate> {
        self.set_clock(status);
        let mut update = StatusUpdate { eventtime: status.eventtime.get().to_owned(), ..Default::default() };
        for (object, fields) in &status.status {
            let changed = self.store(object, fields.iter().map(|(k, v)| (&**k, v.get())), |_, _| true);
            update.objects.extend(changed);
        }
        Arc::new(update)
    }

    /// Takes over the answer to a subscription of `union`. Objects that are no longer reported are forgotten.
    /// Returns the fields that had other values before.
    pub(super) fn resubscribed(&mut self, union: Wanted, status: &Status<'_>) -> Arc<StatusUpdate> {
        self.set_clock(status);
        self.objects.retain(|object, _| status.status.contains_key(&**object));
        let mut update = StatusUpdate { eventtime: status.eventtime.get().to_owned(), ..Default::default() };
        for (object, fields) in &status.status {
            let differs = |old: Option<&str>, new: &str| old.is_some_and(|old| old != new);
            let changed = self.store(object, fields.iter().map(|(k, v)| (&**k, v.get())), differs);
            update.objects.extend(changed);
            // an object that Klippy does not know stays known as empty
            self.objects.entry(Arc::from(&**object)).or_default();
        }
        self.live = union;
        Arc::new(update)
    }

    fn set_clock(&mut self, status: &Status<'_>) {
        if let Ok(said) = status.eventtime.get().parse() {
            self.clock = Some((said, Instant::now()));
        }
    }

    /// Stores fields and returns the object with those for which `report(old, new)` holds.
    fn store<'a>(
        &mut self,
        object: &str,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
        report: impl Fn(Option<&str>, &str) -> bool,
    ) -> Option<(Arc<str>, Fields)> {
        let name =
            self.objects.get_key_value(object).map_or_else(|| Arc::from(object), |(name, _)| name.clone());
        let known = self.objects.entry(name.clone()).or_default();
        let mut changed = BTreeMap::new();
        for (field, value) in fields {
            let key = known.get_key_value(field).map_or_else(|| Arc::from(field), |(key, _)| key.clone());
            let reported = report(known.get(field).map(|old| &**old), value);
            let value: Arc<str> = Arc::from(value);
            if reported {
                changed.insert(key.clone(), value.clone());
            }
            known.insert(key, value);
        }
        (!changed.is_empty()).then_some((name, changed))
    }

    /// Sends an update to everybody who wants some of it. Each distinct subscription is filtered once, and its
    /// message built once.
    pub(super) fn publish(&self, update: &Arc<StatusUpdate>) {
        type Built = Option<(Arc<StatusUpdate>, Arc<str>)>;
        if update.objects.is_empty() {
            return;
        }
        let mut whole: Built = None;
        let mut built: Vec<(*const Wanted, Built)> = Vec::new();
        for Subscriber { connection, wanted } in self.subscribers.values() {
            let key = Arc::as_ptr(wanted);
            let index = built.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
                let entry = if wanted.takes_all_of(update) {
                    whole.get_or_insert_with(|| (update.clone(), update.message())).clone().into()
                } else {
                    part_of(update, wanted)
                };
                built.push((key, entry));
                built.len() - 1
            });
            if let Some((update, message)) = &built[index].1 {
                connection.outbox.push_status(update, message);
            }
        }
    }
}

fn part_of(update: &StatusUpdate, wanted: &Wanted) -> Option<(Arc<StatusUpdate>, Arc<str>)> {
    let objects = wanted.select(&update.objects, false);
    (!objects.is_empty()).then(|| {
        let part = StatusUpdate { eventtime: update.eventtime.clone(), objects };
        let message = part.message();
        (Arc::new(part), message)
    })
}

/// Objects of a query's answer.
pub(super) fn owned_objects(status: &Status<'_>) -> Objects {
    let fields = |fields: &BTreeMap<std::borrow::Cow<'_, str>, &serde_json::value::RawValue>| {
        fields.iter().map(|(name, value)| (Arc::from(&**name), Arc::from(value.get()))).collect()
    };
    status.status.iter().map(|(name, values)| (Arc::from(&**name), fields(values))).collect()
}
