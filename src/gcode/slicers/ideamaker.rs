//! ideaMaker (spec behaviour.md §6.4).

use super::{Family, Identity, Watch};
use crate::gcode::field::{Field, Value};
use crate::gcode::rules::At::{Foot, FootFirst, Head};
use crate::gcode::rules::{Rule, Sink, Take, Window, read, rule};
use crate::gcode::text;

static IDEAMAKER: Family = Family { table: TABLE, more: &[], watch, finish };

const TABLE: &[Rule] = &[
    rule("Bounding Box", Field::ObjectHeight, Head, last_number),
    rule("Print Time", Field::EstimatedTime, FootFirst, read::number),
    rule("Dimension", Field::NozzleDiameter, Head, fourth_number),
    rule("Filament Name #%", Field::FilamentName, Head, read::text),
    rule("Filament name", Field::FilamentName, Head, read::text),
    rule("Filament Type #%", Field::FilamentType, Head, read::text),
    rule("Filament type", Field::FilamentType, Head, read::text),
    rule("Material#% Used", Field::FilamentTotal, Foot, read::number).take(Take::Sum),
    rule("LAYER", Field::LayerCount, Foot, read::layers_up_to).take(Take::Last),
];

/// Most materials of a file.
const MAX_MATERIALS: usize = 64;

/// What is remembered between lines: the layer, and what the weights follow from.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The field that the height of the present layer is for.
    layer: Option<Field>,
    /// Diameters, mm.
    diameters: Vec<f64>,
    /// Densities, kg/m³.
    densities: Vec<f64>,
    /// Lengths used, mm.
    lengths: Vec<f64>,
}

pub(super) fn identify(comment: &[u8]) -> Option<(Identity, &'static Family)> {
    const SIGNATURE: &[u8] = b" ideaMaker ";
    let at = memchr::memmem::find(comment, SIGNATURE)?;
    let version = comment[at + SIGNATURE.len()..].split(|byte| *byte == b',').next();
    Some((Identity::new(b"IdeaMaker", version), &IDEAMAKER))
}

fn last_number(value: &[u8]) -> Option<Value> {
    text::numbers(value).last().map(|height| Value::Float(*height))
}

/// Width, depth and height of the printer, and the nozzle.
fn fourth_number(value: &[u8]) -> Option<Value> {
    text::numbers(value).get(3).map(|diameter| Value::Float(*diameter))
}

fn watch(watch: &mut Watch, line: &[u8], window: Window, sink: &mut Sink) {
    let state = &mut watch.ideamaker;
    let Some((key, value)) = text::comment(line).and_then(text::key_value) else { return };
    let note = |list: &mut Vec<f64>, at: Window| {
        if (window == at || window == Window::Whole) && list.len() < MAX_MATERIALS {
            list.extend(text::number(value));
        }
    };
    if key == b"LAYER" {
        state.layer = match text::integer(value) {
            Some(0) => Some(Field::FirstLayerHeight),
            Some(1) => Some(Field::LayerHeight),
            _ => None,
        };
    } else if key == b"HEIGHT" {
        if let (Some(field), Some(height)) = (state.layer.take(), text::number(value)) {
            sink.found(field, Take::First, height);
        }
    } else if text::fits("Filament Diameter #%", key) {
        note(&mut state.diameters, Window::Head);
    } else if text::fits("Filament Density #%", key) {
        note(&mut state.densities, Window::Head);
    } else if text::fits("Material#% Used", key) {
        note(&mut state.lengths, Window::Foot);
    }
}

/// The weight is not stated, but follows if there is a diameter, a density and a length for each material.
fn finish(watch: &Watch, sink: &mut Sink) {
    let State { diameters, densities, lengths, .. } = &watch.ideamaker;
    if lengths.is_empty() || diameters.len() != lengths.len() || densities.len() != lengths.len() {
        return;
    }
    let weight = |((diameter, density), length): ((&f64, &f64), &f64)| {
        std::f64::consts::FRAC_PI_4 * diameter * diameter * length * density / 1e6
    };
    let total = diameters.iter().zip(densities).zip(lengths).map(weight).sum();
    sink.found(Field::FilamentWeightTotal, Take::First, total);
}
