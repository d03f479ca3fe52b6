//! A camera as it lies in the database (spec behaviour.md §11): names of Mainsail's, from before there were
//! endpoints. Members that are not known here are kept.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Camera, ExtraData};
use crate::json;

/// A camera of its record. What is missing or of another type has its default; a camera needs a name.
pub(super) fn read(uid: &str, record: &str) -> Result<Camera, String> {
    let record: Map<String, Value> = serde_json::from_str(record).map_err(|error| error.to_string())?;
    let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
    let flag = |name: &str| record.get(name).and_then(Value::as_bool);
    let number =
        |name: &str| record.get(name).and_then(|value| value.as_i64().or(value.as_f64().map(|n| n as i64)));
    let blank = Camera::blank(uid.to_owned());
    Ok(Camera {
        name: text("name").filter(|name| !name.is_empty()).ok_or("it has no name")?,
        enabled: flag("enabled").unwrap_or(blank.enabled),
        icon: text("icon").unwrap_or(blank.icon),
        aspect_ratio: text("aspectRatio").unwrap_or(blank.aspect_ratio),
        target_fps: number("targetFps").unwrap_or(blank.target_fps),
        target_fps_idle: number("targetFpsIdle").unwrap_or(blank.target_fps_idle),
        location: text("location").unwrap_or(blank.location),
        service: text("service").unwrap_or(blank.service),
        stream_url: text("urlStream").unwrap_or_default(),
        snapshot_url: text("urlSnapshot").unwrap_or_default(),
        flip_horizontal: flag("flipX").unwrap_or_default(),
        flip_vertical: flag("flipY").unwrap_or_default(),
        rotation: number("rotation").or(number("rotate")).unwrap_or_default(),
        extra_data: record.get("extra_data").and_then(Value::as_object).cloned().unwrap_or_default(),
        ..blank
    })
}

/// The record of a camera, in place of the one that there was.
pub(super) fn write(camera: &Camera, known: Option<&RawValue>) -> Box<RawValue> {
    let known: Option<ExtraData> = known.and_then(|known| serde_json::from_str(known.get()).ok());
    let mut record = known.unwrap_or_default();
    record.remove("rotate");
    let mut set = |name: &str, value: Value| drop(record.insert(name.to_owned(), value));
    set("name", camera.name.as_str().into());
    set("enabled", camera.enabled.into());
    set("icon", camera.icon.as_str().into());
    set("aspectRatio", camera.aspect_ratio.as_str().into());
    set("targetFps", camera.target_fps.into());
    set("targetFpsIdle", camera.target_fps_idle.into());
    set("location", camera.location.as_str().into());
    set("service", camera.service.as_str().into());
    set("urlStream", camera.stream_url.as_str().into());
    set("urlSnapshot", camera.snapshot_url.as_str().into());
    set("flipX", camera.flip_horizontal.into());
    set("flipY", camera.flip_vertical.into());
    set("rotation", camera.rotation.into());
    set("extra_data", Value::Object(camera.extra_data.clone()));
    json::to_raw(&record)
}
