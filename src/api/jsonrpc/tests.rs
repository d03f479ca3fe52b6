use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;

use super::*;
use crate::api::{Endpoint, Identity, Transport};

struct Part;

#[derive(Deserialize)]
struct Echo {
    text: String,
}

#[derive(Deserialize)]
struct Fail {
    status: u16,
}

fn table() -> Table {
    let part = Arc::new(Part);
    let mut table = Table::default();
    table.add(
        "test",
        vec![
            Endpoint::get("test.echo", "/test/echo")
                .to(&part, |_, call: Call<Echo>| async move { Ok(Reply::of(&call.params.text)) }),
            Endpoint::get("test.fail", "/test/fail").to(&part, |_, call: Call<Fail>| async move {
                Err::<Reply, _>(Error::new(call.params.status, "no <way>"))
            }),
            Endpoint::socket("test.socket").to(&part, |_, _: Call| async move { Ok(Reply::ok()) }),
        ],
    );
    table
}

fn send(text: &str) -> Option<String> {
    smol::block_on(handle(&table(), &Caller::internal(), text.as_bytes()))
}

#[test]
fn each_row_of_the_rules() {
    let deep = format!(r#"{{"jsonrpc":"2.0","method":"test.echo","params":{}}}"#, "[".repeat(10_000));
    for (request, answer) in [
        ("{", r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}"#),
        (&*deep, r#"{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}"#),
        ("5", r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}"#),
        (
            r#"{"method":"test.echo","id":"a"}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":"a"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":7,"id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"none","id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.socket","id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found for transport INTERNAL"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.echo","params":[1],"id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params: expected an object"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.echo","params":null,"id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params: expected an object"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.echo","id":0}"#,
            r#"{"jsonrpc":"2.0","error":{"code":400,"message":"No data for argument: text"},"id":0}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.fail","params":{"status":404},"id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"no <way>"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.fail","params":{"status":401},"id":1}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"no <way>"},"id":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.fail","params":{"status":503}}"#,
            r#"{"jsonrpc":"2.0","error":{"code":503,"message":"no <way>"},"id":null}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","method":"test.echo","params":{"text":"é"},"id":"x"}"#,
            r#"{"jsonrpc":"2.0","result":"é","id":"x"}"#,
        ),
        (
            r#" [{"jsonrpc":"2.0","method":"test.echo","params":{"text":1},"id":0},
                {"jsonrpc":"2.0","method":"test.echo","params":{"text":2}},
                {"jsonrpc":"2.0","method":"test.echo","params":{"text":3},"id":2}]"#,
            r#"[{"jsonrpc":"2.0","result":"1","id":0},{"jsonrpc":"2.0","result":"3","id":2}]"#,
        ),
    ] {
        assert_eq!(send(request).as_deref(), Some(answer), "{request:.200}");
    }
}

#[test]
fn what_gets_no_answer() {
    for request in [
        "[]",
        r#"{"jsonrpc":"2.0","method":"test.echo","params":{"text":1}}"#,
        r#"{"jsonrpc":"2.0","method":"test.echo","params":{"text":1},"id":null}"#,
        r#"[{"jsonrpc":"2.0","method":"test.echo","params":{"text":1}}]"#,
        r#"{"jsonrpc":"2.0","result":1,"id":1}"#,
    ] {
        assert_eq!(send(request), None, "{request}");
    }
}

#[test]
fn an_unknown_caller_is_told_so() {
    let caller =
        Caller { transport: Transport::Websocket, identity: Identity::STRANGER, ..Caller::internal() };
    let request = br#"{"jsonrpc":"2.0","method":"test.socket","id":1}"#;
    let answer = smol::block_on(handle(&table(), &caller, request)).unwrap();
    assert_eq!(answer, r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"Unauthorized"},"id":1}"#);
}

#[test]
fn a_batch_that_is_too_long_is_refused_whole() {
    let call = r#"{"jsonrpc":"2.0","method":"test.echo","params":{"text":1},"id":1}"#;
    let stranger = Caller { identity: Identity::STRANGER, ..Caller::internal() };
    for (caller, limit) in [(Caller::internal(), MAX_BATCH), (stranger, MAX_STRANGER_BATCH)] {
        let is_refused = |length| {
            let batch = format!("[{}]", vec![call; length].join(","));
            let answer = smol::block_on(handle(&table(), &caller, batch.as_bytes())).unwrap();
            answer.contains("the batch is too long")
        };
        assert!(is_refused(limit + 1) && !is_refused(limit));
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered_with_json_or_nothing(bytes: Vec<u8>) {
        if let Some(answer) = smol::block_on(handle(&table(), &Caller::internal(), &bytes)) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&answer).is_ok());
        }
    }

    #[test]
    fn any_id_is_echoed(id in "[a-z\"\\\\\u{e9}\n]{0,8}") {
        let id = json::to_text(&id);
        let request = format!(r#"{{"jsonrpc":"2.0","method":"test.echo","params":{{"text":"t"}},"id":{id}}}"#);
        prop_assert_eq!(send(&request), Some(format!(r#"{{"jsonrpc":"2.0","result":"t","id":{id}}}"#)));
    }
}
