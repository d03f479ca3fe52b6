//! Agents: clients that offer methods to other clients and to macros (spec api.md §3, behaviour.md §22).
//!
//! Endpoints: `connection.*`, `server.extensions.*`. Events: `notify_agent_event`. No options, nothing stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::connection::{AGENT, AgentEvent, AgentInfo, agents, connection};
use crate::api::{Call, Connection, Connections, Endpoint, Error, Event, Events, NoParams, Reply, Result};
use crate::json;
use crate::klippy::Klippy;
use crate::sync::lock;

/// How many remote methods one agent may register.
pub const MAX_METHODS: usize = 64;

/// Events that only the server itself announces.
const RESERVED_EVENTS: [&str; 2] = ["connected", "disconnected"];

/// What agents offer.
pub struct Extensions {
    connections: Arc<Connections>,
    klippy: Arc<Klippy>,
    events: Arc<Events>,
    /// Remote methods by the agent's connection.
    methods: Mutex<HashMap<u64, Vec<String>>>,
}

#[derive(Deserialize)]
struct RegisterMethod {
    method_name: String,
}

#[derive(Deserialize)]
struct SendEvent {
    event: String,
    data: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Request {
    agent: String,
    method: String,
    arguments: Option<Value>,
}

impl Extensions {
    /// Watches these connections for agents.
    pub fn new(connections: Arc<Connections>, klippy: Arc<Klippy>, events: &Arc<Events>) -> Arc<Self> {
        let extensions =
            Arc::new(Self { connections, klippy, events: events.clone(), methods: Mutex::default() });
        let weak = Arc::downgrade(&extensions);
        events.subscribe(move |event| {
            if let Event::ConnectionClosed(connection) | Event::ConnectionLoggedOut(connection) = event
                && let Some(extensions) = weak.upgrade()
            {
                extensions.closed(connection);
            }
        });
        extensions
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![
            Endpoint::socket("connection.register_remote_method").operator().to(self, Self::register_method),
            Endpoint::socket("connection.send_event").operator().to(self, Self::send_event),
            Endpoint::get("server.extensions.list", "/server/extensions/list")
                .read_only()
                .to(self, Self::list),
            Endpoint::post("server.extensions.request", "/server/extensions/request")
                .operator()
                .to(self, Self::request),
        ]
    }

    fn closed(&self, connection: &Connection) {
        for method in lock(&self.methods).remove(&connection.id()).unwrap_or_default() {
            self.klippy.remove_remote_method(&method);
        }
        if let Some(info) = connection.info().filter(|info| info.kind == AGENT) {
            AgentEvent { agent: &info.name, event: "disconnected", data: None }
                .emit(&self.events, connection);
        }
    }

    async fn register_method(self: Arc<Self>, call: Call<RegisterMethod>) -> Result<Reply> {
        let (connection, _) = agent(&call)?;
        let name = &call.params.method_name;
        if lock(&self.methods).get(&connection.id()).is_some_and(|methods| methods.len() >= MAX_METHODS) {
            return Err(Error::bad_request(format!("An agent may register {MAX_METHODS} methods at most")));
        }
        let (weak, method) = (Arc::downgrade(connection), name.clone());
        let call_agent = move |params: Option<&RawValue>| {
            let params = params.filter(|params| !json::is_falsy(params.get()));
            if let Some(connection) = weak.upgrade() {
                connection.notify(&method, params);
            }
        };
        self.klippy.add_remote_method(name, Arc::new(call_agent))?;
        lock(&self.methods).entry(connection.id()).or_default().push(name.clone());
        Ok(Reply::ok())
    }

    async fn send_event(self: Arc<Self>, call: Call<SendEvent>) -> Result<Reply> {
        let (connection, name) = agent(&call)?;
        let SendEvent { event, data } = &call.params;
        if RESERVED_EVENTS.contains(&event.as_str()) {
            return Err(Error::bad_request(format!("Event '{event}' is reserved")));
        }
        AgentEvent { agent: &name, event, data: data.as_deref() }.emit(&self.events, connection);
        Ok(Reply::ok())
    }

    async fn list(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct List<'a> {
            agents: Vec<AgentInfo<'a>>,
        }
        let infos: Vec<_> = agents(&self.connections).map(|(_, info)| info).collect();
        Ok(Reply::of(&List { agents: infos.iter().map(AgentInfo::from).collect() }))
    }

    async fn request(self: Arc<Self>, call: Call<Request>) -> Result<Reply> {
        let Request { agent: name, method, arguments } = call.params;
        let arguments = match arguments {
            None => None,
            Some(Value::Object(members)) if members.is_empty() => None,
            Some(Value::Array(items)) if items.is_empty() => None,
            Some(arguments @ (Value::Object(_) | Value::Array(_))) => Some(json::to_raw(&arguments)),
            Some(_) => {
                return Err(Error::bad_request("The 'arguments' field must contain an object or a list"));
            }
        };
        let found = agents(&self.connections).find(|(_, info)| info.name == name);
        let (agent, _) = found.ok_or_else(|| Error::bad_request(format!("Agent {name} not connected")))?;
        agent.request(&method, arguments.as_deref()).await.map(Reply::from)
    }
}

/// The agent that makes a call, and its name.
fn agent<P>(call: &Call<P>) -> Result<(&Arc<Connection>, String)> {
    let connection = connection(call)?;
    match connection.info().filter(|info| info.kind == AGENT) {
        Some(info) => Ok((connection, info.name)),
        None => Err(Error::bad_request("Only connections of type 'agent' may do this")),
    }
}
