//! How the machine and this process are doing, sampled every second.
//!
//! Config section: `[proc_stats]`, without options. Endpoint: `machine.proc_stats`. Events: it emits
//! `notify_proc_stat_update` and `notify_cpu_throttled` (spec notifications.md rows 9 and 10) and reacts to Klippy's
//! shutdown. Storage: none.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::api::{Call, Connections, Endpoint, Event, Events, NoParams, Notification, Reply, Result};
use crate::host::{
    CpuUsage, Host, Memory, NetworkUsage, ProcessUsage, Sampler, Throttled, ThrottledState, uptime,
};
use crate::sync::lock;
use crate::tasks::{Spawner, unblock};

/// How often a sample is taken.
const INTERVAL: Duration = Duration::from_secs(1);
/// How many samples of this process are kept.
const MAX_SAMPLES: usize = 30;
/// The firmware is asked every so many samples whether it slows the CPU down.
const THROTTLE_CHECK: u32 = 10;
/// A sample that comes so much too late says that something held up everything.
const LATE: Duration = Duration::from_secs(4);

/// The component.
pub struct ProcStats {
    events: Arc<Events>,
    connections: Arc<Connections>,
    throttled: Option<Arc<Throttled>>,
    state: Mutex<State>,
}

struct State {
    sampler: Sampler,
    samples: VecDeque<ProcessUsage>,
    throttled: ThrottledState,
}

impl ProcStats {
    /// Looks for what can be sampled on this machine.
    pub fn new(host: &Host, events: Arc<Events>, connections: Arc<Connections>) -> Arc<Self> {
        let state = State {
            sampler: Sampler::new(host),
            samples: VecDeque::with_capacity(MAX_SAMPLES),
            throttled: ThrottledState::default(),
        };
        let part = Arc::new(Self {
            events: events.clone(),
            connections,
            throttled: Throttled::of(host).map(Arc::new),
            state: Mutex::new(state),
        });
        let weak = Arc::downgrade(&part);
        events.subscribe(move |event| {
            if let (Event::KlippyShutdown, Some(part)) = (event, weak.upgrade()) {
                part.log_samples(MAX_SAMPLES);
            }
        });
        part
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![Endpoint::get("machine.proc_stats", "/machine/proc_stats").read_only().to(self, Self::report)]
    }

    /// Takes samples until the run of the server ends.
    pub fn start(self: &Arc<Self>, spawner: &Spawner) {
        let part = self.clone();
        spawner.spawn(async move {
            let mut due = Instant::now();
            for number in 0u32.. {
                smol::Timer::at(due).await;
                part.watch(due.elapsed());
                part.sample();
                if number.is_multiple_of(THROTTLE_CHECK) {
                    part.check_throttled().await;
                }
                // Samples that were missed are not made up for.
                due = (due + INTERVAL).max(Instant::now());
            }
        });
    }

    /// Files of `/proc` do not make anybody wait, so this runs where everything runs: one sample costs less than
    /// handing it to another thread.
    fn sample(&self) {
        let mut state = lock(&self.state);
        state.sampler.sample();
        if state.samples.len() >= MAX_SAMPLES {
            state.samples.pop_front();
        }
        let usage = state.sampler.process;
        state.samples.push_back(usage);
        if self.connections.is_empty() {
            return;
        }
        let update =
            Update { moonraker_stats: usage, machine: MachineState::of(&state.sampler, &self.connections) };
        let notification = Notification::new("notify_proc_stat_update", &update);
        drop(state);
        self.events.emit(&Event::Notify(notification));
    }

    fn watch(&self, late: Duration) {
        if late > LATE {
            log::warn!("everything was held up for {:.2} seconds", late.as_secs_f64());
            self.log_samples(5);
        }
    }

    /// Asks the firmware, which takes its time, and tells when its answer changed.
    async fn check_throttled(&self) -> Option<ThrottledState> {
        let throttled = self.throttled.clone()?;
        let asked = unblock(move || throttled.state()).await;
        let now = match asked {
            Ok(now) => now,
            Err(error) => {
                log::debug!("no throttled state from the firmware: {error}");
                return Some(ThrottledState { bits: 0, flags: vec!["?"] });
            }
        };
        let before = std::mem::replace(&mut lock(&self.state).throttled, now.clone());
        if before != now {
            if now.bits & !before.bits != 0 {
                log::warn!("CPU throttled: {}", now.flags.join(", "));
            }
            self.events.emit(&Event::Notify(Notification::new("notify_cpu_throttled", &now)));
        }
        Some(now)
    }

    async fn report(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let throttled_state = self.check_throttled().await;
        let mut state = lock(&self.state);
        state.sampler.cpu_temp = state.sampler.read_temperature();
        Ok(Reply::of(&Report {
            moonraker_stats: &state.samples,
            throttled_state,
            system_uptime: uptime(),
            machine: MachineState::of(&state.sampler, &self.connections),
        }))
    }

    /// The last samples, for whoever looks for the reason of a shutdown.
    fn log_samples(&self, count: usize) {
        let state = lock(&self.state);
        log::info!("the last {} seconds:", count.min(state.samples.len()));
        for sample in state.samples.iter().rev().take(count).rev() {
            let memory = sample.memory.unwrap_or_default();
            log::info!("time {:.2}, CPU {} %, memory {memory} kB", sample.time, sample.cpu_usage);
        }
        if let Some(degrees) = state.sampler.cpu_temp {
            log::info!("CPU temperature {degrees} °C");
        }
        if !state.throttled.flags.is_empty() {
            log::info!("CPU throttled: {}", state.throttled.flags.join(", "));
        }
    }
}

