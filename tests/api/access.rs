//! Users, log-ins, tokens and keys, over every transport (spec api.md §7, behaviour.md §4).

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::seed::{self, user};
use crate::harness::websocket::upgrade_request;
use crate::harness::{Perigee, Request, Response, Setup, WsClient};

const PASSWORD: &str = "Passw0rd-anna";

/// A server that trusts nobody, with a user `anna` as Moonraker stored her.
fn server() -> Perigee {
    with("")
}

fn with(options: &str) -> Perigee {
    let setup = Setup::new().strangers().sections(&format!("[authorization]\n{options}"));
    setup.seeded(&[user("anna", Some(&["admin"]))], &[]).start()
}

fn login(server: &Perigee, name: &str, password: &str) -> Response {
    server.post("/access/login", json!({"username": name, "password": password}))
}

fn token(server: &Perigee, name: &str, password: &str) -> String {
    login(server, name, password).result()["token"].as_str().unwrap().to_owned()
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("Authorization", &format!("Bearer {token}"))
}

fn identify(client: &mut WsClient, more: Value) -> Result<Value, crate::harness::RpcError> {
    let mut params = json!({"client_name": "t", "version": "1", "type": "web", "url": "u"});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.try_call("server.connection.identify", params)
}

fn is_logged_in(client: &mut WsClient) -> bool {
    match client.try_call("server.info", Value::Null) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!((error.code, &*error.message), (-32602, "Unauthorized"));
            false
        }
    }
}

#[test]
fn a_migrated_user_logs_in() {
    let server = server();
    let answer = login(&server, "anna", PASSWORD).result();
    assert_matches(
        &answer,
        &json!({"username": "anna", "source": "moonraker", "action": "user_logged_in", "token": {"$type": "string"}, "refresh_token": {"$type": "string"}}),
    );
    let token = answer["token"].as_str().unwrap();
    let own = server.send(&bearer(Request::get("/access/user"), token)).result();
    assert_matches(&own, &json!({"username": "anna", "source": "moonraker", "created_on": 1_700_000_000.5}));
    for (name, password) in [("anna", "wrong"), ("anna", ""), ("nobody", PASSWORD), ("", "")] {
        let refused = login(&server, name, password);
        assert_eq!(refused.error(400), "Invalid username or password", "the same for every reason");
    }
    for name in ["_API_KEY_USER_", "_TRUSTED_USER_"] {
        login(&server, name, "x").error(400);
    }
    server.post("/access/login", json!({"username": "anna"})).error(400);
}

#[test]
fn a_weak_hash_is_replaced_at_the_first_login() {
    let mut server = server();
    let started = std::time::Instant::now();
    login(&server, "anna", PASSWORD).result();
    println!("the first log-in took {:?}", started.elapsed());
    login(&server, "anna", PASSWORD).result();
    server.stop();
    let dump = std::fs::read(server.data("database/perigee.mdb")).unwrap();
    let text = String::from_utf8_lossy(&dump).into_owned();
    assert!(text.contains("$argon2id$v=19$m=7168,t=5,p=1$"), "the new hash is stored");
    server.start_again();
    login(&server, "anna", PASSWORD).result();
}

#[test]
fn a_token_is_refreshed() {
    let server = server();
    let answer = login(&server, "anna", PASSWORD).result();
    let refresh = |token: &Value| server.post("/access/refresh_jwt", json!({"refresh_token": token}));
    let refreshed = refresh(&answer["refresh_token"]).result();
    assert_matches(&refreshed, &json!({"$keys": ["username", "token", "source", "action"]}));
    assert_eq!(refreshed["action"], "user_jwt_refresh");
    server.send(&bearer(Request::get("/server/info"), refreshed["token"].as_str().unwrap())).expect(200);
    refresh(&answer["token"]).error(401);
    refresh(&json!("x")).error(401);
    let other = bearer(Request::get("/server/info"), answer["refresh_token"].as_str().unwrap());
    server.send(&other).error(401);
}

