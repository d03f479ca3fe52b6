//! Waiting for two things at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use atomic_waker::AtomicWaker;

/// What comes first of two futures. Each is only polled when it has been woken itself: a socket that is written to is not
/// asked each time whether it can be read as well, which is a system call.
pub async fn first_of<T>(a: impl Future<Output = T>, b: impl Future<Output = T>) -> T {
    futures_lite::future::or(when_woken(a), when_woken(b)).await
}

/// A future that is polled once, and then whenever it has been woken, however often the task is that it is part of.
async fn when_woken<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let own = Arc::new(Own { woken: AtomicBool::new(true), task: AtomicWaker::new() });
    let waker = Waker::from(own.clone());
    poll_fn(|context| {
        // first this, or what wakes it in between would be lost
        own.task.register(context.waker());
        if !own.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        future.as_mut().poll(&mut Context::from_waker(&waker))
    })
    .await
}

/// The waker of a part of a task.
struct Own {
    woken: AtomicBool,
    /// The task.
    task: AtomicWaker,
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_lite::future::yield_now;
    use smol::channel::bounded;

    use super::*;

    /// Counts how often a future is polled.
    async fn counted<F: Future>(polls: &Cell<u32>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            polls.set(polls.get() + 1);
            future.as_mut().poll(context)
        })
        .await
    }

    #[test]
    fn only_what_is_woken_is_polled() {
        let (sender, receiver) = bounded::<u32>(1);
        let (waiting, working) = (Cell::new(0), Cell::new(0));
        let value = smol::block_on(first_of(
            counted(&waiting, async { receiver.recv().await.unwrap() }),
            counted(&working, async {
                for _ in 0..10 {
                    yield_now().await;
                }
                sender.send(7).await.unwrap();
                std::future::pending().await
            }),
        ));
        assert_eq!((value, waiting.get(), working.get()), (7, 2, 11));
    }

    #[test]
    fn wakes_from_other_threads_are_not_lost() {
        for _ in 0..100 {
            let (left, right) = (bounded::<u32>(1), bounded::<u32>(1));
            let ends = std::thread::spawn({
                let (left, right) = (left.1.clone(), right.0.clone());
                move || (0..50).for_each(|_| right.send_blocking(left.recv_blocking().unwrap()).unwrap())
            });
            let total = smol::block_on(first_of(
                async {
                    let mut total = 0;
                    for _ in 0..50 {
                        total += right.1.recv().await.unwrap();
                    }
                    total
                },
                async {
                    for number in 0..50 {
                        left.0.send(number).await.unwrap();
                    }
                    std::future::pending().await
                },
            ));
            ends.join().unwrap();
            assert_eq!(total, 49 * 50 / 2);
        }
    }
}
