//! Switching the machine off and starting it anew.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

use super::Host;
use super::services::ServiceError;
use super::sudo::Sudo;

/// How long the init system may take to accept the order; what it then does takes its own time.
const LIMIT: Duration = Duration::from_secs(20);

/// What is to become of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerAction {
    /// Everything is stopped, and the power is switched off where the board can do that.
    PowerOff,
    /// Everything is stopped.
    Halt,
    /// Everything is stopped and started anew.
    Reboot,
}

impl PowerAction {
    /// The word that systemctl, and the program of this name, have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::PowerOff => "poweroff",
            Self::Halt => "halt",
            Self::Reboot => "reboot",
        }
    }
}

/// Tells logind, which knows who may and who else uses the machine.
///
/// # Errors
/// Where it is not there, or refuses.
#[cfg(feature = "dbus")]
async fn tell_logind(host: &Host, action: PowerAction) -> Result<(), ServiceError> {
    let method = match action {
        PowerAction::PowerOff => "PowerOff",
        PowerAction::Halt => "Halt",
        PowerAction::Reboot => "Reboot",
    };
    // nobody is there who could be asked for a password
    let interactive = false;
    let bus = super::dbus::Bus::connect(host).await?;
    bus.call(super::dbus::LOGIND, method, &(interactive,)).await.map(drop)
}

/// Tells the init system: by logind where it is there, else by systemctl where systemd runs, else by the program of the action's name, which all
/// others have. The init system then ends this process as it does all.
///
/// # Errors
/// Where neither is there, or rights are missing.
pub async fn tell_init(host: &Host, sudo: &Sudo, action: PowerAction) -> Result<(), ServiceError> {
    #[cfg(feature = "dbus")]
    let refused = match tell_logind(host, action).await {
        Ok(()) => return Ok(()),
        Err(refused) => refused,
    };
    let told = tell_program(host, sudo, action).await;
    #[cfg(feature = "dbus")]
    if let (Err(ServiceError::Denied(_) | ServiceError::Unavailable(_)), ServiceError::Denied(_)) =
        (&told, &refused)
    {
        return Err(refused);
    }
    told
}

async fn tell_program(host: &Host, sudo: &Sudo, action: PowerAction) -> Result<(), ServiceError> {
    if host.exists("/run/systemd/system") && host.program("systemctl").is_some() {
        sudo.run("systemctl", &[action.name()], LIMIT).await?;
    } else {
        sudo.run(action.name(), &[], LIMIT).await?;
    }
    Ok(())
}

/// Whether this process may have the kernel do it: it is in the first namespaces and has the capability.
pub fn may_tell_kernel(host: &Host) -> bool {
    /// `linux/capability.h`
    const CAP_SYS_BOOT: u64 = 22;
    let status = host.text("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(super::files::parse_hex).unwrap_or(0);
    // A machine that is not the real one has no kernel of its own.
    host.is_this() && effective >> CAP_SYS_BOOT & 1 == 1
}

/// Has the kernel do it now, after everything written is on its disks. Nobody else is told: other services lose
/// what they have not saved, so this is the last resort, for an appliance whose init system is not reached.
///
/// # Errors
/// Always, if it comes back.
pub fn tell_kernel(action: PowerAction) -> io::Result<Infallible> {
    nix::unistd::sync();
    let mode = match action {
        PowerAction::PowerOff => RebootMode::RB_POWER_OFF,
        PowerAction::Halt => RebootMode::RB_HALT_SYSTEM,
        PowerAction::Reboot => RebootMode::RB_AUTOBOOT,
    };
    Ok(reboot(mode)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    const LOG: &str = "#!/bin/sh\necho \"$(basename \"$0\") $1\" > \"$(dirname \"$0\")/did\"\n";

    fn did(tree: &str, action: PowerAction) -> Result<String, ServiceError> {
        let tree = Tree::unpack(tree);
        smol::block_on(tell_init(tree.host(), &Sudo::new(tree.host(), None), action))?;
        Ok(tree.host().line("/usr/sbin/did").unwrap_or_default())
    }

    #[test]
    fn systemd_and_others() {
        let systemd =
            format!("@@ /run/systemd/system/\n@@ /usr/sbin/systemctl\n{LOG}@@ /usr/sbin/poweroff\n{LOG}");
        assert_eq!(did(&systemd, PowerAction::PowerOff).unwrap(), "systemctl poweroff");
        assert_eq!(did(&systemd, PowerAction::Reboot).unwrap(), "systemctl reboot");
        let busybox = format!("@@ /usr/sbin/systemctl\n{LOG}@@ /usr/sbin/halt\n{LOG}");
        assert_eq!(did(&busybox, PowerAction::Halt).unwrap(), "halt");
        assert!(matches!(did("", PowerAction::Reboot), Err(ServiceError::Unavailable(_))));
    }

    #[cfg(feature = "dbus")]
    #[test]
    fn logind_comes_first() {
        use crate::host::dbus::stand_in::{Daemon, Shared, StandIns};
        let tree = Tree::unpack(&format!("@@ /usr/sbin/poweroff\n{LOG}"));
        let Some(_daemon) = Daemon::start(tree.folder()) else { return };
        let record = Shared::default();
        let sudo = Sudo::new(tree.host(), None);
        smol::block_on(async {
            let _stand_ins = StandIns::start(tree.folder(), &record).await;
            for action in [PowerAction::PowerOff, PowerAction::Halt, PowerAction::Reboot] {
                tell_init(tree.host(), &sudo, action).await.unwrap();
            }
            assert_eq!(crate::sync::lock(&record).asked, ["power off false", "halt false", "reboot false"]);
            // what logind refuses may be allowed by sudo; else its reason is told
            crate::sync::lock(&record).refuse = true;
            tell_init(tree.host(), &sudo, PowerAction::PowerOff).await.unwrap();
            assert_eq!(tree.host().line("/usr/sbin/did").as_deref(), Some("poweroff"));
            let refused = tell_init(tree.host(), &sudo, PowerAction::Reboot).await.unwrap_err();
            assert!(
                refused.to_string().contains("org.freedesktop.login1 does not allow Reboot"),
                "{refused}"
            );
        });
    }

    #[test]
    fn only_the_real_machine_has_a_kernel() {
        let tree = Tree::unpack("@@ /proc/self/status\nCapEff:\t000001ffffffffff\n");
        assert!(!may_tell_kernel(tree.host()));
    }
}
