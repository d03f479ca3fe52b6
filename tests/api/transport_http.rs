//! HTTP on the wire: connections, tags, prefixes, limits (spec api.md §0.3, §0.4, RFC 9112).

use std::io::Write;
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener};

use serde_json::{Value, json};

use crate::harness::{Http, Multipart, Perigee, Request, Setup};
use crate::sim::Sim;

#[test]
fn one_connection_serves_many_requests() {
    let server = Perigee::start();
    let mut http = server.connect();
    for _ in 0..50 {
        http.send(&Request::get("/server/info")).expect(200);
        http.send(&Request::get("/nothing")).expect(404);
        http.send(&Request::post("/server/jsonrpc").body("text/plain", "x")).expect(400);
    }
}

#[test]
fn requests_sent_ahead_are_answered_in_order() {
    let server = Perigee::start();
    let mut http = server.connect();
    let requests: String = ["/server/files/roots", "/nothing", "/server/info"]
        .iter()
        .map(|target| Request::get(target).head("x"))
        .collect();
    http.write(requests.as_bytes()).unwrap();
    assert!(http.read_response(false).unwrap().result().is_array());
    http.read_response(false).unwrap().error(404);
    assert!(http.read_response(false).unwrap().result()["klippy_state"].is_string());
}

#[test]
fn a_connection_ends_when_the_client_says_so() {
    let server = Perigee::start();
    let mut http = server.connect();
    let response = http.send(&Request::get("/server/info").header("Connection", "close"));
    assert!(response.header("Connection").is_none_or(|value| value.eq_ignore_ascii_case("close")));
    response.expect(200);
    assert!(http.read_to_close().is_empty());

    let mut http = server.connect();
    http.write(b"GET /server/info HTTP/1.0\r\n\r\n").unwrap();
    let answer = String::from_utf8(http.read_to_close()).unwrap();
    assert!(
        answer.starts_with("HTTP/1.") && answer.contains(" 200 ") && answer.contains("klippy_state"),
        "{answer}"
    );
}

#[test]
fn a_client_that_has_nothing_more_to_say_gets_its_answer() {
    let (sim, server) = Sim::ready();
    sim.mute("gcode/script");
    let mut http = server.connect();
    http.write(Request::post("/printer/gcode/script?script=M400").head("x").as_bytes()).unwrap();
    http.stream().shutdown(Shutdown::Write).unwrap();
    sim.answer_with("gcode/script", ",\"result\":{}");
    assert_eq!(http.read_response(false).unwrap().expect(200).result(), "ok");
}

#[test]
fn an_answer_that_the_client_has_is_not_sent_again() {
    let server = Perigee::start();
    let first = server.get("/server/files/roots").expect(200);
    let tag = first.header("Etag").expect("a tag").to_owned();
    assert!(tag.starts_with('"') && tag.ends_with('"'), "a strong tag: {tag}");
    assert_eq!(server.get("/server/files/roots").header("Etag"), Some(&*tag));
    for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".to_owned()] {
        let again = server.send(&Request::get("/server/files/roots").header("If-None-Match", &known));
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        assert_eq!(again.header("Etag"), Some(&*tag));
    }
    let other = server.send(&Request::get("/server/files/roots").header("If-None-Match", "\"other\""));
    assert_eq!(other.expect(200).body, first.body);
}

#[test]
fn a_body_in_chunks_is_read() {
    let server = Perigee::start();
    let mut http = server.connect();
    http.write(b"POST /server/jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let body = json!({"jsonrpc": "2.0", "method": "server.info", "id": 5}).to_string();
    for piece in body.as_bytes().chunks(7) {
        http.write(format!("{:x}\r\n", piece.len()).as_bytes()).unwrap();
        http.write(piece).unwrap();
        http.write(b"\r\n").unwrap();
    }
    http.write(b"0\r\n\r\n").unwrap();
    assert_eq!(http.read_response(false).unwrap().expect(200).json()["id"], 5);
    http.send(&Request::get("/server/info")).expect(200);
}

#[test]
fn a_client_that_waits_for_permission_gets_it() {
    let server = Perigee::start();
    for (target, kind, body, status) in [
        ("/server/jsonrpc", "application/json".to_owned(), b"[]".to_vec(), 200),
        (
            "/server/files/upload",
            Multipart::content_type(),
            Multipart::new().file("a.gcode", "G28\n").into_body(),
            201,
        ),
    ] {
        let mut http = server.connect();
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            body.len()
        );
        http.write(head.as_bytes()).unwrap();
        let mut start = [0; 12];
        std::io::Read::read_exact(&mut http.stream(), &mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 100", "permission for {target}");
        let mut rest = [0; 1];
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n\r\n") {
            std::io::Read::read_exact(&mut http.stream(), &mut rest).unwrap();
            line.push(rest[0]);
        }
        http.write(&body).unwrap();
        http.read_response(false).unwrap().expect(status);
    }
}

