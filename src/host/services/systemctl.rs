//! systemd by its command line.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::super::Host;
use super::super::process::{ProcessError, run};
use super::super::sudo::Sudo;
use super::{ACTION_LIMIT, Action, ServiceError, States, UnitState, checked};
use crate::sync::lock;

/// How long systemd may take to tell states.
const QUERY_LIMIT: Duration = Duration::from_secs(10);
/// How often states are asked for although no control group has changed: a state without processes may have.
const QUERY_AGAIN: Duration = Duration::from_secs(30);
/// Where the control groups of services are: version 2, version 1, and both.
const GROUPS: [&str; 3] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];

/// systemd of a machine.
#[derive(Debug)]
pub(super) struct Systemctl {
    host: Host,
    sudo: Arc<Sudo>,
    last: Mutex<Last>,
}

/// What was seen at the last query.
#[derive(Debug, Default)]
struct Last {
    processes: Vec<u8>,
    at: Option<Instant>,
}

impl Systemctl {
    pub(super) fn new(host: &Host, sudo: &Arc<Sudo>) -> Self {
        Self { host: host.clone(), sudo: sudo.clone(), last: Mutex::default() }
    }

    async fn query(&self, arguments: &[&str]) -> Result<String, ServiceError> {
        let program =
            self.host.program("systemctl").ok_or_else(|| ProcessError::Missing("systemctl".into()))?;
        Ok(run(program, arguments, "", QUERY_LIMIT).await?)
    }

    /// All services that are loaded.
    pub(super) async fn list(&self) -> Result<States, ServiceError> {
        let words =
            ["list-units", "--all", "--type=service", "--plain", "--no-legend", "--no-pager", "--full"];
        Ok(parse_list(&self.query(&words).await?))
    }

    /// The states of these services if they may have changed since the last time. Starting a program every two
    /// seconds for years is dear, so first it is looked whether the processes are still the same.
    pub(super) async fn poll(&self, known: &States) -> Result<Option<States>, ServiceError> {
        let processes = self.processes(known);
        {
            let mut last = lock(&self.last);
            let recent = last.at.is_some_and(|at| at.elapsed() < QUERY_AGAIN);
            if recent && last.processes == processes {
                return Ok(None);
            }
            *last = Last { processes, at: Some(Instant::now()) };
        }
        let names: Vec<String> = known.keys().map(|name| format!("{name}.service")).collect();
        let mut words = vec!["show", "--no-pager", "-p", "Id,ActiveState,SubState", "--"];
        words.extend(names.iter().map(String::as_str));
        Ok(Some(parse_show(&self.query(&words).await?)))
    }

    /// The numbers of the services' processes.
    fn processes(&self, known: &States) -> Vec<u8> {
        let mut all = Vec::new();
        for name in known.keys() {
            let file =
                |folder: &&str| self.host.bytes(format!("{folder}/system.slice/{name}.service/cgroup.procs"));
            all.extend(GROUPS.iter().find_map(file).unwrap_or_default());
            all.push(0);
        }
        all
    }

    /// systemd does it whatever becomes of this process.
    pub(super) async fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        let words = ["restart", "--no-block", checked(unit)?];
        self.sudo.run("systemctl", &words, QUERY_LIMIT).await?;
        Ok(())
    }

    /// Whether a unit's file is another one than systemd has read. Where it cannot say, nothing is wrong.
    pub(super) async fn unit_file_changed(&self, unit: &str) -> bool {
        let Ok(unit) = checked(unit) else { return false };
        let words = ["show", "--no-pager", "-p", "NeedDaemonReload", "--", &format!("{unit}.service")];
        self.query(&words).await.is_ok_and(|text| text.trim() == "NeedDaemonReload=yes")
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        // exactly the words that rules of sudo commonly allow
        let done = self.sudo.run("systemctl", &[action.name(), checked(unit)?], ACTION_LIMIT).await;
        lock(&self.last).at = None;
        done?;
        Ok(())
    }
}

