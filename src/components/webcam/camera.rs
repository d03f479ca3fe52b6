//! One camera and its fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha1::{Digest, Sha1};

use crate::api::{Error, Result};

/// Where a camera was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In the configuration: clients cannot change it.
    Config,
    /// By a client.
    Database,
}

/// What front-ends keep with a camera for themselves.
pub(super) type ExtraData = Map<String, Value>;

/// A camera as clients see it (spec api.md §10, "Webcam").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Camera {
    /// What people call it.
    pub name: String,
    /// Whether front-ends show it.
    pub enabled: bool,
    /// Name of a symbol of the Material Design Icons.
    pub icon: String,
    /// Width and height: digits, colon, digits.
    pub aspect_ratio: String,
    /// Pictures a second.
    pub target_fps: i64,
    /// The same while nobody looks.
    pub target_fps_idle: i64,
    /// Where it hangs.
    pub location: String,
    /// How its stream is to be shown.
    pub service: String,
    /// Where the stream is; may be a path on the printer's web server.
    pub stream_url: String,
    /// Where single pictures are; the same.
    pub snapshot_url: String,
    /// Whether left and right are to be exchanged.
    pub flip_horizontal: bool,
    /// Whether top and bottom are to be exchanged.
    pub flip_vertical: bool,
    /// By how many degrees it is to be turned: 0, 90, 180 or 270.
    pub rotation: i64,
    /// Where it was set up.
    pub source: Source,
    /// What front-ends keep with it.
    pub extra_data: Map<String, Value>,
    /// Its id, which stays when it is renamed.
    pub uid: String,
}

/// Which camera a client means, and the fields that it may set.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Changes {
    pub(super) uid: Option<String>,
    pub(super) name: Option<String>,
    enabled: Option<bool>,
    icon: Option<String>,
    aspect_ratio: Option<String>,
    target_fps: Option<i64>,
    target_fps_idle: Option<i64>,
    location: Option<String>,
    service: Option<String>,
    stream_url: Option<String>,
    snapshot_url: Option<String>,
    flip_horizontal: Option<bool>,
    flip_vertical: Option<bool>,
    rotation: Option<i64>,
    extra_data: Option<ExtraData>,
}

/// Whether a picture can be turned by this many degrees.
pub fn is_rotation(degrees: i64) -> bool {
    matches!(degrees, 0 | 90 | 180 | 270)
}

/// Whether a text is an aspect ratio: digits, colon, digits.
pub fn is_aspect_ratio(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once(':').is_some_and(|(width, height)| digits(width) && digits(height))
}

impl Camera {
    /// A camera with nothing but the defaults (spec config.md §3 `[webcam <name>]`).
    pub fn blank(uid: String) -> Self {
        Self {
            name: String::new(),
            enabled: true,
            icon: "mdiWebcam".into(),
            aspect_ratio: "4:3".into(),
            target_fps: 15,
            target_fps_idle: 5,
            location: "printer".into(),
            service: "mjpegstreamer".into(),
            stream_url: String::new(),
            snapshot_url: String::new(),
            flip_horizontal: false,
            flip_vertical: false,
            rotation: 0,
            source: Source::Database,
            extra_data: Map::new(),
            uid,
        }
    }

    /// Gives a camera of the configuration its id: a UUID of its name within this server's.
    pub(super) fn identified(mut self, instance: u128) -> Self {
        self.uid = named_uid(instance, &format!("moonraker.webcam.{}", self.name));
        self
    }

    /// # Errors
    /// 400 for a camera of the configuration.
    pub(super) fn refuse_configured(&self, what: &str) -> Result<()> {
        match self.source {
            Source::Database => Ok(()),
            Source::Config => Err(Error::bad_request(format!(
                "Cannot {what} webcam '{}' sourced from Moonraker configuration",
                self.name
            ))),
        }
    }

    /// The camera with these fields changed.
    ///
    /// # Errors
    /// 400 for a rotation or aspect ratio that cannot be; for a new camera without a name or stream.
    pub(super) fn with(mut self, changes: Changes, new: bool) -> Result<Self> {
        let missing = |name: &str| Error::bad_request(format!("No data for argument: {name}"));
        if changes.rotation.is_some_and(|degrees| !is_rotation(degrees)) {
            return Err(Error::bad_request("Invalid value for parameter 'rotation'"));
        }
        if changes.aspect_ratio.as_deref().is_some_and(|ratio| !is_aspect_ratio(ratio)) {
            return Err(Error::bad_request("Invalid value for parameter 'aspect_ratio'"));
        }
        if changes.name.as_deref() == Some("") || (new && changes.name.is_none()) {
            return Err(missing("name"));
        }
        if new && changes.stream_url.is_none() {
            return Err(missing("stream_url"));
        }
        macro_rules! take {
            ($($field:ident)*) => {$(
                if let Some(value) = changes.$field {
                    self.$field = value;
                }
            )*};
        }
        take!(name enabled icon aspect_ratio target_fps target_fps_idle location service stream_url snapshot_url);
        take!(flip_horizontal flip_vertical rotation extra_data);
        Ok(self)
    }
}

/// A random UUID (RFC 9562 §5.4).
pub(super) fn random_uid() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal("There is no source of random numbers").caused_by(error))?;
    Ok(uuid(bytes, 4))
}

/// The UUID of a name within a namespace (RFC 9562 §5.5).
fn named_uid(namespace: u128, name: &str) -> String {
    let digest = Sha1::new().chain_update(namespace.to_be_bytes()).chain_update(name).finalize();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(byte, found)| *byte = found);
    uuid(bytes, 5)
}

fn uuid(mut bytes: [u8; 16], version: u8) -> String {
    bytes[6] = bytes[6] & 0x0F | version << 4;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let digits = format!("{:032x}", u128::from_be_bytes(bytes));
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_camera_keeps_its_id() {
        let mut camera = Camera::blank(String::new());
        camera.name = "config cam".into();
        // the id that Moonraker gave it
        let instance = 0x2fbd_de0e_a8ee_4a32_8209_b487_bdef_7a7f;
        assert_eq!(camera.identified(instance).uid, "24f0d936-33ed-56e4-8424-f37aec1fc043");
    }

    #[test]
    fn random_ids_are_version_4() {
        let (a, b) = (random_uid().unwrap(), random_uid().unwrap());
        assert_ne!(a, b);
        assert!(a.len() == 36 && &a[14..15] == "4" && matches!(&a[19..20], "8" | "9" | "a" | "b"));
    }

    #[test]
    fn aspect_ratios_are_two_numbers() {
        assert!(is_aspect_ratio("16:9") && is_aspect_ratio("1:1"));
        for text in ["", ":", "16", "16:", ":9", "16:9:1", "a:b", "1.5:1", "16 : 9"] {
            assert!(!is_aspect_ratio(text), "{text}");
        }
    }
}
