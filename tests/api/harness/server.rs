//! The real binary as a child process, with a data folder of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::rpc::{Received, Wire};
use super::temp::{TempDir, unique};
use super::unix_socket::Framed;
use super::websocket::{self, upgrade_request};
use super::{
    Client, Http, Multipart, Request, Response, UnixClient, WsClient, eventually, eventually_within,
};

/// How long an orderly end may take (design: 2 s), with room for a busy machine.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// An address that nobody else uses. Every address in 127.0.0.0/8 is this machine, so a process and a number
/// make one that cannot clash, neither with tests beside this one nor with ports that the kernel gives out.
pub fn free_address() -> SocketAddr {
    let process = std::process::id();
    let [_, high, mid, low] = process.to_be_bytes();
    let port = 10_000 + (unique() % 20_000) as u16;
    SocketAddrV4::new(Ipv4Addr::new(127, 100 + high, mid, low), port).into()
}

/// A port of all addresses that was free a moment ago, for the few tests that cannot have an address of their own.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// The section that says who may come in, and the line that has the tests come in.
const AUTHORIZATION: &str = "[authorization]";
const TRUSTED: &str = "trusted_clients: 127.0.0.0/8";

/// A server before its start.
#[derive(Debug)]
pub struct Setup {
    pub dir: TempDir,
    pub address: SocketAddr,
    server_options: String,
    sections: String,
    strangers: bool,
    config: Option<String>,
    args: Vec<OsString>,
    through: Vec<OsString>,
    env: Vec<(String, OsString)>,
    prefix: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    pub fn new() -> Self {
        Self {
            dir: TempDir::new(),
            address: free_address(),
            server_options: String::new(),
            sections: String::new(),
            strangers: false,
            config: None,
            args: Vec::new(),
            through: Vec::new(),
            env: Vec::new(),
            prefix: String::new(),
        }
    }

    /// Looks for the server at 127.0.0.1 and a port that is free on all addresses; the configuration has to say
    /// where it listens.
    #[must_use]
    pub fn on_free_port(mut self) -> Self {
        self.address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free_port());
        self
    }

    /// Adds a line to the section `[server]`.
    #[must_use]
    pub fn option(mut self, line: &str) -> Self {
        self.server_options += &format!("{line}\n");
        self
    }

    /// Adds sections after `[server]`.
    #[must_use]
    pub fn sections(mut self, text: &str) -> Self {
        self.sections += &format!("\n{text}\n");
        self
    }

    /// Trusts nobody, not even this machine.
    #[must_use]
    pub fn strangers(mut self) -> Self {
        self.strangers = true;
        self
    }

    /// Writes this as moonraker.conf. `{host}`, `{port}`, `{dir}` stand for what is chosen by itself.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        self.config = Some(text.to_owned());
        self
    }

    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Starts the server through a program with arguments, which becomes the server in the end.
    #[must_use]
    pub fn through(mut self, words: Vec<OsString>) -> Self {
        self.through = words;
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Writes a file into the data folder (`gcodes/a.gcode`).
    #[must_use]
    pub fn file(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.dir.write(Path::new("data").join(path), bytes);
        self
    }

    /// Serves under a path.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = format!("/{}", prefix.trim_matches('/'));
        self.option(&format!("route_prefix: {prefix}"))
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Where Klippy's socket is looked for.
    pub fn klippy_socket(&self) -> PathBuf {
        self.dir.join("klippy.sock")
    }

    /// The configuration as it will be written.
    pub fn config_text(&self) -> String {
        if let Some(text) = &self.config {
            return text
                .replace("{host}", &self.address.ip().to_string())
                .replace("{port}", &self.address.port().to_string())
                .replace("{dir}", &self.dir.path().display().to_string());
        }
        // no test asks a server of the world for news
        let quiet = if cfg!(feature = "announcements") && !self.sections.contains("[announcements]") {
            "\n[announcements]\nenable_moonlight: False\n"
        } else {
            ""
        };
        let sections = match self.sections.contains(AUTHORIZATION) {
            true => self.sections.replacen(AUTHORIZATION, &format!("{AUTHORIZATION}\n{TRUSTED}"), 1),
            false => format!("{AUTHORIZATION}\n{TRUSTED}\n{}", self.sections),
        };
        format!(
            "[server]\nhost: {}\nport: {}\nklippy_uds_address: {}\n{}{}{quiet}",
            self.address.ip(),
            self.address.port(),
            self.klippy_socket().display(),
            self.server_options,
            if self.strangers { &self.sections } else { &sections }
        )
    }

    /// Writes the configuration.
    pub fn write_config(&self) {
        self.dir.write("data/config/moonraker.conf", self.config_text());
    }

    /// The command that runs the server, without any of the caller's own settings.
    pub fn command(&self) -> Command {
        let mut command = binary();
        if let [program, words @ ..] = self.through.as_slice() {
            let server = command.get_program().to_owned();
            command = clean(Command::new(program));
            command.args(words).arg(server);
        }
        command.arg("-d").arg(self.data()).args(&self.args);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub fn start(self) -> Perigee {
        self.write_config();
        let mut server = self.spawn();
        server.wait_until_up();
        server
    }

    /// Starts the server and waits for nothing; the configuration is not written.
    pub fn spawn(self) -> Perigee {
        let output = self.dir.join("output.log");
        let mut command = self.command();
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&output).expect("a log file"))
            .stderr(File::options().append(true).open(&output).expect("a log file"))
            .spawn()
            .expect("the binary starts");
        Perigee { data: self.data(), prefix: self.prefix.clone(), child, address: self.address, setup: self }
    }
}

