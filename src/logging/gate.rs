//! What of the log is worth a write: repeated lines are folded, and there is a limit to lines a second.
//!
//! A log that runs wild wears out the card it is on, and on slow cards it has stopped printers.

use std::hash::{DefaultHasher, Hash, Hasher};

use log::Level;

use super::line::Line;

/// Lines that may come at once, for a start or a burst of errors.
pub const BURST: u32 = 500;
/// Lines a second in the long run.
pub const RATE: u32 = 20;
/// As [`RATE`], with verbose logging.
pub const VERBOSE_RATE: u32 = 200;
/// What only warnings and errors may use of [`BURST`].
pub const RESERVE: u32 = 100;
/// Bytes of a line's text that count as one line.
const LINE_BYTES: usize = 256;
/// Milliseconds until it is said that lines were folded or left out, if nothing else is logged meanwhile.
pub(super) const REPORT_AFTER: u64 = 30_000;

/// Decides what is written. Times are milliseconds of a clock that never goes back.
pub(super) struct Gate {
    /// Lines a second.
    rate: u32,
    /// Thousandths of lines that may come now.
    credit: u64,
    counted_at: u64,
    /// The hash of the last line.
    last: Option<u64>,
    repeated: u64,
    left_out: u64,
    /// When the first of the lines that were kept back came.
    kept_back_since: Option<u64>,
}

impl Gate {
    pub(super) fn new(verbose: bool) -> Self {
        Self {
            rate: if verbose { VERBOSE_RATE } else { RATE },
            credit: u64::from(BURST) * 1000,
            counted_at: 0,
            last: None,
            repeated: 0,
            left_out: 0,
            kept_back_since: None,
        }
    }

    /// Whether to write this line; before it, [`Gate::report`] is due if it says something.
    pub(super) fn admit(&mut self, now: u64, line: &Line) -> bool {
        self.earn(now);
        if self.last == Some(hash(line)) {
            self.repeated += 1;
            self.kept_back_since.get_or_insert(now);
            return false;
        }
        let cost = 1000 * (1 + (line.text.len() / LINE_BYTES) as u64);
        let floor = if line.level <= Level::Warn { 0 } else { u64::from(RESERVE) * 1000 };
        if self.credit < floor + cost {
            self.left_out += 1;
            self.kept_back_since.get_or_insert(now);
            return false;
        }
        self.credit -= cost;
        true
    }

    /// Remembers the line that was written, to fold those that repeat it.
    pub(super) fn written(&mut self, line: &Line) {
        self.last = Some(hash(line));
    }

    /// What was kept back since the last report.
    pub(super) fn report(&mut self) -> Option<String> {
        self.kept_back_since = None;
        let (repeated, left_out) = (std::mem::take(&mut self.repeated), std::mem::take(&mut self.left_out));
        let folded = match repeated {
            0 => None,
            1 => Some("last message repeated once".to_owned()),
            _ => Some(format!("last message repeated {repeated} times")),
        };
        let dropped = (left_out > 0).then(|| {
            let rate = self.rate;
            format!("{left_out} messages left out: more than {rate} a second")
        });
        match (folded, dropped) {
            (Some(folded), Some(dropped)) => Some(format!("{folded}; {dropped}")),
            (folded, dropped) => folded.or(dropped),
        }
    }

    /// When a report is due by itself.
    pub(super) fn report_due(&self) -> Option<u64> {
        Some(self.kept_back_since?.saturating_add(REPORT_AFTER))
    }

    fn earn(&mut self, now: u64) {
        let earned = now.saturating_sub(self.counted_at).saturating_mul(u64::from(self.rate));
        self.credit = self.credit.saturating_add(earned).min(u64::from(BURST) * 1000);
        self.counted_at = self.counted_at.max(now);
    }
}

fn hash(line: &Line) -> u64 {
    let mut hasher = DefaultHasher::new();
    (line.level, &line.module, &line.text).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::line::tests::line;
    use super::*;

    /// What is written of texts that come at a moment.
    fn pass(gate: &mut Gate, now: u64, level: Level, texts: &[&str]) -> Vec<String> {
        let mut written = Vec::new();
        for text in texts {
            let line = line(0, level, text);
            if gate.admit(now, &line) {
                written.extend(gate.report());
                written.push((*text).to_owned());
                gate.written(&line);
            }
        }
        written
    }

    #[test]
    fn repeated_lines_are_folded() {
        let mut gate = Gate::new(false);
        let texts = ["a", "a", "a", "b", "b", "a"];
        assert_eq!(
            pass(&mut gate, 0, Level::Info, &texts),
            ["a", "last message repeated 2 times", "b", "last message repeated once", "a"]
        );
        assert_eq!(gate.report_due(), None);
        pass(&mut gate, 5, Level::Info, &["a"]);
        pass(&mut gate, 6, Level::Info, &["a"]);
        assert_eq!(gate.report_due(), Some(5 + REPORT_AFTER));
        assert_eq!(gate.report().as_deref(), Some("last message repeated 2 times"));
        assert_eq!((gate.report_due(), gate.report()), (None, None));
    }

    #[test]
    fn the_same_text_of_another_level_is_another_line() {
        let mut gate = Gate::new(false);
        pass(&mut gate, 0, Level::Info, &["a"]);
        assert_eq!(pass(&mut gate, 0, Level::Error, &["a"]), ["a"]);
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let mut gate = Gate::new(false);
        let texts: Vec<String> = (0..BURST * 2).map(|i| i.to_string()).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(pass(&mut gate, 0, Level::Info, &texts).len() as u32, BURST - RESERVE);
        assert_eq!(
            pass(&mut gate, 0, Level::Error, &["bad"]).len(),
            2,
            "errors have a reserve, and say what is lost"
        );
        let second = pass(&mut gate, 1_000, Level::Info, &texts);
        assert!(second.len() as u32 <= RATE, "{}", second.len());
        assert_eq!(pass(&mut gate, 3_600_000, Level::Info, &texts[..10]).len(), 11);
        assert!(pass(&mut gate, 0, Level::Info, &["back in time"]).len() == 1);
    }

    #[test]
    fn long_lines_cost_more() {
        let mut gate = Gate::new(false);
        let texts: Vec<String> = (0..BURST).map(|i| format!("{i}{}", "x".repeat(LINE_BYTES * 9))).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        assert_eq!(pass(&mut gate, 0, Level::Info, &texts).len() as u32, (BURST - RESERVE) / 10);
    }
}
