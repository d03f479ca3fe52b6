//! JSON-RPC 2.0 as Moonraker speaks it (spec api.md §0.5), for every transport that carries it.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::caller::Caller;
use super::endpoint::Call;
use super::params::Params;
use super::table::Table;
use super::{Error, Reply, Result, Role};
use crate::json;

/// How many calls one batch may hold (Mainsail sends up to 100); a larger one is refused as a whole.
pub const MAX_BATCH: usize = 1000;

/// How many calls a stranger's batch may hold: it counts as one request.
pub const MAX_STRANGER_BATCH: usize = 20;

/// The text is no JSON.
const PARSE_ERROR: i32 = -32700;
/// The JSON is no request.
const INVALID_REQUEST: i32 = -32600;
/// There is no such method, or what it was asked for does not exist.
const METHOD_NOT_FOUND: i32 = -32601;
/// The parameters are wrong, or the caller is not known.
const INVALID_PARAMS: i32 = -32602;

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, RawValue>>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// Reads a member that is there even when it is `null`.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Handles one message: a request, a batch, or the answer to a request of ours. Returns what is to be sent
/// back, if anything.
pub async fn handle(table: &Table, caller: &Caller, text: &[u8]) -> Option<String> {
    let parsed: Option<&RawValue> = std::str::from_utf8(text)
        .ok()
        .filter(|text| json::depth_within(text.as_bytes(), json::MAX_DEPTH))
        .and_then(|text| serde_json::from_str(text).ok());
    let Some(message) = parsed else {
        return Some(error_text(None, PARSE_ERROR, "Parse error", None));
    };
    if message.get().starts_with('[') {
        batch(table, caller, message).await
    } else {
        single(table, caller, message).await
    }
}

/// The answer to a message that is not looked at.
pub fn refusal(error: &Error) -> String {
    error_text(None, error.status().into(), error.message(), None)
}

async fn batch(table: &Table, caller: &Caller, message: &RawValue) -> Option<String> {
    let calls: Vec<&RawValue> = serde_json::from_str(message.get()).unwrap_or_default();
    let most = if caller.identity.role == Role::Anonymous { MAX_STRANGER_BATCH } else { MAX_BATCH };
    if calls.len() > most {
        return Some(error_text(None, INVALID_REQUEST, "Invalid Request: the batch is too long", None));
    }
    let mut answers = String::new();
    for call in calls {
        if let Some(answer) = single(table, caller, call).await {
            answers.push(if answers.is_empty() { '[' } else { ',' });
            answers.push_str(&answer);
        }
    }
    (!answers.is_empty()).then(|| answers + "]")
}

async fn single(table: &Table, caller: &Caller, message: &RawValue) -> Option<String> {
    let Ok(message) = serde_json::from_str::<Message<'_>>(message.get()) else {
        return Some(error_text(None, INVALID_REQUEST, "Invalid Request", None));
    };
    // a number or a string is echoed; null or nothing means that no answer is wanted
    let id = message.id.map(RawValue::get).filter(|id| *id != "null");
    if message.jsonrpc.as_ref().is_none_or(|version| version.get() != "\"2.0\"") {
        return Some(error_text(id, INVALID_REQUEST, "Invalid Request", None));
    }
    let Some(method) = message.method else {
        answered(caller, &message);
        return None;
    };
    let Ok(method) = serde_json::from_str::<Cow<'_, str>>(method.get()) else {
        return Some(error_text(id, INVALID_REQUEST, "Invalid Request", None));
    };
    match dispatch(table, caller, &method, message.params).await {
        Ok(reply) => id.map(|id| format!(r#"{{"jsonrpc":"2.0","result":{},"id":{id}}}"#, reply.as_str())),
        Err(Failure { code, message, data }) => Some(error_text(id, code, &message, data.as_deref())),
    }
}

/// What a failed call answers.
struct Failure {
    code: i32,
    message: Cow<'static, str>,
    data: Option<Box<RawValue>>,
}

impl Failure {
    fn new(code: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.status() {
            404 => METHOD_NOT_FOUND,
            401 => INVALID_PARAMS,
            status => i32::from(status),
        };
        Self { code, message: error.message().to_owned().into(), data: error.data().map(ToOwned::to_owned) }
    }
}

async fn dispatch(
    table: &Table,
    caller: &Caller,
    method: &str,
    params: Option<&RawValue>,
) -> std::result::Result<Reply, Failure> {
    let (endpoint, tail) =
        table.rpc(method).ok_or_else(|| Failure::new(METHOD_NOT_FOUND, "Method not found"))?;
    if !endpoint.transports.allow(caller.transport) {
        let message = format!("Method not found for transport {}", caller.transport.name());
        return Err(Failure::new(METHOD_NOT_FOUND, message));
    }
    let params = match params {
        None => Params::none(),
        Some(raw) => Params::from_raw(raw)
            .ok_or_else(|| Failure::new(INVALID_PARAMS, "Invalid params: expected an object"))?,
    };
    let endpoint = Arc::clone(endpoint);
    log::debug!("{} {method} {}", caller.transport.name(), shown(method, &params));
    let outcome = endpoint.call(Call { caller: caller.now(), params, tail }).await;
    outcome.inspect_err(|error| log::debug!("{method}: {error}")).map_err(Failure::from)
}

/// How much of a call's parameters the log gets, in bytes.
const MAX_SHOWN: usize = 200;

/// Calls whose parameters the log does not get: they hold passwords and tokens.
const SECRET: [&str; 3] = ["access.", "machine.sudo.", "server.connection."];

/// Parameters as the log may have them.
fn shown<'a>(method: &str, params: &'a Params) -> &'a str {
    match params {
        Params::Raw(raw) if !SECRET.iter().any(|secret| method.starts_with(secret)) => {
            let text = raw.get();
            (0..=MAX_SHOWN.min(text.len())).rev().find_map(|end| text.get(..end)).unwrap_or_default()
        }
        _ => "",
    }
}

/// A message without a method is the answer to a request that we sent (agents).
fn answered(caller: &Caller, message: &Message<'_>) {
    let id = message.id.and_then(|id| serde_json::from_str::<u64>(id.get()).ok());
    let (Some(connection), Some(id)) = (&caller.connection, id) else {
        return;
    };
    let answer = match (message.error, message.result) {
        (None, Some(result)) if result.get() != "null" => Ok(result.to_owned()),
        (error, _) => {
            let name = connection.info().map(|info| info.name).unwrap_or_default();
            let failed = Error::new(424, format!("Agent {name} RPC error"));
            Err(match error {
                Some(error) => failed.with_data(error.to_owned()),
                None => failed,
            })
        }
    };
    connection.answer(id, answer);
}

fn error_text(id: Option<&str>, code: i32, message: &str, data: Option<&RawValue>) -> String {
    let id = id.unwrap_or("null");
    let message = json::to_text(message);
    match data {
        Some(data) => format!(
            r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":{message},"data":{data}}},"id":{id}}}"#
        ),
        None => format!(r#"{{"jsonrpc":"2.0","error":{{"code":{code},"message":{message}}},"id":{id}}}"#),
    }
}

/// Calls an endpoint by its RPC method from within the program.
///
/// # Errors
/// 404 for an unknown method, and whatever the endpoint answers.
pub async fn call(table: &Table, method: &str, params: Params) -> Result<Reply> {
    let (endpoint, tail) = table.rpc(method).ok_or_else(|| Error::not_found("Method not found"))?;
    let endpoint = Arc::clone(endpoint);
    endpoint.call(Call { caller: Caller::internal(), params, tail }).await
}

#[cfg(test)]
mod tests;
