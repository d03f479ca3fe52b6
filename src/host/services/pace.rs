//! How often managers that do not tell of changes are looked at: seldom, and more often after something was done.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_lite::future;
use smol::channel::{Receiver, Sender, bounded};

use crate::sync::lock;

/// The pace as long as nothing is done here: it only shows what others do to services.
const CALM: Duration = Duration::from_secs(5);
/// The pace after an action: many a script is done before its daemon is.
const QUICK: Duration = Duration::from_millis(500);
/// How long it stays quick.
const SETTLE: Duration = Duration::from_secs(10);

/// When to look.
#[derive(Debug)]
pub(super) struct Pace {
    acted: Mutex<Option<Instant>>,
    now: (Sender<()>, Receiver<()>),
}

impl Default for Pace {
    fn default() -> Self {
        Self { acted: Mutex::default(), now: bounded(1) }
    }
}

impl Pace {
    /// Something was done: looks at once, and soon again for a while.
    pub(super) fn quicken(&self) {
        *lock(&self.acted) = Some(Instant::now());
        // one that waits already is enough
        let _ = self.now.0.try_send(());
    }

    fn pause(&self) -> Duration {
        let recent = lock(&self.acted).is_some_and(|acted| acted.elapsed() < SETTLE);
        if recent { QUICK } else { CALM }
    }

    /// Waits until it is time to look.
    pub(super) async fn wait(&self) {
        let time = async {
            smol::Timer::after(self.pause()).await;
        };
        let asked = async {
            let _ = self.now.1.recv().await;
        };
        future::or(asked, time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_looked_at_soon() {
        let pace = Pace::default();
        assert_eq!(pace.pause(), CALM);
        pace.quicken();
        pace.quicken();
        let now = || smol::block_on(future::poll_once(pace.wait()));
        assert_eq!((now(), now()), (Some(()), None));
        assert_eq!(pace.pause(), QUICK);
        let begun = Instant::now();
        smol::block_on(pace.wait());
        assert!(begun.elapsed() >= QUICK);
    }
}