#[test]
fn users_come_and_go() {
    let server = server();
    let anna = token(&server, "anna", PASSWORD);
    let mut witness = server.upgrade(&bearer(upgrade_request("/websocket"), &anna)).unwrap();
    assert!(is_logged_in(&mut witness));
    let create = |name: &str, password: &str| {
        let body = json!({"username": name, "password": password});
        server.send(&bearer(Request::post("/access/user"), &anna).json(&body))
    };
    let bob = create("bob.smith", "Grüße").result();
    assert_eq!((&bob["action"], &bob["username"]), (&json!("user_created"), &json!("bob.smith")));
    assert_eq!(witness.expect("notify_user_created"), json!([{"username": "bob.smith"}]));
    let bobs_token = bob["token"].as_str().unwrap().to_owned();
    server.send(&bearer(Request::get("/server/info"), &bobs_token)).expect(200);
    let mut bobs = server.upgrade(&bearer(upgrade_request("/websocket"), &bobs_token)).unwrap();
    assert!(is_logged_in(&mut bobs));

    create("bob.smith", "x").error(400);
    create("", "x").error(400);
    create("carol", "").error(400);
    create("_API_KEY_USER_", "x").error(400);
    create(&"x".repeat(200), "x").error(400);
    create("line\nbreak", "x").error(400);
    create("long", &"x".repeat(2000)).error(400);

    let list = server.send(&bearer(Request::get("/access/users/list"), &anna)).result();
    let names: Vec<&str> =
        list["users"].as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap()).collect();
    assert_eq!(names, ["anna", "bob.smith"]);

    let delete = |name: &str| {
        let body = json!({"username": name});
        server.send(&bearer(Request::delete("/access/user"), &anna).json(&body))
    };
    delete("anna").error(400);
    delete("nobody").error(400);
    delete("_API_KEY_USER_").error(400);
    assert_eq!(delete("bob.smith").result(), json!({"username": "bob.smith", "action": "user_deleted"}));
    assert_eq!(witness.expect("notify_user_deleted"), json!([{"username": "bob.smith"}]));
    // he hears of it himself, and nothing afterwards
    assert_eq!(bobs.expect("notify_user_deleted"), json!([{"username": "bob.smith"}]));
    crate::harness::eventually("the end of his rights", || (!is_logged_in(&mut bobs)).then_some(()));
    server.send(&bearer(Request::get("/server/info"), &bobs_token)).error(401);
    login(&server, "bob.smith", "Grüße").error(400);
}

#[test]
fn logging_out_ends_every_token() {
    let server = server();
    let (first, second) = (login(&server, "anna", PASSWORD).result(), token(&server, "anna", PASSWORD));
    let mut client = server.upgrade(&bearer(upgrade_request("/websocket"), &second)).unwrap();
    assert!(is_logged_in(&mut client));
    let made = server.send(&bearer(Request::get("/access/oneshot_token"), &second)).result();
    let answer = server.send(&bearer(Request::post("/access/logout"), first["token"].as_str().unwrap()));
    assert_eq!(answer.result(), json!({"username": "anna", "action": "user_logged_out"}));
    server.send(&bearer(Request::get("/server/info"), &second)).error(401);
    server.get(&format!("/server/info?token={}", made.as_str().unwrap())).error(401);
    server.post("/access/refresh_jwt", json!({"refresh_token": first["refresh_token"]})).error(401);
    assert_eq!(client.expect("notify_user_logged_out"), json!([{"username": "anna"}]));
    crate::harness::eventually("the end of the rights", || (!is_logged_in(&mut client)).then_some(()));
    // and in again, on the same connection
    client.call("access.login", json!({"username": "anna", "password": PASSWORD}));
    assert!(is_logged_in(&mut client));
}

#[test]
fn a_new_password_ends_every_token_but_not_the_session_that_set_it() {
    let server = server();
    let old = token(&server, "anna", PASSWORD);
    let connect = || server.upgrade(&bearer(upgrade_request("/websocket"), &old)).unwrap();
    let (mut own, mut other) = (connect(), connect());
    let change = |client: &mut WsClient, password: &str, new: &str| {
        client.try_call("access.user.password", json!({"password": password, "new_password": new}))
    };
    assert_eq!(change(&mut own, "wrong", "new").unwrap_err().code, 400);
    assert_eq!(change(&mut own, PASSWORD, "").unwrap_err().code, 400);
    let done = change(&mut own, PASSWORD, "new password").unwrap();
    assert_eq!(done, json!({"username": "anna", "action": "user_password_reset"}));
    assert!(is_logged_in(&mut own) && !is_logged_in(&mut other));
    server.send(&bearer(Request::get("/server/info"), &old)).error(401);
    login(&server, "anna", PASSWORD).error(400);
    login(&server, "anna", "new password").result();
}