#[test]
fn everything_is_served_under_the_prefix_and_nothing_beside_it() {
    let server = Setup::new().prefix("printer one/api").start();
    // the prefix in a request is written as in a URL
    let get = |target: &str| server.connect().send(&Request::get(target));
    assert!(get("/printer%20one/api/server/info").result()["klippy_state"].is_string());
    for home in ["/printer%20one/api", "/printer%20one/api/"] {
        assert!(get(home).expect(200).text().contains("<html"), "{home}");
    }
    for other in ["/server/info", "/", "/printer%20one/server/info"] {
        assert_eq!(get(other).status, 404, "{other}");
    }
}

#[test]
fn uploads_downloads_and_sockets_are_under_the_prefix_too() {
    let server = Setup::new().prefix("/api/").start();
    let uploaded = server.upload("gcodes", "a b.gcode", "G28\n").expect(201);
    let location = uploaded.header("Location").expect("a place").to_owned();
    assert!(location.ends_with("/api/server/files/gcodes/a%20b.gcode"), "{location}");
    assert_eq!(server.get("/server/files/gcodes/a%20b.gcode").expect(200).text(), "G28\n");
    server.delete("/server/files/gcodes/a%20b.gcode").expect(200);
    server.jsonrpc(&json!([])).expect(200);
    assert!(server.websocket().call("server.info", Value::Null)["klippy_state"].is_string());
    let refusal = crate::harness::websocket::open(
        server.address,
        &crate::harness::websocket::upgrade_request("/websocket"),
    );
    assert_eq!(refusal.map(|_| ()).unwrap_err().status, 404);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Perigee::start();
    let long = "x".repeat(100_000);
    for request in [
        Request::get("/server/info").header("X-Long", &long),
        Request::get(&format!("/server/info?{long}")),
        (0..2000).fold(Request::get("/server/info"), |request, n| request.header(&format!("X-{n}"), "1")),
    ] {
        let status = server.connect().try_send(&request).map(|response| response.status);
        assert!(matches!(status, Ok(414 | 431 | 400)) || status.is_err(), "{status:?}");
    }
    // a head that never ends
    let mut http = server.connect();
    let mut sent = 0;
    while sent < 64 << 20 && http.write(&[b'a'; 16 * 1024]).is_ok() {
        sent += 16 * 1024;
    }
    assert!(sent < 16 << 20, "{sent} bytes of a head were taken");
    server.get("/server/info").expect(200);
}

