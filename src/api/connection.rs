//! Lasting connections: websockets and unix socket clients.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::value::RawValue;
use smol::channel::{Sender, bounded};

use super::caller::{Caller, Identity, Role, Transport};
use super::event::{Event, Events};
use super::outbox::{CloseReason, Outbox};
use super::{Error, Result};
use crate::json;
use crate::sync::{Counter, lock};

/// What a client said of itself with `server.connection.identify`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `web`, `mobile`, `desktop`, `display`, `bot`, `agent` or `other`.
    pub kind: String,
    /// Where more is to be read of it.
    pub url: String,
}

/// How many requests to a client may wait for its answer; the answer to one more is 503.
pub const MAX_CLIENT_REQUESTS: usize = 64;

type Waiting = Sender<Result<Box<RawValue>>>;

/// One client that stays connected.
pub struct Connection {
    id: u64,
    transport: Transport,
    address: Option<IpAddr>,
    identity: Mutex<Identity>,
    info: Mutex<Option<ClientInfo>>,
    waiting: Mutex<HashMap<u64, Waiting>>,
    next_request: Counter,
    /// Where messages to it go.
    pub outbox: Outbox,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection {} over {}", self.id, self.transport.name())
    }
}

impl Connection {
    /// Its id, as `server.connection.identify` gives it out.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The client as the maker of a call.
    pub fn caller(self: &Arc<Self>) -> Caller {
        Caller {
            transport: self.transport,
            address: self.address,
            identity: self.identity(),
            connection: Some(self.clone()),
        }
    }

    /// Who it is now.
    pub fn identity(&self) -> Identity {
        lock(&self.identity).clone().now()
    }

    /// It has proved to be somebody.
    pub fn log_in(&self, identity: Identity) {
        *lock(&self.identity) = identity;
    }

    /// The peer's address, where there is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// What it said of itself, if it did.
    pub fn info(&self) -> Option<ClientInfo> {
        lock(&self.info).clone()
    }

    /// Takes what it says of itself.
    ///
    /// # Errors
    /// 400 if it said so before.
    pub fn identify(&self, info: ClientInfo) -> Result<()> {
        let mut known = lock(&self.info);
        if known.is_some() {
            return Err(Error::bad_request("Connection already identified"));
        }
        *known = Some(info);
        Ok(())
    }

    /// Whether broadcasts are for it: not before it may at least look.
    fn hears(&self) -> bool {
        self.identity().role >= Role::ReadOnly
    }

