//! What a part of the API is tested on: a database in a folder of its own, and no Klippy.

use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use smol::Executor;

use crate::api::{Call, Caller, Endpoint, Error, Events, Params, Table};
use crate::klippy::{self, Klippy};
use crate::storage::Storage;
use crate::storage::scratch::Scratch;
use crate::sync::lock;
use crate::tasks::Spawner;

pub(super) struct Bench {
    pub(super) scratch: Scratch,
    pub(super) storage: Storage,
    pub(super) events: Arc<Events>,
    pub(super) klippy: Arc<Klippy>,
    pub(super) spawner: Spawner,
    executor: Arc<Executor<'static>>,
    notified: Arc<Mutex<Vec<Value>>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        let scratch = Scratch::new();
        let executor = Arc::new(Executor::new());
        let spawner = Spawner::new(&executor);
        let events = Arc::new(Events::default());
        let notified = Arc::new(Mutex::new(Vec::new()));
        let sent = notified.clone();
        events.subscribe(move |event| {
            if let Some(notification) = event.notification() {
                lock(&sent).push(serde_json::from_str(&notification.message()).unwrap());
            }
        });
        let options = klippy::Options { socket: "/nonexistent".into(), query_from_cache: true };
        Self {
            storage: scratch.open(),
            scratch,
            klippy: Klippy::new(options, events.clone(), spawner.clone()),
            events,
            spawner,
            executor,
            notified,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs a future, and the tasks that parts have started as long as it takes.
    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(future))
    }

    /// Waits until `condition` gives something; panics after five seconds.
    pub(super) fn until<T>(&self, mut condition: impl FnMut() -> Option<T>) -> T {
        let begun = std::time::Instant::now();
        self.run(async {
            loop {
                if let Some(found) = condition() {
                    return found;
                }
                assert!(begun.elapsed().as_secs() < 5, "this takes too long");
                smol::Timer::after(std::time::Duration::from_millis(2)).await;
            }
        })
    }

    /// The notifications since the last call, as they go over the wire.
    pub(super) fn notified(&self) -> Vec<Value> {
        std::mem::take(&mut lock(&self.notified))
    }

    /// Calls an endpoint by its RPC method with arguments as JSON text.
    pub(super) fn call(&self, endpoints: Vec<Endpoint>, method: &str, params: &str) -> Result<Value, Error> {
        self.run(self.start_call(endpoints, method, params))
    }

    pub(super) async fn start_call(
        &self,
        endpoints: Vec<Endpoint>,
        method: &str,
        params: &str,
    ) -> Result<Value, Error> {
        let mut table = Table::default();
        table.add("part", endpoints);
        let (endpoint, tail) = table.rpc(method).unwrap();
        let params = Params::from_raw(serde_json::from_str(params).unwrap()).unwrap();
        let reply = endpoint.call(Call { caller: Caller::internal(), params, tail }).await?;
        Ok(serde_json::from_str(reply.as_str()).unwrap())
    }
}