#[test]
fn a_body_that_is_too_long_is_refused_with_words() {
    let server = Perigee::start();
    let declared = Request::post("/server/jsonrpc")
        .header("Content-Type", "application/json")
        .header("Content-Length", "300000000");
    server.connect().send(&declared).error(413);

    let mut http = server.connect();
    http.write(b"POST /printer/gcode/script HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let megabyte = vec![b' '; 1 << 20];
    let taken = (0..200).take_while(|_| {
        http.write(b"100000\r\n").is_ok() && http.write(&megabyte).is_ok() && http.write(b"\r\n").is_ok()
    });
    assert!(taken.count() < 100, "100 MB of arguments were taken");
    server.get("/server/info").expect(200);
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let server = Perigee::start();
    let body = "{\"jsonrpc\":\"2.0\",\"method\":\"server.info\",\"id\":1}";
    for head in [
        "Content-Length: 5\r\nContent-Length: 48\r\n",
        "Content-Length: 5, 48\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: abc\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Header without a colon\r\n",
        "Host : x\r\n",
        "X-Nul: a\0b\r\n",
    ] {
        let mut http = server.connect();
        let request = format!(
            "POST /server/jsonrpc HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{head}\r\n{body}"
        );
        http.write(request.as_bytes()).unwrap();
        match http.read_response(false) {
            Ok(response) => assert_eq!(response.status / 100, 4, "{head}"),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{head}: {error}"),
        }
        // whatever came after must not be taken as another request
        let rest = http.read_to_close();
        assert!(rest.is_empty(), "{head}: {}", String::from_utf8_lossy(&rest));
    }
    for bytes in [
        &b"GET /server/info\r\n\r\n"[..],
        b"GET  /server/info HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /server/info HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut http = server.connect();
        http.write(bytes).unwrap();
        http.stream().shutdown(Shutdown::Write).unwrap();
        let answer = String::from_utf8_lossy(&http.read_to_close()).into_owned();
        let refused =
            ["HTTP/1.1 4", "HTTP/1.0 4", "HTTP/1.1 505"].iter().any(|start| answer.starts_with(start));
        assert!(answer.is_empty() || refused, "{bytes:?}: {answer}");
    }
    server.get("/server/info").expect(200);
}

#[test]
fn the_host_of_a_request_changes_nothing() {
    let server = Perigee::start();
    for (target, host) in [
        ("http://elsewhere.test/server/info", "x"),
        ("/server/info", "elsewhere.test:80/../../nothing?"),
        ("/server/info", "[::1"),
    ] {
        let response = server.connect().send(&Request::get(target).header("Host", host));
        assert!(matches!(response.status, 200 | 400 | 403), "{target} {host}: {}", response.status);
    }
}

#[test]
fn many_clients_at_once_are_all_answered() {
    let server = Perigee::start();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut open: Vec<Http> = (0..25).map(|_| server.connect()).collect();
                for http in &mut open {
                    http.write(Request::get("/server/info").head("x").as_bytes()).unwrap();
                }
                for http in &mut open {
                    http.read_response(false).unwrap().expect(200);
                }
            });
        }
    });
}

#[test]
fn by_itself_the_server_listens_everywhere_and_trusts_nobody() {
    // the default port may be in use on the machine that runs this, so only the address is the default here
    let server = Setup::new()
        .on_free_port()
        .config("[server]\nport: {port}\nklippy_uds_address: {dir}/klippy.sock\n")
        .start();
    let port = server.address.port();
    let sockets = std::fs::read_to_string(format!("/proc/{}/net/tcp", server.pid())).unwrap();
    let listening = sockets.lines().filter(|line| line.contains(&format!(":{port:04X} 00000000:0000 0A")));
    let addresses: Vec<&str> = listening.filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(addresses, [format!("00000000:{port:04X}")]);
    server.get("/server/info").error(401);
}

#[test]
fn all_addresses_of_both_kinds() {
    let server = Setup::new()
        .on_free_port()
        .config(
            "[server]\nhost: all\nport: {port}\nklippy_uds_address: {dir}/klippy.sock\n[authorization]\n\
             trusted_clients:\n    127.0.0.1\n    ::1\n",
        )
        .start();
    server.get("/server/info").expect(200);
    let six = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), server.address.port());
    if TcpListener::bind("[::1]:0").is_err() {
        return println!("skipped in part: this machine has no IPv6");
    }
    Http::connect(six).unwrap().send(&Request::get("/server/info")).expect(200);
}

#[test]
fn the_start_page_tells_version_state_and_warnings() {
    let server = Setup::new().sections("[toaster <script>alert(1)</script>]\nslots: 2").start();
    let page = server.get("/").expect(200).text();
    for part in [env!("CARGO_PKG_VERSION"), "disconnected", "toaster"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("<script>alert"), "what comes from outside is escaped: {page}");
}

#[test]
fn a_client_that_sends_slowly_holds_up_nobody() {
    let server = Perigee::start();
    let mut slow = server.connect();
    for byte in Request::get("/server/info").head("x").bytes() {
        slow.write(&[byte]).unwrap();
        slow.stream().flush().unwrap();
        if byte == b' ' {
            server.get("/server/info").expect(200);
        }
    }
    slow.read_response(false).unwrap().expect(200);
}
