//! A real browser, Chromium: what scripts of pages may do, as the browser and the server agree on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::seed::user;
use crate::harness::server::free_address;
use crate::harness::{Perigee, Setup, TempDir};

/// How long Chromium may take to start, load a page and run its script.
const BROWSER_PATIENCE: Duration = Duration::from_secs(40);

/// How often it is started: now and then it does not get so far on a machine that is busy.
const STARTS: usize = 3;

/// One browser at a time.
static ONE: Mutex<()> = Mutex::new(());

/// What every page has: `report` sends what came of it to the test, `opened` is a websocket or none.
const TOOLS: &str = "
const report = (result) => fetch('/result', {method: 'POST', body: JSON.stringify(result)});
const opened = (url) => new Promise((done) => {
    const socket = new WebSocket(url);
    socket.onopen = () => done(socket);
    socket.onerror = () => done(null);
});
const call = (socket, method, params) => new Promise((done) => {
    const id = Math.floor(Math.random() * 1e6);
    socket.addEventListener('message', (event) => {
        const message = JSON.parse(event.data);
        if (message.id === id) done(message);
    });
    socket.send(JSON.stringify({jsonrpc: '2.0', method, params, id}));
});
const outcome = (promise) => promise.then((response) => response.status, () => 'blocked');
";

/// A web server with one page, whose script tells the test what came of it.
struct Page {
    address: SocketAddr,
    results: Receiver<Value>,
}

impl Page {
    /// `script` is the body of an async function.
    fn serve(address: SocketAddr, script: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (sender, results) = channel();
        let page = format!(
            "<!doctype html><title>page</title><script>{TOOLS}\n(async () => {{ {script} }})()\
             .catch((error) => report({{error: String(error)}}));</script>"
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = BufReader::new(stream);
                let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
                let _ = stream.read_line(&mut first);
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or_default();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                let _ = stream.read_exact(&mut body);
                if first.starts_with("POST /result") {
                    let _ = sender.send(serde_json::from_slice(&body).unwrap_or_default());
                }
                let text = if first.starts_with("GET / ") { page.as_str() } else { "" };
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length:";
                let _ = write!(stream.get_mut(), "{head} {}\r\n\r\n{text}", text.len());
            }
        });
        Self { address, results }
    }

    /// Shows the page in Chromium, and returns what its script reports; none where there is no Chromium.
    fn show(&self) -> Option<Value> {
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = Command::new("chromium").arg("--version").output().is_ok();
        if !is_there {
            println!("skipped: there is no Chromium");
            return None;
        }
        let result = (0..STARTS).find_map(|_| self.show_once());
        Some(result.expect("the page reports in time"))
    }

    fn show_once(&self) -> Option<Value> {
        let profile = TempDir::new();
        let browser = Command::new("chromium")
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-extensions"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("http://{}/", self.address))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let _browser = Browser(browser);
        self.results.recv_timeout(BROWSER_PATIENCE).ok()
    }
}

struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn script(server: &Perigee, text: &str) -> String {
    text.replace("{server}", &server.address.to_string())
}

#[test]
fn a_front_end_logs_in_and_holds_a_websocket() {
    let address = free_address();
    let server = Setup::new()
        .strangers()
        .sections(&format!("[authorization]\ncors_domains: http://{address}"))
        .seeded(&[user("anna", None)], &[])
        .start();
    let text = "
        const before = await outcome(fetch('http://{server}/server/info'));
        const answer = await fetch('http://{server}/access/login', {
            method: 'POST',
            headers: {'Content-Type': 'application/json'},
            body: JSON.stringify({username: 'anna', password: 'Passw0rd-anna'}),
        });
        const login = (await answer.json()).result;
        const headers = {Authorization: 'Bearer ' + login.token};
        const after = await outcome(fetch('http://{server}/server/info', {headers}));
        const socket = await opened('ws://{server}/websocket');
        const info = {client_name: 'page', version: '1', type: 'web', url: location.href};
        const refused = await call(socket, 'server.info');
        await call(socket, 'server.connection.identify', {...info, access_token: login.token});
        const told = new Promise((done) => socket.addEventListener('message', (event) => {
            const message = JSON.parse(event.data);
            if (message.method === 'notify_filelist_changed') done(message.params[0].action);
        }));
        const made = await call(socket, 'server.files.post_directory', {path: 'gcodes/made'});
        report({before, after, user: login.username, refused: refused.error.message,
            made: made.result.action, told: await told, open: socket.readyState === WebSocket.OPEN});
    ";
    let page = Page::serve(address, &script(&server, text));
    let Some(result) = page.show() else { return };
    assert_eq!(
        result,
        json!({"before": 401, "after": 200, "user": "anna", "refused": "Unauthorized", "made": "create_dir",
               "told": "create_dir", "open": true})
    );
}

/// The browser runs on an address that the server trusts.
#[test]
fn a_foreign_page_gets_nothing_and_changes_nothing() {
    let server = Perigee::start();
    let text = "
        const url = 'http://{server}';
        const form = new URLSearchParams({path: 'gcodes/made'});
        const sent = {method: 'POST', mode: 'no-cors', body: form};
        const picture = new Image();
        picture.src = url + '/printer/print/cancel';
        report({
            read: await outcome(fetch(url + '/server/info')),
            json: await outcome(fetch(url + '/server/files/directory',
                {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{\"path\": \"gcodes/made\"}'})),
            blind: await fetch(url + '/server/files/directory', sent).then((response) => response.type),
            socket: await opened('ws://{server}/websocket'),
        });
    ";
    let page = Page::serve(free_address(), &script(&server, text));
    let Some(result) = page.show() else { return };
    assert_eq!(result, json!({"read": "blocked", "json": "blocked", "blind": "opaque", "socket": null}));
    assert!(!server.data("gcodes/made").exists(), "the form did something");
    assert_eq!(server.info()["websocket_count"], 0);
}
