//! The stored record of a G-code file (spec behaviour.md §5.7, §6.3): JSON text, passed on as it is.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::files::action::Stat;
use crate::files::members::open_without;
use crate::gcode;
use crate::json;

/// What is read of a record without decoding the rest of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Known {
    pub(super) size: u64,
    #[serde(deserialize_with = "exact")]
    pub(super) modified: f64,
    #[serde(default)]
    pub(super) thumbnails: Vec<Picture>,
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    print_start_time: Option<f64>,
    #[serde(default)]
    job_id: Option<String>,
}

/// A picture that a record names.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Picture {
    #[serde(default)]
    pub(super) width: u32,
    #[serde(default)]
    pub(super) height: u32,
    #[serde(default)]
    pub(super) size: u64,
    /// Seen from the directory of the G-code file.
    pub(super) relative_path: String,
}

/// Reads a number to the last bit, which serde_json does not promise: it is compared for equality.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    <&RawValue>::deserialize(deserializer)?.get().parse().map_err(D::Error::custom)
}

impl Known {
    /// Reads a record; none if it is not one.
    pub(super) fn of(record: &str) -> Option<Self> {
        serde_json::from_str(record).ok()
    }

    /// Whether the record is of a file as it is now. Both must be equal exactly (spec behaviour.md §5.7).
    pub(super) fn fits(&self, stat: &Stat) -> bool {
        self.size == stat.size && self.modified == stat.modified
    }

    /// What stays when a file is read anew although it is the same.
    pub(super) fn links(&self) -> Links {
        Links {
            uuid: self.uuid.clone(),
            print_start_time: self.print_start_time,
            job_id: self.job_id.clone(),
        }
    }
}

/// The part of a record that does not come from the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Links {
    uuid: Option<String>,
    print_start_time: Option<f64>,
    job_id: Option<String>,
}

/// Makes the record of a file.
pub(super) fn of_file(stat: &Stat, metadata: &gcode::Metadata, links: Links) -> String {
    #[derive(Serialize)]
    struct Record<'a> {
        size: u64,
        modified: f64,
        uuid: String,
        #[serde(flatten)]
        metadata: &'a gcode::Metadata,
        print_start_time: Option<f64>,
        job_id: Option<String>,
    }
    json::to_text(&Record {
        size: stat.size,
        modified: stat.modified,
        uuid: links.uuid.unwrap_or_else(new_uuid),
        metadata,
        print_start_time: links.print_start_time,
        job_id: links.job_id,
    })
}

/// The record of a file that could not be read.
pub(super) fn of_unreadable(stat: &Stat) -> String {
    #[derive(Serialize)]
    struct Record {
        size: u64,
        modified: f64,
        print_start_time: Option<f64>,
        job_id: Option<String>,
    }
    json::to_text(&Record { size: stat.size, modified: stat.modified, print_start_time: None, job_id: None })
}

/// The record with another print noted in it.
pub(super) fn with_print(record: &str, start: Option<f64>, job_id: Option<&str>) -> String {
    let mut text = open_without(record, &["\"print_start_time\"", "\"job_id\""]);
    text.push_str("\"print_start_time\":");
    text.push_str(&json::to_text(&start));
    text.push_str(",\"job_id\":");
    text.push_str(&json::to_text(&job_id));
    text.push('}');
    text
}

/// The record with the file's path, as clients get it.
pub(super) fn with_filename(record: &str, filename: &str) -> String {
    let mut text = open_without(record, &["\"filename\""]);
    text.push_str("\"filename\":");
    json::push_quoted(&mut text, filename);
    text.push('}');
    text
}

/// A random UUID (RFC 9562 §5.4). Clients use it as a name for what they keep of a file; nothing depends on it
/// being hard to guess.
fn new_uuid() -> String {
    let mut bytes = [0u8; 16];
    if let Err(error) = getrandom::fill(&mut bytes) {
        log::warn!("no random numbers: {error}");
    }
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | 4 << 76;
    number = number & !(0x3 << 62) | 2 << 62;
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: Stat = Stat { modified: 1615077020.2025201, size: 42 };

    #[test]
    fn a_record_has_the_documented_members() {
        let mut metadata = gcode::Metadata::default();
        metadata.set(gcode::Field::Slicer, gcode::Value::Text("Cura".into()));
        let links = Links { uuid: Some("u".into()), ..Links::default() };
        let record = of_file(&STAT, &metadata, links.clone());
        assert_eq!(
            record,
            concat!(
                r#"{"size":42,"modified":1615077020.2025201,"uuid":"u","file_processors":[],"slicer":"Cura","#,
                r#""print_start_time":null,"job_id":null}"#
            )
        );
        let known = Known::of(&record).unwrap();
        assert!(known.fits(&STAT) && !known.fits(&Stat { modified: 1615077021.0, ..STAT }));
        assert_eq!(known.links(), links);
        assert_eq!(
            of_unreadable(&STAT),
            r#"{"size":42,"modified":1615077020.2025201,"print_start_time":null,"job_id":null}"#
        );
        let printed = with_print(&record, Some(5.5), Some("00000A"));
        let known = Known::of(&printed).unwrap();
        assert_eq!((known.print_start_time, known.job_id.as_deref()), (Some(5.5), Some("00000A")));
        assert!(with_print(&printed, None, None).ends_with(r#""print_start_time":null,"job_id":null}"#));
        assert!(with_filename(&record, "a \"b\"").ends_with(r#","job_id":null,"filename":"a \"b\""}"#));
    }

    proptest::proptest! {
        #[test]
        fn times_are_kept_to_the_last_bit(seconds in -1e9..1e12f64, size: u64) {
            let stat = Stat { modified: seconds, size };
            let known = Known::of(&of_unreadable(&stat)).unwrap();
            proptest::prop_assert!(known.fits(&stat));
        }
    }

    #[test]
    fn uuids_are_of_the_random_kind() {
        let (one, two) = (new_uuid(), new_uuid());
        assert_ne!(one, two);
        assert_eq!(one.len(), 36);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(matches!(one.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
