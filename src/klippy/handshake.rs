//! What is said to Klippy at the beginning of a connection, in this order (spec behaviour.md §2.2).

use std::collections::BTreeSet;

use futures_lite::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::link::{GCODE_RESPONSE, RETRY_INTERVAL};
use super::objects::Wanted;
use super::{Info, Klippy, KlippyState, Stage};
use crate::api::{Error, Event, Result};
use crate::json;
use crate::sync::lock;

/// Printer objects that front-ends need for printing files.
const REQUIRED_OBJECTS: [&str; 3] = ["virtual_sdcard", "display_status", "pause_resume"];

/// A failing `info` is logged each 8th time, up to the 80th.
const LOG_EVERY: u32 = 8;
const LOG_UNTIL: u32 = 80;

impl Klippy {
    /// Goes through the handshake. It ends early only with the connection.
    pub(super) async fn handshake(&self) {
        let first = self.identify().await;
        self.note_info(&first);
        self.events.emit(&Event::KlippyIdentified);
        self.learn_endpoints().await;
        let info = self.await_startup(first).await;
        self.note_info(&info);
        self.follow_state().await;
        let state = self.started(&info).await;
        if state == KlippyState::Ready {
            self.prepare_ready().await;
            self.events.emit(&Event::KlippyReady);
            self.run_hooks(Stage::Ready, state).await;
        } else {
            log::warn!("Klippy is in state {state}: {}", self.state_message());
        }
        self.initialized();
    }

    /// Asks who Klippy is until it says so.
    async fn identify(&self) -> Info {
        let client = json::to_raw(&serde_json::json!({
            "client_info": {"program": "Perigee", "version": env!("CARGO_PKG_VERSION")}
        }));
        let mut tries = 0;
        loop {
            match self.ask_info(&client).await {
                Ok(info) => return info,
                Err(error) if tries % LOG_EVERY == 0 && tries <= LOG_UNTIL => {
                    log::info!("Klippy does not say who it is: {error}");
                }
                Err(_) => {}
            }
            tries += 1;
            smol::Timer::after(RETRY_INTERVAL).await;
        }
    }

    async fn ask_info(&self, params: &RawValue) -> Result<Info> {
        let answer = self.request("info", Some(params)).await?;
        serde_json::from_str(answer.get()).map_err(|error| Error::internal("unusable info").caused_by(error))
    }

    fn note_info(&self, info: &Info) {
        let mut session = lock(&self.session);
        session.message.clone_from(&info.state_message);
        session.info.clone_from(info);
    }

    async fn learn_endpoints(&self) {
        #[derive(Deserialize)]
        struct Listed {
            endpoints: BTreeSet<String>,
        }
        let answer = self.request("list_endpoints", None).await;
        match answer.map(|answer| serde_json::from_str::<Listed>(answer.get())) {
            Ok(Ok(listed)) => {
                // endpoints are added and never taken away (spec api.md §0.2)
                lock(&self.session).endpoints.get_or_insert_default().extend(listed.endpoints);
            }
            Ok(Err(error)) => log::error!("Klippy's list of endpoints cannot be read: {error}"),
            Err(error) => log::error!("Klippy does not list its endpoints: {error}"),
        }
    }

    /// Asks until Klippy has left its startup and says a state that is known.
    async fn await_startup(&self, mut info: Info) -> Info {
        let nothing = RawValue::from_string("{}".to_owned()).unwrap_or_default();
        loop {
            match KlippyState::parse(&info.state) {
                Some(KlippyState::Startup) => {}
                Some(_) => return info,
                None => log::error!("Klippy says that it is in state '{}', which is unknown", info.state),
            }
            smol::Timer::after(RETRY_INTERVAL).await;
            if let Ok(newer) = self.ask_info(&nothing).await {
                self.note_info(&newer);
                info = newer;
            }
        }
    }

    /// Has Klippy report its state and its terminal, and asks for endpoints of parts that loaded meanwhile.
    async fn follow_state(&self) {
        if let Err(error) = self.subscribe_host(&Wanted::all_of(["webhooks"])).await {
            log::error!("Klippy does not report its state: {error}");
        }
        let template = json::to_raw(&serde_json::json!({"response_template": {"method": GCODE_RESPONSE}}));
        if let Err(error) = self.request("gcode/subscribe_output", Some(&template)).await {
            log::error!("Klippy does not report its terminal: {error}");
        }
        self.learn_endpoints().await;
    }

    /// Runs what waits for the start, and only then tells clients the state.
    async fn started(&self, info: &Info) -> KlippyState {
        let reported = self.value::<String>("webhooks", "state");
        let state =
            reported.as_deref().and_then(KlippyState::parse).or_else(|| KlippyState::parse(&info.state));
        let state = state.unwrap_or(KlippyState::Error);
        if state == KlippyState::Ready {
            // what `is_printing` and the protection of the loaded file are read from
            if let Err(error) = self.subscribe_host(&Wanted::all_of(["print_stats"])).await {
                log::error!("Klippy does not report prints: {error}");
            }
        }
        self.run_hooks(Stage::Started, state).await;
        lock(&self.session).state = state;
        log::info!("Klippy is {state}");
        state
    }

    async fn run_hooks(&self, stage: Stage, state: KlippyState) {
        let hooks: Vec<_> =
            lock(&self.hooks).iter().filter(|(at, _)| *at == stage).map(|(_, hook)| hook.clone()).collect();
        let running = futures_lite::stream::iter(hooks).map(|hook| hook(state));
        let mut running: Vec<_> = running.collect().await;
        // side by side: one that waits for Klippy's next tick does not make the others wait for one more
        std::future::poll_fn(|context| {
            running.retain_mut(|hook| hook.as_mut().poll(context).is_pending());
            if running.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Checks the printer for what front-ends need, and offers our methods to its macros.
    async fn prepare_ready(&self) {
        #[derive(Deserialize)]
        struct Listed {
            objects: BTreeSet<String>,
        }
        let answer = self.request("objects/list", None).await;
        match answer.map(|answer| serde_json::from_str::<Listed>(answer.get())) {
            Ok(Ok(listed)) => {
                let missing = REQUIRED_OBJECTS.into_iter().filter(|name| !listed.objects.contains(*name));
                let mut missing: Vec<String> = missing.map(str::to_owned).collect();
                missing.sort();
                if !missing.is_empty() {
                    log::warn!("The printer's configuration lacks {}", missing.join(", "));
                }
                lock(&self.session).missing = missing;
            }
            Ok(Err(error)) => log::error!("Klippy's list of objects cannot be read: {error}"),
            Err(error) => log::error!("Klippy does not list its objects: {error}"),
        }
        lock(&self.session).takes_methods = true;
        for name in self.remote_methods.names() {
            self.register_remote_method(&name).await;
        }
    }

    /// From now on state reports count at once; a shutdown during the handshake counts now.
    fn initialized(&self) {
        let is_shutdown = {
            let mut session = lock(&self.session);
            session.initialized = true;
            let seen = std::mem::take(&mut session.shutdown_seen) && session.state != KlippyState::Shutdown;
            if seen {
                session.state = KlippyState::Shutdown;
            }
            seen
        };
        if is_shutdown {
            self.events.emit(&Event::KlippyShutdown);
        }
    }
}
