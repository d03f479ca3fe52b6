//! supervisord, through the XML-RPC interface that its own command line uses. Nothing is started for that.

mod rpc;
mod settings;

use std::ffi::OsStr;
use std::path::PathBuf;

use super::super::Host;
use super::super::process::{ProcessError, detach};
use super::{Action, ServiceError, States, UnitState, checked};
use rpc::{Struct, call};
use settings::Settings;

/// supervisord of a machine.
#[derive(Debug)]
pub(super) struct Supervisord {
    host: Host,
    config: Option<PathBuf>,
}

/// Process states of supervisord in systemd's words.
fn state(name: &str) -> UnitState {
    let sub_state = name.to_ascii_lowercase();
    let active = match sub_state.as_str() {
        "running" => "active",
        "starting" | "backoff" => "activating",
        "stopping" => "deactivating",
        "fatal" => "failed",
        _ => "inactive",
    };
    UnitState { active_state: active.into(), sub_state: sub_state.into() }
}

impl Supervisord {
    pub(super) fn new(host: &Host, config: Option<PathBuf>) -> Self {
        Self { host: host.clone(), config }
    }

    /// Asks for all processes.
    async fn processes(&self) -> Result<Vec<Struct>, ServiceError> {
        let settings = Settings::read(&self.host, self.config.as_deref());
        call(&self.host, &settings, "supervisor.getAllProcessInfo", &[]).await
    }

    pub(super) async fn list(&self) -> Result<States, ServiceError> {
        let processes = self.processes().await?;
        let of = |process: &Struct| Some((name_of(process)?, state(process.get("statename")?)));
        Ok(processes.iter().filter_map(of).collect())
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        let settings = Settings::read(&self.host, self.config.as_deref());
        let call = async |method: &str| call(&self.host, &settings, method, &[unit]).await.map(drop);
        match action {
            Action::Start => call("supervisor.startProcess").await,
            Action::Stop => call("supervisor.stopProcess").await,
            Action::Restart => {
                match call("supervisor.stopProcess").await {
                    Err(ServiceError::Failed(reason)) if reason.contains("NOT_RUNNING") => {}
                    done => done?,
                }
                call("supervisor.startProcess").await
            }
        }
    }

    /// A request would end with this process before the second half of a restart is asked for, so this is left to
    /// the command line.
    pub(super) fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        let missing = || ProcessError::Missing("supervisorctl".into());
        let program = self.host.program("supervisorctl").ok_or_else(missing)?;
        let config = self.config.as_deref().map(|path| ["-c".as_ref(), path.as_os_str()]);
        let mut words: Vec<&OsStr> = config.into_iter().flatten().collect();
        words.extend(["restart".as_ref(), OsStr::new(checked(unit)?)]);
        Ok(detach(program, &words, "")?)
    }

    pub(super) async fn unit_of(&self, pid: u32) -> Option<String> {
        let processes = self.processes().await.ok()?;
        let ours = |process: &&Struct| process.get("pid").and_then(|text| text.parse().ok()) == Some(pid);
        processes.iter().find(ours).and_then(name_of)
    }
}

/// A process by itself has a group of its own name; others are called by both.
fn name_of(process: &Struct) -> Option<String> {
    let (name, group) = (process.get("name")?, process.get("group")?);
    Some(if name == group { name.to_owned() } else { format!("{group}:{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;
    use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
    use smol::net::unix::UnixListener;

    const PROCESSES: &str = "<?xml version='1.0'?><methodResponse><params><param><value><array><data>\
        <value><struct><member><name>name</name><value><string>klipper</string></value></member>\
        <member><name>group</name><value><string>klipper</string></value></member>\
        <member><name>statename</name><value><string>RUNNING</string></value></member>\
        <member><name>pid</name><value><int>12</int></value></member></struct></value>\
        <value><struct><member><name>name</name><value>a</value></member>\
        <member><name>group</name><value>cams</value></member>\
        <member><name>statename</name><value>FATAL</value></member>\
        <member><name>pid</name><value><int>0</int></value></member></struct></value>\
        </data></array></value></param></params></methodResponse>";
    const NOT_RUNNING: &str = "<methodResponse><fault><value><struct>\
        <member><name>faultCode</name><value><int>70</int></value></member>\
        <member><name>faultString</name><value><string>NOT_RUNNING: a&lt;b</string></value></member>\
        </struct></value></fault></methodResponse>";
    const TRUE: &str = "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>";

    /// Answers so many requests, and returns them.
    async fn serve(listener: UnixListener, answers: &[&str]) -> Vec<String> {
        let mut requests = Vec::new();
        for body in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 1024];
            while !request.ends_with(b"</methodCall>") {
                let length = stream.read(&mut chunk).await.unwrap();
                request.extend(&chunk[..length]);
            }
            requests.push(String::from_utf8(request).unwrap());
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
        requests
    }

    fn with_server<T>(answers: &[&str], work: impl AsyncFnOnce(Supervisord) -> T) -> (T, Vec<String>) {
        let tree = Tree::unpack(
            "@@ /etc/supervisord.conf\n[unix_http_server]\nfile=/run/supervisor.sock\nusername = u\npassword = p\n@@ /run/x\n",
        );
        let listener = UnixListener::bind(tree.host().path("/run/supervisor.sock")).unwrap();
        let supervisord = Supervisord::new(tree.host(), None);
        smol::block_on(future::zip(work(supervisord), serve(listener, answers)))
    }

    #[test]
    fn states_and_pids() {
        let ((states, unit), requests) =
            with_server(&[PROCESSES, PROCESSES], async |supervisord: Supervisord| {
                (supervisord.list().await.unwrap(), supervisord.unit_of(12).await)
            });
        assert_eq!(states["klipper"], UnitState::of("active", "running"));
        assert_eq!(states["cams:a"], UnitState::of("failed", "fatal"));
        assert_eq!(unit.as_deref(), Some("klipper"));
        assert!(requests[0].starts_with("POST /RPC2 HTTP/1.0\r\n"));
        assert!(requests[0].contains("Authorization: Basic dTpw\r\n"));
    }

    #[test]
    fn restart_of_what_does_not_run() {
        let (done, requests) = with_server(&[NOT_RUNNING, TRUE], async |supervisord: Supervisord| {
            supervisord.act(Action::Restart, "a&b").await
        });
        done.unwrap();
        assert!(requests[0].contains("supervisor.stopProcess") && requests[0].contains("a&amp;b"));
        assert!(requests[1].contains("supervisor.startProcess"));
    }

    #[test]
    fn a_fault_is_told() {
        let (done, _) = with_server(&[NOT_RUNNING], async |supervisord: Supervisord| {
            supervisord.act(Action::Stop, "a").await
        });
        assert_eq!(done.unwrap_err().to_string(), "NOT_RUNNING: a<b");
    }

    #[test]
    fn nobody_there() {
        let tree = Tree::unpack("");
        let error = smol::block_on(Supervisord::new(tree.host(), None).list()).unwrap_err();
        assert!(matches!(error, ServiceError::Unavailable(_)));
    }
}