/// The binary with an environment that has none of its variables. `PERIGEE_BIN` names another one than that of this
/// build, such as one for a device.
pub fn binary() -> Command {
    let other = std::env::var_os("PERIGEE_BIN");
    clean(Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_perigee").into())))
}

/// A command without the caller's own settings for the server.
fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MOONRAKER_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running server. Its end checks that it went in good order: in time, with exit code 0, without a panic.
#[derive(Debug)]
pub struct Perigee {
    setup: Setup,
    child: Child,
    data: PathBuf,
    prefix: String,
    pub address: SocketAddr,
}

impl Perigee {
    /// A server without anything special, and without a printer.
    #[track_caller]
    pub fn start() -> Self {
        Setup::new().start()
    }

    #[track_caller]
    pub fn wait_until_up(&mut self) {
        eventually("the server to answer", || {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                panic!("the server ended at its start: {status}\n{}", self.output());
            }
            let mut http = Http::connect(self.address).ok()?;
            http.try_send(&Request::get(&self.path("/access/info"))).ok()
        });
    }

    /// Waits until the run that begins after a restart serves. A client of the former run must have been told of
    /// its end before: from then on that run takes in nobody.
    #[track_caller]
    pub fn wait_for_new_run(&self) {
        let message = json!({"jsonrpc": "2.0", "method": "server.info", "id": 0}).to_string();
        eventually("the new run", || {
            let mut socket =
                websocket::try_open(self.address, &upgrade_request(&self.path("/websocket"))).ok()?.ok()?;
            socket.send_message(tungstenite::Message::text(message.clone())).ok()?;
            match socket.receive(std::time::Instant::now() + STOP_PATIENCE) {
                Received::Message(_) => Some(()),
                _ => None,
            }
        });
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data folder, or something in it.
    pub fn data(&self, path: &str) -> PathBuf {
        self.data.join(path)
    }

    /// The folder around the data folder.
    pub fn dir(&self) -> &TempDir {
        &self.setup.dir
    }

    /// Everything that the process wrote to stdout and stderr.
    pub fn output(&self) -> String {
        read_lossy(&self.setup.dir.join("output.log"))
    }

    /// The log file.
    pub fn log(&self) -> String {
        read_lossy(&self.data("logs/moonraker.log"))
    }

    /// Waits until a line of the log has this in it.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        eventually(&format!("{text:?} in the log"), || self.log().contains(text).then_some(()));
    }

    fn path(&self, target: &str) -> String {
        format!("{}{target}", self.prefix)
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Http {
        Http::connect(self.address).expect("the server accepts connections")
    }

    /// Sends a request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        let target = self.path(&request.target);
        self.connect().send(&Request { target, ..request.clone() })
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    #[track_caller]
    pub fn post(&self, target: &str, body: Value) -> Response {
        self.send(&Request::post(target).json(&body))
    }

    #[track_caller]
    pub fn delete(&self, target: &str) -> Response {
        self.send(&Request::delete(target))
    }

    /// One JSON-RPC message over HTTP.
    #[track_caller]
    pub fn jsonrpc(&self, message: &Value) -> Response {
        self.post("/server/jsonrpc", message.clone())
    }

    /// Uploads a file as Mainsail does.
    #[track_caller]
    pub fn upload(&self, root: &str, name: &str, content: impl AsRef<[u8]>) -> Response {
        self.send(&Multipart::new().file(name, content).text("root", root).upload())
    }

    /// A websocket that is fully there: what happens from now on is told to it.
    #[track_caller]
    pub fn websocket(&self) -> WsClient {
        let mut client =
            self.try_websocket("/websocket").unwrap_or_else(|refusal| panic!("no websocket: {refusal:?}"));
        client.settle();
        client
    }

    /// A websocket at another place, or the refusal.
    pub fn try_websocket(&self, target: &str) -> Result<WsClient, Response> {
        self.upgrade(&upgrade_request(target))
    }

    /// A websocket by a request of one's own.
    pub fn upgrade(&self, request: &Request) -> Result<WsClient, Response> {
        let target = self.path(&request.target);
        websocket::open(self.address, &Request { target, ..request.clone() }).map(Client::over)
    }

    /// A websocket that has said who it is, and its id.
    #[track_caller]
    pub fn identified(&self) -> (WsClient, u64) {
        let mut client = self.websocket();
        let id = client.call(
            "server.connection.identify",
            json!({"client_name": "test", "version": "1", "type": "web", "url": "http://test"}),
        );
        let id = id["connection_id"].as_u64().expect("a connection id");
        (client, id)
    }

    pub fn unix_socket_path(&self) -> PathBuf {
        self.data("comms/moonraker.sock")
    }

    #[track_caller]
    pub fn unix_socket(&self) -> UnixClient {
        let mut client = Client::over(Framed::connect(&self.unix_socket_path()));
        client.settle();
        client
    }

    #[track_caller]
    pub fn info(&self) -> Value {
        self.get("/server/info").result()
    }

    /// Waits until Klippy's state is this.
    #[track_caller]
    pub fn wait_for_klippy(&self, state: &str) -> Value {
        eventually(&format!("Klippy to be {state}"), || {
            Some(self.info()).filter(|info| info["klippy_state"] == state)
        })
    }

    /// Resident memory in bytes, now and at its highest.
    pub fn memory(&self) -> (u64, u64) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a status");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
            let kilobytes: u64 = line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().expect("a number");
            kilobytes * 1024
        };
        (field("VmRSS"), field("VmHWM"))
    }

    /// Begins the count of the highest memory anew.
    pub fn reset_peak_memory(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid() as i32), signal).expect("the server can be signalled");
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        eventually_within(STOP_PATIENCE, "the server to end", || {
            self.child.try_wait().expect("the child can be asked")
        })
    }

    /// Stops the server as an init system does.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_for_exit()
    }

    /// Stops it without any warning, as a cut of power does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with the same folders and arguments.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn_again();
        self.wait_until_up();
    }

    /// Starts it again, and kills it after this time, whatever it does then.
    pub fn start_and_kill(&mut self, after: Duration) {
        self.spawn_again();
        std::thread::sleep(after);
        self.kill();
    }

    fn spawn_again(&mut self) {
        let output = File::options().append(true).open(self.setup.dir.join("output.log")).expect("a log");
        let errors = output.try_clone().expect("a second handle");
        self.child =
            self.setup.command().stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("a start");
    }
}

