//! `server.temperature_store` and `server.gcode_store`: what front-ends draw and show of the time before they
//! were opened (spec behaviour.md §3).
//!
//! Section `[data_store]`. Endpoints: the two. Nothing stored beyond memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::api::{Call, Endpoint, Event, Events, Reply, Result};
use crate::json;
use crate::klippy::objects::Wanted;
use crate::klippy::{Klippy, Stage};
use crate::sync::lock;
use crate::tasks::Spawner;

/// How often temperatures are sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);

/// Fields of a sensor that are kept, with the names of their lists.
const FIELDS: [(&str, &str); 4] =
    [("temperature", "temperatures"), ("target", "targets"), ("power", "powers"), ("speed", "speeds")];

/// The longest text of one entry that is kept, in bytes; a longer one is cut. Together with the number of
/// entries it bounds the memory that a chatty macro can take.
pub const MAX_ENTRY: usize = 16 * 1024;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Samples of each field, one a second.
    pub temperature_store_size: usize,
    /// Lines of the terminal.
    pub gcode_store_size: usize,
}

/// Hundredths of a unit; none for a sensor that says `null`. This is what the reference rounds to, in a third
/// of the memory.
type Sample = Option<i32>;

struct Sensor {
    /// Monitors are shown on request only.
    is_monitor: bool,
    /// Samples of each of [`FIELDS`] that it reports.
    samples: [Option<VecDeque<Sample>>; FIELDS.len()],
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Command,
    Response,
}

#[derive(Clone, Serialize)]
struct Entry {
    message: Arc<str>,
    time: f64,
    #[serde(rename = "type")]
    kind: Kind,
}

/// The two stores.
pub struct DataStore {
    options: Options,
    klippy: Arc<Klippy>,
    spawner: Spawner,
    sensors: Mutex<BTreeMap<String, Sensor>>,
    gcode: Mutex<VecDeque<Entry>>,
    sampling: Mutex<bool>,
}

#[derive(Deserialize)]
struct TemperatureStore {
    #[serde(default)]
    include_monitors: bool,
}

#[derive(Deserialize)]
struct GcodeStore {
    count: Option<usize>,
}

impl DataStore {
    /// Begins to keep what comes.
    pub fn new(options: Options, klippy: &Arc<Klippy>, events: &Events, spawner: Spawner) -> Arc<Self> {
        let store = Arc::new(Self {
            options,
            klippy: klippy.clone(),
            spawner,
            sensors: Mutex::default(),
            gcode: Mutex::default(),
            sampling: Mutex::new(false),
        });
        let weak = Arc::downgrade(&store);
        events.subscribe(move |event| {
            let Some(store) = weak.upgrade() else { return };
            match event {
                Event::GcodeCommand(script) => store.keep(script, Kind::Command),
                Event::GcodeResponse(text) => store.keep(text, Kind::Response),
                _ => {}
            }
        });
        let weak = Arc::downgrade(&store);
        klippy.at(Stage::Ready, move |_| {
            let weak = weak.clone();
            async move {
                if let Some(store) = weak.upgrade() {
                    store.find_sensors().await;
                }
            }
        });
        store
    }

    /// Its endpoints.
    pub fn endpoints(self: &Arc<Self>) -> Vec<Endpoint> {
        vec![
            Endpoint::get("server.temperature_store", "/server/temperature_store")
                .read_only()
                .to(self, Self::temperature_store),
            Endpoint::get("server.gcode_store", "/server/gcode_store")
                .read_only()
                .to(self, Self::gcode_store),
        ]
    }

