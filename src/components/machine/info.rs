//! `machine.system_info`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::Reply;
use crate::host::services::{Kind, States};
use crate::host::{
    CanInterface, CpuInfo, Distribution, Host, Interface, SdCard, Virtualization, addresses, bit_timing,
    can_interfaces, interfaces,
};

/// What files and the kernel tell. Read anew for every call: that takes a millisecond, memory for a copy would be
/// taken all the time.
#[derive(Serialize)]
pub(super) struct Facts {
    cpu_info: CpuInfo,
    sd_info: MaybeCard,
    distribution: Distribution,
    virtualization: Virtualization,
    network: BTreeMap<String, Interface>,
    canbus: BTreeMap<String, CanInterface>,
}

/// An empty object without a card.
#[derive(Serialize)]
struct MaybeCard {
    #[serde(flatten)]
    card: Option<SdCard>,
}

impl Facts {
    /// Reads them; this blocks.
    pub(super) fn of(host: &Host) -> Self {
        let addresses = addresses().unwrap_or_else(|error| {
            log::warn!("addresses of this machine cannot be had: {error}");
            Vec::new()
        });
        Self {
            cpu_info: CpuInfo::of(host),
            sd_info: MaybeCard { card: SdCard::of(host) },
            distribution: Distribution::of(host),
            virtualization: Virtualization::of(host),
            network: interfaces(host, &addresses),
            canbus: can_interfaces(host, bit_timing),
        }
    }
}

/// The machine in a line for the log.
pub(super) fn summary(host: &Host) -> String {
    let Facts { cpu_info: cpu, distribution, virtualization, .. } = Facts::of(host);
    let board = [cpu.model, cpu.hardware_desc, cpu.cpu_desc].into_iter().find(|name| !name.is_empty());
    format!(
        "{}, {}, {} kB of memory, {}, kernel {}, virtualization: {}",
        board.unwrap_or_else(|| "unknown board".into()),
        cpu.processor,
        cpu.total_memory.unwrap_or(0),
        distribution.name,
        distribution.kernel_version,
        virtualization.identifier,
    )
}

/// Clients show this server's Python, and some compare its version. There is none: the version is 0, which nobody
/// takes for one that is too new, and the text says what runs instead.
#[derive(Serialize)]
struct Python {
    version: (u8, u8, u8, &'static str, u8),
    version_string: &'static str,
}

const PYTHON: Python = Python {
    version: (0, 0, 0, "final", 0),
    version_string: concat!("0.0.0 (not Python: Perigee ", env!("CARGO_PKG_VERSION"), ", Rust)"),
};

#[derive(Serialize)]
struct InstanceIds<'a> {
    moonraker: &'a str,
    klipper: &'a str,
}

#[derive(Serialize)]
struct SystemInfo<'a> {
    python: Python,
    #[serde(flatten)]
    facts: &'a Facts,
    provider: &'static str,
    available_services: Vec<&'a str>,
    service_state: &'a States,
    instance_ids: InstanceIds<'a>,
}

/// The reply: facts with what is known of services (spec api.md §5).
pub(super) fn report(facts: &Facts, provider: Kind, states: &States, own: &str, klipper: &str) -> Reply {
    #[derive(Serialize)]
    struct Report<'a> {
        system_info: SystemInfo<'a>,
    }
    Reply::of(&Report {
        system_info: SystemInfo {
            python: PYTHON,
            facts,
            provider: provider.name(),
            available_services: states.keys().map(String::as_str).collect(),
            service_state: states,
            instance_ids: InstanceIds { moonraker: own, klipper },
        },
    })
}