impl Drop for Perigee {
    fn drop(&mut self) {
        let failed_before = std::thread::panicking();
        let ended = self.child.try_wait().ok().flatten();
        if ended.is_none() {
            let _ = kill(Pid::from_raw(self.pid() as i32), Signal::SIGTERM);
        }
        let deadline = std::time::Instant::now() + STOP_PATIENCE;
        let status = ended.or_else(|| {
            loop {
                match self.child.try_wait() {
                    Ok(Some(status)) => break Some(status),
                    _ if std::time::Instant::now() > deadline => break None,
                    _ => std::thread::park_timeout(Duration::from_millis(2)),
                }
            }
        });
        self.kill();
        let output = self.output();
        let panicked = output.contains("panicked at") || self.log().contains("panicked at");
        if failed_before || panicked || status.is_none() {
            print_end("output of the server", &output);
        }
        if !failed_before {
            assert!(!panicked, "the server panicked");
            assert!(status.is_some(), "the server did not stop within {STOP_PATIENCE:?} of SIGTERM");
        }
    }
}

fn print_end(title: &str, text: &str) {
    const LINES: usize = 150;
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(LINES);
    println!("--- {title} (last {} of {} lines)", lines.len() - start, lines.len());
    for line in &lines[start..] {
        println!("{line}");
    }
    println!("---");
}

fn read_lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
