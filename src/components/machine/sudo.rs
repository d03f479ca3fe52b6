//! The password for sudo, and the parts of this program that wait for one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Machine;
use crate::api::{Call, Endpoint, Error, Event, Notification, Reply, Result};
use crate::host::user_name;
use crate::sync::lock;

/// How long after the answer clients are told what still waits (spec behaviour.md §12).
const ALERT_DELAY: Duration = Duration::from_millis(50);
/// The most requests that wait; one more takes the place of the oldest.
const MAX_REQUESTS: usize = 16;

type Outcome = Pin<Box<dyn Future<Output = Result<Done>> + Send>>;

/// What came of a request for sudo.
#[derive(Debug)]
pub struct Done {
    /// A sentence for whoever gave the password.
    pub message: String,
    /// Whether this server is to be restarted now.
    pub restart: bool,
}

/// A part of this program that needs root for something.
pub(super) struct Request {
    message: String,
    work: Box<dyn Fn() -> Outcome + Send + Sync>,
}

#[derive(Debug, Deserialize)]
struct InfoParams {
    #[serde(default)]
    check_access: bool,
}

#[derive(Deserialize)]
struct PasswordParams {
    password: String,
}

#[derive(Serialize)]
struct Info {
    sudo_access: Option<bool>,
    linux_user: String,
    #[serde(flatten)]
    alert: Alert,
}

/// `notify_sudo_alert`
#[derive(Serialize)]
struct Alert {
    sudo_requested: bool,
    request_messages: Vec<String>,
}

#[derive(Serialize)]
struct PasswordReply {
    sudo_responses: Vec<String>,
    is_restarting: bool,
}

impl Machine {
    pub(super) fn sudo_endpoints(self: &Arc<Self>) -> [Endpoint; 2] {
        [
            Endpoint::get("machine.sudo.info", "/machine/sudo/info").to(self, Self::sudo_info),
            Endpoint::post("machine.sudo.password", "/machine/sudo/password").to(self, Self::take_password),
        ]
    }

    async fn sudo_info(self: Arc<Self>, call: Call<InfoParams>) -> Result<Reply> {
        let sudo_access = if call.params.check_access { Some(self.sudo.check().await) } else { None };
        let linux_user = user_name(&self.parts.host);
        Ok(Reply::of(&Info { sudo_access, linux_user, alert: self.alert() }))
    }

    async fn take_password(self: Arc<Self>, call: Call<PasswordParams>) -> Result<Reply> {
        let _turn = self.sudo_turn.lock().await;
        self.sudo.set_password(Some(call.params.password));
        if !self.sudo.check().await {
            self.sudo.set_password(None);
            return Err(Error::bad_request("Invalid password, sudo access was denied"));
        }
        let mut sudo_responses = vec!["Sudo password successfully set.".to_owned()];
        let mut is_restarting = false;
        let mut failures = Vec::new();
        let waiting = std::mem::take(&mut *lock(&self.sudo_requests));
        for request in waiting {
            match (request.work)().await {
                Ok(done) => {
                    sudo_responses.push(done.message);
                    is_restarting |= done.restart;
                }
                Err(error) => {
                    failures.push(error.message().to_owned());
                    lock(&self.sudo_requests).push(request);
                }
            }
        }
        if !failures.is_empty() {
            is_restarting = false;
        }
        if sudo_responses.len() > 1 && !is_restarting {
            let part = self.clone();
            self.parts.spawner.spawn(async move {
                smol::Timer::after(ALERT_DELAY).await;
                part.tell_alert();
            });
        }
        if !failures.is_empty() {
            return Err(Error::internal(failures.join("\n")));
        }
        if is_restarting {
            self.restart_self();
            sudo_responses.push("Moonraker is currently in the process of restarting.".to_owned());
        }
        Ok(Reply::of(&PasswordReply { sudo_responses, is_restarting }))
    }

    /// Has `work` done as soon as there is a password for sudo; clients are told why one is needed.
    pub fn request_sudo<F>(&self, message: impl Into<String>, work: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<Done>> + Send + 'static,
    {
        let request = Request { message: message.into(), work: Box::new(move || Box::pin(work())) };
        {
            let mut requests = lock(&self.sudo_requests);
            if requests.len() >= MAX_REQUESTS {
                requests.remove(0);
            }
            requests.push(request);
        }
        self.tell_alert();
    }

    fn alert(&self) -> Alert {
        let messages: Vec<String> =
            lock(&self.sudo_requests).iter().map(|request| request.message.clone()).collect();
        Alert { sudo_requested: !messages.is_empty(), request_messages: messages }
    }

    fn tell_alert(&self) {
        self.parts.events.emit(&Event::Notify(Notification::new("notify_sudo_alert", &self.alert())));
    }
}
