//! What Klippy tells of the machine it runs on and of the micro-controller.

use nix::time::{ClockId, clock_gettime};

use super::status::Status;
use crate::demo::klippy::clock::Seconds;

/// How often the machine is asked, in seconds.
const INTERVAL: Seconds = 1.0;

/// The `system_stats` object: real figures of this machine and process.
#[derive(Debug, Clone, Default)]
pub(in crate::demo::klippy) struct SystemStats {
    asked: Option<Seconds>,
    load: f64,
    cpu_time: f64,
    /// KiB.
    available: u64,
}

impl SystemStats {
    /// The fields of its object. `time` is real.
    pub(in crate::demo::klippy) fn status(&mut self, time: Seconds) -> Status {
        if self.asked.is_none_or(|asked| time - asked >= INTERVAL) {
            self.asked = Some(time);
            self.ask();
        }
        Status::default()
            .number("sysload", self.load)
            .number("cputime", self.cpu_time)
            .int("memavail", self.available)
    }

    fn ask(&mut self) {
        let word = |text: String, index: usize| text.split_whitespace().nth(index).map(str::to_owned);
        let read = |path: &str| std::fs::read_to_string(path).ok();
        self.load = read("/proc/loadavg")
            .and_then(|text| word(text, 0))
            .and_then(|load| load.parse().ok())
            .unwrap_or_default();
        self.available = read("/proc/meminfo")
            .and_then(|text| text.lines().find(|line| line.starts_with("MemAvailable:")).map(str::to_owned))
            .and_then(|line| word(line, 1))
            .and_then(|size| size.parse().ok())
            .unwrap_or_default();
        self.cpu_time = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
            .map_or(0.0, |time| time.tv_sec() as f64 + time.tv_nsec() as f64 * 1e-9);
    }
}

/// The fields of `mcu`. `age` is how long it has been up, in seconds; its statistics come once a second.
pub(in crate::demo::klippy) fn mcu_status(version: &str, age: Seconds) -> Status {
    let seconds = age.max(0.0).floor();
    let messages = (seconds as u64).saturating_mul(3) + 150;
    let jitter = (seconds * 7.0) % 11.0;
    Status::default()
        .text("mcu_version", version)
        .text("mcu_build_versions", "simulated")
        .raw(
            "mcu_constants",
            r#"{"ADC_MAX":4095,"CLOCK_FREQ":180000000,"MCU":"stm32f446xx","PWM_MAX":255,"STATS_SUMSQ_BASE":256,"STEPPER_STEP_BOTH_EDGE":1}"#,
        )
        .raw(
            "last_stats",
            format!(
                r#"{{"mcu_awake":0.00{jitter:.0},"mcu_task_avg":1.4e-05,"mcu_task_stddev":1.7e-05,"bytes_write":{},"bytes_read":{},"bytes_retransmit":9,"bytes_invalid":0,"send_seq":{messages},"receive_seq":{messages},"retransmit_seq":2,"srtt":0.001,"rttvar":0.0,"rto":0.025,"ready_bytes":0,"upcoming_bytes":0,"freq":{}}}"#,
                messages * 9,
                messages * 53,
                180_000_000 + jitter as u64,
            ),
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_json_and_those_of_the_micro_controller_change_each_second() {
        for age in [-1.0, 0.0, 10.5, 1e9] {
            serde_json::from_str::<serde_json::Value>(&mcu_status("v1", age).to_json()).unwrap();
        }
        assert_eq!(mcu_status("v1", 5.1), mcu_status("v1", 5.9));
        assert_ne!(mcu_status("v1", 5.1), mcu_status("v1", 6.1));
        let stats = SystemStats::default().status(0.0).to_json();
        assert!(stats.contains("memavail"), "{stats}");
    }
}
