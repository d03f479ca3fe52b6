//! OpenRC. Its states are files below `/run/openrc`.

use std::sync::Arc;

use super::super::Host;
use super::super::sudo::Sudo;
use super::seen::{Look, Seen};
use super::{ACTION_LIMIT, Action, ServiceError, States, UnitState, checked, pid_file, valid_name};

const SCRIPTS: &str = "/etc/init.d";
pub(super) const STATE: &str = "/run/openrc";

/// States that OpenRC keeps a folder for, in the order in which they are looked for: a service that is being
/// stopped is also still started.
const FOLDERS: [(&str, &str, &str); 5] = [
    ("starting", "activating", "starting"),
    ("stopping", "deactivating", "stopping"),
    ("failed", "failed", "failed"),
    ("inactive", "activating", "inactive"),
    ("started", "active", "running"),
];

/// OpenRC of a machine.
#[derive(Debug)]
pub(super) struct OpenRc {
    host: Host,
    sudo: Arc<Sudo>,
    seen: Seen,
}

impl OpenRc {
    pub(super) fn new(host: &Host, sudo: &Arc<Sudo>) -> Self {
        Self { host: host.clone(), sudo: sudo.clone(), seen: Seen::default() }
    }

    pub(super) fn list(&self) -> States {
        let names = self.host.names(SCRIPTS).into_iter().filter(|name| valid_name(name));
        names.map(|name| (self.state(&name), name)).map(|(state, name)| (name, state)).collect()
    }

    /// The states of these services, if they may have changed since the last time.
    pub(super) fn poll(&self, known: &States) -> Option<States> {
        if self.seen.still(known.len()) {
            return None;
        }
        let mut look = Look::new(known.len());
        for (folder, ..) in FOLDERS {
            look.note(self.host.path(format!("{STATE}/{folder}")));
        }
        // what is missing above shows here
        look.note(self.host.path(STATE));
        let script = |name: &&String| self.host.exists(format!("{SCRIPTS}/{name}"));
        let state = |name: &String| {
            let state = self.state(name);
            if state.active_state == "active" || state.active_state == "failed" {
                look.note(self.host.path(format!("{STATE}/daemons/{name}")));
                for file in self.pid_files(name) {
                    pid_file::look(&self.host, &[file], &mut look);
                }
            }
            (name.clone(), state)
        };
        let states = known.keys().filter(script).map(state).collect();
        self.seen.keep(look);
        Some(states)
    }

    fn state(&self, name: &str) -> UnitState {
        let marked = |folder: &str| self.host.path(format!("{STATE}/{folder}/{name}")).is_symlink();
        match FOLDERS.iter().find(|(folder, ..)| marked(folder)) {
            Some(("started", ..)) if self.has_crashed(name) => UnitState::of("failed", "crashed"),
            Some((_, active, sub)) => UnitState::of(active, sub),
            None => UnitState::of("inactive", "dead"),
        }
    }

    /// Where the daemons of a started service have their pid files.
    fn pid_files(&self, name: &str) -> Vec<String> {
        let folder = format!("{STATE}/daemons/{name}");
        let daemons = self.host.names(&folder).into_iter();
        let descriptions = daemons.filter_map(|daemon| self.host.text(format!("{folder}/{daemon}")));
        let path =
            |text: String| text.lines().find_map(|line| line.strip_prefix("pidfile=")).map(str::to_owned);
        descriptions.filter_map(path).filter(|path| !path.is_empty()).collect()
    }

    fn has_crashed(&self, name: &str) -> bool {
        self.pid_files(name).iter().any(|path| pid_file::running(&self.host, path).is_none())
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        let done = self.sudo.run("rc-service", &[checked(unit)?, action.name()], ACTION_LIMIT).await;
        self.seen.forget();
        done?;
        Ok(())
    }

    pub(super) fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        Ok(self.sudo.detach("rc-service", &[checked(unit)?, "restart"])?)
    }

    pub(super) fn unit_of(&self, pid: u32) -> Option<String> {
        let runs_as = |path: &String| pid_file::running(&self.host, path) == Some(pid);
        self.host
            .names(format!("{STATE}/daemons"))
            .into_iter()
            .find(|name| self.pid_files(name).iter().any(runs_as))
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::tests::age;
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn states_and_actions() {
        let link = |folder: &str, name: &str| format!("@@ {STATE}/{folder}/{name} -> /etc/init.d/{name}\n");
        let scripts = ["klipper", "moonraker", "webcamd", "sonar", "other"];
        let text = [
            scripts.map(|name| format!("@@ {SCRIPTS}/{name}\n#!/sbin/openrc-run\n")).concat(),
            link("started", "klipper") + &link("started", "moonraker") + &link("started", "webcamd"),
            link("stopping", "webcamd") + &link("failed", "sonar"),
            format!("@@ {STATE}/daemons/klipper/001\nexec=/usr/bin/python3\npidfile=/run/klipper.pid\n"),
            format!("@@ {STATE}/daemons/moonraker/001\npidfile=/run/moonraker.pid\n"),
            "@@ /run/klipper.pid\n7\n@@ /proc/7/stat\n@@ /run/moonraker.pid\n8\n".into(),
            "@@ /sbin/rc-service\n#!/bin/sh\necho \"$1 $2\" > \"$(dirname \"$0\")/did\"\n".into(),
        ]
        .concat();
        let tree = Tree::unpack(&text);
        let openrc = OpenRc::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        let states = openrc.list();
        let words: Vec<&str> = scripts.iter().map(|name| &*states[*name].sub_state).collect();
        assert_eq!(words, ["running", "crashed", "stopping", "failed", "dead"]);
        assert_eq!(openrc.unit_of(7).as_deref(), Some("klipper"));
        assert_eq!(openrc.unit_of(8), None);
        smol::block_on(openrc.act(Action::Start, "sonar")).unwrap();
        assert_eq!(tree.host().line("/sbin/did").as_deref(), Some("sonar start"));
        assert!(smol::block_on(openrc.act(Action::Start, "--all")).is_err());

        // looked at again only after a change: a process that ends, a mark of OpenRC
        age(tree.folder());
        assert_eq!(openrc.poll(&states).unwrap(), states);
        assert_eq!(openrc.poll(&states), None);
        std::fs::remove_dir_all(tree.host().path("/proc/7")).unwrap();
        age(tree.folder());
        assert_eq!(openrc.poll(&states).unwrap()["klipper"].sub_state, "crashed");
        assert_eq!(openrc.poll(&states), None);
        std::fs::remove_file(tree.host().path(format!("{STATE}/stopping/webcamd"))).unwrap();
        assert_eq!(openrc.poll(&states).unwrap()["webcamd"].sub_state, "running");
    }
}