    /// Asks which sensors there are and has Klippy report them. Samples of sensors that are still there are kept.
    async fn find_sensors(self: &Arc<Self>) {
        let heaters = match self.klippy.query_values(&Wanted::all_of(["heaters"])).await {
            Ok(mut objects) => objects.remove("heaters").unwrap_or_default(),
            Err(error) => return log::warn!("The printer's sensors are not known: {error}"),
        };
        let list = |field: &str| -> Vec<String> {
            heaters.get(field).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
        };
        let (sensors, monitors) = (list("available_sensors"), list("available_monitors"));
        let all = sensors.iter().chain(&monitors).map(String::as_str);
        if let Err(error) = self.klippy.subscribe_host(&Wanted::all_of(all.clone())).await {
            return log::warn!("Klippy does not report the printer's sensors: {error}");
        }
        {
            let mut known = lock(&self.sensors);
            known.retain(|name, _| sensors.contains(name) || monitors.contains(name));
            for name in all {
                let is_monitor = !sensors.iter().any(|sensor| sensor == name);
                let sensor = known
                    .entry(name.to_owned())
                    .or_insert_with(|| Sensor { is_monitor, samples: Default::default() });
                sensor.is_monitor = is_monitor;
                self.find_fields(name, sensor);
            }
        }
        self.sample();
        if !std::mem::replace(&mut *lock(&self.sampling), true) {
            self.spawner.spawn(sample_for_ever(Arc::downgrade(self)));
        }
    }

    /// Keeps samples of the fields that the sensor reports, and of no others.
    fn find_fields(&self, name: &str, sensor: &mut Sensor) {
        for ((field, _), samples) in FIELDS.iter().zip(&mut sensor.samples) {
            match self.klippy.value::<Option<f64>>(name, field) {
                Some(_) => drop(samples.get_or_insert_default()),
                None => *samples = None,
            }
        }
    }

    /// Takes one sample of everything. What is not known just now keeps its last value.
    fn sample(&self) {
        for (name, sensor) in lock(&self.sensors).iter_mut() {
            for ((field, _), samples) in FIELDS.iter().zip(&mut sensor.samples) {
                let Some(samples) = samples else { continue };
                let value = self.klippy.value::<Option<f64>>(name, field);
                let sample = match value {
                    Some(value) => value.map(|value| (value * 100.0).round() as i32),
                    None => samples.back().copied().flatten(),
                };
                while samples.len() >= self.options.temperature_store_size.max(1) {
                    samples.pop_front();
                }
                samples.push_back(sample);
            }
        }
    }

    fn keep(&self, text: &Arc<str>, kind: Kind) {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let message = match text.len() {
            0..=MAX_ENTRY => text.clone(),
            _ => text
                .chars()
                .scan(0, |bytes, c| {
                    *bytes += c.len_utf8();
                    (*bytes <= MAX_ENTRY).then_some(c)
                })
                .collect::<String>()
                .into(),
        };
        let mut entries = lock(&self.gcode);
        while entries.len() >= self.options.gcode_store_size.max(1) {
            entries.pop_front();
        }
        if self.options.gcode_store_size > 0 {
            entries.push_back(Entry { message, time, kind });
        }
    }

    async fn temperature_store(self: Arc<Self>, call: Call<TemperatureStore>) -> Result<Reply> {
        let mut out = String::from("{");
        for (name, sensor) in lock(&self.sensors).iter() {
            if sensor.is_monitor && !call.params.include_monitors {
                continue;
            }
            if out.len() > 1 {
                out.push(',');
            }
            json::push_quoted(&mut out, name);
            let lists = FIELDS.iter().zip(&sensor.samples).filter_map(|((_, list), samples)| {
                let samples = samples.as_ref()?.iter();
                let values: Vec<Option<f64>> =
                    samples.map(|sample| sample.map(|n| f64::from(n) / 100.0)).collect();
                Some(format!("\"{list}\":{}", json::to_text(&values)))
            });
            out.push_str(":{");
            out.push_str(&lists.collect::<Vec<_>>().join(","));
            out.push('}');
        }
        out.push('}');
        Ok(Reply::from_json_text(out))
    }

    async fn gcode_store(self: Arc<Self>, call: Call<GcodeStore>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Stored<'a> {
            gcode_store: Vec<&'a Entry>,
        }
        let entries = lock(&self.gcode);
        let count = call.params.count.filter(|count| *count > 0).unwrap_or(entries.len());
        let from = entries.len().saturating_sub(count);
        Ok(Reply::of(&Stored { gcode_store: entries.range(from..).collect() }))
    }
}

async fn sample_for_ever(store: Weak<DataStore>) {
    use futures_lite::StreamExt;
    let mut ticks = smol::Timer::interval(SAMPLE_INTERVAL);
    while ticks.next().await.is_some() {
        match store.upgrade() {
            Some(store) => store.sample(),
            None => return,
        }
    }
}
