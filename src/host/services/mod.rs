//! Service managers: what starts and stops the programs of a machine.

mod openrc;
mod pace;
mod pid_file;
mod seen;
mod supervisord;
mod systemctl;
#[cfg(feature = "dbus")]
mod systemd_dbus;
mod sysv;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Host;
use super::process::ProcessError;
use super::sudo::Sudo;
use super::unit_of_process;
use pace::Pace;

/// How long a service may take to start or to stop. systemd itself gives it 90 s.
const ACTION_LIMIT: Duration = Duration::from_secs(100);
/// The most services that are tracked.
const MAX_UNITS: usize = 256;

/// The managers that there are (config.md §3 `[machine] provider`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Services are left alone.
    None,
    /// systemd, through D-Bus.
    SystemdDbus,
    /// systemd, through its command line.
    SystemdCli,
    /// supervisord, through its XML-RPC socket.
    Supervisord,
    /// Scripts in `/etc/init.d`: busybox, SysV init, procd.
    Sysv,
    /// OpenRC.
    OpenRc,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::None, Self::SystemdDbus, Self::SystemdCli, Self::Supervisord, Self::Sysv, Self::OpenRc];

    /// Its name in the configuration and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::SystemdDbus => "systemd_dbus",
            Self::SystemdCli => "systemd_cli",
            Self::Supervisord => "supervisord_cli",
            Self::Sysv => "sysv",
            Self::OpenRc => "openrc",
        }
    }

    /// The manager of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The manager that runs this machine, by the marks that each leaves while it runs.
    pub fn detect(host: &Host) -> Self {
        if host.exists("/run/systemd/system") {
            let bus =
                host.exists("/run/dbus/system_bus_socket") || host.exists("/var/run/dbus/system_bus_socket");
            return if bus { Self::SystemdDbus } else { Self::SystemdCli };
        }
        if host.exists("/run/openrc/softlevel") {
            return Self::OpenRc;
        }
        if host.path("/etc/init.d").is_dir() { Self::Sysv } else { Self::None }
    }
}

/// What is to be done with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    Start,
    Stop,
    Restart,
}

impl Action {
    /// The word for it, which all managers share.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// How a service is doing, in systemd's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitState {
    /// `active`, `inactive`, `activating`, `deactivating`, `failed`.
    pub active_state: Cow<'static, str>,
    /// More of it, which depends on the manager: `running`, `dead`, `exited`.
    pub sub_state: Cow<'static, str>,
}

impl UnitState {
    /// A state of fixed words.
    pub(crate) const fn of(active: &'static str, sub: &'static str) -> Self {
        Self { active_state: Cow::Borrowed(active), sub_state: Cow::Borrowed(sub) }
    }
}

/// Services by name, without `.service`.
pub type States = BTreeMap<String, UnitState>;

/// Why a manager did not do what it was asked.
#[derive(Debug)]
pub enum ServiceError {
    /// It does not run, or cannot be reached.
    Unavailable(String),
    /// It needs more rights.
    Denied(String),
    /// It tried and failed.
    Failed(String),
    /// It did not come to an end in time.
    TimedOut(String),
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) | Self::Denied(text) | Self::Failed(text) | Self::TimedOut(text) => {
                f.write_str(text)
            }
        }
    }
}

impl std::error::Error for ServiceError {}

impl From<ProcessError> for ServiceError {
    fn from(error: ProcessError) -> Self {
        let text = error.to_string();
        match error {
            ProcessError::Missing(_) | ProcessError::Io(..) => Self::Unavailable(text),
            ProcessError::TimedOut(_) => Self::TimedOut(text),
            ProcessError::Failed(..) if speaks_of_rights(&text) => Self::Denied(text),
            ProcessError::Failed(..) => Self::Failed(text),
        }
    }
}

/// Whether a complaint of sudo or systemctl is about missing rights.
fn speaks_of_rights(text: &str) -> bool {
    const WORDS: [&str; 6] = [
        "password",
        "not allowed",
        "Access denied",
        "Interactive authentication",
        "Permission denied",
        "not in the sudoers",
    ];
    WORDS.iter().any(|words| text.contains(words))
}

/// The manager of this machine's services.
#[derive(Debug)]
pub struct Services {
    kind: Kind,
    host: Host,
    backend: Backend,
    pace: Pace,
}

#[derive(Debug)]
enum Backend {
    None,
    Systemctl(systemctl::Systemctl),
    #[cfg(feature = "dbus")]
    SystemdDbus(Box<systemd_dbus::SystemdDbus>),
    Supervisord(supervisord::Supervisord),
    Sysv(sysv::Sysv),
    OpenRc(openrc::OpenRc),
}