#[test]
fn a_websocket_logs_in_later() {
    let server = server();
    let mut client = server.try_websocket("/websocket").unwrap();
    assert!(!is_logged_in(&mut client));
    let error = identify(&mut client, json!({})).unwrap_err();
    assert_eq!((error.code, &*error.message), (-32602, "Unauthorized"));
    let info = client.call("access.info", Value::Null);
    assert_eq!(
        info,
        json!({"default_source": "moonraker", "available_sources": ["moonraker"], "login_required": false, "trusted": false})
    );
    assert_eq!(identify(&mut client, json!({"access_token": "x"})).unwrap_err().code, -32602);
    assert_eq!(identify(&mut client, json!({"api_key": "x"})).unwrap_err().code, -32602);
    let good = token(&server, "anna", PASSWORD);
    identify(&mut client, json!({"access_token": good})).unwrap();
    assert!(is_logged_in(&mut client));
    assert_eq!(client.call("access.get_user", Value::Null)["username"], "anna");

    // a log-in counts for what comes after it in the same batch
    let mut client = server.try_websocket("/websocket").unwrap();
    client.send(&json!([
        {"jsonrpc": "2.0", "method": "server.websocket.id", "id": 1},
        {"jsonrpc": "2.0", "method": "access.login", "params": {"username": "anna", "password": PASSWORD}, "id": 2},
        {"jsonrpc": "2.0", "method": "server.websocket.id", "id": 3}
    ]));
    let answers = client.answer();
    assert!(answers[0]["error"].is_object() && answers[2]["result"].is_object(), "{answers}");
}

#[test]
fn who_has_not_logged_in_hears_nothing() {
    let server = server();
    let mut stranger = server.try_websocket("/websocket").unwrap();
    stranger.settle();
    let mut local = server.unix_socket();
    local.call("access.post_user", json!({"username": "carol", "password": "x"}));
    local.expect("notify_user_created");
    assert_eq!(stranger.take_notifications(), Vec::<Value>::new());
}

#[test]
fn the_api_key() {
    let server = server();
    let mut local = server.unix_socket();
    let key = local.call("access.get_api_key", Value::Null);
    let key = key.as_str().unwrap().to_owned();
    assert!(key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit()), "{key}");
    let with = |key: &str| Request::get("/access/user").header("X-Api-Key", key);
    assert_eq!(server.send(&with(&key)).result()["username"], "_API_KEY_USER_");
    let mut client = server.upgrade(&upgrade_request("/websocket").header("X-Api-Key", &key)).unwrap();
    assert!(is_logged_in(&mut client));
    let new = client.call("access.post_api_key", Value::Null);
    assert_ne!(new, json!(key));
    server.send(&with(&key)).error(401);
    assert!(!is_logged_in(&mut client), "it came with the old key");
    identify(&mut client, json!({"api_key": new})).unwrap();
    assert!(is_logged_in(&mut client));
    assert_eq!(client.fail("access.logout", Value::Null).code, 400);
    assert_eq!(client.fail("access.user.password", json!({"password": "a", "new_password": "b"})).code, 400);
}

#[test]
fn the_api_key_stays_and_can_be_switched_off() {
    let mut server = with("enable_api_key: False");
    let key = server.unix_socket().call("access.get_api_key", Value::Null);
    let request = Request::get("/server/info").header("X-Api-Key", key.as_str().unwrap());
    server.send(&request).error(401);
    server.stop();
    server.start_again();
    assert_eq!(server.unix_socket().call("access.get_api_key", Value::Null), key);
}

