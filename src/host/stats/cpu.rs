//! How busy the CPUs are: the first lines of `/proc/stat`.

use serde::{Serialize, Serializer};

use super::roster::Roster;
use super::round2;

/// The most CPUs that are listed.
const MAX_CPUS: usize = 1024;

/// Percent of the time in which each CPU was not idle (spec api.md §5, `system_cpu_usage`), by the kernel's
/// names: `cpu` for all together, `cpu0` …
#[derive(Debug, Default)]
pub struct CpuUsage {
    cpus: Roster<Cpu>,
}

#[derive(Debug, Default)]
struct Cpu {
    total: u64,
    idle: u64,
    /// `None` until there are two samples.
    percent: Option<f64>,
}

impl CpuUsage {
    /// Names and percent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.cpus.iter().filter_map(|(name, cpu)| Some((name, cpu.percent?)))
    }

    pub(super) fn clear(&mut self) {
        self.cpus.clear();
    }

    /// Takes the text of `/proc/stat`.
    pub(super) fn update(&mut self, stat: &[u8]) {
        self.cpus.begin();
        for line in stat.split(|b| *b == b'\n').take_while(|line| line.starts_with(b"cpu")) {
            let Some((name, total, idle)) = parse(line) else { continue };
            let new = || Cpu { total, idle, percent: None };
            self.cpus.see(name, MAX_CPUS, |cpu| cpu.update(total, idle), new);
        }
        self.cpus.end();
    }
}

impl Cpu {
    fn update(&mut self, total: u64, idle: u64) {
        // The counters of idle time may run backwards a little (proc(5)).
        let passed = total.saturating_sub(self.total);
        let rested = idle.saturating_sub(self.idle).min(passed);
        if passed > 0 {
            self.percent = Some(round2(100.0 * (passed - rested) as f64 / passed as f64));
        }
        (self.total, self.idle) = (total, idle);
    }
}

/// Name, all time and idle time of a line, in ticks. The time of guests (the last two numbers) is part of user
/// time already.
fn parse(line: &[u8]) -> Option<(&str, u64, u64)> {
    const IDLE: usize = 3;
    const GUEST: usize = 8;
    let mut words = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let name = words.next()?;
    let (mut total, mut idle) = (0u64, None);
    for (index, word) in words.take(GUEST).enumerate() {
        let ticks: u64 = word.parse().ok()?;
        total = total.checked_add(ticks)?;
        if index == IDLE {
            idle = Some(ticks);
        }
    }
    Some((name, total, idle?))
}

impl Serialize for CpuUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(usage: &CpuUsage, wanted: &str) -> Option<f64> {
        usage.iter().find(|(name, _)| *name == wanted).map(|(_, percent)| percent)
    }

    #[test]
    fn usage_between_two_samples() {
        let mut usage = CpuUsage::default();
        usage.update(b"cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\nintr 5\ncpu9 1 1 1 1\n");
        assert_eq!(serde_json::to_string(&usage).unwrap(), "{}");
        usage.update(b"cpu  125 0 100 875 0 0 0 0 7 7\ncpu0 50 0 50 500 0 0 0 0 0 0\n");
        assert_eq!(serde_json::to_string(&usage).unwrap(), r#"{"cpu":25.0,"cpu0":0.0}"#);
        assert_eq!(of(&usage, "cpu"), Some(25.0));
    }

    #[test]
    fn cpus_that_are_switched_off_and_on() {
        let mut usage = CpuUsage::default();
        usage.update(b"cpu 1 1 1 1\ncpu0 1 1 1 1\ncpu1 1 1 1 1\n");
        usage.update(b"cpu 2 1 1 1\ncpu1 2 1 1 1\n");
        assert_eq!((of(&usage, "cpu0"), of(&usage, "cpu1")), (None, Some(100.0)));
        usage.update(b"cpu 3 1 1 1\ncpu0 1 1 1 1\ncpu1 3 1 1 1\n");
        usage.update(b"cpu 4 1 1 1\ncpu0 1 1 1 2\ncpu1 4 1 1 1\n");
        assert_eq!((of(&usage, "cpu0"), of(&usage, "cpu1")), (Some(0.0), Some(100.0)));
    }

    #[test]
    fn counters_that_stand_still_or_run_backwards() {
        let mut usage = CpuUsage::default();
        usage.update(b"cpu 10 10 10 10\n");
        usage.update(b"cpu 20 10 10 10\n");
        usage.update(b"cpu 20 10 10 10\n");
        assert_eq!(of(&usage, "cpu"), Some(100.0));
        usage.update(b"cpu 40 10 10 5\n");
        assert_eq!(of(&usage, "cpu"), Some(100.0));
    }

    proptest! {
        #[test]
        fn any_bytes(first: Vec<u8>, second: Vec<u8>) {
            let mut usage = CpuUsage::default();
            usage.update(&first);
            usage.update(&[b"cpu ", &*second].concat());
        }

        #[test]
        fn always_a_percentage(a: [u32; 8], b: [u32; 8]) {
            let line = |n: [u32; 8]| format!("cpu {}\n", n.map(|n| n.to_string()).join(" "));
            let mut usage = CpuUsage::default();
            usage.update(line(a).as_bytes());
            usage.update(line(b).as_bytes());
            prop_assert!(of(&usage, "cpu").is_none_or(|percent| (0.0..=100.0).contains(&percent)));
        }
    }
}