impl Services {
    /// Gets ready to work with a manager. `supervisord_config` names the configuration of supervisord where it is
    /// not at its usual place.
    pub fn new(kind: Kind, host: &Host, sudo: &Arc<Sudo>, supervisord_config: Option<PathBuf>) -> Self {
        let backend = match kind {
            Kind::None => Backend::None,
            #[cfg(feature = "dbus")]
            Kind::SystemdDbus => Backend::SystemdDbus(Box::new(systemd_dbus::SystemdDbus::new(host, sudo))),
            #[cfg(not(feature = "dbus"))]
            Kind::SystemdDbus => Backend::Systemctl(systemctl::Systemctl::new(host, sudo)),
            Kind::SystemdCli => Backend::Systemctl(systemctl::Systemctl::new(host, sudo)),
            Kind::Supervisord => {
                Backend::Supervisord(supervisord::Supervisord::new(host, supervisord_config))
            }
            Kind::Sysv => Backend::Sysv(sysv::Sysv::new(host, sudo)),
            Kind::OpenRc => Backend::OpenRc(openrc::OpenRc::new(host, sudo)),
        };
        Self { kind, host: host.clone(), backend, pace: Pace::default() }
    }

    /// Which manager it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The services that the manager knows and `allowed` takes, with their states.
    ///
    /// # Errors
    /// Where the manager cannot be asked.
    pub async fn list(&self, allowed: &(dyn Fn(&str) -> bool + Sync)) -> Result<States, ServiceError> {
        let mut states = match &self.backend {
            Backend::None => States::new(),
            Backend::Systemctl(systemctl) => systemctl.list().await?,
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.list().await?,
            Backend::Supervisord(supervisord) => supervisord.list().await?,
            Backend::Sysv(sysv) => self.there(sysv::FOLDER).map(|()| sysv.list())?,
            Backend::OpenRc(openrc) => self.there(openrc::STATE).map(|()| openrc.list())?,
        };
        states.retain(|name, _| allowed(name));
        while states.len() > MAX_UNITS {
            states.pop_last();
        }
        Ok(states)
    }

    /// Whether the folder that marks a manager is there.
    fn there(&self, folder: &str) -> Result<(), ServiceError> {
        match self.host.path(folder).is_dir() {
            true => Ok(()),
            false => Err(ServiceError::Unavailable(format!(
                "there is no {folder}, so 'provider: {}' is wrong here",
                self.kind.name()
            ))),
        }
    }

    /// Waits until services may have changed.
    pub async fn wait(&self) {
        match &self.backend {
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.wait().await,
            _ => self.pace.wait().await,
        }
    }

    /// The states that these services have now. One that has gone counts as inactive; where the manager cannot be
    /// asked, states stay as they were.
    pub async fn look(&self, known: &States) -> States {
        let now = match &self.backend {
            Backend::None => return known.clone(),
            Backend::Systemctl(systemctl) => systemctl.poll(known).await,
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.next_states(known).await,
            Backend::Supervisord(supervisord) => supervisord.list().await.map(Some),
            Backend::Sysv(sysv) => Ok(sysv.poll(known)),
            Backend::OpenRc(openrc) => Ok(openrc.poll(known)),
        };
        match now {
            Ok(Some(mut now)) => {
                let dead = |name: &String| (name.clone(), UnitState::of("inactive", "dead"));
                known.keys().map(|name| now.remove_entry(name).unwrap_or_else(|| dead(name))).collect()
            }
            Ok(None) => known.clone(),
            Err(error) => {
                log::debug!("services cannot be looked at: {error}");
                known.clone()
            }
        }
    }