#[test]
fn named_keys() {
    let server = server();
    let mut local = server.unix_socket();
    let made = local.call("access.post_key", json!({"name": "dashboard", "role": "read_only"}));
    assert_matches(
        &made,
        &json!({"name": "dashboard", "role": "read_only", "expires_on": null, "key": {"$starts": "perigee_"}, "action": "api_key_created"}),
    );
    let key = made["key"].as_str().unwrap().to_owned();
    let send = |request: Request| server.send(&request.header("X-Api-Key", &key));
    send(Request::get("/server/info")).expect(200);
    send(Request::post("/server/restart")).error(403);
    send(Request::get("/access/api_key")).error(403);
    let own = send(Request::get("/access/user")).result();
    assert_eq!(own["username"], "api_key:dashboard");
    let listed = local.call("access.keys.list", Value::Null);
    assert_matches(&listed, &json!({"keys": [{"$keys": ["name", "role", "created_on", "expires_on"]}]}));
    assert_eq!(local.fail("access.post_key", json!({"name": "dashboard", "role": "admin"})).code, 400);
    assert_eq!(local.fail("access.post_key", json!({"name": "x", "role": "king"})).code, 400);
    let past = json!({"name": "x", "role": "admin", "expires_on": 5});
    assert_eq!(local.fail("access.post_key", past).code, 400);

    // one that ends takes its connections with it
    let soon = json!({"name": "guest", "role": "operator", "expires_on": seed::now() + 2});
    let guest = local.call("access.post_key", soon)["key"].as_str().unwrap().to_owned();
    let mut client = server.upgrade(&upgrade_request("/websocket").header("X-Api-Key", &guest)).unwrap();
    crate::harness::eventually("the key to end", || (!is_logged_in(&mut client)).then_some(()));

    let mut client = server.upgrade(&upgrade_request("/websocket").header("X-Api-Key", &key)).unwrap();
    assert!(is_logged_in(&mut client));
    let gone = local.call("access.delete_key", json!({"name": "dashboard"}));
    assert_eq!(gone, json!({"name": "dashboard", "action": "api_key_deleted"}));
    assert!(!is_logged_in(&mut client));
    send(Request::get("/server/info")).error(401);
    assert_eq!(local.fail("access.delete_key", json!({"name": "dashboard"})).code, -32601);
}

#[test]
fn a_role_changes_at_once() {
    let server = server();
    let mut local = server.unix_socket();
    let olaf =
        local.call("access.post_user", json!({"username": "olaf", "password": "x", "role": "operator"}));
    let olaf = olaf["token"].as_str().unwrap();
    let mut client = server.upgrade(&bearer(upgrade_request("/websocket"), olaf)).unwrap();
    let create = json!({"path": "gcodes/new"});
    assert_eq!(client.fail("access.user.role", json!({"username": "olaf", "role": "admin"})).code, 403);
    local.call("access.user.role", json!({"username": "olaf", "role": "read_only"}));
    assert_eq!(client.fail("server.files.post_directory", create.clone()).code, 403);
    local.call("access.user.role", json!({"username": "olaf", "role": "admin"}));
    client.call("server.files.post_directory", create);
    let own = json!({"username": "olaf", "role": "read_only"});
    assert_eq!(client.fail("access.user.role", own).code, 400, "not one's own");
    let list = client.call("access.users.list", Value::Null);
    assert_matches(&list["users"], &json!({"$has": [{"username": "olaf", "role": "admin"}]}));
    local.call("access.user.role", json!({"username": "olaf", "role": "operator"}));
    let list = client.call("access.users.list", Value::Null);
    assert_eq!(list["users"].as_array().unwrap().len(), 1, "who is no administrator sees himself: {list}");
}

#[test]
fn one_shot_tokens_are_for_one_request_from_one_address() {
    let server = server();
    let anna = token(&server, "anna", PASSWORD);
    let make = || {
        let token = server.send(&bearer(Request::get("/access/oneshot_token"), &anna)).result();
        let token = token.as_str().unwrap().to_owned();
        assert!(
            token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        );
        token
    };
    let one = make();
    server.get(&format!("/server/files/list?token={one}")).expect(200);
    server.get(&format!("/server/files/list?token={one}")).error(401);
    let one = make();
    let elsewhere = Request::get(&format!("/server/info?token={one}")).header("X-Forwarded-For", "10.0.0.9");
    server.send(&elsewhere).error(401);
    server.get(&format!("/server/info?token={one}")).error(401);
    let mut client = server.try_websocket(&format!("/websocket?token={}", make())).unwrap();
    assert!(is_logged_in(&mut client));
    assert_eq!(client.call("access.get_user", Value::Null)["username"], "anna");
    server.unix_socket().fail("access.oneshot_token", Value::Null);
}