    /// Sends a request to the client and waits, without limit, for its answer (spec api.md §3, agents).
    ///
    /// # Errors
    /// 424 with the client's error as data, 500 when it disconnects, 503 when too many wait.
    pub async fn request(&self, method: &str, params: Option<&RawValue>) -> Result<Box<RawValue>> {
        let id = self.next_request.next();
        let (sender, answer) = bounded(1);
        {
            let mut waiting = lock(&self.waiting);
            if waiting.len() >= MAX_CLIENT_REQUESTS {
                return Err(Error::unavailable("Too many requests wait for this client"));
            }
            waiting.insert(id, sender);
        }
        let method = json::to_text(method);
        self.outbox.push(match params {
            Some(params) => {
                format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params},"id":{id}}}"#).into()
            }
            None => format!(r#"{{"jsonrpc":"2.0","method":{method},"id":{id}}}"#).into(),
        });
        answer.recv().await.unwrap_or_else(|_| Err(Error::internal("Client Socket Disconnected")))
    }

    /// Hands the client's answer to whoever waits for it; an id that nobody waits for is ignored.
    pub fn answer(&self, id: u64, answer: Result<Box<RawValue>>) {
        if let Some(waiting) = lock(&self.waiting).remove(&id) {
            let _ = waiting.try_send(answer);
        }
    }

    /// Sends a notification to this client alone: `{"method": method, "params": params}`.
    pub fn notify(&self, method: &str, params: Option<&RawValue>) {
        let method = json::to_text(method);
        self.outbox.push(match params {
            Some(params) => format!(r#"{{"jsonrpc":"2.0","method":{method},"params":{params}}}"#).into(),
            None => format!(r#"{{"jsonrpc":"2.0","method":{method}}}"#).into(),
        });
    }
}

/// All lasting connections.
pub struct Connections {
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    closing: AtomicBool,
    events: Arc<Events>,
}

impl Connections {
    /// None yet. Clients are told of every event that has a notification.
    pub fn new(events: Arc<Events>) -> Arc<Self> {
        let connections = Arc::new(Self {
            open: Mutex::default(),
            closing: AtomicBool::new(false),
            events: events.clone(),
        });
        let weak = Arc::downgrade(&connections);
        events.subscribe(move |event| {
            if let (Some(connections), Some(notification)) = (weak.upgrade(), event.notification()) {
                let except = match event {
                    Event::NotifyOthers(_, id) => Some(*id),
                    _ => None,
                };
                connections.broadcast(&notification.message(), except);
            }
        });
        connections
    }

    /// Takes in a new client.
    ///
    /// # Errors
    /// 503 while the server stops.
    pub fn open(
        &self,
        transport: Transport,
        address: Option<IpAddr>,
        identity: Identity,
    ) -> Result<Arc<Connection>> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(Error::unavailable("The server is stopping"));
        }
        let mut open = lock(&self.open);
        let id = std::iter::repeat_with(random_id).find(|id| !open.contains_key(id)).unwrap_or_default();
        let connection = Arc::new(Connection {
            id,
            transport,
            address,
            identity: Mutex::new(identity),
            info: Mutex::default(),
            waiting: Mutex::default(),
            next_request: Counter::new(),
            outbox: Outbox::default(),
        });
        open.insert(id, connection.clone());
        Ok(connection)
    }

    /// Forgets a client whose connection ended; requests that wait for it fail.
    pub fn remove(&self, connection: &Connection) {
        let removed = lock(&self.open).remove(&connection.id);
        if let Some(connection) = removed {
            lock(&connection.waiting).clear();
            self.events.emit(&Event::ConnectionClosed(connection));
        }
    }

    /// The client with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Connection>> {
        lock(&self.open).get(&id).cloned()
    }

    /// All clients, in no particular order.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        lock(&self.open).values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        lock(&self.open).len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends all connections, and takes in no more.
    pub fn close_all(&self, reason: CloseReason) {
        self.closing.store(true, Ordering::SeqCst);
        for connection in self.all() {
            connection.outbox.close(reason);
        }
    }

    /// Gives each client the identity that `change` makes of its own, where it makes one. A client that loses all
    /// rights by it keeps its connection, and hears nothing more until it logs in again.
    pub fn change_identities(&self, change: impl Fn(&Connection, &Identity) -> Option<Identity>) {
        for connection in self.all() {
            let lost = {
                let mut identity = lock(&connection.identity);
                let Some(changed) = change(&connection, &identity) else { continue };
                *identity = changed;
                identity.role == Role::Anonymous
            };
            if lost {
                self.events.emit(&Event::ConnectionLoggedOut(connection));
            }
        }
    }

    fn broadcast(&self, message: &Arc<str>, except: Option<u64>) {
        for connection in self.all() {
            if connection.hears() && Some(connection.id) != except {
                connection.outbox.push(message.clone());
            }
        }
    }
}

/// A number that does not tell others' ids: positive, and exact in a JavaScript number.
fn random_id() -> u64 {
    let mut bytes = [0; 8];
    if let Err(error) = getrandom::fill(&mut bytes) {
        log::error!("no random numbers from the system: {error}");
    }
    (u64::from_le_bytes(bytes) >> 17).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::event::Notification;
    use super::super::outbox::Outgoing;
    use super::*;

    fn setup() -> (Arc<Events>, Arc<Connections>) {
        let events = Arc::new(Events::default());
        (events.clone(), Connections::new(events))
    }

    fn next(connection: &Connection) -> Option<String> {
        match connection.outbox.try_next()? {
            Outgoing::Message(text) => Some(text.to_string()),
            Outgoing::Close(reason) => Some(reason.reason.to_owned()),
        }
    }

    #[test]
    fn notifications_reach_those_who_may_look() {
        let (events, connections) = setup();
        let open = |role| {
            let identity = Identity::with_role(role, super::super::caller::Proof::Nothing);
            connections.open(Transport::Websocket, None, identity).unwrap()
        };
        let (anonymous, one, other) = (open(Role::Anonymous), open(Role::ReadOnly), open(Role::Admin));
        events.emit(&Event::NotifyOthers(Notification::bare("notify_x"), other.id()));
        assert!(next(&one).unwrap().contains("notify_x"));
        assert_eq!((next(&anonymous), next(&other)), (None, None));
    }

    #[test]
    fn a_request_fails_when_its_client_goes() {
        let (_, connections) = setup();
        let client = connections.open(Transport::UnixSocket, None, Identity::local()).unwrap();
        smol::block_on(async {
            let waiting = client.request("do", None);
            let gone = async {
                smol::future::yield_now().await;
                connections.remove(&client);
            };
            let (answer, ()) = smol::future::zip(waiting, gone).await;
            assert_eq!(answer.unwrap_err().status(), 500);
        });
        assert_eq!(connections.len(), 0);
    }

    #[test]
    fn nobody_new_comes_in_while_stopping() {
        let (_, connections) = setup();
        let client = connections.open(Transport::UnixSocket, None, Identity::local()).unwrap();
        connections.close_all(CloseReason::SHUTDOWN);
        assert_eq!(next(&client).as_deref(), Some("Server Shutdown"));
        assert!(connections.open(Transport::UnixSocket, None, Identity::local()).is_err());
    }
}
