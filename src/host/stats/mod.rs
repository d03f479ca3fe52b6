//! How the machine is doing: one sample of CPU, memory, network and temperature, taken every second for years.
//!
//! Files stay open and are read again from their start; buffers and lists are reused. In steady state a sample
//! allocates nothing.

mod cpu;
mod file;
mod network;
mod roster;

use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::Host;
use super::memory::Memory;
use super::temperature::{degrees, sensor};
pub use cpu::CpuUsage;
use file::Reopened;
pub use network::NetworkUsage;

/// What this process used (spec api.md §5, one of `moonraker_stats`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ProcessUsage {
    /// When the sample was taken, in seconds since 1970.
    pub time: f64,
    /// Percent of one CPU since the sample before.
    pub cpu_usage: f64,
    /// Resident memory in `mem_units`.
    pub memory: Option<u64>,
    /// `kB`, with `memory`.
    pub mem_units: Option<&'static str>,
}

/// Takes samples. The fields hold the last one.
#[derive(Debug)]
pub struct Sampler {
    stat: Reopened,
    meminfo: Reopened,
    net_dev: Reopened,
    statm: Reopened,
    temperature: Option<Reopened>,
    buffer: Vec<u8>,
    page_kb: u64,
    last: Option<(Instant, Duration)>,

    /// This process.
    pub process: ProcessUsage,
    /// All CPUs together, then each.
    pub cpu: CpuUsage,
    /// The machine's memory, where it is known.
    pub memory: Option<Memory>,
    /// Interfaces.
    pub network: NetworkUsage,
    /// Temperature of the CPU in °C, where there is a sensor.
    pub cpu_temp: Option<f64>,
}

impl Sampler {
    /// Looks for the files that samples are taken from, and takes no sample.
    pub fn new(host: &Host) -> Self {
        let file = |path: &str| Reopened::new(host.path(path));
        // statm counts in pages
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
        Self {
            stat: file("/proc/stat"),
            meminfo: file("/proc/meminfo"),
            net_dev: file("/proc/net/dev"),
            statm: file("/proc/self/statm"),
            temperature: sensor(host).map(|path| file(&path)),
            buffer: Vec::new(),
            page_kb: page.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096) / 1024,
            last: None,
            process: ProcessUsage::default(),
            cpu: CpuUsage::default(),
            memory: None,
            network: NetworkUsage::default(),
            cpu_temp: None,
        }
    }

    /// Takes a sample. Usage and bandwidth are counted from the sample before; in the first one they are 0.
    pub fn sample(&mut self) {
        let now = Instant::now();
        let cpu_time = clock(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        let elapsed = self.last.map(|(then, _)| now.duration_since(then));
        let used = self.last.map(|(_, then)| cpu_time.saturating_sub(then));
        self.last = Some((now, cpu_time));

        self.process.time = since_1970();
        self.process.cpu_usage = match (used, elapsed) {
            (Some(used), Some(elapsed)) if !elapsed.is_zero() => {
                round2(used.as_secs_f64() / elapsed.as_secs_f64() * 100.0)
            }
            _ => 0.0,
        };
        self.process.memory =
            (self.statm.read(&mut self.buffer)).and_then(resident_pages).map(|n| n * self.page_kb);
        self.process.mem_units = self.process.memory.map(|_| "kB");

        match self.stat.read(&mut self.buffer) {
            Some(text) => self.cpu.update(text),
            None => self.cpu.clear(),
        }
        self.memory = self.meminfo.read(&mut self.buffer).and_then(Memory::parse);
        match self.net_dev.read(&mut self.buffer) {
            Some(text) => self.network.update(text, elapsed),
            None => self.network.clear(),
        }
        self.cpu_temp = self.read_temperature();
    }

    /// The temperature now.
    pub fn read_temperature(&mut self) -> Option<f64> {
        let text = self.temperature.as_mut()?.read(&mut self.buffer)?;
        std::str::from_utf8(text).ok()?.trim().parse().ok().map(degrees)
    }
}

/// Seconds since the machine started, sleep included.
pub fn uptime() -> f64 {
    clock(ClockId::CLOCK_BOOTTIME).as_secs_f64()
}

fn clock(id: ClockId) -> Duration {
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}

fn since_1970() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The second number of statm(5).
fn resident_pages(text: &[u8]) -> Option<u64> {
    super::memory::first_number(text.splitn(2, |b| *b == b' ').nth(1)?)
}

/// Two decimals are what clients show.
fn round2(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    #[test]
    fn a_sample_of_this_machine() {
        let mut sampler = Sampler::new(&Host::default());
        sampler.sample();
        assert_eq!(sampler.process.cpu_usage, 0.0);
        sampler.sample();
        assert!(sampler.process.memory.unwrap() > 100);
        assert!(sampler.memory.unwrap().total > 1000);
        assert!(sampler.process.time > 1.6e9);
        assert!(uptime() > 1.0);
        let json = serde_json::to_value(&sampler.network).unwrap();
        assert!(json["lo"]["rx_bytes"].is_u64());
    }

    #[test]
    fn an_empty_machine() {
        let tree = Tree::unpack("");
        let mut sampler = Sampler::new(tree.host());
        sampler.sample();
        sampler.sample();
        assert_eq!((sampler.memory, sampler.cpu_temp, sampler.process.memory), (None, None, None));
        assert_eq!(serde_json::to_string(&sampler.cpu).unwrap(), "{}");
        assert_eq!(serde_json::to_string(&sampler.network).unwrap(), "{}");
    }

    #[test]
    fn files_that_come_and_go() {
        let tree = Tree::unpack(
            "@@ /sys/class/thermal/thermal_zone0/temp\n40000\n@@ /proc/self/statm\n500 100 5 5 0 5 0\n",
        );
        let mut sampler = Sampler::new(tree.host());
        sampler.sample();
        assert_eq!(sampler.cpu_temp, Some(40.0));
        assert_eq!(sampler.process.memory, Some(100 * sampler.page_kb));
        let temp = tree.folder().join("sys/class/thermal/thermal_zone0/temp");
        std::fs::write(&temp, "41500\n").unwrap();
        sampler.sample();
        assert_eq!(sampler.cpu_temp, Some(41.5));
        std::fs::write(&temp, "garbage").unwrap();
        sampler.sample();
        assert_eq!(sampler.cpu_temp, None);
    }
}
