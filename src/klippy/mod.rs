//! The link to Klippy: framing, handshake, state, requests, subscriptions, status cache.
//!
//! One [`Klippy`] holds the connection and everything known through it. [`Klippy::run`] keeps it up; calls,
//! parts of the program and clients use its other methods at any time and get 503 while there is no Klippy.

mod actions;
pub mod framing;
mod handshake;
mod link;
mod message;
pub mod objects;
mod remote_methods;
mod requests;
mod state;
mod status;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::api::{Connection, Error, Event, Events, Reply, Result};
use crate::json;
use crate::sync::lock;
use crate::tasks::Spawner;

use message::Status;
use objects::Wanted;
use remote_methods::RemoteMethods;
use requests::Requests;
use state::Session;
use status::StatusCache;

pub use message::Info;
pub use remote_methods::RemoteMethod;
pub use requests::MAX_PENDING;
pub use state::{KlippyState, Peer};
pub use status::Listener;

/// How long Klippy may take to answer a subscription (spec behaviour.md §2.1).
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(20);

/// Endpoints of Klippy that are for this program alone (spec api.md §0.2).
const INTERNAL_ENDPOINTS: [&str; 3] = ["list_endpoints", "gcode/subscribe_output", "register_remote_method"];

/// What the link is told once, when it is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Klippy's socket.
    pub socket: PathBuf,
    /// Whether queries are answered from the cache where it holds all that is asked.
    pub query_from_cache: bool,
}

/// At which point of the handshake something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Klippy left its startup: it is ready, in error or in shutdown.
    Started,
    /// Klippy is ready, and clients have been told.
    Ready,
}

type HookFuture = Pin<Box<dyn Future<Output = ()> + Send>>;
type Hook = Arc<dyn Fn(KlippyState) -> HookFuture + Send + Sync>;

/// The link to Klippy.
pub struct Klippy {
    options: Options,
    events: Arc<Events>,
    spawner: Spawner,
    session: Mutex<Session>,
    requests: Requests,
    cache: Mutex<StatusCache>,
    /// Held while Klippy is asked for a new subscription: it knows only one of ours at a time.
    subscribing: smol::lock::Mutex<()>,
    remote_methods: RemoteMethods,
    hooks: Mutex<Vec<(Stage, Hook)>>,
    listeners: Mutex<Vec<Listener>>,
}

impl Klippy {
    /// A link that is not connected yet.
    pub fn new(options: Options, events: Arc<Events>, spawner: Spawner) -> Arc<Self> {
        let klippy = Arc::new(Self {
            options,
            events: events.clone(),
            spawner,
            session: Mutex::default(),
            requests: Requests::default(),
            cache: Mutex::default(),
            subscribing: smol::lock::Mutex::new(()),
            remote_methods: RemoteMethods::default(),
            hooks: Mutex::default(),
            listeners: Mutex::default(),
        });
        let weak = Arc::downgrade(&klippy);
        events.subscribe(move |event| {
            if let Event::ConnectionClosed(connection) | Event::ConnectionLoggedOut(connection) = event
                && let Some(klippy) = weak.upgrade()
            {
                lock(&klippy.cache).unsubscribe(connection.id());
            }
        });
        klippy
    }

    /// Klippy's state, as clients are told.
    pub fn state(&self) -> KlippyState {
        lock(&self.session).state
    }

    /// What Klippy says of its state.
    pub fn state_message(&self) -> String {
        lock(&self.session).message.clone()
    }

    /// Whether there is a socket.
    pub fn is_connected(&self) -> bool {
        self.state() != KlippyState::Disconnected
    }

    /// What Klippy said of itself; empty before it did.
    pub fn info(&self) -> Info {
        lock(&self.session).info.clone()
    }

    /// Klippy's process, where the kernel tells.
    pub fn peer(&self) -> Option<Peer> {
        lock(&self.session).peer
    }

    /// Where Klippy's socket is.
    pub fn socket(&self) -> &std::path::Path {
        &self.options.socket
    }

    /// Printer objects that front-ends need and the printer lacks.
    pub fn missing_requirements(&self) -> Vec<String> {
        lock(&self.session).missing.clone()
    }

