//! The Linux machine: proc, sysfs, network, USB, V4L2, CAN, services. Knows no API.
//!
//! Everything starts at a [`Host`], which knows the root folder under which `/proc`, `/sys`, `/dev` and `/etc`
//! are looked for. The real machine has `/`; tests and other root file systems have their own.
//!
//! What the kernel shows differs from board to board and can vanish between two reads, so readers here do not
//! fail: a fact that cannot be had is `None`, an empty text or missing from its list. All of them read files and
//! may block: call them through the blocking pool.

#[cfg(feature = "can")]
mod can_query;
mod cpu;
#[cfg(feature = "dbus")]
pub(crate) mod dbus;
mod devices;
mod distribution;
mod files;
pub mod installation;
mod memory;
mod network;
pub mod power;
pub mod process;
mod sd_card;
mod serial;
pub mod service_manager;
pub mod services;
mod stats;
pub mod sudo;
mod temperature;
mod throttled;
mod unit;
mod usb;
mod user;
pub mod video;
mod virtualization;

#[cfg(test)]
mod boards;
#[cfg(test)]
mod fixture;

#[cfg(feature = "can")]
pub use can_query::{CanUuid, can_uuids};
pub use cpu::CpuInfo;
pub use distribution::{Distribution, VersionParts};
pub use files::Host;
pub use memory::Memory;
pub use network::{
    Address, BitTiming, CanInterface, Interface, addresses, bit_timing, can_interfaces, interfaces,
};
pub use sd_card::SdCard;
pub use serial::{SerialDevice, SerialType, serial_devices};
pub use stats::{CpuUsage, NetworkUsage, ProcessUsage, Sampler, uptime};
pub use throttled::{Throttled, ThrottledState};
pub use unit::unit_of_process;
pub use usb::{UsbDevice, usb_devices, usb_ids_files};
pub use user::user_name;
pub use video::{VideoDevice, video_devices};
pub use virtualization::{VirtType, Virtualization};
