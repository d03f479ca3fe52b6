//! KISSlicer 1 and 2 (spec behaviour.md §6.4).

use super::{Family, Identity, Watch};
use crate::gcode::field::{Field, Value};
use crate::gcode::rules::At::{Foot, FootFirst, Head};
use crate::gcode::rules::{Rule, Sink, Take, Window, read, rule};
use crate::gcode::text;

static KISSLICER: Family = Family { table: TABLE, more: &[], watch, finish: |_, _| {} };

const TABLE: &[Rule] = &[
    rule("END_LAYER_OBJECT z", Field::ObjectHeight, FootFirst, read::length).take(Take::Max),
    rule("Calculated*", Field::EstimatedTime, FootFirst, minutes),
    rule("Estimated Build Time", Field::EstimatedTime, FootFirst, minutes),
    rule("max_layer_thickness_mm", Field::LayerHeight, Head, read::positive),
    rule("layer_thickness_mm", Field::LayerHeight, Head, read::positive),
    rule("first_layer_thickness_mm", Field::FirstLayerHeight, Head, read::positive),
    rule("nozzle_dia_1", Field::NozzleDiameter, Head, read::positive),
    rule("first_layer_C", Field::FirstLayerExtrTemp, Head, read::number),
    rule("bed_C", Field::FirstLayerBedTemp, Head, read::number),
    rule("chamber_C", Field::ChamberTemp, Head, read::number),
    rule("Ext *", Field::FilamentTotal, Foot, read::lengths).take(Take::Sum),
    rule("material_name", Field::FilamentName, Head, read::text),
    rule("printer_name", Field::PrinterModel, Head, read::text),
];

pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    comment.starts_with(b"KISSlicer").then(|| (Identity::new(b"KISSlicer", None), &KISSLICER))
}

/// `10.16 minutes` as seconds.
fn minutes(value: &[u8]) -> Option<Value> {
    let (minutes, unit) = text::leading_number(value)?;
    unit.trim_ascii().starts_with(b"minute").then(|| Value::Float(text::rounded(minutes * 60.0)))
}

/// The version is a line of its own, in several words.
fn watch(_: &mut Watch, line: &[u8], _: Window, sink: &mut Sink) {
    if let Some(version) = line.strip_prefix(b"; version ") {
        let words: Vec<String> = text::text(version).split_whitespace().map(str::to_owned).collect();
        sink.offer(Field::SlicerVersion, 0, Take::First, Value::Text(words.join("-")));
    }
}
