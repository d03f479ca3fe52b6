//! What happens, and who is told.
//!
//! An event is emitted once; notifications to clients and every component that reacts are subscribers to it.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::connection::Connection;
use crate::json;
use crate::print::JobChange;
use crate::sync::lock;

/// A JSON-RPC notification to clients (spec notifications.md).
#[derive(Debug, Clone)]
pub struct Notification {
    name: &'static str,
    params: Option<String>,
}

impl Notification {
    /// A notification whose one argument is `argument`: `{"method": name, "params": [argument]}`.
    pub fn new<T: Serialize + ?Sized>(name: &'static str, argument: &T) -> Self {
        Self { name, params: Some(format!("[{}]", json::to_text(argument))) }
    }

    /// A notification without arguments; the message has no `params` at all.
    pub fn bare(name: &'static str) -> Self {
        Self { name, params: None }
    }

    /// The name, beginning with `notify_`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The message as it goes over the wire.
    pub fn message(&self) -> Arc<str> {
        match &self.params {
            Some(params) => {
                format!(r#"{{"jsonrpc":"2.0","method":"{}","params":{params}}}"#, self.name).into()
            }
            None => format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, self.name).into(),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Klippy answered its first `info` request; its paths are known (spec behaviour.md §2.2 step 1).
    KlippyIdentified,
    /// Klippy is ready and its remote methods are registered.
    KlippyReady,
    /// Klippy went into shutdown while connected.
    KlippyShutdown,
    /// The socket to Klippy closed.
    KlippyDisconnected,
    /// A G-code script was handed to Klippy, by anybody.
    GcodeCommand(Arc<str>),
    /// Klippy printed something on its terminal.
    GcodeResponse(Arc<str>),
    /// A print was asked for by this user (none: no known user). Comes after Klippy accepted it.
    PrintRequested(Option<Arc<str>>),
    /// Something happened to the print.
    Job(Arc<JobChange>),
    /// Files were added to the job queue.
    JobsQueued,
    /// Something that only clients need to know.
    Notify(Notification),
    /// The same for all clients but the connection with this id (spec notifications.md row 27).
    NotifyOthers(Notification, u64),
    /// A client's connection ended.
    ConnectionClosed(Arc<Connection>),
    /// A client lost its rights, because its user was logged out. Its connection goes on.
    ConnectionLoggedOut(Arc<Connection>),
}

impl Event {
    /// What clients are told of it, if anything.
    pub fn notification(&self) -> Option<Notification> {
        match self {
            Self::KlippyReady => Some(Notification::bare("notify_klippy_ready")),
            Self::KlippyShutdown => Some(Notification::bare("notify_klippy_shutdown")),
            Self::KlippyDisconnected => Some(Notification::bare("notify_klippy_disconnected")),
            Self::GcodeResponse(text) => Some(Notification::new("notify_gcode_response", &**text)),
            Self::Notify(notification) | Self::NotifyOthers(notification, _) => Some(notification.clone()),
            Self::KlippyIdentified
            | Self::GcodeCommand(_)
            | Self::PrintRequested(_)
            | Self::Job(_)
            | Self::JobsQueued
            | Self::ConnectionClosed(_)
            | Self::ConnectionLoggedOut(_) => None,
        }
    }
}

type Subscriber = Arc<dyn Fn(&Event) + Send + Sync>;

/// Where events go. Subscribers are called at once, in the order they subscribed, on the emitter's thread; one
/// that has to wait for something spawns a task.
#[derive(Default)]
pub struct Events {
    subscribers: Mutex<Arc<Vec<Subscriber>>>,
}

impl Events {
    /// Calls `subscriber` for every event from now on.
    pub fn subscribe(&self, subscriber: impl Fn(&Event) + Send + Sync + 'static) {
        let mut subscribers = lock(&self.subscribers);
        let mut longer = subscribers.to_vec();
        longer.push(Arc::new(subscriber));
        *subscribers = Arc::new(longer);
    }

    /// Tells every subscriber.
    pub fn emit(&self, event: &Event) {
        // A subscriber may emit in turn, so the list is not locked while they run.
        let subscribers = lock(&self.subscribers).clone();
        for subscriber in subscribers.iter() {
            subscriber(event);
        }
    }

    /// Forgets all subscribers: they hold the parts of the server, which hold this.
    pub fn clear(&self) {
        *lock(&self.subscribers) = Arc::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_without_arguments_has_no_params() {
        let message = Event::KlippyReady.notification().unwrap().message();
        assert_eq!(&*message, r#"{"jsonrpc":"2.0","method":"notify_klippy_ready"}"#);
        let message = Event::GcodeResponse("a\n\"b\"".into()).notification().unwrap().message();
        assert_eq!(&*message, r#"{"jsonrpc":"2.0","method":"notify_gcode_response","params":["a\n\"b\""]}"#);
    }

    #[test]
    fn a_subscriber_may_emit() {
        let events = Arc::new(Events::default());
        let seen = Arc::new(Mutex::new(0));
        let (inner, count) = (Arc::downgrade(&events), seen.clone());
        events.subscribe(move |event| {
            *count.lock().unwrap() += 1;
            if let (Event::KlippyReady, Some(events)) = (event, inner.upgrade()) {
                events.emit(&Event::KlippyShutdown);
            }
        });
        events.emit(&Event::KlippyReady);
        assert_eq!(*seen.lock().unwrap(), 2);
    }
}
