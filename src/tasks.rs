//! Starting tasks. Floor 0.

use std::future::Future;
use std::sync::{Arc, Weak};

use smol::Executor;

/// Starts tasks that belong to one run of the server: they end with it, wherever they are, because the run owns
/// the executor and this only points to it.
#[derive(Clone)]
pub struct Spawner(Weak<Executor<'static>>);

impl Spawner {
    /// Starts tasks on this executor.
    pub fn new(executor: &Arc<Executor<'static>>) -> Self {
        Self(Arc::downgrade(executor))
    }

    /// Starts a task. After the end of the run nothing is started.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(future).detach();
        }
    }
}
