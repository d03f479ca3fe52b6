//! A JSON-RPC client over anything that carries messages: a websocket or a unix socket.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;

/// What a connection gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Message(String),
    /// The other side ended the connection, with a close code where there is such a thing.
    Closed(Option<u16>, String),
    /// Nothing came in time.
    Nothing,
}

/// A connection that carries whole messages.
pub trait Wire {
    fn send(&mut self, message: &str);
    fn receive(&mut self, deadline: Instant) -> Received;
}

/// The error of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcError {
    pub code: i64,
    pub message: String,
    pub data: Value,
}

/// A client that numbers its calls and keeps what else comes in.
#[derive(Debug)]
pub struct Client<W> {
    wire: W,
    last_id: u64,
    notifications: VecDeque<Value>,
    /// Answers that came before they were asked for.
    answers: VecDeque<Value>,
}

impl<W: Wire> Client<W> {
    pub fn over(wire: W) -> Self {
        Self { wire, last_id: 10_000, notifications: VecDeque::new(), answers: VecDeque::new() }
    }

    pub fn wire(&mut self) -> &mut W {
        &mut self.wire
    }

    /// The connection itself.
    pub fn into_wire(self) -> W {
        self.wire
    }

    /// Calls a method and waits for its answer. `Value::Null` as parameters sends none at all.
    pub fn try_call(&mut self, method: &str, params: Value) -> Result<Value, RpcError> {
        let id = self.start(method, params);
        self.finish(id)
    }

    /// The same for a call that must succeed.
    #[track_caller]
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params.clone())
            .unwrap_or_else(|error| panic!("{method} {params} failed: {error:?}"))
    }

    /// The same for a call that must fail.
    #[track_caller]
    pub fn fail(&mut self, method: &str, params: Value) -> RpcError {
        match self.try_call(method, params.clone()) {
            Ok(result) => panic!("{method} {params} should fail, answered {result}"),
            Err(error) => error,
        }
    }

    /// Sends a call without waiting for its answer.
    pub fn start(&mut self, method: &str, params: Value) -> u64 {
        self.last_id += 1;
        let mut request = json!({"jsonrpc": "2.0", "method": method, "id": self.last_id});
        if !params.is_null() {
            request["params"] = params;
        }
        self.send(&request);
        self.last_id
    }

    /// Waits for the answer of a call.
    #[track_caller]
    pub fn finish(&mut self, id: u64) -> Result<Value, RpcError> {
        let mut answer = self.answer_where(|answer| answer["id"] == id);
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        match answer.get("error") {
            None => Ok(answer.get_mut("result").unwrap_or_else(|| panic!("neither result nor error")).take()),
            Some(error) => {
                assert!(answer.get("result").is_none(), "both result and error: {answer}");
                Err(RpcError {
                    code: error["code"].as_i64().unwrap_or_else(|| panic!("code in {answer}")),
                    message: error["message"].as_str().unwrap_or_else(|| panic!("text in {answer}")).into(),
                    data: error["data"].clone(),
                })
            }
        }
    }

    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    pub fn send_text(&mut self, message: &str) {
        self.wire.send(message);
    }

    /// The next message that is no notification: an answer or a batch of them.
    #[track_caller]
    pub fn answer(&mut self) -> Value {
        self.answer_where(|_| true)
    }

    #[track_caller]
    pub fn answer_where(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.answers.iter().position(&wanted) {
            return self.answers.remove(at).expect("it is there");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.receive(deadline, "an answer");
            if is_notification(&message) {
                self.notifications.push_back(message);
            } else if wanted(&message) {
                return message;
            } else {
                self.answers.push_back(message);
            }
        }
    }

    /// Makes sure that everything sent so far has been dealt with, by one more call.
    pub fn settle(&mut self) {
        let _ = self.try_call("server.no_such_method", Value::Null);
    }

    /// Whether no answer came for anything that was sent before this.
    #[track_caller]
    pub fn assert_no_answer(&mut self) {
        self.settle();
        assert_eq!(self.answers.pop_front(), None, "an answer that should not have come");
    }

    /// Waits for a notification and returns its `params` (null without).
    #[track_caller]
    pub fn expect(&mut self, name: &str) -> Value {
        self.expect_where(name, |_| true)
    }

    /// Waits for a notification of this name whose parameters are the wanted ones; others are dropped.
    #[track_caller]
    pub fn expect_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut passed_over = Vec::new();
        loop {
            let mut message = match self.notifications.pop_front() {
                Some(message) => message,
                None => {
                    let what = format!("{name}; came instead: {passed_over:?}");
                    let message = self.receive(deadline, &what);
                    if !is_notification(&message) {
                        self.answers.push_back(message);
                        continue;
                    }
                    message
                }
            };
            if message["method"] == name && wanted(message.get("params").unwrap_or(&Value::Null)) {
                return message.get_mut("params").map_or(Value::Null, Value::take);
            }
            let mut text = message.to_string();
            text.truncate(text.char_indices().nth(200).map_or(text.len(), |(at, _)| at));
            passed_over.push(text);
        }
    }

    /// Takes all notifications that have come in up to now.
    pub fn take_notifications(&mut self) -> Vec<Value> {
        self.settle();
        self.notifications.drain(..).collect()
    }

    /// Takes those of one name.
    pub fn take_named(&mut self, name: &str) -> Vec<Value> {
        let all = self.take_notifications();
        all.into_iter().filter(|message| message["method"] == name).collect()
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub fn expect_close(&mut self) -> (Option<u16>, String) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.wire.receive(deadline) {
                Received::Closed(code, reason) => return (code, reason),
                Received::Message(_) => {}
                Received::Nothing => panic!("the connection was not closed"),
            }
        }
    }

    /// The next message of any kind within this time, if one comes.
    pub fn next_within(&mut self, time: Duration) -> Option<Value> {
        if let Some(message) = self.notifications.pop_front().or_else(|| self.answers.pop_front()) {
            return Some(message);
        }
        match self.wire.receive(Instant::now() + time) {
            Received::Message(text) => Some(parse(&text)),
            Received::Closed(code, reason) => panic!("the connection was closed: {code:?} {reason}"),
            Received::Nothing => None,
        }
    }

    #[track_caller]
    fn receive(&mut self, deadline: Instant, what: &str) -> Value {
        match self.wire.receive(deadline) {
            Received::Message(text) => parse(&text),
            Received::Closed(code, reason) => {
                panic!("the connection was closed ({code:?} {reason}) while waiting for {what}")
            }
            Received::Nothing => panic!("waited in vain for {what}"),
        }
    }
}

#[track_caller]
fn parse(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("a message that is no JSON ({error}): {text}"))
}

fn is_notification(message: &Value) -> bool {
    message.get("method").is_some() && message.get("id").is_none()
}