#[test]
fn trusted_clients() {
    let server =
        with("trusted_clients:\n    10.1.0.0/16\n    fe80::/10\n    no-such-host.invalid\n    10.0.0.1/8");
    let from = |address: &str| Request::get("/access/user").header("X-Forwarded-For", address);
    for address in ["10.1.2.3", "fe80::1"] {
        assert_eq!(server.send(&from(address)).result()["username"], "_TRUSTED_USER_", "{address}");
    }
    for address in ["10.2.2.3", "127.0.0.1", "8.8.8.8", "::1", "nonsense"] {
        server.send(&from(address)).error(401);
    }
    let info = server.send(&Request::get("/access/info").header("X-Forwarded-For", "10.1.1.1")).result();
    assert_eq!(info["trusted"], true);
    let warned = server.unix_socket().call("server.info", Value::Null);
    assert!(warned["warnings"].to_string().contains("10.0.0.1/8"), "{warned}");
}

#[test]
fn force_logins() {
    let server = with("trusted_clients: 127.0.0.0/8\nforce_logins: True");
    server.get("/server/info").error(401);
    assert_eq!(server.get("/access/info").result()["login_required"], true);
    let mut local = server.unix_socket();
    local.call("access.delete_user", json!({"username": "anna"}));
    server.get("/server/info").expect(200);
    assert_eq!(server.get("/access/info").result()["login_required"], false);
}

#[test]
fn trusted_role() {
    let server = with("trusted_clients: 127.0.0.0/8\ntrusted_role: read_only");
    server.get("/server/info").expect(200);
    server.post("/printer/gcode/script", json!({"script": "G28"})).error(403);
    let anna = token(&server, "anna", PASSWORD);
    server.send(&bearer(Request::get("/access/api_key"), &anna)).expect(200);
}

#[test]
fn failed_logins_slow_their_address_down_and_no_other() {
    let server = with("stranger_request_rate: 0");
    let from = |address: &str, password: &str| {
        let body = json!({"username": "anna", "password": password});
        server.send(&Request::post("/access/login").header("X-Forwarded-For", address).json(&body))
    };
    for _ in 0..4 {
        from("10.0.0.1", "wrong").error(400);
    }
    assert!(from("10.0.0.1", PASSWORD).error(429).contains("try again in"));
    from("10.0.0.2", PASSWORD).result();
    crate::harness::eventually("the wait to end", || {
        let answer = from("10.0.0.1", PASSWORD);
        (answer.status == 200).then_some(())
    });
    from("10.0.0.1", "wrong").error(400);
}

#[test]
fn max_login_attempts() {
    let server = with("max_login_attempts: 2");
    let mut client = server.try_websocket("/websocket").unwrap();
    let wrong = json!({"username": "anna", "password": "x"});
    for _ in 0..2 {
        assert_eq!(client.fail("access.login", wrong.clone()).code, 400);
    }
    login(&server, "anna", PASSWORD).error(401);
}

#[test]
fn secrets_stay_out_of_log_and_configuration() {
    let mut server = Setup::new().strangers().arg("--verbose").seeded(&[user("anna", None)], &[]).start();
    let mut local = server.unix_socket();
    let key = local.call("access.get_api_key", Value::Null);
    let made = local.call("access.post_key", json!({"name": "k", "role": "admin"}));
    let mut client = server.try_websocket("/websocket").unwrap();
    let logged_in = client.call("access.login", json!({"username": "anna", "password": PASSWORD}));
    let token = logged_in["token"].as_str().unwrap();
    login(&server, "anna", PASSWORD).result();
    server.send(&bearer(Request::get("/server/config"), token)).expect(200);
    server.get(&format!("/server/info?access_token={token}")).expect(200);
    server.get("/server/info?token=ABCDEFGH").error(401);
    client.call("access.user.password", json!({"password": PASSWORD, "new_password": "Brand-new-1"}));
    server.stop();
    let said = server.log() + &server.output();
    for secret in
        [PASSWORD, "Brand-new-1", key.as_str().unwrap(), made["key"].as_str().unwrap(), token, "ABCDEFGH"]
    {
        assert!(!said.contains(secret), "{secret} is in the log");
    }
}
