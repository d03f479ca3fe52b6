//! Simplify3D 3 to 5 (spec behaviour.md §6.4): `;   key,value` at the beginning, a summary at the end.

use super::{Family, Identity, Watch};
use crate::gcode::field::Field;
use crate::gcode::rules::At::{Foot, FootFirst, Head};
use crate::gcode::rules::{Rule, Sink, Take, Window, read, rule};
use crate::gcode::text;

static SIMPLIFY3D: Family = Family { table: TABLE, more: &[], watch, finish: |_, _| {} };

const TABLE: &[Rule] = &[
    rule("Build time", Field::EstimatedTime, FootFirst, read::duration),
    rule("Build Time", Field::EstimatedTime, FootFirst, read::duration),
    rule("extruderDiameter", Field::NozzleDiameter, Head, read::length),
    rule("nozzleDiameter", Field::NozzleDiameter, Head, read::length),
    rule("layerHeight", Field::LayerHeight, Head, read::length),
    rule("printMaterial", Field::FilamentName, Head, read::text),
    rule("makerBotModelMaterial", Field::FilamentType, Foot, read::text),
    rule("printMaterial", Field::FilamentType, Head, read::text),
    rule("Filament length", Field::FilamentTotal, FootFirst, read::number),
    rule("Material Length", Field::FilamentTotal, FootFirst, read::number),
    rule("Plastic weight", Field::FilamentWeightTotal, FootFirst, read::number),
    rule("Material Weight", Field::FilamentWeightTotal, FootFirst, read::number),
];

/// What is remembered between lines.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Before version 5: which heater each column of the temperature table is.
    columns: Vec<Option<Field>>,
    /// From version 5: which heater the block of settings is about.
    heater: Option<Field>,
}

pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    const SIGNATURE: &[u8] = b"Simplify3D(R) Version ";
    let at = memchr::memmem::find(comment, SIGNATURE)?;
    Some((Identity::new(b"Simplify3D", Some(&comment[at + SIGNATURE.len()..])), &SIMPLIFY3D))
}

fn watch(watch: &mut Watch, line: &[u8], window: Window, sink: &mut Sink) {
    if window == Window::Foot {
        return;
    }
    let state = &mut watch.simplify3d;
    let Some((key, value)) = text::comment(line).and_then(text::key_value) else { return };
    match key {
        b"temperatureName" => {
            let names = value.split(|byte| *byte == b',').take(MAX_COLUMNS);
            state.columns = names.map(heater_by_name).collect();
        }
        b"temperatureSetpointTemperatures" => {
            for (heater, degrees) in state.columns.iter().zip(value.split(|byte| *byte == b',')) {
                offer(*heater, degrees, sink);
            }
        }
        b"temperatureController" => state.heater = None,
        b"temperatureType" => {
            state.heater = match value {
                b"extruder" => Some(Field::FirstLayerExtrTemp),
                b"platform" => Some(Field::FirstLayerBedTemp),
                _ => None,
            };
        }
        // `1|210,2|205`: layer and temperature of each step
        b"temperatureSetpoints" => {
            if let Some(at) = memchr::memchr(b'|', value) {
                offer(state.heater, &value[at + 1..], sink);
            }
        }
        _ => {}
    }
}

/// Most heaters that a file can have.
const MAX_COLUMNS: usize = 32;

/// The first extruder and the bed by their customary names.
fn heater_by_name(name: &[u8]) -> Option<Field> {
    let name = name.to_ascii_lowercase();
    let has = |word: &[u8]| memchr::memmem::find(&name, word).is_some();
    if has(b"extruder") {
        Some(Field::FirstLayerExtrTemp)
    } else if has(b"bed") || has(b"platform") {
        Some(Field::FirstLayerBedTemp)
    } else {
        None
    }
}

fn offer(heater: Option<Field>, degrees: &[u8], sink: &mut Sink) {
    if let (Some(field), Some(degrees)) = (heater, text::number(degrees)) {
        sink.found(field, Take::First, degrees);
    }
}
