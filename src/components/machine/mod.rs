//! The machine: what it is, its services, shutdown and reboot.
//!
//! Config section: `[machine]`. Endpoints: `machine.system_info`, `machine.services.*`, `machine.shutdown`,
//! `machine.reboot`, `machine.sudo.*`, `machine.peripherals.*`. Remote methods: `shutdown_machine`, `reboot_machine`.
//! Events: it emits `notify_service_state_changed` and `notify_sudo_alert` (spec notifications.md rows 15 and 16).
//! Storage: none; the file `moonraker.asvc` in the data folder says which services may be managed.

mod allowed;
mod info;
mod peripherals;
mod power;
mod services;
mod sudo;
mod validation;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use futures_lite::future;

use crate::api::{Call, Endpoint, Events, NoParams, Reply, Result, Warnings};
use crate::host::power::PowerAction;
use crate::host::services::{Kind, ServiceError, Services, States};
use crate::host::sudo::Sudo;
use crate::host::{Host, Virtualization};
use crate::klippy::Klippy;
use crate::sync::lock;
use crate::tasks::{Spawner, unblock};
use allowed::Allowed;
pub use sudo::Done;
pub use validation::Validation;

/// What `[machine]` says.
#[derive(Debug, Clone)]
pub struct Options {
    /// `provider`: what manages services.
    pub provider: Kind,
    /// `shutdown_action`: [`PowerAction::PowerOff`] or [`PowerAction::Halt`].
    pub shutdown_action: PowerAction,
    /// `sudo_password`, for when sudo wants one.
    pub sudo_password: Option<String>,
    /// `supervisord_config_path`
    pub supervisord_config: Option<PathBuf>,
    /// What of the installation is looked at.
    pub validation: Validation,
}

/// What the component works with.
pub struct Parts {
    /// The machine.
    pub host: Host,
    /// The data folder.
    pub data_path: PathBuf,
    /// The configuration that is used.
    pub config_file: PathBuf,
    /// Where events go.
    pub events: Arc<Events>,
    /// For remote methods, and for the process of Klippy.
    pub klippy: Arc<Klippy>,
    /// Where warnings go.
    pub warnings: Arc<Warnings>,
    /// Starts its tasks.
    pub spawner: Spawner,
    /// Builds everything anew within this process.
    pub restart: Arc<dyn Fn() + Send + Sync>,
    /// Ends this server in order, then has the kernel do this ([`crate::host::power::tell_kernel`]).
    pub end_with: Box<dyn Fn(PowerAction) + Send + Sync>,
}

/// The component.
pub struct Machine {
    parts: Parts,
    provider: Kind,
    shutdown_action: PowerAction,
    validation: Validation,
    allowed: OnceLock<Allowed>,
    sudo: Arc<Sudo>,
    services: Services,
    /// Services that were there when they were last looked for, and how they are.
    states: Mutex<States>,
    virtualization: Virtualization,
    /// The service that this process is.
    own_unit: Mutex<String>,
    sudo_requests: Mutex<Vec<sudo::Request>>,
    /// Held while a password is tried.
    sudo_turn: smol::lock::Mutex<()>,
    /// Held while devices are looked for: queries of one bus would disturb each other.
    peripherals_turn: smol::lock::Mutex<()>,
}

impl Machine {
    /// Nothing is read of the machine but what it runs in.
    pub fn new(options: Options, parts: Parts) -> Arc<Self> {
        let sudo = Arc::new(Sudo::new(&parts.host, options.sudo_password));
        let part = Arc::new(Self {
            provider: options.provider,
            shutdown_action: options.shutdown_action,
            validation: options.validation,
            allowed: OnceLock::new(),
            services: Services::new(options.provider, &parts.host, &sudo, options.supervisord_config),
            states: Mutex::default(),
            virtualization: Virtualization::of(&parts.host),
            own_unit: Mutex::new("moonraker".to_owned()),
            sudo_requests: Mutex::default(),
            sudo_turn: smol::lock::Mutex::new(()),
            peripherals_turn: smol::lock::Mutex::new(()),
            sudo,
            parts,
        });
        part.add_remote_methods();
        part
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        let info = Endpoint::get("machine.system_info", "/machine/system_info").read_only();
        let mut all = vec![info.to(self, Self::system_info)];
        all.extend(self.service_endpoints());
        all.extend(self.power_endpoints());
        all.extend(self.sudo_endpoints());
        all.extend(self.peripheral_endpoints());
        all
    }

    /// Looks at the installation and for services, and follows their states until the run of the server ends.
    pub fn start(self: &Arc<Self>) {
        let part = self.clone();
        self.parts.spawner.spawn(async move {
            let host = part.parts.host.clone();
            log::info!("{}", unblock(move || info::summary(&host)).await);
            future::zip(part.validate(), part.follow_services()).await;
        });
    }

    /// Which services may be managed.
    fn allowed(&self) -> &Allowed {
        self.allowed.get_or_init(|| Allowed::read(&self.parts.data_path))
    }

    /// The name of the service that this process is, without `.service`.
    pub fn own_unit(&self) -> String {
        lock(&self.own_unit).clone()
    }

    /// The name of the service that Klippy is.
    pub async fn klipper_unit(&self) -> String {
        let pid = self.parts.klippy.peer().and_then(|peer| u32::try_from(peer.pid).ok());
        let unit = match pid {
            Some(pid) => self.services.unit_of(pid).await,
            None => None,
        };
        unit.unwrap_or_else(|| "klipper".to_owned())
    }

    async fn system_info(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let klipper = self.klipper_unit().await;
        let host = self.parts.host.clone();
        let facts = unblock(move || info::Facts::of(&host)).await;
        let states = lock(&self.states).clone();
        Ok(info::report(&facts, self.provider, &states, &self.own_unit(), &klipper))
    }
}

impl From<ServiceError> for crate::api::Error {
    fn from(error: ServiceError) -> Self {
        let status = match error {
            ServiceError::Unavailable(_) => 503,
            ServiceError::Denied(_) => 403,
            ServiceError::Failed(_) => 500,
            ServiceError::TimedOut(_) => 504,
        };
        Self::new(status, error.to_string())
    }
}

/// Where the file with the allowed services is.
fn allowed_file(data_path: &Path) -> PathBuf {
    data_path.join("moonraker.asvc")
}

#[cfg(test)]
mod tests;
