//! Queries and subscriptions: answered and pushed at Klippy's tick.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::clock::Seconds;
use super::faults::Faults;
use super::printer::Printer;
use super::printer::status::{Status, number, push_field};
use super::request::Template;
use super::world::Ticket;

/// The objects that are wanted, with their fields; without a list, all fields.
type Wanted = Vec<(String, Option<Vec<String>>)>;

/// The objects as they were at one time.
type Snapshot = HashMap<String, Arc<Status>>;

/// A query that waits for the next tick.
struct Pending {
    ticket: Ticket,
    wanted: Wanted,
    /// What becomes of it once it is answered, if it is a subscription.
    subscribe: Option<Template>,
}

/// What a client has subscribed to.
struct Subscription {
    wanted: Wanted,
    template: Template,
}

/// A message that a tick has made.
pub(super) enum Message {
    /// An answer, as JSON text.
    Answer(Ticket, String),
    /// A push to the client of this number.
    Push(u64, Vec<u8>),
}

/// All of them.
#[derive(Default)]
pub(super) struct Queries {
    pending: Vec<Pending>,
    subscriptions: BTreeMap<u64, Subscription>,
    last: Snapshot,
}

/// Where the fields come from.
pub(super) struct Source<'a> {
    pub(super) printer: &'a mut Printer,
    pub(super) faults: &'a Faults,
    pub(super) now: Seconds,
    pub(super) event_time: Seconds,
}

impl Source<'_> {
    fn object<'s>(&mut self, snapshot: &'s mut Snapshot, name: &str) -> &'s Arc<Status> {
        snapshot.entry(name.to_owned()).or_insert_with(|| {
            let own = || self.printer.object(name, self.now, self.event_time);
            Arc::new(self.faults.status(name, own).unwrap_or_default())
        })
    }
}

/// Reads the parameter `objects`.
///
/// # Errors
/// Klippy's message.
pub(super) fn read_wanted(objects: &Map<String, Value>) -> Result<Wanted, String> {
    let invalid = || "Invalid argument".to_owned();
    objects
        .iter()
        .map(|(name, fields)| {
            let fields = match fields {
                Value::Null => None,
                Value::Array(fields) => Some(
                    fields
                        .iter()
                        .map(|field| field.as_str().map(str::to_owned).ok_or_else(invalid))
                        .collect::<Result<Vec<_>, _>>()?,
                ),
                _ => return Err(invalid()),
            };
            Ok((name.clone(), fields))
        })
        .collect()
}

impl Queries {
    /// Whether the tick has something to do.
    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.subscriptions.is_empty()
    }

    /// How many queries wait for the tick.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Takes a query, or a subscription, which ends the client's former one.
    pub(super) fn ask(&mut self, ticket: Ticket, wanted: Wanted, subscribe: Option<Template>) {
        if subscribe.is_some() {
            self.subscriptions.remove(&ticket.client);
        }
        self.pending.push(Pending { ticket, wanted, subscribe });
    }

    /// Forgets a client.
    pub(super) fn forget(&mut self, client: u64) {
        self.subscriptions.remove(&client);
        self.pending.retain(|pending| pending.ticket.client != client);
    }

    /// Answers what waits, before the tick.
    pub(super) fn answer_now(&mut self, source: &mut Source<'_>) -> Vec<Message> {
        let mut snapshot = Snapshot::new();
        let messages = self.answer(source, &mut snapshot);
        for (name, status) in snapshot {
            self.last.entry(name).or_insert(status);
        }
        messages
    }

    /// One tick: answers what waits, and pushes what has changed since the last one. Says whether there will be
    /// another one.
    pub(super) fn tick(&mut self, source: &mut Source<'_>) -> (Vec<Message>, bool) {
        let mut snapshot = Snapshot::with_capacity(self.last.len());
        // those that are answered now are pushed to from the next tick on
        let subscribed: Vec<u64> = self.subscriptions.keys().copied().collect();
        let mut messages = self.answer(source, &mut snapshot);
        for client in subscribed {
            if let Some(subscription) = self.subscriptions.get_mut(&client)
                && let Some(status) = changes(subscription, source, &mut snapshot, &self.last)
            {
                let params = params(source.event_time, &status);
                messages.push(Message::Push(client, subscription.template.message(&params)));
            }
        }
        let again = !snapshot.is_empty();
        self.last = snapshot;
        (messages, again)
    }

    fn answer(&mut self, source: &mut Source<'_>, snapshot: &mut Snapshot) -> Vec<Message> {
        let mut messages = Vec::with_capacity(self.pending.len());
        for mut pending in std::mem::take(&mut self.pending) {
            let mut out = String::from("{");
            for (name, fields) in &mut pending.wanted {
                let status = source.object(snapshot, name);
                let mut object = String::from("{");
                for field in known_fields(fields, status).iter() {
                    push_field(&mut object, field, status.get(field).map_or("null", |json| json.text()));
                }
                object.push('}');
                push_field(&mut out, name, &object);
            }
            out.push('}');
            let client = pending.ticket.client;
            messages.push(Message::Answer(pending.ticket, params(source.event_time, &out)));
            if let Some(template) = pending.subscribe {
                self.subscriptions.insert(client, Subscription { wanted: pending.wanted, template });
            }
        }
        messages
    }
}

/// The fields that are wanted. Where all are, those that there are now are remembered, as Klippy does.
fn known_fields<'w>(fields: &'w mut Option<Vec<String>>, status: &Status) -> &'w [String] {
    if fields.is_none() && status.names().next().is_some() {
        *fields = Some(status.names().map(str::to_owned).collect());
    }
    fields.as_deref().unwrap_or_default()
}

/// What has changed for a subscription, as JSON text; nothing if nothing has.
fn changes(
    subscription: &mut Subscription,
    source: &mut Source<'_>,
    snapshot: &mut Snapshot,
    last: &Snapshot,
) -> Option<String> {
    let mut out = String::from("{");
    for (name, fields) in &mut subscription.wanted {
        let status = source.object(snapshot, name);
        let before = last.get(name);
        let mut object = String::from("{");
        for field in known_fields(fields, status) {
            let (old, new) = (before.and_then(|before| before.get(field)), status.get(field));
            let (old_text, new_text) =
                (old.map_or("null", |json| json.text()), new.map_or("null", |json| json.text()));
            if old != new && old_text != new_text {
                push_field(&mut object, field, new_text);
            }
        }
        if object.len() > 1 {
            object.push('}');
            push_field(&mut out, name, &object);
        }
    }
    out.push('}');
    (out.len() > 2).then_some(out)
}

fn params(event_time: Seconds, status: &str) -> String {
    format!(r#"{{"eventtime":{},"status":{status}}}"#, number(event_time))
}
