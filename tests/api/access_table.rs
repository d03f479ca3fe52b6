//! Who may call what: every endpoint of the table, over every transport, by every kind of caller. The description
//! that the binary prints is the source, so an endpoint that is new cannot be forgotten.

use serde_json::{Value, json};

use crate::harness::seed::{self, claims, header, key, signed, user};
use crate::harness::server::binary;
use crate::harness::websocket::upgrade_request;
use crate::harness::{Multipart, Perigee, Request, Setup, WsClient};

/// Roles, least first.
const ROLES: [&str; 4] = ["Anonymous", "ReadOnly", "Operator", "Admin"];

fn rank(role: &str) -> usize {
    ROLES.iter().position(|known| *known == role).expect("a known role")
}

/// What a caller shows of who it is.
#[derive(Debug, Clone)]
enum Shows {
    Nothing,
    Header(&'static str, String),
    /// A token in the query, as pages have to send it.
    Query(&'static str, String),
    /// A one-shot token, made with this API key right before.
    OneShot(String),
}

#[derive(Debug)]
struct Caller {
    name: &'static str,
    shows: Shows,
    /// What it may do by that.
    role: &'static str,
    /// Whether it shows a token that never was good: then nothing at all is answered over HTTP.
    forged: bool,
}

fn callers(setup: &Setup) -> Vec<Caller> {
    let token = |name: &str, seconds| signed(&header(name), &claims(setup, name, seconds), &seed::seed(name));
    let bearer = |token: String| Shows::Header("Authorization", format!("Bearer {token}"));
    let api_key = |key: &str| Shows::Header("X-Api-Key", key.to_owned());
    let caller = |name, shows, role| Caller { name, shows, role, forged: false };
    let forged = |name, shows| Caller { name, shows, role: "Anonymous", forged: true };
    let other_key = signed(&header("anna"), &claims(setup, "anna", 60), &seed::seed("olaf"));
    let other_user = signed(&header("anna"), &claims(setup, "olaf", 60), &seed::seed("anna"));
    vec![
        caller("anonymous", Shows::Nothing, "Anonymous"),
        caller("trusted", Shows::Header("X-Forwarded-For", "10.1.1.1".to_owned()), "Admin"),
        caller("not trusted", Shows::Header("X-Forwarded-For", "10.2.1.1".to_owned()), "Anonymous"),
        caller("user", bearer(token("anna", 60)), "Admin"),
        caller("user by another header", Shows::Header("X-Access-Token", token("anna", 60)), "Admin"),
        caller("user by the query", Shows::Query("access_token", token("anna", 60)), "Admin"),
        caller("operator", bearer(token("olaf", 60)), "Operator"),
        caller("read-only", bearer(token("rosa", 60)), "ReadOnly"),
        caller("user of unknown groups", bearer(token("udo", 60)), "ReadOnly"),
        caller("expired", bearer(token("anna", -60)), "Anonymous"),
        forged("deleted user", bearer(token("dora", 60))),
        forged("logged out", bearer(token("lisa", 60))),
        forged("wrong key", bearer(other_key)),
        forged("name of another user", bearer(other_user)),
        forged("no token", bearer("x.y.z".to_owned())),
        caller("password for a proxy", Shows::Header("Authorization", "Basic YTpi".to_owned()), "Anonymous"),
        caller("API key", api_key("0123456789abcdef0123456789abcdef"), "Admin"),
        caller("wrong API key", api_key("1123456789abcdef0123456789abcdef"), "Anonymous"),
        caller("operator's key", api_key("key-operator"), "Operator"),
        caller("dashboard's key", api_key("key-read-only"), "ReadOnly"),
        caller("expired key", api_key("key-expired"), "Anonymous"),
        caller("one-shot", Shows::OneShot("0123456789abcdef0123456789abcdef".to_owned()), "Admin"),
        caller("one-shot of the dashboard", Shows::OneShot("key-read-only".to_owned()), "ReadOnly"),
        caller(
            "wrong one-shot",
            Shows::Query("token", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".to_owned()),
            "Anonymous",
        ),
    ]
}

fn start() -> (Perigee, Vec<Caller>) {
    let setup = Setup::new()
        .strangers()
        .sections(
            "[authorization]\ntrusted_clients: 10.1.0.0/16\nstranger_request_rate: 0\n[octoprint_compat]",
        )
        .arg("--debug");
    let mut api_key = user("_API_KEY_USER_", None);
    api_key.password = "0123456789abcdef0123456789abcdef".to_owned();
    let mut logged_out = user("lisa", None);
    (logged_out.jwt_secret, logged_out.jwk_id) = (None, None);
    let users = [
        api_key,
        logged_out,
        user("anna", None),
        user("olaf", Some(&["operator"])),
        user("rosa", Some(&["read_only"])),
        user("udo", Some(&["guests"])),
    ];
    let keys = [
        key("operator", "operator", "key-operator", None),
        key("dashboard", "read_only", "key-read-only", Some(seed::now() + 1000)),
        key("old", "admin", "key-expired", Some(seed::now() - 1)),
    ];
    let callers = callers(&setup);
    (setup.seeded(&users, &keys).start(), callers)
}

/// A request with what the caller shows.
fn shown(server: &Perigee, caller: &Caller, request: Request) -> Request {
    let with_query = |request: Request, name: &str, value: &str| {
        let separator = if request.target.contains('?') { '&' } else { '?' };
        Request { target: format!("{}{separator}{name}={value}", request.target), ..request }
    };
    match &caller.shows {
        Shows::Nothing => request,
        Shows::Header(name, value) => request.header(name, value),
        Shows::Query(name, value) => with_query(request, name, value),
        Shows::OneShot(key) => {
            let made = Request::get("/access/oneshot_token").header("X-Api-Key", key);
            let token = server.send(&made).result();
            with_query(request, "token", token.as_str().expect("a token"))
        }
    }
}

/// What would end the run, a caller's rights, or more: only who may not do it is let try.
fn is_harmful(rpc: &str, path: &str) -> bool {
    let words = ["restart", "emergency_stop", "shutdown", "reboot", "logout", "api_key", "restore", "sudo"];
    words.iter().any(|word| rpc.contains(word) || path.contains(word))
}

/// 200 for whatever the call answers to those who may make it.
fn http_verdict(status: u16) -> u16 {
    if matches!(status, 401 | 403) { status } else { 200 }
}

fn rpc_verdict(answer: &Value) -> u16 {
    let error = &answer["error"];
    match (error["code"].as_i64(), error["message"].as_str()) {
        (Some(-32602), Some("Unauthorized")) => 401,
        (Some(403), _) => 403,
        _ => 200,
    }
}

/// What a caller of this role gets from an endpoint of that.
fn expected(caller: &str, endpoint: &str) -> u16 {
    match (rank(caller), rank(endpoint)) {
        (caller, endpoint) if caller >= endpoint => 200,
        (0, _) => 401,
        _ => 403,
    }
}

fn description() -> Vec<Value> {
    let output = binary().arg("api").output().unwrap();
    serde_json::from_slice(&output.stdout).expect("a list in JSON")
}

fn text<'a>(endpoint: &'a Value, name: &str) -> &'a str {
    endpoint[name].as_str().expect("a text")
}

#[test]
fn http() {
    let (server, callers) = start();
    let description = description();
    let mut count = 0;
    for caller in &callers {
        for endpoint in &description {
            let (rpc, path, role) = (text(endpoint, "rpc"), text(endpoint, "path"), text(endpoint, "role"));
            let wanted = if caller.forged { 401 } else { expected(caller.role, role) };
            if path.is_empty() || (wanted == 200 && is_harmful(rpc, path)) {
                continue;
            }
            for verb in endpoint["verbs"].as_array().unwrap() {
                let request = Request::new(verb.as_str().unwrap(), &path.replace('*', "gcodes/nothing"));
                let response = server.send(&shown(&server, caller, request));
                assert_eq!(
                    http_verdict(response.status),
                    wanted,
                    "{} {verb} {path}: {}",
                    caller.name,
                    response.text()
                );
                count += 1;
            }
        }
    }
    assert!(count > 1500, "{count} calls were tried");
}

#[test]
fn json_rpc_over_http() {
    let (server, callers) = start();
    let description = description();
    for caller in &callers {
        for endpoint in &description {
            let (rpc, path, role) = (text(endpoint, "rpc"), text(endpoint, "path"), text(endpoint, "role"));
            let wanted = expected(caller.role, role);
            if rpc.is_empty() || path.is_empty() || (wanted == 200 && is_harmful(rpc, path)) {
                continue;
            }
            let message = json!({"jsonrpc": "2.0", "method": rpc.replace('*', "x"), "params": {}, "id": 1});
            let response =
                server.send(&shown(&server, caller, Request::post("/server/jsonrpc").json(&message)));
            if caller.forged {
                response.error(401);
                break;
            }
            let answer = response.expect(200).json();
            assert_eq!(rpc_verdict(&answer), wanted, "{} {rpc}: {answer}", caller.name);
        }
    }
}

fn try_all(client: &mut WsClient, description: &[Value], caller: &str, role: &str) {
    for endpoint in description {
        let (rpc, path) = (text(endpoint, "rpc"), text(endpoint, "path"));
        let wanted = expected(role, text(endpoint, "role"));
        // logging in does not do with nothing, and says so with the same word
        if rpc.is_empty() || rpc == "access.refresh_jwt" || (wanted == 200 && is_harmful(rpc, path)) {
            continue;
        }
        client.send(&json!({"jsonrpc": "2.0", "method": rpc.replace('*', "x"), "params": {}, "id": rpc}));
        let answer = client.answer_where(|answer| answer["id"] == rpc);
        assert_eq!(rpc_verdict(&answer), wanted, "{caller} {rpc}: {answer}");
    }
}

#[test]
fn websocket() {
    let (server, callers) = start();
    let description = description();
    for caller in &callers {
        // who has not logged in gets a websocket all the same
        let mut client = server.upgrade(&shown(&server, caller, upgrade_request("/websocket"))).unwrap();
        try_all(&mut client, &description, caller.name, caller.role);
    }
}

#[test]
fn unix_socket() {
    let (server, _) = start();
    let mut client = server.unix_socket();
    for endpoint in description() {
        let (rpc, path) = (text(&endpoint, "rpc"), text(&endpoint, "path"));
        if rpc.is_empty() || is_harmful(rpc, path) {
            continue;
        }
        client.send(&json!({"jsonrpc": "2.0", "method": rpc.replace('*', "x"), "params": {}, "id": rpc}));
        let answer = client.answer_where(|answer| answer["id"] == rpc);
        assert_eq!(rpc_verdict(&answer), 200, "{rpc}: {answer}");
    }
}

/// The routes that are HTTP's own.
#[test]
fn other_routes() {
    let (server, callers) = start();
    server.upload_as_admin("config", "secret.cfg", "password: x");
    server.upload_as_admin("gcodes", "picture.png", "x");
    server.upload_as_admin("config", ".theme/logo.png", "x");
    let routes = [
        ("GET", "/", "Anonymous"),
        ("GET", "/server/redirect?url=http://x.test", "Anonymous"),
        ("GET", "/server/files/gcodes/picture.png", "ReadOnly"),
        ("HEAD", "/server/files/gcodes/picture.png", "ReadOnly"),
        ("GET", "/server/files/config/.theme/logo.png", "ReadOnly"),
        ("GET", "/server/files/config/secret.cfg", "Admin"),
        ("GET", "/server/files/config/.theme/../secret.cfg", "Admin"),
        ("GET", "/server/files/moonraker.log", "Operator"),
        ("GET", "/server/files/nowhere/x", "ReadOnly"),
        ("GET", "/no/such/path", "ReadOnly"),
        ("GET", "/klippysocket", "Admin"),
    ];
    for caller in &callers {
        for (verb, target, role) in routes {
            let wanted = if caller.forged { 401 } else { expected(caller.role, role) };
            let response = server.send(&shown(&server, caller, Request::new(verb, target)));
            assert_eq!(
                http_verdict(response.status),
                wanted,
                "{} {verb} {target}: {response:?}",
                caller.name
            );
        }
        for (root, role) in [("gcodes", "Operator"), ("config", "Admin")] {
            let form = Multipart::new().file("new.cfg", "x").text("root", root).upload();
            let wanted = if caller.forged { 401 } else { expected(caller.role, role) };
            let response = server.send(&shown(&server, caller, form));
            assert_eq!(
                http_verdict(response.status),
                wanted,
                "{} uploads to {root}: {response:?}",
                caller.name
            );
            let path = server.data(root).join("new.cfg");
            assert_eq!(path.exists(), wanted == 200, "{}", caller.name);
            let _ = std::fs::remove_file(path);
        }
        let options = server.send(&shown(&server, caller, Request::new("OPTIONS", "/server/info")));
        assert_eq!(options.status, 405, "preflights are for everybody: {}", caller.name);
    }
}

/// File calls look at the root that they are about.
#[test]
fn files_by_root() {
    let (server, callers) = start();
    server.upload_as_admin("config", "a.cfg", "x");
    let of = |name: &str| callers.iter().find(|caller| caller.name == name).unwrap();
    for (method, params, role) in [
        ("server.files.post_directory", json!({"path": "gcodes/new"}), "Operator"),
        ("server.files.post_directory", json!({"path": "config/new"}), "Admin"),
        ("server.files.post_directory", json!({"path": "gcodes/../config/new"}), "Admin"),
        ("server.files.delete_directory", json!({"path": "config/new"}), "Admin"),
        ("server.files.move", json!({"source": "config/a.cfg", "dest": "gcodes/a.cfg"}), "Admin"),
        ("server.files.move", json!({"source": "gcodes/x", "dest": "config/x"}), "Admin"),
        ("server.files.copy", json!({"source": "config/a.cfg", "dest": "gcodes/a.cfg"}), "Admin"),
        ("server.files.copy", json!({"source": "gcodes/x", "dest": "gcodes/y"}), "Operator"),
        ("server.files.zip", json!({"items": ["gcodes/x"]}), "Admin"),
        ("server.files.zip", json!({"items": ["gcodes/x"], "dest": "gcodes/x.zip"}), "Operator"),
        ("server.files.zip", json!({"items": ["gcodes/x", "config"], "dest": "gcodes/x.zip"}), "Admin"),
        ("server.files.delete_file", json!({"path": "config/a.cfg"}), "Admin"),
        ("server.files.delete_file", json!({"path": "gcodes/a.cfg"}), "Operator"),
    ] {
        for caller in ["operator", "dashboard's key", "anonymous"].map(of) {
            let mut client = server.upgrade(&shown(&server, caller, upgrade_request("/websocket"))).unwrap();
            client.send(&json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}));
            let answer = client.answer();
            assert_eq!(
                rpc_verdict(&answer),
                expected(caller.role, role),
                "{} {method} {params}",
                caller.name
            );
        }
    }
    assert!(server.data("config/a.cfg").exists() && !server.data("gcodes/a.cfg").exists());
}

impl Perigee {
    /// Puts a file into a root by way of the disk.
    fn upload_as_admin(&self, root: &str, name: &str, content: &str) {
        let path = self.data(root).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}
