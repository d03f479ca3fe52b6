//! systemd by its D-Bus interface: it tells of changes by itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_lite::StreamExt;
use zbus::zvariant::{OwnedObjectPath, OwnedValue, Value};
use zbus::{MatchRule, Message, MessageStream};

use super::super::Host;
use super::super::dbus::{Bus, POLKIT, SYSTEMD};
use super::super::sudo::Sudo;
use super::systemctl::Systemctl;
use super::{Action, ServiceError, States, UnitState, checked};
use crate::sync::lock;

/// How soon the bus is looked for again after it went: first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How many signals may wait to be looked at.
const MAX_SIGNALS: usize = 64;
/// The folder of units on the bus.
const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// A unit as `ListUnits` has it: name, description, load state, active state, sub state, what it follows, path,
/// job, its type and path.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// systemd of a machine. The command line is the way out where polkit refuses and sudo does not.
#[derive(Debug)]
pub(super) struct SystemdDbus {
    host: Host,
    pub(super) command_line: Systemctl,
    bus: Mutex<Option<Bus>>,
    /// Held by whoever connects, so that it is done once.
    connecting: smol::lock::Mutex<()>,
    signals: smol::lock::Mutex<Option<MessageStream>>,
    changes: Mutex<VecDeque<Change>>,
}

/// What a signal, or the return of the bus, says.
#[derive(Debug)]
enum Change {
    Unit {
        name: String,
        active_state: Option<String>,
        sub_state: Option<String>,
    },
    /// Signals were missed: all states are to be read.
    All,
}

impl SystemdDbus {
    pub(super) fn new(host: &Host, sudo: &Arc<Sudo>) -> Self {
        Self {
            host: host.clone(),
            command_line: Systemctl::new(host, sudo),
            bus: Mutex::default(),
            connecting: smol::lock::Mutex::new(()),
            signals: smol::lock::Mutex::new(None),
            changes: Mutex::default(),
        }
    }

