//! Cases as data: `cases/*.json`, one file a subject, each run against one server.
//!
//! A file holds `about`, what the server is started with (`klippy`: whether there is a simulated printer,
//! `options`: lines of `[server]`, `sections`: further sections) and `cases`. A case is one of
//!
//! * a call: `method`, `params` and, where it has an HTTP form, `http` (`"GET /server/info"`; `body` is sent
//!   as JSON). It is made over every transport that `over` names (all of them without). It expects `result`
//!   or `error` (`status`, `message`; JSON-RPC's code follows from the status, spec api.md §0.5).
//! * an HTTP request: `request` (`GET /path`), `headers`, `body` (JSON) or `text` (anything) with `type`. It
//!   expects `status`, `headers` and `json` or `content`.
//! * a JSON-RPC message: `message` (JSON) or `raw` (text). It expects `answer`; `null` is no answer at all.
//!
//! Everything expected is a pattern (`pattern.rs`). Before a case with `files` the folders `gcodes` and `config`
//! are emptied and these files written (a name that ends in `/` is a folder, a value `{"link": path}` a symbolic
//! link); `before` makes calls first; `disk` says what is there afterwards (`null`: nothing).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::pattern::mismatch;
use super::{Perigee, Request, Response, RpcError, Setup, UnixClient, WsClient};
use crate::sim::Sim;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    #[allow(dead_code)]
    about: String,
    #[serde(default)]
    klippy: bool,
    #[serde(default)]
    options: Vec<String>,
    #[serde(default)]
    sections: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default)]
    files: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    before: Vec<Call>,
    #[serde(default)]
    over: Option<Vec<Over>>,

    // a call
    method: Option<String>,
    #[serde(default)]
    params: Value,
    http: Option<String>,
    result: Option<Value>,
    error: Option<ExpectedError>,

    // an HTTP request
    request: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    text: Option<String>,
    #[serde(rename = "type")]
    content_type: Option<String>,
    status: Option<u16>,
    #[serde(default, rename = "answer_headers")]
    expected_headers: BTreeMap<String, Value>,
    json: Option<Value>,
    content: Option<Value>,

    // a JSON-RPC message
    message: Option<Value>,
    raw: Option<String>,
    #[serde(default, deserialize_with = "present")]
    answer: Option<Value>,

    #[serde(default)]
    disk: BTreeMap<String, Value>,
}

/// Tells `"answer": null` from no `answer` at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    method: String,
    #[serde(default)]
    params: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedError {
    status: u16,
    #[serde(default = "anything")]
    message: Value,
}

fn anything() -> Value {
    json!({"$type": "string"})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Over {
    Http,
    Jsonrpc,
    Websocket,
    Unix,
}

const ALL: [Over; 4] = [Over::Http, Over::Jsonrpc, Over::Websocket, Over::Unix];

/// Where the files with cases are.
pub fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/cases"))
}

/// Runs all cases of a file and reports all that fail.
#[track_caller]
pub fn run(subject: &str) {
    let text = fs::read_to_string(folder().join(format!("{subject}.json"))).expect("the file of cases");
    let file: CaseFile =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{subject}.json: {error}"));
    let mut setup = Setup::new();
    for line in &file.options {
        setup = setup.option(line);
    }
    for section in &file.sections {
        setup = setup.sections(section);
    }
    let sim = file.klippy.then(|| Sim::start(&setup));
    let server = setup.start();
    if file.klippy {
        server.wait_for_klippy("ready");
    }
    let mut runner = Runner {
        websocket: server.websocket(),
        unix_socket: server.unix_socket(),
        server: &server,
        failures: Vec::new(),
        count: 0,
    };
    for case in &file.cases {
        runner.run(case);
    }
    let Runner { failures, count, .. } = runner;
    assert!(
        failures.is_empty(),
        "{} of {count} cases of {subject}.json failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
    println!("{subject}.json: {count} cases");
    drop(server);
    drop(sim);
}

struct Runner<'a> {
    server: &'a Perigee,
    websocket: WsClient,
    unix_socket: UnixClient,
    failures: Vec<String>,
    count: usize,
}

