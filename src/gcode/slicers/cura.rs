//! Cura: the present one, its Griffin flavour for Ultimaker 3 and later, the legacy one (12 to 15), and Creality Print
//! up to 4, whose CXEngine is a CuraEngine (spec behaviour.md §6.4; later Creality Print is a fork of OrcaSlicer).

use memchr::memmem;

use super::{Family, Identity};
use crate::gcode::field::{Field, Value};
use crate::gcode::rules::At::{FootFirst, Head, HeadFirst};
use crate::gcode::rules::{Rule, Take, read, rule};
use crate::gcode::text;

static CURA: Family = Family::plain(TABLE, GRIFFIN);
static CREALITY: Family = Family::plain(CREALITY_TABLE, TABLE);

const TABLE: &[Rule] = &[
    rule("LAYER_COUNT", Field::LayerCount, HeadFirst, read::integer),
    rule("Layer count", Field::LayerCount, HeadFirst, read::integer),
    rule("MAXZ", Field::ObjectHeight, Head, read::height),
    rule("TIME", Field::EstimatedTime, Head, read::number).take(Take::Max),
    rule("Print time", Field::EstimatedTime, Head, read::seconds),
    rule("Nozzle diameter", Field::NozzleDiameter, Head, read::length),
    rule("NOZZLE_DIAMETER", Field::NozzleDiameter, Head, read::length),
    rule("Layer height", Field::LayerHeight, Head, read::length),
    rule("Basic settings", Field::LayerHeight, Head, layer_height_of_basic_settings),
    rule("MINZ", Field::FirstLayerHeight, Head, read::height),
    rule("Filament name", Field::FilamentName, Head, read::text),
    rule("Filament type", Field::FilamentType, Head, read::text),
    rule("Filament used", Field::FilamentTotal, Head, read::lengths),
    rule("Filament weight", Field::FilamentWeights, Head, read::numbers),
    rule("Filament weight", Field::FilamentWeightTotal, Head, read::sum),
    rule("Filament used", Field::FilamentWeightTotal, Head, read::grams),
    rule("TARGET_MACHINE.NAME", Field::PrinterModel, Head, read::text),
];

/// The header of the Griffin flavour, which Pathio writes too.
pub(super) const GRIFFIN: &[Rule] = &[
    rule("GENERATOR.VERSION", Field::SlicerVersion, Head, read::text),
    rule("PRINT.TIME", Field::EstimatedTime, Head, read::number),
    rule("PRINT.SIZE.MAX.Z", Field::ObjectHeight, Head, read::height),
    rule("EXTRUDER_TRAIN.%.NOZZLE.DIAMETER", Field::NozzleDiameter, Head, read::length),
    rule("EXTRUDER_TRAIN.%.INITIAL_TEMPERATURE", Field::FirstLayerExtrTemp, Head, read::positive),
    rule("BUILD_PLATE.INITIAL_TEMPERATURE", Field::FirstLayerBedTemp, Head, read::number),
    rule("BUILD_VOLUME.TEMPERATURE", Field::ChamberTemp, Head, read::number),
    rule("EXTRUDER_TRAIN.%.MATERIAL.VOLUME_USED", Field::FilamentTotal, Head, length_of_volume)
        .take(Take::Sum),
];

/// Creality Print states the outer diameter of the nozzle's tip as that of the nozzle, and the weight of a full spool
/// as that of the filament: both are left out.
const CREALITY_TABLE: &[Rule] = &[
    rule("Creality Print Version", Field::SlicerVersion, Head, creality_version),
    rule("Layer Height", Field::LayerHeight, Head, read::length),
    rule("Inital Layer Height", Field::FirstLayerHeight, Head, micrometres),
    rule("Print Temperature", Field::FirstLayerExtrTemp, FootFirst, read::positive),
    rule("Bed Temperature", Field::FirstLayerBedTemp, FootFirst, read::positive),
    rule("Material Name", Field::FilamentName, FootFirst, read::text),
    rule("Material Type", Field::FilamentType, FootFirst, read::text),
    rule("Material name", Field::FilamentType, FootFirst, read::text),
    rule("Machine Name", Field::PrinterModel, FootFirst, read::text),
    rule("TIME", Field::EstimatedTime, FootFirst, read::number),
    rule("Filament used", Field::FilamentTotal, FootFirst, read::lengths),
    rule("LAYER_COUNT", Field::LayerCount, FootFirst, read::integer),
    rule("MINZ", Field::FirstLayerHeight, FootFirst, read::height),
    rule("MAXZ", Field::ObjectHeight, FootFirst, read::height),
];

pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    const ENGINE: &[u8] = b"Cura_SteamEngine";
    if comment.starts_with(b"Creality Print") && memmem::find(comment, b"CXEngine").is_some() {
        return Some((Identity::new(b"Creality Print", None), &CREALITY));
    }
    if comment.starts_with(b"Sliced at:") || comment.starts_with(b"CURA_PROFILE_STRING:") {
        return Some((Identity::new(b"Cura", None), &CURA));
    }
    let after = &comment[memmem::find(comment, ENGINE)? + ENGINE.len()..];
    // `GENERATOR.NAME:Cura_SteamEngine` has the version on the next line
    let version = after.strip_prefix(b" ").map(<[u8]>::trim_ascii);
    Some((Identity::new(b"Cura", version), &CURA))
}

/// `Layer height: 0.2 Walls: 0.8 Fill: 20`.
fn layer_height_of_basic_settings(value: &[u8]) -> Option<Value> {
    value.strip_prefix(b"Layer height:").and_then(read::length)
}

/// mm³ of the 2.85 mm filament that all printers of the Griffin flavour take, as its length.
fn length_of_volume(value: &[u8]) -> Option<Value> {
    const AREA: f64 = std::f64::consts::FRAC_PI_4 * 2.85 * 2.85;
    text::number(value)
        .filter(|volume| *volume > 0.0)
        .map(|volume| Value::Float(text::rounded(volume / AREA)))
}

fn micrometres(value: &[u8]) -> Option<Value> {
    text::number(value).filter(|height| *height > 0.0).map(|height| Value::Float(height / 1e3))
}

/// `Creality Print V4.3.7.6627`, `V4.3.7.6627` or `4.3.7.6627`.
fn creality_version(value: &[u8]) -> Option<Value> {
    let version = value.rsplit(|byte| *byte == b' ').next()?;
    Some(Value::Text(text::text(version.strip_prefix(b"V").unwrap_or(version))))
}
