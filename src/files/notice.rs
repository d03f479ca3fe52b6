//! Telling clients of what a request changed: once, and after its reply.

use std::time::Duration;

use super::action::FileAction;
use crate::tasks::Spawner;

/// How long after the end of a request clients are told of it (spec notifications.md §A).
pub const NOTICE_DELAY: Duration = Duration::from_millis(5);

/// Where changes are told: `notify_filelist_changed`, and whoever else cares.
pub type Sink = std::sync::Arc<dyn Fn(&FileAction) + Send + Sync>;

/// Changes that clients will be told of [`NOTICE_DELAY`] after this is dropped. Drop it when the reply is on its
/// way, or just let go of it.
#[must_use = "drop it when the reply is on its way"]
pub struct Notice {
    actions: Vec<FileAction>,
    sink: Sink,
    spawner: Spawner,
}

impl Notice {
    pub(super) fn new(actions: Vec<FileAction>, sink: &Sink, spawner: &Spawner) -> Self {
        Self { actions, sink: sink.clone(), spawner: spawner.clone() }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        let (actions, sink) = (std::mem::take(&mut self.actions), self.sink.clone());
        self.spawner.spawn(async move {
            smol::Timer::after(NOTICE_DELAY).await;
            actions.iter().for_each(|action| sink(action));
        });
    }
}

/// What a request changed, and the notice of it.
pub struct Change {
    /// The result of the request.
    pub action: FileAction,
    /// Tells the other clients.
    pub notice: Notice,
}