    /// Does something with a service, and comes back when it is done.
    ///
    /// # Errors
    /// Where the manager cannot be reached, refuses, or fails.
    pub async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        let done = match &self.backend {
            Backend::None => Err(ServiceError::Unavailable("Service Actions Not Available".into())),
            Backend::Systemctl(systemctl) => systemctl.act(action, unit).await,
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.act(action, unit).await,
            Backend::Supervisord(supervisord) => supervisord.act(action, unit).await,
            Backend::Sysv(sysv) => sysv.act(action, unit).await,
            Backend::OpenRc(openrc) => openrc.act(action, unit).await,
        };
        self.pace.quicken();
        done
    }

    /// What cannot be done for want of rights, in sentences. Managers that are not asked before tell when they refuse.
    pub async fn missing_rights(&self) -> Vec<String> {
        #[cfg(feature = "dbus")]
        if let Backend::SystemdDbus(systemd) = &self.backend {
            let mut missing = Vec::new();
            for (action, without) in systemd_dbus::PERMISSIONS {
                match systemd.permits(action).await {
                    Ok(true) => {}
                    Ok(false) => missing.push(format!("polkit does not permit {action}: {without}")),
                    Err(error) => log::debug!("polkit cannot be asked about {action}: {error}"),
                }
            }
            return missing;
        }
        Vec::new()
    }

    /// Whether the manager knows a service by another file than there is now. Only systemd keeps what it has read.
    pub async fn unit_file_changed(&self, unit: &str) -> bool {
        match &self.backend {
            Backend::Systemctl(systemctl) => systemctl.unit_file_changed(unit).await,
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.command_line.unit_file_changed(unit).await,
            Backend::None | Backend::Supervisord(_) | Backend::Sysv(_) | Backend::OpenRc(_) => false,
        }
    }

    /// Restarts the service that this process is. It ends in the course of that, so there may be no answer.
    ///
    /// # Errors
    /// Where the manager cannot be reached or refuses.
    pub async fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        match &self.backend {
            Backend::None => Err(ServiceError::Unavailable("Service Actions Not Available".into())),
            Backend::Systemctl(systemctl) => systemctl.restart_own(unit).await,
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(systemd) => systemd.restart_own(unit).await,
            Backend::Supervisord(supervisord) => supervisord.restart_own(unit),
            Backend::Sysv(sysv) => sysv.restart_own(unit),
            Backend::OpenRc(openrc) => openrc.restart_own(unit),
        }
    }

    /// The service that a process belongs to.
    pub async fn unit_of(&self, pid: u32) -> Option<String> {
        match &self.backend {
            Backend::None | Backend::Systemctl(_) => unit_of_process(&self.host, pid),
            #[cfg(feature = "dbus")]
            Backend::SystemdDbus(_) => unit_of_process(&self.host, pid),
            Backend::Supervisord(supervisord) => supervisord.unit_of(pid).await,
            Backend::Sysv(sysv) => sysv.unit_of(pid),
            Backend::OpenRc(openrc) => openrc.unit_of(pid),
        }
    }
}

/// Whether this can be the name of a service. Names become arguments of programs that root runs, so nothing else
/// (an option, a path) may pass for one.
fn valid_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-.@:\\".contains(&b);
    !name.is_empty() && name.len() < 256 && !name.starts_with(['-', '.']) && name.bytes().all(plain)
}

/// A name that can be one.
///
/// # Errors
/// Where it cannot.
fn checked(name: &str) -> Result<&str, ServiceError> {
    match valid_name(name) {
        true => Ok(name),
        false => Err(ServiceError::Failed(format!("there is no service {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn names_of_managers() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.name()), Some(kind));
        }
        assert_eq!(Kind::parse("launchd"), None);
    }

    #[test]
    fn the_manager_that_runs() {
        let detect = |tree: &str| Kind::detect(Tree::unpack(tree).host());
        assert_eq!(detect("@@ /run/systemd/system/\n@@ /run/dbus/system_bus_socket\n"), Kind::SystemdDbus);
        assert_eq!(detect("@@ /run/systemd/system/\n@@ /etc/init.d/x\n"), Kind::SystemdCli);
        assert_eq!(detect("@@ /run/openrc/softlevel\ndefault\n@@ /etc/init.d/x\n"), Kind::OpenRc);
        assert_eq!(detect("@@ /etc/init.d/S60klipper\n"), Kind::Sysv);
        assert_eq!(detect(""), Kind::None);
    }

    #[test]
    fn names_of_services() {
        assert!(valid_name("klipper-1") && valid_name("klipper@2") && valid_name("a\\x2db"));
        for bad in ["", "-x", "../x", "a/b", "a b", "a;b", "a\nb", "é"] {
            assert!(!valid_name(bad), "{bad}");
        }
    }

    #[test]
    fn complaints_about_rights() {
        assert!(speaks_of_rights("sudo: a password is required"));
        assert!(speaks_of_rights("Failed to restart x.service: Access denied"));
        assert!(!speaks_of_rights("Job for x.service failed"));
    }

    #[test]
    fn without_a_manager() {
        let tree = Tree::unpack("");
        let sudo = Arc::new(Sudo::new(tree.host(), None));
        let services = Services::new(Kind::None, tree.host(), &sudo, None);
        smol::block_on(async {
            assert!(services.list(&|_| true).await.unwrap().is_empty());
            let refused = services.act(Action::Start, "klipper").await;
            assert!(matches!(refused, Err(ServiceError::Unavailable(_))));
        });
    }
}
