//! What somebody tries who may not: foreign pages, foreign names, headers that contradict each other, forged and
//! oversized tokens, guessing. `bad_input` has what is merely broken.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::seed::{self, claims, header, signed, user};
use crate::harness::websocket::upgrade_request;
use crate::harness::{Multipart, Perigee, Request, Setup};

const PAGE: &str = "http://evil.test";
const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// A server that trusts this machine, as a printer trusts its home network.
fn trusting(options: &str) -> Perigee {
    Setup::new().sections(&format!("[authorization]\n{options}")).start()
}

/// DNS rebinding: the attacker's page is at the attacker's name, which now leads to the printer.
#[test]
fn a_foreign_name_for_this_machine_gets_no_trust() {
    let server = trusting("");
    let asked = |host: &str| server.send(&Request::get("/server/info").header("Host", host));
    for host in
        ["evil.test", "evil.test:7125", "127.0.0.1.evil.test", "printer.local.evil.test", "x.fritz.box"]
    {
        let message = asked(host).error(403);
        assert!(message.contains("allowed_hosts"), "{message}");
    }
    for host in ["127.0.0.1", "localhost:80", "printer", "printer.local", "voron.lan:7125", "[::1]:7125"] {
        asked(host).expect(200);
    }
    let mut socket = server.upgrade(&upgrade_request("/websocket").header("Host", "evil.test")).unwrap();
    assert_eq!(socket.fail("server.info", Value::Null).message, "Unauthorized");
    // whoever has a key is no page that was tricked
    let key = server.unix_socket().call("access.get_api_key", Value::Null);
    let request = Request::get("/server/info").header("Host", "evil.test");
    server.send(&request.header("X-Api-Key", key.as_str().unwrap())).expect(200);
    // and logging in is possible
    server.send(&Request::get("/access/info").header("Host", "evil.test")).expect(200);
}

#[test]
fn names_can_be_configured() {
    let server = trusting(
        "allowed_hosts:\n    printer.example.org\n    *.fritz.box\ncors_domains: https://my.page.test",
    );
    for host in ["printer.example.org", "PRINTER.example.org:443", "voron.fritz.box", "my.page.test"] {
        server.send(&Request::get("/server/info").header("Host", host)).expect(200);
    }
    server.send(&Request::get("/server/info").header("Host", "example.org")).error(403);
    let server = trusting("check_host: False");
    server.send(&Request::get("/server/info").header("Host", "evil.test")).expect(200);
}

