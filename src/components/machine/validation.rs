//! What is wrong with how this server is installed, told in the warnings. Moonraker mends its service file and
//! configuration here; an image brings both, so nothing is written: each warning says what to do.

use super::Machine;
use crate::host::installation::{closed_devices, is_in_memory, unread_configuration};
use crate::host::services::Kind;
use crate::tasks::unblock;

/// What is looked at: the options of `[machine]` of these names.
#[derive(Debug, Clone, Copy)]
pub struct Validation {
    /// `validate_service`: what the service that this process is needs, and whether it has the rights.
    pub service: bool,
    /// `validate_config`: whether the configuration is the one that front-ends show.
    pub config: bool,
    /// `force_validation`: the first also in a container, and where no service manager started this process.
    pub force: bool,
}

impl Machine {
    /// Looks at the installation and warns of what is wrong with it.
    pub(super) async fn validate(&self) {
        if self.validation.config {
            let (data, config) = (self.parts.data_path.clone(), self.parts.config_file.clone());
            if let Some(unread) = unblock(move || unread_configuration(&data, &config)).await {
                self.warn(&format!(
                    "{} is not read: this server was started with {}, which front-ends cannot show. Remove the one that is \
                     not read, or start the service without -c",
                    unread.display(),
                    self.parts.config_file.display()
                ));
            }
        }
        if self.validation.service {
            self.validate_service().await;
        }
    }

    async fn validate_service(&self) {
        let unit = self.started_by().await;
        if !self.validation.force && (unit.is_none() || self.virtualization.is_container()) {
            return;
        }
        match unit {
            Some(unit) => {
                if self.services.unit_file_changed(&unit).await {
                    self.warn(&format!(
                        "the file of the service {unit} is not the one that runs: sudo systemctl daemon-reload, then \
                         restart the service"
                    ));
                }
            }
            None => self.warn(&match self.provider {
                Kind::None => {
                    "no service manager is known here: set 'provider', or nothing starts this server"
                        .to_owned()
                }
                kind => format!(
                    "no service of {} started this server: nothing starts it when the machine starts",
                    kind.name()
                ),
            }),
        }
        let (host, data) = (self.parts.host.clone(), self.parts.data_path.clone());
        let (closed, lost) = unblock(move || (closed_devices(&host), is_in_memory(&data))).await;
        closed.iter().for_each(|sentence| self.warn(sentence));
        if lost {
            self.warn(&format!(
                "the data folder {} is in memory and lost when the machine is switched off: mount a disk there",
                self.parts.data_path.display()
            ));
        }
    }

    /// Says which right is missing before somebody needs it, unless sudo would do. For when the manager can be asked.
    pub(super) async fn validate_rights(&self) {
        if !self.validation.service {
            return;
        }
        let missing = self.services.missing_rights().await;
        if missing.is_empty() || self.sudo.check().await {
            return;
        }
        missing.iter().for_each(|right| self.warn(right));
    }

    /// The service that this process belongs to, or its parent: scripts in `/etc/init.d` know the process that they
    /// started, which may start this one.
    pub(super) async fn started_by(&self) -> Option<String> {
        let parent = u32::try_from(nix::unistd::getppid().as_raw()).ok().filter(|pid| *pid > 1);
        for pid in [Some(std::process::id()), parent].into_iter().flatten() {
            if let Some(unit) = self.services.unit_of(pid).await {
                return Some(unit);
            }
        }
        None
    }

    fn warn(&self, text: &str) {
        self.parts.warnings.add(format!("[machine]: {text}"));
    }
}