    /// Whether clients may call this endpoint of Klippy: unknown before Klippy first told its endpoints.
    pub fn offers(&self, endpoint: &str) -> Option<bool> {
        let session = lock(&self.session);
        let known = session.endpoints.as_ref()?;
        Some(known.contains(endpoint) && !INTERNAL_ENDPOINTS.contains(&endpoint))
    }

    /// Whether a print is running: Klippy is ready and `print_stats` says so. A paused print does not count.
    pub fn is_printing(&self) -> bool {
        self.state() == KlippyState::Ready
            && self.value("print_stats", "state") == Some("printing".to_owned())
    }

    /// The last value of a field, if it is subscribed and of this type.
    pub fn value<T: DeserializeOwned>(&self, object: &str, field: &str) -> Option<T> {
        let text = lock(&self.cache).field(object, field)?;
        serde_json::from_str(&text).ok()
    }

    /// Does something at a stage of every handshake; those of one stage run side by side, and the handshake
    /// waits for them.
    pub fn at<F>(&self, stage: Stage, hook: impl Fn(KlippyState) -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        lock(&self.hooks).push((stage, Arc::new(move |state| Box::pin(hook(state)))));
    }

    /// Calls `listener` with every change of a subscribed field.
    pub fn listen(&self, listener: Listener) {
        lock(&self.listeners).push(listener);
    }

    /// Offers a method to macros. Klippy is told at once, or when it next connects.
    ///
    /// # Errors
    /// 400 if there is one of that name.
    pub fn add_remote_method(self: &Arc<Self>, name: &str, method: RemoteMethod) -> Result<()> {
        self.remote_methods.add(name, method)?;
        if lock(&self.session).takes_methods {
            let (klippy, name) = (self.clone(), name.to_owned());
            self.spawner.spawn(async move { klippy.register_remote_method(&name).await });
        }
        Ok(())
    }

    /// Offers it no longer.
    pub fn remove_remote_method(&self, name: &str) {
        self.remote_methods.remove(name);
    }

    /// Sends a request and waits for the answer as long as it takes.
    ///
    /// # Errors
    /// 503 without Klippy, 400 with Klippy's message.
    pub async fn request(&self, method: &str, params: Option<&RawValue>) -> Result<Box<RawValue>> {
        self.requests.send(method, params).await
    }

    /// Queries fields of printer objects. What the live subscriptions hold is answered from the cache, which is
    /// never older than Klippy's own answer would be; only the rest is asked of Klippy.
    ///
    /// # Errors
    /// Those of [`Klippy::request`].
    pub async fn query(&self, wanted: &Wanted) -> Result<Reply> {
        if !self.is_connected() {
            return Err(Error::unavailable("Klippy Host not connected"));
        }
        let missing = match self.options.query_from_cache {
            true => lock(&self.cache).missing(wanted),
            false => wanted.clone(),
        };
        if missing.is_empty() && self.options.query_from_cache {
            return Ok(lock(&self.cache).reply(wanted, None));
        }
        let answer = self.request("objects/query", Some(&objects_argument(&missing, None))).await?;
        if missing == *wanted {
            return Ok(answer.into());
        }
        let more = status::owned_objects(&Status::parse(&answer)?);
        Ok(lock(&self.cache).reply(wanted, Some(more)))
    }

    /// Queries for parts of this program: object name → field name → JSON text.
    ///
    /// # Errors
    /// Those of [`Klippy::request`].
    pub async fn query_values(&self, wanted: &Wanted) -> Result<crate::api::status::Objects> {
        let answer = self.request("objects/query", Some(&objects_argument(wanted, None))).await?;
        Ok(status::owned_objects(&Status::parse(&answer)?))
    }

