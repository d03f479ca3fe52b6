//! `server.connection.identify` and `server.websocket.id`: who is connected (spec api.md §3).
//!
//! No options, nothing stored. Events: `notify_agent_event` when an agent comes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::{
    Call, ClientInfo, Connection, Connections, Endpoint, Error, Event, Events, NoParams, Notification, Reply,
    Result, Role,
};
use crate::auth::Auth;
use crate::json;

/// The word for clients that offer methods to others.
pub(super) const AGENT: &str = "agent";

/// What is said to everybody else when an agent comes, goes, or says something (spec notifications.md row 27).
#[derive(Serialize)]
pub(super) struct AgentEvent<'a> {
    pub(super) agent: &'a str,
    pub(super) event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<&'a RawValue>,
}

impl AgentEvent<'_> {
    /// Tells everybody but the agent itself.
    pub(super) fn emit(&self, events: &Events, agent: &Connection) {
        events.emit(&Event::NotifyOthers(Notification::new("notify_agent_event", self), agent.id()));
    }
}

/// An agent as others see it.
#[derive(Serialize)]
pub(super) struct AgentInfo<'a> {
    name: &'a str,
    version: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    url: &'a str,
}

impl<'a> From<&'a ClientInfo> for AgentInfo<'a> {
    fn from(info: &'a ClientInfo) -> Self {
        Self { name: &info.name, version: &info.version, kind: &info.kind, url: &info.url }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ClientType {
    Web,
    Mobile,
    Desktop,
    Display,
    Bot,
    Agent,
    Other,
}

impl ClientType {
    fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Mobile => "mobile",
            Self::Desktop => "desktop",
            Self::Display => "display",
            Self::Bot => "bot",
            Self::Agent => AGENT,
            Self::Other => "other",
        }
    }
}

#[derive(Deserialize)]
struct Identify {
    client_name: String,
    version: String,
    #[serde(rename = "type")]
    kind: ClientType,
    url: String,
    access_token: Option<String>,
    api_key: Option<String>,
}

/// The part of the API that deals with connections.
pub struct ConnectionPart {
    connections: Arc<Connections>,
    auth: Arc<Auth>,
    events: Arc<Events>,
}

impl ConnectionPart {
    /// Deals with these connections.
    pub fn new(connections: Arc<Connections>, auth: Arc<Auth>, events: Arc<Events>) -> Arc<Self> {
        Arc::new(Self { connections, auth, events })
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![
            Endpoint::socket("server.connection.identify").open().to(self, Self::identify),
            Endpoint::socket("server.websocket.id").read_only().to(self, Self::websocket_id),
        ]
    }

    async fn identify(self: Arc<Self>, call: Call<Identify>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Identified {
            connection_id: u64,
        }
        let connection = connection(&call)?.clone();
        let Identify { client_name: name, version, kind, url, access_token, api_key } = call.params;
        if connection.info().is_none() {
            self.log_in(&connection, access_token.as_deref(), api_key.as_deref())?;
        }
        let info = ClientInfo { name, version, kind: kind.name().to_owned(), url };
        if kind == ClientType::Agent && self.agent(&info.name).is_some() {
            return Err(Error::bad_request(format!(
                "Agent {} is already registered and connected",
                info.name
            )));
        }
        connection.identify(info.clone())?;
        if kind == ClientType::Agent {
            let data = json::to_raw(&AgentInfo::from(&info));
            AgentEvent { agent: &info.name, event: "connected", data: Some(&data) }
                .emit(&self.events, &connection);
        }
        Ok(Reply::of(&Identified { connection_id: connection.id() }))
    }

    /// Takes what the client says of who it is. Without that it must be somebody already (spec behaviour.md §4.1).
    fn log_in(&self, connection: &Connection, token: Option<&str>, key: Option<&str>) -> Result<()> {
        let identity = match (token, key) {
            (Some(token), _) => Some(self.auth.by_access_token(token)?),
            (None, Some(key)) if connection.identity().role == Role::Anonymous => {
                Some(self.auth.by_api_key(key).ok_or_else(Error::unauthorized)?)
            }
            (None, _) => None,
        };
        if let Some(identity) = identity {
            connection.log_in(identity);
        }
        connection.identity().require(Role::ReadOnly)
    }

    async fn websocket_id(self: Arc<Self>, call: Call<NoParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Id {
            websocket_id: u64,
        }
        Ok(Reply::of(&Id { websocket_id: connection(&call)?.id() }))
    }

    fn agent(&self, name: &str) -> Option<Arc<Connection>> {
        agents(&self.connections).find(|(_, info)| info.name == name).map(|(connection, _)| connection)
    }
}

/// All agents that are logged in.
pub(super) fn agents(connections: &Connections) -> impl Iterator<Item = (Arc<Connection>, ClientInfo)> {
    let identified = |connection: Arc<Connection>| connection.info().map(|info| (connection, info));
    let present = |(connection, info): &(Arc<Connection>, ClientInfo)| {
        info.kind == AGENT && connection.identity().role >= Role::ReadOnly
    };
    connections.all().into_iter().filter_map(identified).filter(present)
}

/// The connection that a call came over.
pub(super) fn connection<P>(call: &Call<P>) -> Result<&Arc<Connection>> {
    call.caller.connection.as_ref().ok_or_else(|| Error::internal("The call came without a connection"))
}
