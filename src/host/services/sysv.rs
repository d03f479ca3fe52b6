//! Scripts in `/etc/init.d`, as busybox, SysV init and procd have them.
//!
//! There is nobody to ask for states: a service is active while the process in its pid file runs.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::super::Host;
use super::super::sudo::Sudo;
use super::{ACTION_LIMIT, Action, ServiceError, States, UnitState, pid_file, valid_name};
use crate::sync::lock;

const FOLDER: &str = "/etc/init.d";

/// The scripts of a machine.
#[derive(Debug)]
pub(super) struct Sysv {
    host: Host,
    sudo: Arc<Sudo>,
    /// What the script of each service says: it is read again only when it changed, not at every look at the states.
    known: Mutex<BTreeMap<String, Known>>,
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
        Self { host: host.clone(), sudo: sudo.clone(), known: Mutex::default() }
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

    fn pid(&self, service: &str, script: &str) -> Option<u32> {
        let metadata = fs::metadata(self.host.path(script)).ok()?;
        let stamp = (metadata.modified().ok()?, metadata.len());
        let mut known = lock(&self.known);
        if known.get(service).is_none_or(|known| known.stamp != stamp) {
            let text = self.host.text(script).unwrap_or_default();
            let pid_files = pid_file::candidates(service, &text);
            known.insert(service.to_owned(), Known { stamp, pid_files });
        }
        known.get(service)?.pid_files.iter().find_map(|path| pid_file::running(&self.host, path))
    }

    pub(super) fn list(&self) -> States {
        let scripts = self.scripts();
        lock(&self.known).retain(|service, _| scripts.contains_key(service));
        let state = |(service, script): (String, String)| {
            let state = match self.pid(&service, &script) {
                Some(_) => UnitState::of("active", "running"),
                None => UnitState::of("inactive", "dead"),
            };
            (service, state)
        };
        scripts.into_iter().map(state).collect()
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        self.sudo.run(&self.script(unit)?, &[action.name()], ACTION_LIMIT).await?;
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

/// `S60klipper` is the script of `klipper`.
fn service_of_script(name: &str) -> &str {
    match name.as_bytes() {
        [b'S', a, b, _, ..] if a.is_ascii_digit() && b.is_ascii_digit() => &name[3..],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
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
}
