//! Scripts in `/etc/init.d`, as busybox, SysV init and procd have them.
//!
//! There is nobody to ask for states: a service is active while the process in its pid file runs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use super::super::Host;
use super::super::sudo::Sudo;
use super::seen::{Look, Seen};
use super::{ACTION_LIMIT, Action, ServiceError, States, UnitState, pid_file, valid_name};
use crate::sync::lock;

pub(super) const FOLDER: &str = "/etc/init.d";

/// The scripts of a machine.
#[derive(Debug)]
pub(super) struct Sysv {
    host: Host,
    sudo: Arc<Sudo>,
    /// How long a script may take.
    limit: Duration,
    /// What the script of each service says: it is read again only when it changed, not at every look at the states.
    known: Mutex<HashMap<String, Known>>,
    seen: Seen,
}

/// What a script said when it was read.
#[derive(Debug)]
struct Known {
    /// Time and size of the script then.
    stamp: (SystemTime, u64),
    pid_files: Vec<String>,
}

impl Sysv {
    pub(super) fn new(host: &Host, sudo: &Arc<Sudo>) -> Self {
        Self {
            host: host.clone(),
            sudo: sudo.clone(),
            limit: ACTION_LIMIT,
            known: Mutex::default(),
            seen: Seen::default(),
        }
    }

    /// Services and their scripts. Where there are several of one name, the first in order is it.
    fn scripts(&self) -> BTreeMap<String, String> {
        let mut scripts = BTreeMap::new();
        for name in self.host.names(FOLDER) {
            let path = format!("{FOLDER}/{name}");
            let service = service_of_script(&name);
            if valid_name(service) && self.host.path(&path).is_file() {
                scripts.entry(service.to_owned()).or_insert(path);
            }
        }
        scripts
    }

    /// Where the pid file of a service may be.
    fn pid_files(&self, service: &str, script: &str) -> Vec<String> {
        let stamp = |metadata: fs::Metadata| Some((metadata.modified().ok()?, metadata.len()));
        let Some(stamp) = fs::metadata(self.host.path(script)).ok().and_then(stamp) else {
            return Vec::new();
        };
        let mut known = lock(&self.known);
        match known.get(service) {
            Some(known) if known.stamp == stamp => known.pid_files.clone(),
            _ => {
                let text = self.host.text(script).unwrap_or_default();
                let pid_files = pid_file::candidates(service, &text);
                known.insert(service.to_owned(), Known { stamp, pid_files: pid_files.clone() });
                pid_files
            }
        }
    }

    fn pid(&self, service: &str, script: &str) -> Option<u32> {
        self.pid_files(service, script).iter().find_map(|path| pid_file::running(&self.host, path))
    }

    pub(super) fn list(&self) -> States {
        let scripts = self.scripts();
        lock(&self.known).retain(|service, _| scripts.contains_key(service));
        let state = |(service, script): (String, String)| {
            let state = state(self.pid(&service, &script));
            (service, state)
        };
        scripts.into_iter().map(state).collect()
    }

    /// The states of these services, if they may have changed since the last time.
    pub(super) fn poll(&self, known: &States) -> Option<States> {
        if self.seen.still(known.len()) {
            return None;
        }
        let mut look = Look::new(known.len());
        look.note(self.host.path(FOLDER));
        let mut scripts = self.scripts();
        scripts.retain(|service, _| known.contains_key(service));
        let state = |(service, script): (String, String)| {
            let files = self.pid_files(&service, &script);
            let state = state(pid_file::look(&self.host, &files, &mut look));
            (service, state)
        };
        let states = scripts.into_iter().map(state).collect();
        self.seen.keep(look);
        Some(states)
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        let done = self.sudo.run(&self.script(unit)?, &[action.name()], self.limit).await;
        self.seen.forget();
        done?;
        Ok(())
    }

    pub(super) fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        Ok(self.sudo.detach(&self.script(unit)?, &["restart"])?)
    }

    fn script(&self, unit: &str) -> Result<String, ServiceError> {
        let script = self.scripts().remove(unit);
        script.ok_or_else(|| ServiceError::Failed(format!("there is no script for {unit}")))
    }

    pub(super) fn unit_of(&self, pid: u32) -> Option<String> {
        let mut scripts = self.scripts().into_iter();
        scripts.find(|(service, script)| self.pid(service, script) == Some(pid)).map(|(service, _)| service)
    }
}

/// A service is active while its process runs.
fn state(pid: Option<u32>) -> UnitState {
    match pid {
        Some(_) => UnitState::of("active", "running"),
        None => UnitState::of("inactive", "dead"),
    }
}

