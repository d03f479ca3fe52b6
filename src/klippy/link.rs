//! Keeping the connection to Klippy up.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use async_io::Async;
use futures_lite::io::AsyncWriteExt;
use nix::unistd::{AccessFlags, access};
use serde_json::value::RawValue;
use smol::channel::Receiver;

use super::framing::{Frame, FrameReader, MAX_FRAME};
use super::message::{Message, Status};
use super::{Klippy, KlippyState, Peer};
use crate::api::Event;
use crate::sync::lock;
use crate::tasks::first_of;

/// How often a missing socket is looked for, and an unready Klippy asked again (spec behaviour.md §2.1).
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(250);

/// What Klippy calls us back with when a subscribed field changes.
const STATUS_UPDATE: &str = "process_status_update";
/// The same for its terminal.
pub(super) const GCODE_RESPONSE: &str = "process_gcode_response";

impl Klippy {
    /// Connects, and again whenever the connection is lost, until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut denied = false;
        loop {
            match self.connect(&mut denied).await {
                Some(socket) => self.serve(socket).await,
                None => {
                    smol::Timer::after(RETRY_INTERVAL).await;
                }
            }
        }
    }

    async fn connect(&self, denied: &mut bool) -> Option<Async<UnixStream>> {
        let path = &self.options.socket;
        match access(path, AccessFlags::R_OK | AccessFlags::W_OK) {
            Ok(()) => *denied = false,
            Err(nix::Error::EACCES) => {
                if !std::mem::replace(denied, true) {
                    log::warn!("No permission to use Klippy's socket {}", path.display());
                }
                return None;
            }
            Err(_) => return None,
        }
        Async::<UnixStream>::connect(path).await.ok()
    }

    /// Serves one connection up to its end.
    async fn serve(self: &Arc<Self>, socket: Async<UnixStream>) {
        {
            let mut session = lock(&self.session);
            session.state = KlippyState::Startup;
            session.peer = Peer::of(socket.get_ref());
            log::info!(
                "Connected to Klippy ({})",
                match session.peer {
                    Some(peer) => format!("process {}", peer.pid),
                    None => "process unknown".to_owned(),
                }
            );
        }
        let outgoing = self.requests.open();
        let lost = async {
            let reading = self.read(&socket);
            let writing = write(&socket, outgoing);
            first_of(reading, writing).await
        };
        let handshake = async {
            self.handshake().await;
            std::future::pending().await
        };
        let end: io::Result<()> = smol::future::or(lost, handshake).await;
        match end {
            Ok(()) => log::info!("Klippy closed the connection"),
            Err(error) => log::warn!("The connection to Klippy broke: {error}"),
        }
        self.disconnected();
    }

    fn disconnected(&self) {
        lock(&self.session).reset();
        lock(&self.cache).clear();
        self.requests.close();
        self.events.emit(&Event::KlippyDisconnected);
    }

    async fn read(&self, socket: &Async<UnixStream>) -> io::Result<()> {
        let mut frames = FrameReader::new(socket, MAX_FRAME);
        while let Some(frame) = frames.next().await? {
            match frame {
                Frame::Whole(bytes) => self.receive(&bytes),
                Frame::TooLong => {
                    log::error!("Klippy sent more than {MAX_FRAME} bytes in one frame; skipped")
                }
            }
        }
        Ok(())
    }

    /// Handles a frame from Klippy. One that makes no sense is logged and dropped.
    fn receive(&self, bytes: &[u8]) {
        let message: Message<'_> = match serde_json::from_slice(bytes) {
            Ok(message) => message,
            Err(error) => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
                log::error!("Error processing Klippy Host Response: {error}: {text}");
                return;
            }
        };
        match (&message.method, message.id) {
            (Some(method), _) => match &**method {
                STATUS_UPDATE => self.status_update(message.params),
                GCODE_RESPONSE => self.gcode_response(message.params),
                method => self.remote_methods.call(method, message.params),
            },
            (None, Some(id)) => self.requests.answer(id, message.outcome()),
            (None, None) => log::debug!("Klippy sent a message without method or id"),
        }
    }

    fn status_update(&self, params: Option<&RawValue>) {
        match params.map(Status::parse) {
            Some(Ok(status)) => {
                let update = lock(&self.cache).update(&status);
                self.publish(&update);
            }
            Some(Err(error)) => log::error!("Error processing Klippy Host Response: {error}"),
            None => {}
        }
    }

    fn gcode_response(&self, params: Option<&RawValue>) {
        #[derive(serde::Deserialize)]
        struct Output {
            response: String,
        }
        match params.map(|params| serde_json::from_str::<Output>(params.get())) {
            Some(Ok(output)) => self.events.emit(&Event::GcodeResponse(output.response.into())),
            _ => log::error!("Error processing Klippy Host Response: terminal output without a response"),
        }
    }

    /// Follows Klippy's own report of its state, once the handshake is through.
    pub(super) fn webhooks_changed(&self) {
        let state = self.value::<String>("webhooks", "state");
        let message = self.value::<String>("webhooks", "state_message");
        let is_shutdown = {
            let mut session = lock(&self.session);
            if let Some(message) = message {
                session.message = message;
            }
            let Some(state) = state.as_deref().and_then(KlippyState::parse) else { return };
            if !session.initialized {
                session.shutdown_seen |= state == KlippyState::Shutdown;
                return;
            }
            let before = std::mem::replace(&mut session.state, state);
            state == KlippyState::Shutdown && before != KlippyState::Shutdown
        };
        if is_shutdown {
            log::warn!("Klippy has shut down: {}", self.state_message());
            self.events.emit(&Event::KlippyShutdown);
        }
    }
}

async fn write(mut socket: &Async<UnixStream>, outgoing: Receiver<Vec<u8>>) -> io::Result<()> {
    while let Ok(frame) = outgoing.recv().await {
        socket.write_all(&frame).await?;
    }
    std::future::pending().await
}
