//! The fields of a file's metadata record: their names, their order in JSON, and their values.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::thumbnail;

/// Defines [`Field`], its JSON names and the order of the record in one place.
macro_rules! fields {
    ($($variant:ident = $name:literal, $doc:literal;)*) => {
        /// One field of the metadata record (spec behaviour.md §6.3). The order of the variants is that of the JSON.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $(#[doc = $doc] $variant,)*
        }

        impl Field {
            /// Every field, in the order of the record.
            pub const ALL: [Field; [$($name),*].len()] = [$(Field::$variant),*];

            /// The field's name in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Field::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    Slicer = "slicer", "Name of the slicer, `Unknown` when it cannot be told.";
    SlicerVersion = "slicer_version", "Version of the slicer, `?` when it cannot be told.";
    GcodeStartByte = "gcode_start_byte", "Byte offset of the newline before the first command.";
    GcodeEndByte = "gcode_end_byte", "Byte offset just after the last command's line.";
    LayerCount = "layer_count", "Number of layers.";
    ObjectHeight = "object_height", "Height of the print, mm.";
    EstimatedTime = "estimated_time", "The slicer's estimate of the printing time, s.";
    NozzleDiameter = "nozzle_diameter", "Diameter of the (first) nozzle, mm.";
    LayerHeight = "layer_height", "Height of an ordinary layer, mm.";
    FirstLayerHeight = "first_layer_height", "Height of the first layer, mm.";
    FirstLayerExtrTemp = "first_layer_extr_temp", "Nozzle temperature of the first layer, °C.";
    FirstLayerBedTemp = "first_layer_bed_temp", "Bed temperature of the first layer, °C.";
    ChamberTemp = "chamber_temp", "Chamber temperature, °C.";
    FilamentName = "filament_name", "Filament profile; a JSON array in a string when there are several.";
    FilamentType = "filament_type", "Material; a JSON array in a string when there are several.";
    FilamentColors = "filament_colors", "Colour of each filament, `#RRGGBB`.";
    ExtruderColors = "extruder_colors", "Colour of each extruder, `#RRGGBB`.";
    FilamentTemps = "filament_temps", "Nozzle temperature of each filament, °C.";
    ReferencedTools = "referenced_tools", "Numbers of the tools in use.";
    FilamentChangeCount = "filament_change_count", "Number of filament or tool changes.";
    MmuPrint = "mmu_print", "1 if several materials go through one extruder.";
    FilamentTotal = "filament_total", "Length of filament used, mm.";
    FilamentWeightTotal = "filament_weight_total", "Weight of filament used, g.";
    FilamentWeights = "filament_weights", "Weight used of each filament, g.";
    PrinterVendor = "printer_vendor", "Maker of the printer in the slicer's profile.";
    PrinterModel = "printer_model", "Model of the printer in the slicer's profile.";
    PrinterVariant = "printer_variant", "Variant of the printer in the slicer's profile.";
    ProfileVersion = "profile_version", "Version of the slicer's profile.";
}

/// The value of a [`Field`], with the JSON type it has on the wire.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A finite number, written with a decimal point.
    Float(f64),
    /// A text.
    Text(String),
    /// A list of whole numbers.
    Ints(Vec<i64>),
    /// A list of finite numbers.
    Floats(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

impl Value {
    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            _ => None,
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Int(n) => serializer.serialize_i64(*n),
            Value::Float(n) => serializer.serialize_f64(*n),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Ints(list) => list.serialize(serializer),
            Value::Floats(list) => list.serialize(serializer),
            Value::Texts(list) => list.serialize(serializer),
        }
    }
}

/// What a sliced file says of itself. Serialises to the part of the metadata record that the file itself determines,
/// in the documented order, absent fields left out: `file_processors`, then every [`Field`], then `thumbnails`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    values: [Option<Value>; Field::ALL.len()],
    /// Names of the programs known to have rewritten the file.
    pub file_processors: Vec<String>,
    /// The pictures written next to the file: set by whoever wrote them ([`thumbnail::File::entry`]).
    pub thumbnails: Vec<thumbnail::Entry>,
}

impl Metadata {
    /// The value of a field, if the file gives it.
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.values[field as usize].as_ref()
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, value: Value) {
        self.values[field as usize] = Some(value);
    }

    /// The fields that are present, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Field, &Value)> {
        Field::ALL.into_iter().filter_map(|field| Some((field, self.get(field)?)))
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("file_processors", &self.file_processors)?;
        for (field, value) in self.iter() {
            map.serialize_entry(field.name(), value)?;
        }
        if !self.thumbnails.is_empty() {
            map.serialize_entry("thumbnails", &self.thumbnails)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialises_in_order_without_absent_fields() {
        let mut metadata = Metadata::default();
        metadata.set(Field::LayerHeight, Value::Float(0.2));
        metadata.set(Field::Slicer, Value::Text("Cura".into()));
        metadata.set(Field::EstimatedTime, Value::Int(136));
        metadata.set(Field::FilamentTemps, Value::Ints(vec![]));
        metadata.set(Field::ObjectHeight, Value::Float(5.0));
        assert_eq!(
            serde_json::to_string(&metadata).unwrap(),
            r#"{"file_processors":[],"slicer":"Cura","object_height":5.0,"estimated_time":136,"layer_height":0.2,"filament_temps":[]}"#
        );
    }
}
