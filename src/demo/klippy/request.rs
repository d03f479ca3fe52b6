//! A request of a client, and the message that answers it.

use serde_json::{Map, Value};

use super::printer::status::quoted;
use crate::klippy::framing::END;

/// A request that Klippy understands.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Without one, or with null, there is no answer.
    pub(super) id: Value,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

impl Request {
    /// Reads a frame. Nothing if it is no object, or method or parameters have the wrong type: such frames are
    /// dropped without an answer, as Klippy drops them.
    pub(super) fn parse(frame: &[u8]) -> Option<Self> {
        let mut fields: Map<String, Value> = serde_json::from_slice(frame).ok()?;
        let Some(Value::String(method)) = fields.remove("method") else {
            return None;
        };
        let params = match fields.remove("params") {
            None => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return None,
        };
        Some(Self { id: fields.remove("id").unwrap_or_default(), method, params })
    }

    /// A parameter that must be an object.
    ///
    /// # Errors
    /// Klippy's message.
    pub(super) fn object(&self, name: &str) -> Result<&Map<String, Value>, String> {
        self.optional_object(name)?.ok_or_else(|| missing(name))
    }

    /// A parameter that is an object, if it is there.
    ///
    /// # Errors
    /// Klippy's message.
    pub(super) fn optional_object(&self, name: &str) -> Result<Option<&Map<String, Value>>, String> {
        match self.params.get(name) {
            None => Ok(None),
            Some(Value::Object(value)) => Ok(Some(value)),
            Some(_) => Err(wrong_type(name)),
        }
    }

    /// A parameter that must be a text.
    ///
    /// # Errors
    /// Klippy's message.
    pub(super) fn text(&self, name: &str) -> Result<&str, String> {
        match self.params.get(name) {
            None => Err(missing(name)),
            Some(Value::String(value)) => Ok(value),
            Some(_) => Err(wrong_type(name)),
        }
    }
}

fn missing(name: &str) -> String {
    format!("Missing Argument [{name}]")
}

fn wrong_type(name: &str) -> String {
    format!("Invalid Argument Type [{name}]")
}

/// The answer to a request: a result as JSON text, or the message of an error.
pub(super) fn answer(id: &Value, result: Result<&str, &str>) -> Vec<u8> {
    let text = match result {
        Ok(json) => format!(r#"{{"id":{id},"result":{json}}}"#),
        Err(message) => {
            format!(r#"{{"id":{id},"error":{{"error":"WebRequestError","message":{}}}}}"#, quoted(message))
        }
    };
    frame(text)
}

/// Puts the end of a frame behind a text.
pub(super) fn frame(text: String) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    bytes.push(END);
    bytes
}

/// What a client wants to be around the parameters of a message.
#[derive(Debug, Clone)]
pub(super) struct Template {
    /// The members as JSON text, each with a comma behind it.
    members: String,
}

impl Template {
    /// The template of these members; `params` is always Klippy's own.
    pub(super) fn new(members: Option<&Map<String, Value>>) -> Self {
        let mut text = String::new();
        for (name, value) in members.into_iter().flatten().filter(|(name, _)| *name != "params") {
            text.push_str(&format!("{}:{value},", quoted(name)));
        }
        Self { members: text }
    }

    /// A message with these parameters, given as JSON text.
    pub(super) fn message(&self, params: &str) -> Vec<u8> {
        frame(format!(r#"{{{}"params":{params}}}"#, self.members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_no_request_is_dropped() {
        for frame in [
            &b"[]"[..],
            b"5",
            b"{",
            b"",
            b"\xff\xfe",
            br#"{"id":1}"#,
            br#"{"method":5}"#,
            br#"{"method":"info","params":null}"#,
            br#"{"method":"info","params":[]}"#,
        ] {
            assert!(Request::parse(frame).is_none(), "{frame:?}");
        }
        assert!(Request::parse("[".repeat(100_000).as_bytes()).is_none());
        let request = Request::parse(br#"{"method":"info","id":"a"}"#).unwrap();
        assert_eq!((request.method.as_str(), request.id), ("info", json!("a")));
    }

    #[test]
    fn parameters_are_checked_with_klippys_words() {
        let request = Request::parse(br#"{"method":"m","params":{"a":1,"o":{},"t":"x"}}"#).unwrap();
        assert_eq!(request.object("x").unwrap_err(), "Missing Argument [x]");
        assert_eq!(request.object("a").unwrap_err(), "Invalid Argument Type [a]");
        assert_eq!(request.text("a").unwrap_err(), "Invalid Argument Type [a]");
        assert_eq!(request.optional_object("x"), Ok(None));
        assert_eq!(request.text("t"), Ok("x"));
        assert!(request.object("o").unwrap().is_empty());
    }

    #[test]
    fn messages_are_json_in_a_frame() {
        assert_eq!(answer(&json!(1), Ok("{}")), b"{\"id\":1,\"result\":{}}\x03");
        let error = answer(&json!("x"), Err("a \"b\"\n"));
        let value: Value = serde_json::from_slice(&error[..error.len() - 1]).unwrap();
        assert_eq!(value["error"]["message"], "a \"b\"\n");
        let template = Template::new(json!({"method": "m", "params": 1, "k": [2]}).as_object());
        assert_eq!(template.message("[]"), b"{\"k\":[2],\"method\":\"m\",\"params\":[]}\x03");
        assert_eq!(Template::new(None).message("[]"), b"{\"params\":[]}\x03");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
        }
    }
}
