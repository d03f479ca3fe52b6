//! What a service manager such as systemd wants to hear from the services that it starts: sd_notify(3).
//!
//! The manager names a socket in the environment, and takes datagrams of lines there. Without one, as under busybox
//! or a supervisor of its own kind, nothing is said and nothing is different.

use std::ffi::{OsStr, OsString};
use std::future::Future;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use async_io::{Async, Timer};
use futures_lite::future;
use nix::time::{ClockId, clock_gettime};

/// How long a message may take. The manager can be busy, but the printer comes first.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much longer a start may take each time that the manager is told that it goes on. Taking over a large database
/// on a slow card takes minutes; one that hangs says nothing more and is ended after this time.
const START_EXTENSION: Duration = Duration::from_secs(30);
/// How often a start says that it goes on.
const START_BEAT: Duration = Duration::from_secs(10);
/// No beat is quicker than this, whatever the environment says.
const SHORTEST_BEAT: Duration = Duration::from_millis(10);

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State<'a> {
    /// Requests are answered from now on.
    Ready,
    /// The service builds everything anew and will be ready again.
    Reloading,
    /// The service ends.
    Stopping,
    /// The service cannot start; the reason, of which the first line is told.
    Failed(&'a str),
}

/// The service manager that started this process, if one did that wants to know.
#[derive(Debug, Clone, Default)]
pub struct ServiceManager {
    address: Option<SocketAddr>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// What the environment says: `NOTIFY_SOCKET`, a path or `@` and an abstract name; `WATCHDOG_USEC`,
    /// microseconds without a sign of life after which the process is killed; `WATCHDOG_PID`, whose sign is meant.
    pub fn from_environment(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let address = match address(&name) {
            Ok(address) => address,
            Err(error) => {
                log::warn!("NOTIFY_SOCKET={} is not used: {error}", name.display());
                return Self::default();
            }
        };
        let number = |name| variable(name)?.to_str()?.parse::<u64>().ok();
        let for_us = variable("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        let limit = number("WATCHDOG_USEC").filter(|limit| for_us && *limit > 0);
        Self { address: Some(address), watchdog: limit.map(Duration::from_micros) }
    }

    /// Tells the manager, where there is one. That it cannot be told is logged: nothing is worse for it here.
    pub async fn tell(&self, state: State<'_>) {
        if self.address.is_none() {
            return;
        }
        let message = match state {
            State::Ready => "READY=1\nSTATUS=".to_owned(),
            State::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()),
            State::Stopping => "STOPPING=1".to_owned(),
            State::Failed(reason) => format!("STATUS={}", reason.lines().next().unwrap_or_default()),
        };
        if let Err(error) = self.send(&message).await {
            log::warn!("The service manager cannot be told {state:?}: {error}");
        }
    }

    /// Does the work of a start. While it goes on the manager is told so, and waits for longer than it else would.
    pub async fn while_starting<T>(&self, work: impl Future<Output = T>) -> T {
        let beats = async {
            self.beat(&format!("EXTEND_TIMEOUT_USEC={}", START_EXTENSION.as_micros()), START_BEAT).await;
            future::pending().await
        };
        future::or(work, beats).await
    }

    /// Gives signs of life for as long as it is polled, where the manager wants any. It belongs on the executor that
    /// does everything else: when that hangs, nothing is said, and the manager starts the service anew.
    pub async fn signs_of_life(self) {
        if let Some(limit) = self.watchdog {
            // half of the limit: sd_watchdog_enabled(3)
            self.beat("WATCHDOG=1", (limit / 2).max(SHORTEST_BEAT)).await;
        }
    }

    /// Says something now and again and again. Returns at once where nobody listens.
    async fn beat(&self, message: &str, pause: Duration) {
        while self.address.is_some() {
            if let Err(error) = self.send(message).await {
                log::debug!("The service manager cannot be told {message}: {error}");
            }
            Timer::after(pause).await;
        }
    }

    async fn send(&self, message: &str) -> io::Result<()> {
        let Some(address) = &self.address else { return Ok(()) };
        // A socket for each message: the manager may have been started anew, with another one of the same name.
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(address)?;
        let socket = Async::new(socket)?;
        let sent = async { socket.send(message.as_bytes()).await.map(|_| ()) };
        let late = async {
            Timer::after(PATIENCE).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        future::or(sent, late).await
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    }
}

/// The clock by which a reload is told from the one before.
fn monotonic_microseconds() -> u128 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |time| Duration::from(time).as_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(variables: &[(&str, &str)]) -> ServiceManager {
        ServiceManager::from_environment(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn environments() {
        let nobody =
            [("NOTIFY_SOCKET", ""), ("NOTIFY_SOCKET", "relative"), ("NOTIFY_SOCKET", "vsock:2:1234")];
        for variable in nobody {
            let manager = manager(&[variable, ("WATCHDOG_USEC", "1000000")]);
            assert!(manager.address.is_none() && manager.watchdog.is_none(), "{variable:?}");
        }
        let long = format!("/{}", "x".repeat(108));
        assert!(manager(&[("NOTIFY_SOCKET", &long)]).address.is_none());

        let own = std::process::id().to_string();
        let second = Some(Duration::from_secs(1));
        let cases: [(&[(&str, &str)], _); 6] = [
            (&[], None),
            (&[("WATCHDOG_USEC", "1000000")], second),
            (&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", &own)], second),
            (&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", "1")], None),
            (&[("WATCHDOG_USEC", "0")], None),
            (&[("WATCHDOG_USEC", "-5")], None),
        ];
        for (variables, expected) in cases {
            let mut all = vec![("NOTIFY_SOCKET", "@name")];
            all.extend(variables);
            let manager = manager(&all);
            assert_eq!(manager.watchdog, expected, "{variables:?}");
            assert_eq!(manager.address.unwrap().as_abstract_name(), Some(&b"name"[..]));
        }
    }

    #[test]
    fn nobody_who_listens_is_no_obstacle() {
        let gone = manager(&[("NOTIFY_SOCKET", "/nonexistent/notify"), ("WATCHDOG_USEC", "1")]);
        for manager in [ServiceManager::default(), gone] {
            smol::block_on(async {
                manager.tell(State::Ready).await;
                assert_eq!(manager.while_starting(async { 5 }).await, 5);
            });
        }
        smol::block_on(ServiceManager::default().signs_of_life());
    }
}
