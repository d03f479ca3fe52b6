//! Slicers that need no more than a table: IceSL, Kiri:Moto, FlashPrint, MatterSlice, FullControl; and files of which
//! it is only known what made them, or not even that.

use super::cura::GRIFFIN;
use super::{Family, Identity, Watch};
use crate::gcode::commands;
use crate::gcode::field::{Field, Value};
use crate::gcode::rules::At::{FootFirst, Head, HeadFirst};
use crate::gcode::rules::{Rule, Sink, Take, Window, read, rule};

static ICESL: Family = Family::plain(ICESL_TABLE, &[]);
static KIRI_MOTO: Family =
    Family { table: KIRI_MOTO_TABLE, more: &[], watch: kiri_moto_layer, finish: |_, _| {} };
static FLASHPRINT: Family =
    Family { table: FLASHPRINT_TABLE, more: &[], watch: flashprint_size, finish: |_, _| {} };
static MATTERSLICE: Family = Family::plain(MATTERSLICE_TABLE, &[]);
/// Files that no slicer claims, and those of slicers that are known by their claim only.
pub(super) static UNKNOWN: Family = Family::plain(COMMON_KEYS, GRIFFIN);

const ICESL_TABLE: &[Rule] = &[
    rule("layer_count", Field::LayerCount, HeadFirst, read::integer),
    rule("print_height_mm", Field::ObjectHeight, HeadFirst, read::length),
    rule("estimated_print_time_s", Field::EstimatedTime, HeadFirst, read::number),
    rule("nozzle_diameter_mm_0", Field::NozzleDiameter, HeadFirst, read::length),
    rule("z_layer_height_mm", Field::LayerHeight, HeadFirst, read::length),
    rule("z_layer_height_first_layer_mm", Field::FirstLayerHeight, HeadFirst, read::length),
    rule("extruder_temp_degree_c_0", Field::FirstLayerExtrTemp, HeadFirst, read::number),
    rule("bed_temp_degree_c", Field::FirstLayerBedTemp, HeadFirst, read::number),
    rule("chamber_temp_degree_c", Field::ChamberTemp, HeadFirst, read::number),
    rule("filament_name", Field::FilamentName, HeadFirst, read::text),
    rule("filament_type", Field::FilamentType, HeadFirst, read::text),
    rule("filament_used_mm", Field::FilamentTotal, HeadFirst, read::number),
    rule("filament_used_g", Field::FilamentWeightTotal, HeadFirst, read::number),
    rule("printer", Field::PrinterModel, HeadFirst, read::text),
];