    /// Subscribes a client in place of its former subscription, and answers with the present values. Nothing
    /// wanted ends the subscription.
    ///
    /// # Errors
    /// 503 without Klippy, 500 when it does not answer in time; the former subscription is lost then.
    pub async fn subscribe(&self, connection: &Arc<Connection>, wanted: Wanted) -> Result<Reply> {
        if !self.is_connected() {
            return Err(Error::unavailable("Klippy Host not connected"));
        }
        lock(&self.cache).unsubscribe(connection.id());
        if !wanted.is_empty() {
            self.make_live(&wanted).await?;
        }
        // Under one lock, so that no update comes between the answer's values and the first update sent.
        let mut cache = lock(&self.cache);
        let reply = cache.reply(&wanted, None);
        if !wanted.is_empty() {
            cache.subscribe(connection, wanted);
        }
        Ok(reply)
    }

    /// Has Klippy report fields for parts of this program, until it disconnects. Values are then had through
    /// [`Klippy::value`] and [`Klippy::listen`].
    ///
    /// # Errors
    /// Those of [`Klippy::subscribe`].
    pub async fn subscribe_host(&self, wanted: &Wanted) -> Result<()> {
        lock(&self.cache).want_for_host(wanted);
        self.make_live(wanted).await
    }

    /// Sees to it that Klippy reports these fields.
    async fn make_live(&self, wanted: &Wanted) -> Result<()> {
        let is_live = || lock(&self.cache).is_live(wanted);
        if self.options.query_from_cache && is_live() {
            return Ok(());
        }
        let announced = Announced::new(&self.cache, wanted);
        let _turn = self.subscribing.lock().await;
        // While waiting, somebody else's request may have served this one too.
        if self.options.query_from_cache && is_live() {
            return Ok(());
        }
        let union = lock(&self.cache).union();
        let params = objects_argument(&union, Some("process_status_update"));
        let answer = self.request("objects/subscribe", Some(&params));
        let late = async {
            smol::Timer::after(SUBSCRIBE_TIMEOUT).await;
            Err(Error::internal("Klippy request timed out"))
        };
        let answer = smol::future::or(answer, late).await?;
        let status = Status::parse(&answer)?;
        drop(announced);
        let changed = lock(&self.cache).resubscribed(union, &status);
        self.publish(&changed);
        Ok(())
    }

    /// Hands on what has changed, whether Klippy reported it by itself or in an answer.
    fn publish(&self, update: &Arc<crate::api::StatusUpdate>) {
        if update.objects.contains_key("webhooks") {
            self.webhooks_changed();
        }
        let listeners = lock(&self.listeners).clone();
        for listener in listeners {
            listener(update);
        }
        lock(&self.cache).publish(update);
    }

    async fn register_remote_method(&self, name: &str) {
        let name = json::to_text(name);
        let params = format!(r#"{{"response_template":{{"method":{name}}},"remote_method":{name}}}"#);
        let registered = match RawValue::from_string(params) {
            Ok(params) => self.request("register_remote_method", Some(&params)).await,
            Err(error) => Err(Error::internal("no JSON").caused_by(error)),
        };
        if let Err(error) = registered {
            log::warn!("Klippy did not take the remote method {name}: {error}");
        }
    }

    /// Lets go of everything that points back here.
    pub fn close(&self) {
        lock(&self.hooks).clear();
        lock(&self.listeners).clear();
        self.remote_methods.clear();
        self.requests.close();
        lock(&self.cache).clear();
    }
}

/// A subscription that is noted as asked for until this is dropped.
struct Announced<'a> {
    cache: &'a Mutex<StatusCache>,
    wanted: Arc<Wanted>,
}

impl<'a> Announced<'a> {
    fn new(cache: &'a Mutex<StatusCache>, wanted: &Wanted) -> Self {
        let wanted = Arc::new(wanted.clone());
        lock(cache).announce(&wanted);
        Self { cache, wanted }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        lock(self.cache).retract(&self.wanted);
    }
}

/// The parameters of a query or subscription.
fn objects_argument(wanted: &Wanted, method: Option<&'static str>) -> Box<RawValue> {
    #[derive(serde::Serialize)]
    struct Template {
        method: &'static str,
    }
    #[derive(serde::Serialize)]
    struct Argument<'a> {
        objects: &'a Wanted,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_template: Option<Template>,
    }
    json::to_raw(&Argument { objects: wanted, response_template: method.map(|method| Template { method }) })
}