/// What the notification and the reply both tell.
#[derive(Serialize)]
struct MachineState<'a> {
    cpu_temp: Option<f64>,
    network: &'a NetworkUsage,
    system_cpu_usage: &'a CpuUsage,
    system_memory: MaybeMemory,
    websocket_connections: usize,
}

/// An empty object where the memory is not known.
#[derive(Serialize)]
struct MaybeMemory {
    #[serde(flatten)]
    memory: Option<Memory>,
}

impl<'a> MachineState<'a> {
    fn of(sampler: &'a Sampler, connections: &Connections) -> Self {
        Self {
            cpu_temp: sampler.cpu_temp,
            network: &sampler.network,
            system_cpu_usage: &sampler.cpu,
            system_memory: MaybeMemory { memory: sampler.memory },
            websocket_connections: connections.len(),
        }
    }
}

/// `notify_proc_stat_update`
#[derive(Serialize)]
struct Update<'a> {
    moonraker_stats: ProcessUsage,
    #[serde(flatten)]
    machine: MachineState<'a>,
}

/// `machine.proc_stats`
#[derive(Serialize)]
struct Report<'a> {
    moonraker_stats: &'a VecDeque<ProcessUsage>,
    throttled_state: Option<ThrottledState>,
    system_uptime: f64,
    #[serde(flatten)]
    machine: MachineState<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Caller, Identity, Params, Transport, outbox::Outgoing};
    use serde_json::Value;

    fn part(host: &Host) -> (Arc<Events>, Arc<Connections>, Arc<ProcStats>) {
        let events = Arc::new(Events::default());
        let connections = Connections::new(events.clone());
        let part = ProcStats::new(host, events.clone(), connections.clone());
        (events, connections, part)
    }

    fn report(part: &Arc<ProcStats>) -> Value {
        let [endpoint] = part.endpoints().try_into().ok().unwrap();
        let call = Call { caller: Caller::internal(), params: Params::none(), tail: String::new() };
        let reply = smol::block_on(endpoint.call(call)).unwrap();
        serde_json::from_str(reply.as_str()).unwrap()
    }

    #[test]
    fn a_report_has_every_field() {
        let (_, _, part) = part(&Host::default());
        for _ in 0..MAX_SAMPLES + 5 {
            part.sample();
        }
        let report = report(&part);
        let mut names: Vec<&String> = report.as_object().unwrap().keys().collect();
        names.sort();
        let expected = [
            "cpu_temp",
            "moonraker_stats",
            "network",
            "system_cpu_usage",
            "system_memory",
            "system_uptime",
            "throttled_state",
            "websocket_connections",
        ];
        assert_eq!(names, expected);
        assert_eq!(report["moonraker_stats"].as_array().unwrap().len(), MAX_SAMPLES);
        assert_eq!(report["moonraker_stats"][0]["mem_units"], "kB");
        assert!(report["system_memory"]["available"].is_u64());
    }

    #[test]
    fn nothing_is_known_of_an_empty_machine() {
        let (_, _, part) = part(&Host::at("/nonexistent"));
        part.sample();
        let report = report(&part);
        assert_eq!(report["system_memory"], serde_json::json!({}));
        assert_eq!(report["system_cpu_usage"], serde_json::json!({}));
        assert_eq!(report["cpu_temp"], Value::Null);
        assert_eq!(report["throttled_state"], Value::Null);
        assert_eq!(report["moonraker_stats"][0]["memory"], Value::Null);
    }

    #[test]
    fn clients_are_told_of_each_sample() {
        let (_, connections, part) = part(&Host::default());
        part.sample();
        let client = connections.open(Transport::Websocket, None, Identity::local()).unwrap();
        part.sample();
        let Some(Outgoing::Message(message)) = client.outbox.try_next() else { panic!() };
        let message: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(message["method"], "notify_proc_stat_update");
        let update = &message["params"][0];
        assert!(update["moonraker_stats"]["time"].is_f64());
        assert_eq!(update["websocket_connections"], 1);
        assert!(update["network"]["lo"]["bandwidth"].is_f64());
        assert!(update.get("system_uptime").is_none());
        assert!(client.outbox.try_next().is_none());
    }

    #[test]
    fn throttling_is_told_once() {
        let folder = std::env::temp_dir().join(format!("perigee-throttled-{}", std::process::id()));
        let firmware = folder.join("sys/bus/platform/drivers/raspberrypi-firmware/soc:firmware");
        std::fs::create_dir_all(&firmware).unwrap();
        let set = |bits: &str| std::fs::write(firmware.join("get_throttled"), bits).unwrap();
        set("0");
        let (_, connections, part) = part(&Host::at(&folder));
        let client = connections.open(Transport::Websocket, None, Identity::local()).unwrap();
        smol::block_on(part.check_throttled());
        assert!(client.outbox.try_next().is_none());
        set("50005");
        smol::block_on(part.check_throttled());
        smol::block_on(part.check_throttled());
        let Some(Outgoing::Message(message)) = client.outbox.try_next() else { panic!() };
        let message: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(message["method"], "notify_cpu_throttled");
        assert_eq!(message["params"][0]["bits"], 0x50005);
        assert!(client.outbox.try_next().is_none());
        assert_eq!(report(&part)["throttled_state"]["flags"][0], "Under-Voltage Detected");
        // the firmware does not answer
        set("garbage");
        assert_eq!(report(&part)["throttled_state"], serde_json::json!({"bits": 0, "flags": ["?"]}));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn samples_are_taken_at_once_and_end_with_the_run() {
        let (_, _, part) = part(&Host::default());
        let executor = Arc::new(smol::Executor::new());
        part.start(&Spawner::new(&executor));
        smol::block_on(executor.run(async {
            while lock(&part.state).samples.is_empty() {
                smol::future::yield_now().await;
            }
        }));
        drop(executor);
        assert_eq!(Arc::strong_count(&part), 1);
    }
}