/// Cross-site request forgery: a page has its visitor's browser make requests.
#[test]
fn foreign_pages_change_nothing() {
    let server = trusting("cors_domains: https://my.page.test");
    let form = |request: Request| request.body("application/x-www-form-urlencoded", "path=gcodes/new");
    let make = || form(Request::post("/server/files/directory"));
    let upload = || Multipart::new().file("a.gcode", "G28").upload();
    let rpc = || {
        let text = json!({"jsonrpc": "2.0", "method": "server.info", "id": 1}).to_string();
        Request::post("/server/jsonrpc").body("application/json", text)
    };
    for signs in [
        &[("Origin", PAGE)] as &[_],
        &[("Origin", "null")],
        &[("Origin", "http://my.page.test")],
        &[("Origin", "https://my.page.test.evil.test")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Referer", "http://evil.test/a?b")],
    ] {
        for request in [make(), upload(), rpc(), Request::delete("/server/files/gcodes/x")] {
            let signed =
                signs.iter().fold(request.clone(), |request, (name, value)| request.header(name, value));
            server.send(&signed).error(403);
        }
    }
    assert!(!server.data("gcodes/new").exists() && !server.data("gcodes/a.gcode").exists());

    let own = format!("http://{}", server.address);
    for (name, value) in [
        ("Origin", own.as_str()),
        ("Origin", "https://my.page.test"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Referer", &format!("{own}/index.html")),
        ("User-Agent", BROWSER),
    ] {
        let response = server.send(&make().header(name, value));
        assert_ne!(response.status, 403, "{name} {value}");
    }
}

/// Klippy's own calls can be made with GET, so a picture's address would be enough.
#[test]
fn a_picture_on_a_foreign_page_moves_nothing() {
    let server = trusting("");
    let target = "/printer/gcode/script?script=G28";
    let get = |signs: &[(&str, &str)]| {
        let request =
            signs.iter().fold(Request::get(target), |request, (name, value)| request.header(name, value));
        server.send(&request)
    };
    // without any word of the page it may be on
    get(&[("User-Agent", BROWSER)]).error(403);
    get(&[("User-Agent", BROWSER), ("Referer", "https://evil.test/")]).error(403);
    get(&[("Sec-Fetch-Site", "cross-site")]).error(403);
    // 503 without a printer: it would have been done
    get(&[]).error(503);
    get(&[("User-Agent", "curl/8")]).error(503);
    get(&[("User-Agent", BROWSER), ("Referer", &format!("http://{}/", server.address))]).error(503);
    get(&[("User-Agent", BROWSER), ("Sec-Fetch-Site", "none")]).error(503);
    // to look is no change, and a foreign page cannot read the answer
    let look = Request::get("/server/info").header("User-Agent", BROWSER).header("Origin", PAGE);
    assert_eq!(server.send(&look).expect(200).header("Access-Control-Allow-Origin"), None);
    let server = trusting("check_origin: False");
    server.send(&Request::get(target).header("User-Agent", BROWSER).header("Origin", PAGE)).error(503);
}

#[test]
fn headers_that_contradict_each_other_are_refused() {
    let server = trusting("");
    for (name, values) in [
        ("Host", ["127.0.0.1", "evil.test"]),
        ("Authorization", ["Bearer x", "Basic y"]),
        ("X-Api-Key", ["a", "b"]),
        ("X-Access-Token", ["a", "b"]),
        ("Origin", ["http://a.test", "http://b.test"]),
    ] {
        let request =
            values.iter().fold(Request::get("/server/info"), |request, value| request.header(name, value));
        server.send(&request).error(400);
    }
}

/// The trusted address is 10.1.1.1, the proxy is this machine.
#[test]
fn forwarded_headers_are_not_to_be_had() {
    let trusting = |options: &str| {
        let text = format!("[authorization]\ntrusted_clients: 10.1.1.1\n{options}");
        Setup::new().strangers().sections(&text).start()
    };
    let server = trusting("");
    let status = |server: &Perigee, headers: &[(&str, &str)]| {
        let request = Request::get("/server/info");
        server
            .send(&headers.iter().fold(request, |request, (name, value)| request.header(name, value)))
            .status
    };
    for (headers, expected) in [
        (&[("X-Forwarded-For", "10.1.1.1")] as &[_], 200),
        (&[("X-Real-IP", "10.1.1.1")], 200),
        (&[("X-Forwarded-For", "10.1.1.1"), ("X-Real-IP", "10.1.1.1")], 200),
        // the client itself said 10.1.1.1, the proxy added where it came from
        (&[("X-Forwarded-For", "10.1.1.1, 9.9.9.9")], 401),
        (&[("X-Forwarded-For", "10.1.1.1"), ("X-Forwarded-For", "9.9.9.9")], 401),
        (&[("X-Forwarded-For", "9.9.9.9"), ("X-Real-IP", "10.1.1.1")], 401),
        (&[("X-Forwarded-For", "10.1.1.1"), ("X-Real-IP", "9.9.9.9")], 401),
        (&[("X-Real-IP", "10.1.1.1"), ("X-Real-IP", "9.9.9.9")], 401),
        (&[("X-Forwarded-For", "10.1.1.1\t, unknown")], 401),
        (&[("Forwarded", "for=10.1.1.1")], 401),
        (&[("X-Client-IP", "10.1.1.1")], 401),
    ] {
        assert_eq!(status(&server, headers), expected, "{headers:?}");
    }
    let nobody = trusting("trusted_proxies:");
    assert_eq!(status(&nobody, &[("X-Forwarded-For", "10.1.1.1")]), 401);
}

#[test]
fn tokens_that_are_too_long_or_strange_are_refused() {
    let setup = Setup::new().strangers();
    let good = signed(&header("anna"), &claims(&setup, "anna", 60), &seed::seed("anna"));
    let server = setup.seeded(&[user("anna", None)], &[]).start();
    let with = |token: &str| {
        server.send(&Request::get("/server/info").header("Authorization", &format!("Bearer {token}")))
    };
    with(&good).expect(200);
    with(&good.replace('.', "..")).error(401);
    with(&format!("{good}.{good}")).error(401);
    with(&"a".repeat(20_000)).error(401);
    with(&format!("{}.{}.", "e30", "e30")).error(401);
    with(&format!("{good} {good}")).error(401);
    let long_key = Request::get("/server/info").header("X-Api-Key", &"k".repeat(20_000));
    server.send(&long_key).error(401);
    server.get(&format!("/server/info?token={}", "t".repeat(20_000))).error(401);
    let body = json!({"username": "u".repeat(1_000_000), "password": "p".repeat(1_000_000)});
    server.post("/access/login", body).error(413);
    server.post("/access/refresh_jwt", json!({"refresh_token": "r".repeat(20_000)})).error(401);
    server.post("/access/refresh_jwt", json!({"refresh_token": "r".repeat(1_000_000)})).error(413);
}

/// How long the refusal takes tells nothing of whether there is such a user.
#[test]
fn a_wrong_name_takes_as_long_as_a_wrong_password() {
    let server = Setup::new().strangers().seeded(&[user("anna", None)], &[]).start();
    server.unix_socket().call("access.post_user", json!({"username": "bob", "password": "x"}));
    let mut client = 0;
    let mut time = |name: &str| {
        // each from an address of its own, so that none has to wait
        client += 1;
        let body = json!({"username": name, "password": "wrong"});
        let address = format!("10.0.{}.{}", client / 250, client % 250 + 1);
        let request = Request::post("/access/login").header("X-Forwarded-For", &address).json(&body);
        let begun = Instant::now();
        server.send(&request).error(400);
        begun.elapsed()
    };
    let mut fastest = |names: [&str; 4]| -> Duration {
        names.map(|name| (0..4).map(|_| time(name)).min().unwrap()).into_iter().min().unwrap()
    };
    // a name that nobody has takes as long as the password of one of the users, never less
    let known = fastest(["anna", "bob", "anna", "bob"]);
    let unknown = fastest(["nobody", "somebody", "root", "admin"]);
    println!("known {known:?}, unknown {unknown:?}");
    assert!(unknown * 2 > known, "{unknown:?} for names that nobody has, {known:?} for others");
}

#[test]
fn errors_tell_nothing_of_the_inside() {
    let server = Setup::new().strangers().start();
    for request in [
        Request::get("/server/info"),
        Request::post("/access/login").json(&json!({"username": "a", "password": "b"})),
        Request::post("/access/login").body("application/json", "[1]"),
        Request::get("/server/files/config/moonraker.conf"),
        Request::get("/../../etc/passwd"),
        Request::get("/"),
    ] {
        let response = server.send(&request);
        let text = response.text();
        let traceback = response.status >= 400 && response.json()["error"]["traceback"] != "";
        let paths = ["/src/", ".rs", "/home", "/tmp/", "/root"].iter().any(|part| text.contains(part));
        assert!(!traceback && !paths, "{}: {text}", request.target);
    }
}
