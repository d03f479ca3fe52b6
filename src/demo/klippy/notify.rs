//! Waking a task.

use smol::channel::{Receiver, Sender, bounded};

/// Wakes the one task that waits on it. Notices given while nobody waits are kept as one.
#[derive(Debug)]
pub(super) struct Notify {
    sender: Sender<()>,
    receiver: Receiver<()>,
}

impl Notify {
    /// Nothing to wake for yet.
    pub(super) fn new() -> Self {
        let (sender, receiver) = bounded(1);
        Self { sender, receiver }
    }

    /// Wakes the task, now or when it next waits.
    pub(super) fn notify(&self) {
        // full: it will wake anyway
        let _ = self.sender.try_send(());
    }

    /// Waits for a notice.
    pub(super) async fn wait(&self) {
        // the sender lives as long as the receiver
        let _ = self.receiver.recv().await;
    }

    /// Forgets a notice that came too early.
    pub(super) fn clear(&self) {
        let _ = self.receiver.try_recv();
    }
}
