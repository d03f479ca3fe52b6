//! Shutdown and reboot of the machine.

use std::sync::Arc;

use super::Machine;
use crate::api::{Call, Endpoint, Error, NoParams, Reply, Result};
use crate::host::power::{PowerAction, may_tell_kernel, tell_init};

impl Machine {
    pub(super) fn power_endpoints(self: &Arc<Self>) -> [Endpoint; 2] {
        let shutdown = self.shutdown_action;
        let endpoint = |rpc, path, action| {
            Endpoint::post(rpc, path).to(self, move |part: Arc<Self>, _: Call<NoParams>| async move {
                part.switch(action).await.map(|()| Reply::ok())
            })
        };
        [
            endpoint("machine.shutdown", "/machine/shutdown", shutdown),
            endpoint("machine.reboot", "/machine/reboot", PowerAction::Reboot),
        ]
    }

    /// Offers `shutdown_machine` and `reboot_machine` to macros.
    pub(super) fn add_remote_methods(self: &Arc<Self>) {
        for (name, action) in
            [("shutdown_machine", self.shutdown_action), ("reboot_machine", PowerAction::Reboot)]
        {
            let part = Arc::downgrade(self);
            let method = Arc::new(move |_: Option<&_>| {
                let Some(part) = part.upgrade() else { return };
                let task = part.clone();
                part.parts.spawner.spawn(async move {
                    if let Err(error) = task.switch(action).await {
                        log::error!("a macro asked for {}: {error}", action.name());
                    }
                });
            });
            if let Err(error) = self.parts.klippy.add_remote_method(name, method) {
                log::error!("{error}");
            }
        }
    }

    /// Switches the machine off or starts it anew: through the init system, so that every service can end as it
    /// should; where that cannot be reached, this server ends in order and has the kernel do it.
    ///
    /// # Errors
    /// 400 in a container, and what stands in the way otherwise.
    pub async fn switch(&self, action: PowerAction) -> Result<()> {
        if self.virtualization.is_container() {
            let word = if action == PowerAction::Reboot { "reboot" } else { "shutdown" };
            let container = self.virtualization.identifier;
            return Err(Error::bad_request(format!("Cannot {word} from within a {container} container")));
        }
        log::info!("{} of this machine was asked for", action.name());
        let refused = match tell_init(&self.parts.host, &self.sudo, action).await {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        if may_tell_kernel(&self.parts.host) {
            log::warn!("the init system does not {}: {refused}", action.name());
            (self.parts.end_with)(action);
            return Ok(());
        }
        Err(refused.into())
    }
}
