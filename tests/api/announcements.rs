//! News from a server, from a folder, and what is no news at all (spec behaviour.md §10).

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::pattern::assert_matches;
use crate::harness::server::binary;
use crate::harness::{Perigee, Setup, TempDir, eventually};
#[cfg(feature = "tls")]
use crate::tls::write_pair;

fn feed(prefix: &str, numbers: &[u32]) -> String {
    let item = |number: &u32| {
        format!(
            "<item><guid isPermaLink=\"false\">{prefix}/{number}</guid><title>T &amp; {number}</title>\
            <link>https://example.org/{number}</link><description>D</description><category>normal</category>\
            <pubDate>Thu, 01 Jan 1970 00:00:{number:02} GMT</pubDate></item>"
        )
    };
    let items: String = numbers.iter().map(item).collect();
    format!(
        "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>{prefix}</title>{items}</channel></rss>"
    )
}

/// A server of feeds. It answers with what `answers` gives for a path, and notes the requests.
struct Feeds {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Feeds {
    fn start(answers: impl Fn(&str, &str) -> String + Send + 'static) -> Self {
        Self::start_over("http", |stream| stream, answers)
    }

    /// As [`start`](Self::start), with what `wrap` makes of a connection.
    fn start_over<S: Read + Write>(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> S + Send + 'static,
        answers: impl Fn(&str, &str) -> String + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten().map(wrap) {
                let mut request = Vec::new();
                let mut bytes = [0; 1024];
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut bytes) {
                        Ok(read) if read > 0 => request.extend_from_slice(&bytes[..read]),
                        _ => break,
                    }
                }
                if request.is_empty() {
                    continue;
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                seen.lock().unwrap().push(path.clone());
                let _ = stream.write_all(answers(&path, &request).as_bytes());
            }
        });
        Self { url, requests }
    }

    fn setup(&self) -> Setup {
        Setup::new()
            .sections(&format!("[announcements]\nmoonlight_url: {}\nsubscriptions: mainsail", self.url))
    }

    fn count(&self, path: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|request| *request == path).count()
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}")
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