    /// The bus; connects where that has not been done or it has gone.
    async fn bus(&self) -> Result<Bus, ServiceError> {
        let _turn = self.connecting.lock().await;
        if let Some(bus) = lock(&self.bus).clone().filter(|bus| !bus.is_closed()) {
            return Ok(bus);
        }
        let bus = Bus::connect(&self.host).await?;
        let rule = || -> zbus::Result<MatchRule<'static>> {
            let rule = MatchRule::builder().msg_type(zbus::message::Type::Signal).sender(SYSTEMD.service)?;
            let rule = rule.interface("org.freedesktop.DBus.Properties")?.member("PropertiesChanged")?;
            Ok(rule.path_namespace(UNITS)?.arg(0, "org.freedesktop.systemd1.Unit")?.build())
        };
        let heard =
            async { MessageStream::for_match_rule(rule()?, bus.connection(), Some(MAX_SIGNALS)).await };
        let stream =
            bus.drive(heard).await.map_err(|error| ServiceError::Unavailable(format!("D-Bus: {error}")))?;
        // systemd sends signals only where somebody has asked for them
        bus.call(SYSTEMD, "Subscribe", &()).await?;
        *self.signals.lock().await = Some(stream);
        *lock(&self.bus) = Some(bus.clone());
        Ok(bus)
    }

    /// All services that are loaded.
    pub(super) async fn list(&self) -> Result<States, ServiceError> {
        let units: Vec<Listed> =
            self.bus().await?.ask(SYSTEMD, "ListUnitsFiltered", &(["loaded"].as_slice(),)).await?;
        let service = |unit: Listed| {
            let name = unit.0.strip_suffix(".service")?.to_owned();
            Some((name, UnitState { active_state: unit.3.into(), sub_state: unit.4.into() }))
        };
        Ok(units.into_iter().filter_map(service).collect())
    }

    /// Waits for the next signal. Where the bus goes, it is waited for, and all is read anew.
    pub(super) async fn wait(&self) {
        let mut pause = RETRY.0;
        loop {
            if !lock(&self.changes).is_empty() {
                return;
            }
            match self.bus().await {
                Ok(bus) => {
                    pause = RETRY.0;
                    let mut signals = self.signals.lock().await;
                    let Some(stream) = signals.as_mut() else { continue };
                    match bus.drive(stream.next()).await {
                        Some(Ok(signal)) => lock(&self.changes).extend(change(&signal)),
                        _ => {
                            *signals = None;
                            *lock(&self.bus) = None;
                            log::warn!("the connection to D-Bus is lost");
                            lock(&self.changes).push_back(Change::All);
                            drop(signals);
                            // what has gone is not there again at once
                            smol::Timer::after(pause).await;
                        }
                    }
                }
                Err(error) => {
                    log::debug!("{error}");
                    lock(&self.changes).clear();
                    smol::Timer::after(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    lock(&self.changes).push_back(Change::All);
                }
            }
        }
    }

    /// The states after the next change.
    pub(super) async fn next_states(&self, known: &States) -> Result<Option<States>, ServiceError> {
        let Some(next) = lock(&self.changes).pop_front() else { return Ok(None) };
        match next {
            Change::All => match self.list().await {
                Ok(states) => Ok(Some(states)),
                Err(error) => {
                    lock(&self.changes).push_back(Change::All);
                    smol::Timer::after(RETRY.0).await;
                    Err(error)
                }
            },
            Change::Unit { name, active_state, sub_state } => {
                let mut states = known.clone();
                let Some(state) = states.get_mut(&name) else { return Ok(None) };
                if let Some(active) = active_state {
                    state.active_state = active.into();
                }
                if let Some(sub) = sub_state {
                    state.sub_state = sub.into();
                }
                Ok(Some(states))
            }
        }
    }

    pub(super) async fn act(&self, action: Action, unit: &str) -> Result<(), ServiceError> {
        let method = match action {
            Action::Start => "StartUnit",
            Action::Stop => "StopUnit",
            Action::Restart => "RestartUnit",
        };
        let name = format!("{}.service", checked(unit)?);
        let done = match self.bus().await {
            Ok(bus) => bus.call(SYSTEMD, method, &(name.as_str(), "replace")).await.map(drop),
            Err(error) => Err(error),
        };
        match done {
            Err(refused @ (ServiceError::Denied(_) | ServiceError::Unavailable(_))) => {
                log::debug!("{refused}; systemctl is tried");
                self.command_line.act(action, unit).await.map_err(|_| refused)
            }
            done => done,
        }
    }

    pub(super) async fn restart_own(&self, unit: &str) -> Result<(), ServiceError> {
        self.act(Action::Restart, unit).await
    }

    /// Whether polkit lets this process do something. Without polkit, only root may.
    pub(super) async fn permits(&self, action: &str) -> Result<bool, ServiceError> {
        if self.host.is_this() && nix::unistd::geteuid().is_root() {
            return Ok(true);
        }
        let pid = std::process::id();
        // when this process started, in ticks since the machine did: a later one may have the same number
        let started =
            procfs::process::Process::myself().and_then(|own| own.stat()).map_or(0, |stat| stat.starttime);
        let subject: BTreeMap<&str, Value<'_>> =
            BTreeMap::from([("pid", Value::from(pid)), ("start-time", Value::from(started))]);
        let details: BTreeMap<&str, &str> = BTreeMap::new();
        let question = (("unix-process", subject), action, details, 0u32, "");
        let answer: (bool, bool, BTreeMap<String, String>) =
            self.bus().await?.ask(POLKIT, "CheckAuthorization", &question).await?;
        Ok(answer.0)
    }
}

/// The change that a signal tells of: the unit by its path, its states where they are among the new values.
fn change(signal: &Message) -> Option<Change> {
    let header = signal.header();
    let name = unit_of_path(header.path()?.as_str())?;
    let body = signal.body();
    let (_, values, _): (String, BTreeMap<String, OwnedValue>, Vec<String>) = body.deserialize().ok()?;
    let text = |key: &str| values.get(key).and_then(|value| <&str>::try_from(value).ok()).map(str::to_owned);
    let (active_state, sub_state) = (text("ActiveState"), text("SubState"));
    (active_state.is_some() || sub_state.is_some()).then_some(Change::Unit { name, active_state, sub_state })
}

/// The service that a path on the bus stands for: systemd writes every byte but letters and digits as `_` and two
/// hexadecimal digits.
fn unit_of_path(path: &str) -> Option<String> {
    let escaped = path.strip_prefix(UNITS)?.strip_prefix('/')?;
    let mut parts = escaped.split('_');
    let mut name = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        name.push(u8::from_str_radix(code, 16).ok()?);
        name.extend_from_slice(rest.as_bytes());
    }
    Some(String::from_utf8(name).ok()?.strip_suffix(".service")?.to_owned())
}

/// The actions of systemd and logind that this server needs, with what fails without each.
pub(super) const PERMISSIONS: [(&str, &str); 3] = [
    ("org.freedesktop.systemd1.manage-units", "services cannot be started and stopped"),
    ("org.freedesktop.login1.power-off", "the machine cannot be shut down"),
    ("org.freedesktop.login1.reboot", "the machine cannot be rebooted"),
];

#[cfg(test)]
mod tests;
