//! Whether the printer is at work, ready, or idle for so long that it is switched off.

use super::status::Status;
use crate::demo::klippy::clock::Seconds;

/// How long after the last move the printer counts as ready, in seconds (Klippy's `READY_TIMEOUT`).
const READY_TIMEOUT: Seconds = 0.5;

/// The states of the object.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Idle,
    /// Since when.
    Printing(Seconds),
    /// Since when.
    Ready(Seconds),
}

/// The `idle_timeout` object.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct IdleTimeout {
    state: State,
    /// In seconds.
    pub(in crate::demo::klippy) timeout: Seconds,
}

impl IdleTimeout {
    /// Idle, as after a start.
    pub(in crate::demo::klippy) fn new(timeout: Seconds) -> Self {
        Self { state: State::Idle, timeout }
    }

    /// Brings the state up to date: `print_time` is when the last move ends, `busy` whether G-code is being run.
    /// Says whether the printer has been ready for so long that it is to be switched off.
    pub(in crate::demo::klippy) fn advance(&mut self, now: Seconds, print_time: Seconds, busy: bool) -> bool {
        match self.state {
            State::Idle | State::Ready(_) if print_time > now => {
                self.state = State::Printing(now);
                false
            }
            State::Printing(_) if now > print_time + READY_TIMEOUT && !busy => {
                self.state = State::Ready(print_time + READY_TIMEOUT);
                false
            }
            State::Ready(since) if now - since >= self.timeout && !busy => {
                self.state = State::Idle;
                true
            }
            _ => false,
        }
    }

    /// Whether it counts as at work.
    pub(in crate::demo::klippy) fn is_printing(&self) -> bool {
        matches!(self.state, State::Printing(_))
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self, now: Seconds) -> Status {
        let (name, printing) = match self.state {
            State::Idle => ("Idle", 0.0),
            State::Ready(_) => ("Ready", 0.0),
            State::Printing(since) => ("Printing", now - since),
        };
        Status::default()
            .text("state", name)
            .number("printing_time", printing)
            .number("idle_timeout", self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_then_rest_then_idleness() {
        let mut idle = IdleTimeout::new(600.0);
        assert!(!idle.advance(100.0, 50.0, false));
        idle.advance(100.0, 101.0, true);
        assert!(idle.is_printing());
        idle.advance(102.0, 101.0, true);
        assert!(idle.is_printing(), "G-code still runs");
        idle.advance(102.0, 101.0, false);
        assert!(!idle.is_printing());
        assert!(!idle.advance(600.0, 101.0, false));
        assert!(idle.advance(702.0, 101.0, false));
        assert!(!idle.advance(2000.0, 101.0, false));
    }
}
