//! The two clocks: the real one, which paces the API, and the printer's, which may run faster.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

/// Time in the printer, in seconds: what Klippy calls the event time, sped up.
pub(super) type Seconds = f64;

/// The longest that anything waits at once: a day. Longer waits are waited for in pieces.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Translates between real and simulated time. Both start with the monotonic clock of the machine, as Klippy's
/// event times do, and are the same at speed 1.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    origin: Instant,
    base: Seconds,
    speed: f64,
}

impl Clock {
    /// A clock that runs `speed` times as fast as the real one.
    pub(super) fn new(speed: f64) -> Self {
        let base = clock_gettime(ClockId::CLOCK_MONOTONIC)
            .map_or(0.0, |time| time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9);
        Self { origin: Instant::now(), base, speed }
    }

    /// The real time, as Klippy gives it in `eventtime`.
    pub(super) fn event_time(&self) -> Seconds {
        self.base + self.origin.elapsed().as_secs_f64()
    }

    /// The time in the printer.
    pub(super) fn now(&self) -> Seconds {
        self.base + self.origin.elapsed().as_secs_f64() * self.speed
    }

    /// When a time in the printer comes, at most a day ahead.
    pub(super) fn instant(&self, time: Seconds) -> Instant {
        let ahead = ((time - self.base) / self.speed).clamp(0.0, f64::MAX);
        let ahead = Duration::try_from_secs_f64(ahead).unwrap_or(Duration::MAX);
        let limit = self.origin.elapsed().saturating_add(LONGEST);
        self.origin.checked_add(ahead.min(limit)).unwrap_or_else(Instant::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_runs_faster_and_converts_back() {
        let clock = Clock::new(100.0);
        let later = clock.now() + 500.0;
        let wait = clock.instant(later).saturating_duration_since(Instant::now());
        assert!(wait <= Duration::from_secs(5) && wait > Duration::from_secs(3), "{wait:?}");
        assert!(clock.instant(clock.now() - 50.0) <= Instant::now());
    }

    #[test]
    fn far_times_are_waited_for_in_pieces() {
        let clock = Clock::new(1.0);
        let wait = clock.instant(f64::INFINITY).saturating_duration_since(Instant::now());
        assert!(wait <= LONGEST + Duration::from_secs(1));
    }
}