fn ids(server: &Perigee, arguments: &str) -> Vec<String> {
    let list = server.get(&format!("/server/announcements/list?{arguments}")).result();
    let entries = list["entries"].as_array().unwrap().iter();
    entries.map(|entry| entry["entry_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn news_are_fetched_once_and_kept() {
    let feeds = Feeds::start(|path, request| match path {
        "/moonraker.xml" if request.to_lowercase().contains("if-none-match: \"v1\"") => {
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned()
        }
        "/moonraker.xml" => ok(&feed("org/moonraker", &[1, 3])),
        "/mainsail.xml" => ok(&feed("org/mainsail", &[2])),
        _ => NOT_FOUND.to_owned(),
    });
    let mut server = feeds.setup().start();
    eventually("the news", || (ids(&server, "").len() == 3).then_some(()));
    let list = server.get("/server/announcements/list").result();
    assert_matches(
        &list["entries"][0],
        &json!({"entry_id": "org/moonraker/3", "url": "https://example.org/3", "title": "T & 3", "description": "D",
            "priority": "normal", "date": 3.0, "dismissed": false, "date_dismissed": null, "dismiss_wake": null,
            "source": "moonlight", "feed": "moonraker"}),
    );
    // put away for good, and put away for a while
    let mut client = server.websocket();
    for (id, wake) in [("org/moonraker/1", Value::Null), ("org/mainsail/2", json!(1))] {
        let mut arguments = json!({"entry_id": id});
        if !wake.is_null() {
            arguments["wake_time"] = wake;
        }
        assert_eq!(client.call("server.announcements.dismiss", arguments), json!({"entry_id": id}));
        client.expect_where("notify_announcement_dismissed", |params| params[0]["entry_id"] == id);
    }
    assert_eq!(ids(&server, "include_dismissed=false"), ["org/moonraker/3"]);
    client.expect_where("notify_announcement_wake", |params| params[0]["entry_id"] == "org/mainsail/2");
    assert_eq!(ids(&server, "include_dismissed=false"), ["org/moonraker/3", "org/mainsail/2"]);
    // that outlives a cut of power, and what has not changed is not read again
    server.kill();
    server.start_again();
    eventually("the second look", || (feeds.count("/moonraker.xml") >= 2).then_some(()));
    let updated = server.post("/server/announcements/update?subscriptions=moonraker", json!({})).result();
    assert_eq!(updated["modified"], false);
    assert_eq!(ids(&server, "include_dismissed=false"), ["org/moonraker/3", "org/mainsail/2"]);
}

#[test]
fn what_is_no_feed_costs_little() {
    let bomb = || {
        let mut text = "<?xml version=\"1.0\"?><!DOCTYPE rss [<!ENTITY a0 \"aaaaaaaaaa\">".to_owned();
        for n in 1..10 {
            text += &format!("<!ENTITY a{n} \"{}\">", format!("&a{};", n - 1).repeat(10));
        }
        text + "]><rss><channel><title>&a9;</title></channel></rss>"
    };
    let feeds = Feeds::start(move |path, _| match path {
        "/moonraker.xml" => ok(&format!("{}{}", feed("org/moonraker", &[1]), " ".repeat(10_000_000))),
        "/klipper.xml" => ok(&bomb()),
        "/mainsail.xml" => {
            // no length, and no end
            format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<rss>{}", "<a>".repeat(5_000_000))
        }
        _ => NOT_FOUND.to_owned(),
    });
    let server = feeds.setup().start();
    let before = server.memory().0;
    for path in ["/moonraker.xml", "/klipper.xml", "/mainsail.xml"] {
        eventually("a request", || (feeds.count(path) >= 1).then_some(()));
    }
    server.reset_peak_memory();
    let updated = server.post("/server/announcements/update", json!({})).result();
    assert_matches(&updated, &json!({"entries": [], "modified": false}));
    let grown = server.memory().1.saturating_sub(before);
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
}

/// News come over TLS, from those alone who can be trusted.
#[cfg(feature = "tls")]
#[test]
fn news_come_over_tls() {
    use futures_rustls::pki_types::pem::PemObject;
    use futures_rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use futures_rustls::rustls::crypto::ring::default_provider;
    use futures_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

    let (trusted, stranger) = (TempDir::new(), TempDir::new());
    for folder in [&trusted, &stranger] {
        write_pair(folder.path(), "127.0.0.1");
    }
    let cert = trusted.join("moonraker.cert");
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&cert).unwrap()],
            PrivateKeyDer::from_pem_file(trusted.join("moonraker.key")).unwrap(),
        );
    let config = Arc::new(config.unwrap());
    let encrypt = move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
    let feeds = Feeds::start_over("https", encrypt, |path, _| match path {
        "/mainsail.xml" => ok(&feed("org/mainsail", &[2])),
        _ => NOT_FOUND.to_owned(),
    });
    let server = feeds.setup().env("SSL_CERT_FILE", &*cert).start();
    eventually("the news", || (ids(&server, "") == ["org/mainsail/2"]).then_some(()));

    let asked = feeds.count("/moonraker.xml");
    let authorities = [stranger.join("moonraker.cert"), stranger.join("moonraker.key"), "".into()];
    let servers = authorities.map(|file| feeds.setup().env("SSL_CERT_FILE", file).start());
    for server in &servers {
        server.wait_for_log("'moonraker' could not be had");
    }
    assert_eq!(feeds.count("/moonraker.xml"), asked);
}

#[test]
fn those_who_write_news_read_them_from_a_folder() {
    let setup = Setup::new().sections("[announcements]\ndev_mode: True");
    let server = setup.file("development/announcements/klipper.xml", feed("org/klipper", &[7])).start();
    eventually("the news", || (ids(&server, "") == ["org/klipper/7"]).then_some(()));
    let path = server.data("development/announcements/klipper.xml");
    fs::write(&path, feed("org/klipper", &[8])).unwrap();
    let later = SystemTime::now() + Duration::from_secs(5);
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    let mut client = server.websocket();
    let updated = client.call("server.announcements.update", json!({"subscriptions": ["klipper"]}));
    assert_matches(&updated, &json!({"modified": true, "entries": [{"entry_id": "org/klipper/8"}]}));
    client.expect_where("notify_announcement_update", |params| {
        params[0]["entries"][0]["entry_id"] == "org/klipper/8"
    });
}

#[test]
fn only_web_servers_have_news() {
    let setup = Setup::new().sections("[announcements]\nmoonlight_url: file:///etc");
    setup.write_config();
    setup.write_config();
    let output = binary().args(["check-config", "-d"]).arg(setup.data()).output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("moonlight_url"), "{said}");
}
