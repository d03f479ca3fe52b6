//! What is plugged in: USB, serial ports, cameras, CAN nodes. Looked for anew in every call.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Machine;
use crate::api::{Call, Endpoint, Error, NoParams, Reply, Result};
use crate::host::video::libcamera;
#[cfg(feature = "can")]
use crate::host::{CanUuid, can_uuids};
use crate::host::{
    SerialDevice, UsbDevice, VideoDevice, serial_devices, usb_devices, usb_ids_files, video_devices,
};
use crate::tasks::unblock;

#[derive(Serialize)]
struct Usb {
    usb_devices: Vec<UsbDevice>,
}

#[derive(Serialize)]
struct Serial {
    serial_devices: Vec<SerialDevice>,
}

#[derive(Serialize)]
struct Video {
    v4l2_devices: Vec<VideoDevice>,
    libcamera_devices: Vec<libcamera::LibcameraDevice>,
}

#[derive(Debug, Deserialize)]
struct CanParams {
    #[serde(default = "first_bus")]
    interface: String,
}

fn first_bus() -> String {
    "can0".to_owned()
}

impl Machine {
    pub(super) fn peripheral_endpoints(self: &Arc<Self>) -> [Endpoint; 4] {
        [
            Endpoint::get("machine.peripherals.usb", "/machine/peripherals/usb")
                .read_only()
                .to(self, Self::usb),
            Endpoint::get("machine.peripherals.serial", "/machine/peripherals/serial")
                .read_only()
                .to(self, Self::serial),
            Endpoint::get("machine.peripherals.video", "/machine/peripherals/video")
                .read_only()
                .to(self, Self::video),
            Endpoint::get("machine.peripherals.canbus", "/machine/peripherals/canbus")
                .operator()
                .to(self, Self::canbus),
        ]
    }

    async fn usb(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let _turn = self.peripherals_turn.lock().await;
        let (host, data_path) = (self.parts.host.clone(), self.parts.data_path.clone());
        let find = move || usb_devices(&host, &usb_ids_files(&host, Some(&data_path)));
        Ok(Reply::of(&Usb { usb_devices: unblock(find).await }))
    }

    async fn serial(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let _turn = self.peripherals_turn.lock().await;
        let host = self.parts.host.clone();
        Ok(Reply::of(&Serial { serial_devices: unblock(move || serial_devices(&host)).await }))
    }

    async fn video(self: Arc<Self>, _: Call<NoParams>) -> Result<Reply> {
        let _turn = self.peripherals_turn.lock().await;
        let host = self.parts.host.clone();
        let v4l2_devices = unblock(move || video_devices(&host)).await;
        let libcamera_devices = libcamera::devices(&self.parts.host).await;
        Ok(Reply::of(&Video { v4l2_devices, libcamera_devices }))
    }

    #[cfg(feature = "can")]
    async fn canbus(self: Arc<Self>, call: Call<CanParams>) -> Result<Reply> {
        #[derive(Serialize)]
        struct Canbus {
            can_uuids: Vec<CanUuid>,
        }
        let _turn = self.peripherals_turn.lock().await;
        let interface = call.params.interface;
        let found = can_uuids(&interface).await;
        let failed =
            |error| Error::internal(format!("The CAN interface '{interface}' cannot be queried: {error}"));
        Ok(Reply::of(&Canbus { can_uuids: found.map_err(failed)? }))
    }

    #[cfg(not(feature = "can"))]
    async fn canbus(self: Arc<Self>, call: Call<CanParams>) -> Result<Reply> {
        let text =
            format!("The CAN interface '{}' cannot be queried: this build has no CAN", call.params.interface);
        Err(Error::unavailable(text))
    }
}
