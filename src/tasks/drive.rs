//! Which thread waits for sockets and timers.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How many times the executor is woken before it is asked how long that took. While it never sleeps, it counts as woken
/// once in 200 tasks.
const WAKES: u32 = 32;
/// So many wakes in less than this is much to do: 160 in a second.
const BUSY: Duration = Duration::from_millis(200);
/// So many wakes in more than this is little to do: 32 in a second.
const CALM: Duration = Duration::from_secs(1);

/// Runs a future on this thread.
///
/// While there is little to do, the reactor's own thread waits for sockets and timers, and wakes this one. The two would take
/// turns at waiting otherwise, which wakes an idle server twice as often. While there is much to do, this thread waits
/// itself: a request costs a third less processor time without the change of threads, and the other core is left to others.
pub fn drive<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Some(value) = futures_lite::future::block_on(run_while(future.as_mut(), |time| time > BUSY)) {
            return value;
        }
        if let Some(value) = async_io::block_on(run_while(future.as_mut(), |time| time < CALM)) {
            return value;
        }
    }
}

/// Polls a future until it is ready, or until some [`WAKES`] took a time that does not suit: then there is no value.
fn run_while<T>(
    mut future: Pin<&mut impl Future<Output = T>>,
    suits: fn(Duration) -> bool,
) -> impl Future<Output = Option<T>> {
    let (mut wakes, mut since) = (0, Instant::now());
    poll_fn(move |context| {
        if let Poll::Ready(value) = future.as_mut().poll(context) {
            return Poll::Ready(Some(value));
        }
        wakes += 1;
        if wakes == WAKES {
            let time = since.elapsed();
            if !suits(time) {
                return Poll::Ready(None);
            }
            (wakes, since) = (0, Instant::now());
        }
        Poll::Pending
    })
}

#[cfg(test)]
mod tests {
    use futures_lite::future::yield_now;

    use super::*;

    async fn wakes(count: u32) -> u32 {
        for _ in 0..count {
            yield_now().await;
        }
        count
    }

    #[test]
    fn the_pace_decides() {
        assert_eq!(smol::block_on(run_while(pin!(wakes(WAKES)), |_| false)), None);
        assert_eq!(smol::block_on(run_while(pin!(wakes(WAKES - 1)), |_| false)), Some(WAKES - 1));
        assert_eq!(smol::block_on(run_while(pin!(wakes(3 * WAKES)), |_| true)), Some(3 * WAKES));
    }

    /// Through both ways of waiting, and back: timers go off, and wakes from other threads come, in each.
    #[test]
    fn nothing_is_lost_on_the_way() {
        let round = async {
            let mut threads = Vec::new();
            for pause in [BUSY / WAKES, Duration::ZERO, CALM * 5 / 4 / WAKES] {
                for _ in 0..WAKES {
                    smol::Timer::after(pause).await;
                    crate::tasks::unblock(|| ()).await;
                }
                threads.push(std::thread::current().id());
            }
            threads
        };
        assert_eq!(drive(round), [std::thread::current().id(); 3]);
        assert_eq!(drive(async { 8 }), 8);
    }
}