/// `S60klipper` is the script of `klipper`.
fn service_of_script(name: &str) -> &str {
    match name.as_bytes() {
        [b'S', a, b, _, ..] if a.is_ascii_digit() && b.is_ascii_digit() => &name[3..],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::age;
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn names_of_scripts() {
        assert_eq!(service_of_script("S60klipper"), "klipper");
        assert_eq!(service_of_script("klipper"), "klipper");
        assert_eq!(service_of_script("S60"), "S60");
        assert_eq!(service_of_script("S6é"), "S6é");
    }

    #[test]
    fn states_and_actions() {
        let tree = Tree::unpack(
            "@@ /etc/init.d/S60klipper\n#!/bin/sh\nPIDFILE=/var/run/klippy.pid\necho $1 > \"$0.did\"\n\
             @@ /etc/init.d/S61moonraker\n#!/bin/sh\necho no >&2; exit 1\n@@ /etc/init.d/functions.d/\n\
             @@ /var/run/klippy.pid\n41\n@@ /proc/41/stat\n@@ /run/moonraker.pid\n42\n",
        );
        let sysv = Sysv::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        let states = sysv.list();
        assert_eq!(states["klipper"], UnitState::of("active", "running"));
        assert_eq!(states["moonraker"], UnitState::of("inactive", "dead"));
        assert_eq!(states.len(), 2);
        // a script that changes is read again
        std::fs::write(tree.host().path("/etc/init.d/S61moonraker"), "PIDFILE=/var/run/klippy.pid\n")
            .unwrap();
        assert_eq!(sysv.list()["moonraker"], UnitState::of("active", "running"));
        std::fs::write(tree.host().path("/etc/init.d/S61moonraker"), "#!/bin/sh\necho no >&2; exit 1\n")
            .unwrap();
        assert_eq!(sysv.unit_of(41).as_deref(), Some("klipper"));
        assert_eq!(sysv.unit_of(42), None);
        smol::block_on(async {
            sysv.act(Action::Restart, "klipper").await.unwrap();
            let error = sysv.act(Action::Stop, "moonraker").await.unwrap_err();
            assert_eq!(error.to_string(), "S61moonraker: no");
            assert!(sysv.act(Action::Stop, "other").await.is_err());
        });
        assert_eq!(tree.host().line("/etc/init.d/S60klipper.did").as_deref(), Some("restart"));
    }

    #[test]
    fn looks_only_where_something_changed() {
        let tree = Tree::unpack(
            "@@ /etc/init.d/S60klipper\n#!/bin/sh\n@@ /etc/init.d/S61moonraker\n#!/bin/sh\n\
             @@ /etc/init.d/S62sonar\n#!/bin/sh\n@@ /run/klipper.pid\n41\n@@ /proc/41/stat\n\
             @@ /run/moonraker.pid\n42\n@@ /var/run -> ../run\n",
        );
        let sysv = Sysv::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        let mut followed = sysv.list();
        followed.remove("sonar");
        let poll = || {
            let words = |states: States| states.values().map(|state| state.sub_state.to_string()).collect();
            sysv.poll(&followed).map::<Vec<String>, _>(words)
        };
        let poll_settled = || {
            age(tree.folder());
            poll().unwrap()
        };
        let write = |path: &str, text: &str| std::fs::write(tree.host().path(path), text).unwrap();
        assert_eq!(poll_settled(), ["running", "dead"]);
        assert_eq!(poll(), None);
        // a stale file that is written in its place
        write("/run/moonraker.pid", "41\n");
        assert_eq!(poll_settled(), ["running", "running"]);
        assert_eq!(poll(), None);
        // a process that ends
        std::fs::remove_dir_all(tree.folder().join("proc/41")).unwrap();
        assert_eq!(poll_settled(), ["dead", "dead"]);
        assert_eq!(poll(), None);
        // a file in a folder of its own, as which the service starts again
        std::fs::create_dir_all(tree.folder().join("proc/43")).unwrap();
        std::fs::create_dir(tree.folder().join("run/klipper")).unwrap();
        write("/run/klipper/klipper.pid", "43\n");
        assert_eq!(poll_settled(), ["running", "dead"]);
        assert_eq!(poll(), None);
        // an action of ours
        smol::block_on(sysv.act(Action::Restart, "klipper")).unwrap();
        assert_eq!(poll().unwrap(), ["running", "dead"]);
    }

    #[test]
    fn a_service_that_hangs_on_stop() {
        let tree = Tree::unpack(
            "@@ /etc/init.d/S60klipper\n#!/bin/sh\necho $$ > \"${0%/*}/../hangs\"\nexec sleep 600\n\
             @@ /etc/init.d/S61moonraker\n#!/bin/sh\n",
        );
        let mut sysv = Sysv::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        sysv.limit = Duration::from_millis(500);
        let hangs = sysv.act(Action::Stop, "klipper");
        // others go on meanwhile
        let other = async {
            sysv.act(Action::Stop, "moonraker").await.unwrap();
            assert_eq!(sysv.list().len(), 2);
        };
        let (hung, ()) = smol::block_on(futures_lite::future::zip(hangs, other));
        assert!(matches!(hung, Err(ServiceError::TimedOut(_))), "{hung:?}");
        if let Some(pid) = tree.host().number::<u32>("/etc/hangs") {
            let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let begun = std::time::Instant::now();
            while state().contains("(sleep) S") {
                assert!(begun.elapsed() < Duration::from_secs(30), "the script is not killed");
                std::thread::yield_now();
            }
        }
    }
}