/// A temperature of 0 for the first layer says that it is that of the others.
const KIRI_MOTO_TABLE: &[Rule] = &[
    rule("--- print time", Field::EstimatedTime, FootFirst, read::integer),
    rule("sliceHeight", Field::LayerHeight, Head, read::length),
    rule("firstSliceHeight", Field::FirstLayerHeight, Head, read::positive),
    rule("firstLayerNozzleTemp", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("outputTemp", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("firstLayerBedTemp", Field::FirstLayerBedTemp, Head, read::positive),
    rule("outputBedTemp", Field::FirstLayerBedTemp, Head, read::positive),
    rule("--- filament used", Field::FilamentTotal, FootFirst, read::lengths),
    rule("Target", Field::PrinterModel, Head, read::text),
];

const FLASHPRINT_TABLE: &[Rule] = &[
    rule("layer_count", Field::LayerCount, HeadFirst, read::integer),
    rule("layer_height", Field::LayerHeight, Head, read::length),
    rule("right_extruder_temperature_raft%", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("right_extruder_temperature", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("left_extruder_temperature", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("platform_temperature", Field::FirstLayerBedTemp, Head, read::number),
    rule("right_extruder_material", Field::FilamentType, Head, read::text),
    rule("left_extruder_material", Field::FilamentType, Head, read::text),
    rule("machine_type", Field::PrinterModel, Head, read::text),
];

const MATTERSLICE_TABLE: &[Rule] = &[
    rule("Layer count", Field::LayerCount, HeadFirst, read::integer),
    rule("total print time (s)", Field::EstimatedTime, FootFirst, read::number),
    rule("layerThickness", Field::LayerHeight, HeadFirst, read::length),
    rule("firstLayerThickness", Field::FirstLayerHeight, HeadFirst, read::length),
    rule("filament used", Field::FilamentTotal, FootFirst, read::number),
    rule("nozzleDiameter", Field::NozzleDiameter, FootFirst, read::length),
];

/// Keys that many slicers use and that mean the same in all of them.
const COMMON_KEYS: &[Rule] = &[
    rule("LAYER_COUNT", Field::LayerCount, HeadFirst, read::integer),
    rule("layer_count", Field::LayerCount, HeadFirst, read::integer),
    rule("Layer count", Field::LayerCount, HeadFirst, read::integer),
    rule("total layers count", Field::LayerCount, FootFirst, read::integer),
    rule("total layer number", Field::LayerCount, HeadFirst, read::integer),
    rule("MAXZ", Field::ObjectHeight, HeadFirst, read::height),
    rule("max_z_height", Field::ObjectHeight, HeadFirst, read::height),
    rule("TIME", Field::EstimatedTime, Head, read::number).take(Take::Max),
    rule("estimated printing time*", Field::EstimatedTime, FootFirst, read::duration),
    rule("Print time", Field::EstimatedTime, FootFirst, read::seconds),
    rule("Print Time", Field::EstimatedTime, FootFirst, read::seconds),
    rule("nozzle_diameter", Field::NozzleDiameter, FootFirst, read::length),
    rule("Nozzle diameter", Field::NozzleDiameter, FootFirst, read::length),
    rule("layer_height", Field::LayerHeight, FootFirst, read::length),
    rule("Layer height", Field::LayerHeight, HeadFirst, read::length),
    rule("first_layer_height", Field::FirstLayerHeight, FootFirst, read::length),
    rule("filament_type", Field::FilamentType, FootFirst, read::names),
    rule("filament used [mm]", Field::FilamentTotal, FootFirst, read::sum),
    rule("Filament used", Field::FilamentTotal, HeadFirst, read::lengths),
    rule("total filament used [g]", Field::FilamentWeightTotal, FootFirst, read::number),
    rule("printer_model", Field::PrinterModel, FootFirst, read::text),
];

/// A signature: how the comment begins, the name, and the family. What follows is the version.
type Signature = (&'static [u8], &'static [u8], &'static Family);

const SIGNATURES: [Signature; 6] = [
    (b"<IceSL ", b"IceSL", &ICESL),
    (b"Generated by Kiri:Moto (SimplyPrint) ", b"SimplyPrint", &KIRI_MOTO),
    (b"Generated by Kiri:Moto ", b"Kiri:Moto", &KIRI_MOTO),
    (b"generated by ffslicer ", b"FlashPrint", &FLASHPRINT),
    (b"Generated with MatterSlice ", b"MatterSlice", &MATTERSLICE),
    (b"GCode created with FullControl", b"FullControl", &UNKNOWN),
];

pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    let (name, family, rest) = SIGNATURES
        .iter()
        .find_map(|(begin, name, family)| Some((*name, *family, comment.strip_prefix(*begin)?)))?;
    let word = rest.split(|byte| matches!(byte, b' ' | b'>')).next().unwrap_or_default();
    let version = match name {
        // development versions have a date
        b"IceSL" if !word.first().is_some_and(u8::is_ascii_digit) => Some(&b"-"[..]),
        b"FullControl" => None,
        _ => Some(word),
    };
    Some((Identity::new(name, version), family))
}

/// How a file says in plain words what made it. What follows is its name and, if the last word has a digit, a version.
const CLAIMS: [&[u8]; 9] = [
    b"generated by ",
    b"generated with ",
    b"gcode generated by ",
    b"g-code generated by ",
    b"sliced by ",
    b"sliced with ",
    b"created by ",
    b"created with ",
    b"generator.name:",
];

/// The claim of a comment to say what made the file.
pub(super) fn claim(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    let lower = comment.to_ascii_lowercase();
    let begin = CLAIMS.iter().find(|begin| lower.starts_with(begin))?;
    let rest = comment[begin.len()..].trim_ascii();
    let end = [&b" on "[..], b" at ", b", ", b"; ", b" (", b" - "]
        .iter()
        .filter_map(|end| memchr::memmem::find(rest, end))
        .min()
        .unwrap_or(rest.len());
    let signature = rest[..end].trim_ascii();
    if signature.is_empty() {
        return None;
    }
    let space = signature.iter().rposition(|byte| *byte == b' ');
    let (name, version) = match space.map(|space| (&signature[..space], &signature[space + 1..])) {
        Some((name, word)) if word.iter().any(u8::is_ascii_digit) => (name, Some(word)),
        _ => (signature, None),
    };
    Some((Identity::new(name, version), &UNKNOWN))
}

/// `;; --- layer 24 (0.200 @ 5.05) ---`, counted from 0.
fn kiri_moto_layer(_: &mut Watch, line: &[u8], _: Window, sink: &mut Sink) {
    if let Some(Value::Int(count)) = line.strip_prefix(b";; --- layer ").and_then(read::layers_up_to) {
        sink.offer(Field::LayerCount, 0, Take::Last, Value::Int(count));
    }
}

/// `M118 X16.60 Y16.60 Z11.55 T0`: the size of what is printed.
fn flashprint_size(_: &mut Watch, line: &[u8], window: Window, sink: &mut Sink) {
    if window != Window::Foot
        && line.starts_with(b"M118 ")
        && let Some(height) = commands::parameter(line, b'Z').filter(|height| *height > 0.0)
    {
        sink.found(Field::ObjectHeight, Take::First, height);
    }
}
