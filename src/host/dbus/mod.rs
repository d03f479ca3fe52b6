//! The system's message bus.

use std::time::Duration;

use futures_lite::future;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zbus::connection::Builder;
use zbus::zvariant::{DynamicType, Type};
use zbus::{Connection, Message};

use super::Host;
use super::services::ServiceError;

/// How long a service on the bus may take to answer.
const TIMEOUT: Duration = Duration::from_secs(25);

/// A service's object and the interface of it that is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) service: &'static str,
    pub(crate) path: &'static str,
    pub(crate) interface: &'static str,
}

/// systemd.
pub(crate) const SYSTEMD: Target = Target {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
/// logind, which decides about the power.
pub(crate) const LOGIND: Target = Target {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};
/// polkit, which decides about rights.
pub(crate) const POLKIT: Target = Target {
    service: "org.freedesktop.PolicyKit1",
    path: "/org/freedesktop/PolicyKit1/Authority",
    interface: "org.freedesktop.PolicyKit1.Authority",
};

/// A connection to the bus. It has no thread of its own: it works while somebody waits for something through it.
#[derive(Clone, Debug)]
pub(crate) struct Bus(Connection);

impl Bus {
    /// Connects to the bus of a machine.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) async fn connect(host: &Host) -> Result<Self, ServiceError> {
        let sockets = ["/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket"];
        let socket = sockets.into_iter().find(|path| host.exists(path));
        let socket = socket.ok_or_else(|| ServiceError::Unavailable("there is no D-Bus".into()))?;
        let address = format!("unix:path={}", host.path(socket).display());
        let connected = async {
            let builder =
                Builder::address(address.as_str())?.internal_executor(false).method_timeout(TIMEOUT);
            builder.build().await
        };
        let late = async {
            smol::Timer::after(TIMEOUT).await;
            Err(zbus::Error::Failure("it does not answer".into()))
        };
        let connection = future::or(connected, late).await;
        connection.map(Self).map_err(|error| ServiceError::Unavailable(format!("D-Bus: {error}")))
    }

    /// The connection, for what needs more than calls.
    pub(crate) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Whether the bus has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Waits for something that comes over the bus.
    pub(crate) async fn drive<T>(&self, work: impl Future<Output = T>) -> T {
        let executor = async {
            loop {
                self.0.executor().tick().await;
            }
        };
        future::or(work, executor).await
    }

    /// Calls a method.
    ///
    /// # Errors
    /// Where the service is not there, refuses, or fails.
    pub(crate) async fn call<B>(
        &self,
        target: Target,
        method: &str,
        body: &B,
    ) -> Result<Message, ServiceError>
    where
        B: Serialize + DynamicType,
    {
        let Target { service, path, interface } = target;
        let answer = self.drive(self.0.call_method(Some(service), path, Some(interface), method, body)).await;
        answer.map_err(|error| refusal(target, method, error))
    }

    /// Calls a method and reads its answer.
    ///
    /// # Errors
    /// Those of [`Bus::call`], and an answer of another form.
    pub(crate) async fn ask<B, T>(&self, target: Target, method: &str, body: &B) -> Result<T, ServiceError>
    where
        B: Serialize + DynamicType,
        T: DeserializeOwned + Type,
    {
        let answer = self.call(target, method, body).await?;
        answer
            .body()
            .deserialize()
            .map_err(|error| ServiceError::Failed(format!("{}: {error}", target.service)))
    }
}

/// What an error means for whoever asked.
fn refusal(target: Target, method: &str, error: zbus::Error) -> ServiceError {
    let service = target.service;
    let zbus::Error::MethodError(name, message, _) = &error else {
        return ServiceError::Unavailable(format!("{service}: {error}"));
    };
    let said = message.as_deref().unwrap_or(name.as_str());
    let kind = name.rsplit('.').next().unwrap_or_default();
    match kind {
        "AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed" => {
            ServiceError::Denied(format!("{service} does not allow {method}: {said}"))
        }
        "ServiceUnknown" | "NameHasNoOwner" | "NoReply" | "Disconnected" | "SpawnServiceNotFound" => {
            ServiceError::Unavailable(format!("{service}: {said}"))
        }
        _ => ServiceError::Failed(format!("{service}: {said}")),
    }
}

#[cfg(test)]
pub(crate) mod stand_in;
