//! What the processor is: `/proc/cpuinfo`, the device tree and the list of CPUs that are on.

use serde::Serialize;

use super::Host;
use super::files::parse_hex;
use super::memory::Memory;

/// The processor and board (`cpu_info` of spec api.md §5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CpuInfo {
    /// CPUs that are on.
    pub cpu_count: Option<u32>,
    /// Width of this program: `32bit` or `64bit`.
    pub bits: &'static str,
    /// The kernel's name of the instruction set: `aarch64`, `armv7l`, `x86_64`.
    pub processor: String,
    /// Model name of the CPU; where the kernel gives none (arm64), that of its core.
    pub cpu_desc: String,
    /// Serial number of the board without leading zeros.
    pub serial_number: String,
    /// The SoC: `BCM2835`. Kernels that no longer tell it in cpuinfo have it in the device tree.
    pub hardware_desc: String,
    /// The board: `Raspberry Pi 4 Model B Rev 1.4`.
    pub model: String,
    /// Memory of the machine in `memory_units`.
    pub total_memory: Option<u64>,
    /// `kB`, or empty where the memory is not known.
    pub memory_units: &'static str,
}

impl CpuInfo {
    /// Reads what the machine tells of its processor.
    pub fn of(host: &Host) -> Self {
        let text = host.text("/proc/cpuinfo").unwrap_or_default();
        let fields = Fields::parse(&text);
        let memory = Memory::of(host);
        let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let serial = match fields.serial {
            Some(serial) => serial.to_owned(),
            None => host.line("/proc/device-tree/serial-number").unwrap_or_default(),
        };
        Self {
            cpu_count: online(host).or((fields.count > 0).then_some(fields.count)),
            bits: if cfg!(target_pointer_width = "64") { "64bit" } else { "32bit" },
            processor: host.line("/proc/sys/kernel/arch").unwrap_or_else(machine),
            cpu_desc: owned(fields.model_name.or_else(|| fields.core())),
            serial_number: serial.trim_start_matches('0').to_owned(),
            hardware_desc: fields.hardware.map(str::to_owned).or_else(|| soc(host)).unwrap_or_default(),
            model: fields
                .model
                .map_or_else(|| host.line("/proc/device-tree/model").unwrap_or_default(), str::to_owned),
            total_memory: memory.map(|m| m.total),
            memory_units: if memory.is_some() { "kB" } else { "" },
        }
    }
}

/// What ARM kernels say of every board that the device tree describes.
const NO_HARDWARE: &str = "Generic DT based system";

/// What is taken from `/proc/cpuinfo`. A value of the last paragraphs wins: on ARM they describe the board.
#[derive(Default)]
struct Fields<'a> {
    count: u32,
    model_name: Option<&'a str>,
    hardware: Option<&'a str>,
    serial: Option<&'a str>,
    model: Option<&'a str>,
    implementer: Option<u64>,
    part: Option<u64>,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Self {
        let mut fields = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            if value.is_empty() {
                continue;
            }
            match key.trim() {
                // `Processor` is the model name of ARM kernels before 3.8
                "processor" => fields.count += 1,
                "model name" | "Processor" => {
                    fields.model_name.get_or_insert(value);
                }
                "Hardware" if value != NO_HARDWARE => fields.hardware = Some(value),
                "Serial" => fields.serial = Some(value),
                "Model" => fields.model = Some(value),
                "CPU implementer" => fields.implementer = parse_hex(value),
                "CPU part" => fields.part = parse_hex(value),
                _ => {}
            }
        }
        fields
    }

    /// The core's name: an arm64 kernel tells only its numbers (Arm's Main ID Register).
    fn core(&self) -> Option<&'static str> {
        const ARM: u64 = 0x41;
        if self.implementer != Some(ARM) {
            return None;
        }
        Some(match self.part? {
            0xb76 => "ARM1176",
            0xc05 => "Cortex-A5",
            0xc07 => "Cortex-A7",
            0xc08 => "Cortex-A8",
            0xc09 => "Cortex-A9",
            0xc0d => "Cortex-A17",
            0xc0f => "Cortex-A15",
            0xd03 => "Cortex-A53",
            0xd04 => "Cortex-A35",
            0xd05 => "Cortex-A55",
            0xd07 => "Cortex-A57",
            0xd08 => "Cortex-A72",
            0xd09 => "Cortex-A73",
            0xd0a => "Cortex-A75",
            0xd0b => "Cortex-A76",
            _ => return None,
        })
    }
}

/// The name of the instruction set, where the kernel (before 6.1) has no file with it.
fn machine() -> String {
    nix::sys::utsname::uname().map(|name| name.machine().to_string_lossy().into_owned()).unwrap_or_default()
}

/// How many CPUs are on: a list such as `0-3,5`.
fn online(host: &Host) -> Option<u32> {
    count_list(&host.line("/sys/devices/system/cpu/online")?)
}

fn count_list(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u16>().ok()?, last.trim().parse::<u16>().ok()?);
        count += u32::from(last.checked_sub(first)?) + 1;
    }
    Some(count)
}

/// The SoC by the last entry of the root node's `compatible`, which by custom names it: `brcm,bcm2712` is shown
/// as `BCM2712`.
fn soc(host: &Host) -> Option<String> {
    let compatible = host.text("/proc/device-tree/compatible")?;
    let last = compatible.split('\0').rfind(|entry| !entry.is_empty())?;
    let name = last.split_once(',').map_or(last, |(_, name)| name);
    Some(name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(count_list("0"), Some(1));
        assert_eq!(count_list("0-3"), Some(4));
        assert_eq!(count_list("0-3,5,7-8"), Some(7));
        assert_eq!(count_list("3-1"), None);
        assert_eq!(count_list(""), None);
        assert_eq!(count_list("0-"), None);
    }

    #[test]
    fn an_empty_machine_has_no_facts() {
        let info = CpuInfo::of(&Host::at("/nonexistent"));
        assert_eq!((info.cpu_count, info.total_memory, info.memory_units), (None, None, ""));
        assert_eq!((info.cpu_desc.as_str(), info.model.as_str()), ("", ""));
        assert!(!info.processor.is_empty());
    }

    proptest! {
        #[test]
        fn any_text(text: String) {
            let _ = Fields::parse(&text).core();
            let _ = count_list(&text);
        }
    }
}
