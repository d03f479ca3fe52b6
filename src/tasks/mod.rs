//! Running the executor, starting tasks, and blocking work. Floor 0.
//!
//! The executor and the pool of threads compile 1 to 2 KiB of code for each type of future or closure that they are
//! given. So they are given boxes, all of one type.

mod drive;
mod first_of;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use smol::{Executor, Task};

pub use drive::drive;
pub use first_of::first_of;

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
        self.spawn_boxed(Box::pin(future));
    }

    fn spawn_boxed(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Some(executor) = self.0.upgrade() {
            executor.spawn(future).detach();
        }
    }
}

/// Runs work that blocks on the pool of threads, from now on; the future gives what it returns. Work that has not
/// begun when the future is dropped does not run.
pub fn unblock<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Blocking<T> {
    let result = Arc::new(Mutex::new(None));
    let place = result.clone();
    let task = unblock_boxed(Box::new(move || {
        let value = work();
        *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }));
    Blocking { task, result }
}

fn unblock_boxed(work: Box<dyn FnOnce() + Send>) -> Task<()> {
    #[expect(clippy::disallowed_methods)]
    blocking::unblock(work)
}

/// Work under way on the pool of threads.
pub struct Blocking<T> {
    task: Task<()>,
    result: Arc<Mutex<Option<T>>>,
}

impl<T> Blocking<T> {
    /// Lets the work run to its end, whatever it returns.
    pub fn detach(self) {
        self.task.detach();
    }
}

impl<T> Future for Blocking<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        ready!(Pin::new(&mut self.task).poll(context));
        match self.result.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Poll::Ready(value),
            // a panic of the work has come out of the task above, and so would a poll after the end
            None => unreachable!("the work has returned"),
        }
    }
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_gives_its_result() {
        assert_eq!(smol::block_on(unblock(|| 6 * 7)), 42);
    }

    #[test]
    fn work_that_nobody_waits_for_runs_when_detached() {
        let (sender, receiver) = std::sync::mpsc::channel();
        unblock(move || sender.send(1)).detach();
        assert_eq!(receiver.recv(), Ok(1));
    }

    #[test]
    #[should_panic(expected = "it went wrong")]
    fn a_panic_comes_out_where_the_result_is_awaited() {
        smol::block_on(unblock(|| panic!("it went wrong")));
    }

    #[test]
    fn nothing_is_started_after_the_end_of_the_run() {
        let executor = Arc::new(Executor::new());
        let spawner = Spawner::new(&executor);
        let (sender, receiver) = smol::channel::bounded(2);
        let begun = sender.clone();
        spawner.spawn(async move { assert!(begun.send(1).await.is_ok()) });
        assert_eq!(smol::block_on(executor.run(receiver.recv())), Ok(1));
        drop(executor);
        spawner.spawn(async move { assert!(sender.send(2).await.is_ok()) });
        assert!(receiver.try_recv().is_err());
    }
}
