//! Services: which there are, how they are, and what can be done with them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::Machine;
use crate::api::{Call, Endpoint, Error, Event, Notification, Reply, Result};
use crate::host::services::{Action, Kind, States, UnitState};
use crate::sync::lock;

/// How soon services are looked for again when their manager could not be asked: first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How long the answer to a call gets to reach its client before this process is restarted.
const BEFORE_RESTART: Duration = Duration::from_millis(250);
/// The warning that services cannot be managed.
const WARNING: &str = "machine.services";

/// The argument of `machine.services.*`.
#[derive(Debug, Deserialize)]
struct ServiceParams {
    service: String,
}

impl Machine {
    pub(super) fn service_endpoints(self: &Arc<Self>) -> [Endpoint; 3] {
        let endpoint = |rpc, path, action| {
            Endpoint::post(rpc, path).to(self, move |part: Arc<Self>, call: Call<ServiceParams>| async move {
                part.manage(action, &call.params.service).await
            })
        };
        [
            endpoint("machine.services.restart", "/machine/services/restart", Action::Restart),
            endpoint("machine.services.stop", "/machine/services/stop", Action::Stop),
            endpoint("machine.services.start", "/machine/services/start", Action::Start),
        ]
    }

    /// Does something with a service that may be managed (spec behaviour.md §12).
    async fn manage(self: Arc<Self>, action: Action, name: &str) -> Result<Reply> {
        let name = name.strip_suffix(".service").unwrap_or(name);
        if name == self.own_unit() {
            if action != Action::Restart {
                let text = format!("Service action '{}' not available for moonraker", action.name());
                return Err(Error::bad_request(text));
            }
            self.restart_self();
            return Ok(Reply::ok());
        }
        if !self.is_available(name).await {
            return Err(Error::bad_request(match self.allowed().allows(name) {
                true => format!("Service '{name}' not installed"),
                false => format!("Service '{name}' not allowed"),
            }));
        }
        self.services.act(action, name).await?;
        Ok(Reply::ok())
    }

    /// Does something with a service for another part of this program.
    ///
    /// # Errors
    /// 400 for a service that may not be managed or is not there, and whatever its manager answers.
    pub async fn do_service_action(self: &Arc<Self>, action: Action, name: &str) -> Result<()> {
        self.clone().manage(action, name).await.map(drop)
    }

    /// Restarts the service that this process is, as soon as the caller has its answer. Where there is no manager
    /// that would, everything is built anew within the process.
    pub fn restart_self(self: &Arc<Self>) {
        let part = self.clone();
        self.parts.spawner.spawn(async move {
            smol::Timer::after(BEFORE_RESTART).await;
            if let Err(error) = part.services.restart_own(&part.own_unit()).await {
                log::warn!("this service is restarted within its process: {error}");
                (part.parts.restart)();
            }
        });
    }

    /// Whether a service is there and may be managed. One that has been installed since is found now.
    async fn is_available(&self, name: &str) -> bool {
        if lock(&self.states).contains_key(name) {
            return true;
        }
        if !self.allowed().allows(name) {
            return false;
        }
        let Ok(found) = self.services.list(&|name| self.allowed().allows(name)).await else { return false };
        let mut states = lock(&self.states);
        for (name, state) in found {
            states.entry(name).or_insert(state);
        }
        states.contains_key(name)
    }

    /// Finds the services, then tells of every change. A manager that cannot be asked (it may still be starting,
    /// as this machine may be) is asked again.
    pub(super) async fn follow_services(&self) {
        // the file is to be there also where nothing is managed
        self.allowed();
        if self.provider == Kind::None {
            self.find_own_unit().await;
            return;
        }
        let mut pause = RETRY.0;
        loop {
            self.find_own_unit().await;
            match self.services.list(&|name| self.allowed().allows(name)).await {
                Ok(found) => *lock(&self.states) = found,
                Err(error) => {
                    let text = format!("[machine]: services cannot be managed: {error}");
                    self.parts.warnings.set(WARNING, text);
                    smol::Timer::after(pause).await;
                    pause = (pause * 2).min(RETRY.1);
                    continue;
                }
            }
            self.parts.warnings.clear(WARNING);
            break;
        }
        self.validate_rights().await;
        loop {
            self.services.wait().await;
            let known = lock(&self.states).clone();
            self.take_states(self.services.look(&known).await);
        }
    }

    async fn find_own_unit(&self) {
        if let Some(unit) = self.services.unit_of(std::process::id()).await {
            *lock(&self.own_unit) = unit;
        }
    }

    /// Takes new states and tells of those that differ: one service in a message.
    fn take_states(&self, now: States) {
        let mut changed: Vec<(String, UnitState)> = Vec::new();
        {
            let mut states = lock(&self.states);
            for (name, state) in now {
                if states.get(&name) != Some(&state) {
                    changed.push((name.clone(), state.clone()));
                    states.insert(name, state);
                }
            }
        }
        for (name, state) in changed {
            let argument = BTreeMap::from([(name, state)]);
            let notification = Notification::new("notify_service_state_changed", &argument);
            self.parts.events.emit(&Event::Notify(notification));
        }
    }
}