impl Runner<'_> {
    fn run(&mut self, case: &Case) {
        let transports: Vec<Over> = match &case.over {
            Some(over) => over.clone(),
            None if case.request.is_some() => vec![Over::Http],
            None if case.method.is_some() && case.http.is_none() => ALL[1..].to_vec(),
            None if case.method.is_none() && case.message.is_none() && case.raw.is_none() => vec![Over::Http],
            None if case.method.is_none() && case.http.is_none() => ALL[1..].to_vec(),
            None => ALL.to_vec(),
        };
        for over in transports {
            self.count += 1;
            if let Err(why) = self.run_over(case, over) {
                self.failures.push(format!("  {} over {over:?}: {why}", case.name));
            }
        }
    }

    fn run_over(&mut self, case: &Case, over: Over) -> Result<(), String> {
        if let Some(files) = &case.files {
            set_up(self.server, files);
        }
        for call in &case.before {
            self.websocket.call(&call.method, call.params.clone());
        }
        if case.message.is_some() || case.raw.is_some() {
            self.message(case, over)?;
        } else if case.request.is_some() {
            request(self.server, case)?;
        } else {
            self.call(case, over)?;
        }
        disk(self.server, &case.disk)
    }

    fn call(&mut self, case: &Case, over: Over) -> Result<(), String> {
        let outcome = match over {
            Over::Http => http_call(self.server, case)?,
            Over::Jsonrpc => {
                let method = case.method.as_deref().ok_or("the case has no method")?;
                let mut message = json!({"jsonrpc": "2.0", "method": method, "id": 1});
                if !case.params.is_null() {
                    message["params"] = case.params.clone();
                }
                let mut answer = self.server.jsonrpc(&message).expect(200).json();
                match answer.get("error") {
                    Some(error) => Err((error["code"].clone(), error["message"].clone())),
                    None => Ok(answer["result"].take()),
                }
            }
            Over::Websocket => rpc_outcome(
                self.websocket.try_call(case.method.as_deref().unwrap_or_default(), case.params.clone()),
            ),
            Over::Unix => rpc_outcome(
                self.unix_socket.try_call(case.method.as_deref().unwrap_or_default(), case.params.clone()),
            ),
        };
        check_outcome(case, over, outcome)
    }

    fn message(&mut self, case: &Case, over: Over) -> Result<(), String> {
        let text = match (&case.raw, &case.message) {
            (Some(raw), _) => raw.clone(),
            (None, Some(message)) => message.to_string(),
            (None, None) => unreachable!("checked by the caller"),
        };
        let expected = case.answer.as_ref().ok_or("the case expects no `answer`")?;
        let answer = match over {
            Over::Http | Over::Jsonrpc => {
                let request = Request::post("/server/jsonrpc").body("application/json", text);
                let response = self.server.send(&request).expect(200);
                if response.body.is_empty() { Value::Null } else { response.json() }
            }
            Over::Websocket => exchange(&mut self.websocket, &text, expected),
            Over::Unix => exchange(&mut self.unix_socket, &text, expected),
        };
        compare("the answer", expected, &answer)
    }
}

/// Sends a message and takes the answer, or makes sure that there is none.
fn exchange<W: super::rpc::Wire>(client: &mut super::Client<W>, text: &str, expected: &Value) -> Value {
    client.send_text(text);
    if expected.is_null() {
        client.assert_no_answer();
        Value::Null
    } else {
        client.answer()
    }
}

type Outcome = Result<Value, (Value, Value)>;

fn rpc_outcome(outcome: Result<Value, RpcError>) -> Outcome {
    outcome.map_err(|error| (error.code.into(), error.message.into()))
}

fn http_call(server: &Perigee, case: &Case) -> Result<Outcome, String> {
    let line = case.http.as_deref().ok_or("the case has no `http`")?;
    let response = server.send(&build(line, case)?);
    let mut body = if response.body.is_empty() { Value::Null } else { response.json() };
    if response.status == 200 {
        return Ok(Ok(body.get_mut("result").ok_or("no `result` in the answer")?.take()));
    }
    let error = &body["error"];
    compare("error", &json!({"code": response.status, "traceback": {"$type": "string"}}), error)?;
    Ok(Err((response.status.into(), error["message"].clone())))
}