/// Lines `klipper.service loaded active running Klipper 3D Printer`.
fn parse_list(text: &str) -> States {
    let unit = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?.strip_suffix(".service")?;
        let loaded = words.next()? == "loaded";
        let state = state(words.next()?, words.next()?);
        loaded.then(|| (name.to_owned(), state))
    };
    text.lines().filter_map(unit).collect()
}

/// Paragraphs of `Id=`, `ActiveState=` and `SubState=`.
fn parse_show(text: &str) -> States {
    let unit = |paragraph: &str| {
        let value = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let name = value("Id")?.strip_suffix(".service")?;
        Some((name.to_owned(), state(value("ActiveState")?, value("SubState")?)))
    };
    text.split("\n\n").filter_map(unit).collect()
}

fn state(active: &str, sub: &str) -> UnitState {
    UnitState { active_state: active.to_owned().into(), sub_state: sub.to_owned().into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;
    use proptest::prelude::*;

    const SYSTEMCTL: &str = "@@ /usr/bin/systemctl\n#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho x >> queries\n\
        case $1 in\n\
        list-units) echo 'klipper.service loaded active running Klipper';\n\
            echo 'gone.service not-found inactive dead gone.service'; echo 'x.socket loaded active listening x';;\n\
        show) [ \"$4\" != NeedDaemonReload ] || exec echo NeedDaemonReload=$(cat reload); printf 'Id=klipper.service\\nActiveState=failed\\nSubState=failed\\n';;\n\
        restart) echo \"$@\" > did;;\n\
        *) echo 'Interactive authentication required.' >&2; exit 1;;\n\
        esac\n\
        @@ /sys/fs/cgroup/system.slice/klipper.service/cgroup.procs\n12\n";

    fn queries(tree: &Tree) -> usize {
        tree.host().text("/usr/bin/queries").unwrap_or_default().lines().count()
    }

    #[test]
    fn states_are_asked_for_when_processes_change() {
        let tree = Tree::unpack(SYSTEMCTL);
        let systemctl = Systemctl::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        smol::block_on(async {
            let states = systemctl.list().await.unwrap();
            assert_eq!(states, States::from([("klipper".into(), UnitState::of("active", "running"))]));
            assert!(systemctl.poll(&states).await.unwrap().is_some());
            assert!(systemctl.poll(&states).await.unwrap().is_none());
            assert_eq!(queries(&tree), 2);
            std::fs::write(tree.folder().join("sys/fs/cgroup/system.slice/klipper.service/cgroup.procs"), "")
                .unwrap();
            let now = systemctl.poll(&states).await.unwrap().unwrap();
            assert_eq!(now["klipper"], UnitState::of("failed", "failed"));
        });
    }

    #[test]
    fn actions_and_refusals() {
        let tree = Tree::unpack(SYSTEMCTL);
        let systemctl = Systemctl::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        smol::block_on(async {
            systemctl.act(Action::Restart, "klipper").await.unwrap();
            let refused = systemctl.act(Action::Stop, "klipper").await.unwrap_err();
            assert!(matches!(refused, ServiceError::Denied(_)), "{refused:?}");
        });
        assert_eq!(tree.host().line("/usr/bin/did").as_deref(), Some("restart klipper"));
    }

    #[test]
    fn a_file_that_is_not_read_yet() {
        let tree = Tree::unpack(SYSTEMCTL);
        let systemctl = Systemctl::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        for (reload, changed) in [("yes", true), ("no", false)] {
            std::fs::write(tree.folder().join("usr/bin/reload"), reload).unwrap();
            assert_eq!(smol::block_on(systemctl.unit_file_changed("perigee")), changed);
        }
        assert!(!smol::block_on(systemctl.unit_file_changed("-p")));
    }

    #[test]
    fn without_systemd() {
        let tree = Tree::unpack("");
        let systemctl = Systemctl::new(tree.host(), &Arc::new(Sudo::new(tree.host(), None)));
        let error = smol::block_on(systemctl.list()).unwrap_err();
        assert!(matches!(error, ServiceError::Unavailable(_)));
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            parse_list(&text);
            parse_show(&text);
        }
    }
}