fn check_outcome(case: &Case, over: Over, outcome: Outcome) -> Result<(), String> {
    match (&case.result, &case.error, outcome) {
        (Some(pattern), None, Ok(result)) => compare("the result", pattern, &result),
        (None, Some(expected), Err((code, message))) => {
            let wanted = match (over, expected.status) {
                (Over::Http, status) => i64::from(status),
                (_, 404) => -32601,
                (_, 401) => -32602,
                (_, status) => i64::from(status),
            };
            if code != wanted {
                return Err(format!("expected the error code {wanted}, got {code} ({message})"));
            }
            compare("the message", &expected.message, &message)
        }
        (Some(_), _, Err((code, message))) => Err(format!("failed: {code} {message}")),
        (_, Some(error), Ok(result)) => Err(format!("should fail with {}, answered {result}", error.status)),
        (None, None, _) => Err("the case expects neither `result` nor `error`".into()),
    }
}

fn build(line: &str, case: &Case) -> Result<Request, String> {
    let (method, target) = line.split_once(' ').ok_or("no verb in the request")?;
    let mut request = Request::new(method, target);
    for (name, value) in &case.headers {
        request = request.header(name, value);
    }
    match (&case.text, &case.body, &case.content_type) {
        (Some(text), _, Some(kind)) => request = request.body(kind, text.clone()),
        (Some(text), _, None) => request.body = text.clone().into_bytes(),
        (None, Some(body), kind) => {
            let kind = kind.as_deref().unwrap_or("application/json");
            request = request.body(kind, body.to_string());
        }
        (None, None, _) => {}
    }
    Ok(request)
}

fn request(server: &Perigee, case: &Case) -> Result<(), String> {
    let request = build(case.request.as_deref().unwrap_or_default(), case)?;
    let response = server.send(&request);
    if case.status != Some(response.status) {
        return Err(format!(
            "expected status {:?}, got {}: {}",
            case.status,
            response.status,
            response.text()
        ));
    }
    for (name, pattern) in &case.expected_headers {
        let found = json!({"value": response.header(name)});
        let pattern = match pattern.get("$absent") {
            Some(_) => json!(null),
            None => pattern.clone(),
        };
        compare(&format!("the header {name}"), &json!({"value": pattern}), &found)?;
    }
    if let Some(pattern) = &case.json {
        compare("the body", pattern, &json_of(&response)?)?;
    }
    match &case.content {
        Some(pattern) => compare("the body", pattern, &Value::String(response.text())),
        None => Ok(()),
    }
}

fn json_of(response: &Response) -> Result<Value, String> {
    serde_json::from_slice(&response.body).map_err(|error| format!("{error}: {:.200}", response.text()))
}

fn compare(what: &str, pattern: &Value, value: &Value) -> Result<(), String> {
    match mismatch(pattern, value) {
        None => Ok(()),
        Some(why) => {
            let text = value.to_string();
            let short: String = text.chars().take(400).collect();
            Err(format!("{what}: {why}\n      in {short}"))
        }
    }
}

/// Empties the folders that clients can write to, and puts these files there.
pub fn set_up(server: &Perigee, files: &BTreeMap<String, Value>) {
    for root in ["gcodes", "config"] {
        for entry in fs::read_dir(server.data(root)).expect("the folder").flatten() {
            let path = entry.path();
            if path.ends_with("moonraker.conf") {
                continue;
            }
            match entry.file_type().expect("a type").is_dir() {
                true => fs::remove_dir_all(path).expect("a folder removed"),
                false => fs::remove_file(path).expect("a file removed"),
            }
        }
    }
    for (name, content) in files {
        let path = server.data(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        if name.ends_with('/') {
            fs::create_dir_all(path).expect("a folder");
        } else if let Some(target) = content["link"].as_str() {
            std::os::unix::fs::symlink(target, path).expect("a link");
        } else {
            fs::write(path, content.as_str().expect("the content of a file")).expect("a file");
        }
    }
}

fn disk(server: &Perigee, expected: &BTreeMap<String, Value>) -> Result<(), String> {
    for (name, pattern) in expected {
        let path = server.data(name);
        let found = match fs::symlink_metadata(&path) {
            Err(_) => Value::Null,
            Ok(found) if found.is_dir() => json!({"folder": true}),
            Ok(_) => String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into(),
        };
        compare(&format!("{name} on the disk"), pattern, &found)?;
    }
    Ok(())
}
