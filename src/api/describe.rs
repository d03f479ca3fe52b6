//! Names and types of an endpoint's arguments, found out from the struct that it reads them into.
//!
//! The struct's own `Deserialize` is run against a deserializer that notes what is asked for and hands out
//! empty values, so that the description of the API cannot differ from what is read.

use std::fmt;

use serde::Serialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// One argument of an endpoint.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Argument {
    /// Its name on the wire.
    pub name: &'static str,
    /// `string`, `integer`, `number`, `boolean`, `list`, `any`, or the values that are allowed, joined by `|`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether a call without it is refused.
    pub required: bool,
}

/// The arguments that `T` reads, in the order of its fields.
pub(super) fn arguments<T: DeserializeOwned>() -> Vec<Argument> {
    let mut kinds = Vec::new();
    // The outcome does not matter: what was asked for up to there has been noted.
    let _ = T::deserialize(Probe { kinds: &mut kinds, omit: None });
    let mut arguments: Vec<Argument> =
        kinds.into_iter().map(|(name, kind)| Argument { name, kind, required: false }).collect();
    for argument in &mut arguments {
        let without = T::deserialize(Probe { kinds: &mut Vec::new(), omit: Some(argument.name) });
        argument.required = matches!(without, Err(Refused::Missing));
    }
    arguments
}

type Kinds = Vec<(&'static str, String)>;

struct Probe<'a> {
    kinds: &'a mut Kinds,
    omit: Option<&'static str>,
}

#[derive(Debug)]
enum Refused {
    Missing,
    Other,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("probe refused")
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Other
    }

    fn missing_field(_: &'static str) -> Self {
        Self::Missing
    }
}

impl<'de> de::Deserializer<'de> for Probe<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Refused> {
        Err(Refused::Other)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_map(Fields { rest: fields.iter(), current: "", probe: self })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Fields<'a> {
    rest: std::slice::Iter<'static, &'static str>,
    current: &'static str,
    probe: Probe<'a>,
}

impl<'de> de::MapAccess<'de> for Fields<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        let omit = self.probe.omit;
        match self.rest.find(|name| Some(**name) != omit) {
            Some(name) => {
                self.current = name;
                let name: StrDeserializer<'_, Refused> = name.into_deserializer();
                seed.deserialize(name).map(Some)
            }
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Refused> {
        let mut kind = String::new();
        let value = seed.deserialize(Field { kind: &mut kind });
        self.probe.kinds.push((self.current, kind));
        value
    }
}

struct Field<'a> {
    kind: &'a mut String,
}

macro_rules! scalars {
    ($($method:ident $kind:literal $visit:ident($($value:expr)?),)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            *self.kind = $kind.to_owned();
            visitor.$visit($($value)?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Field<'_> {
    type Error = Refused;

    scalars! {
        deserialize_any "any" visit_unit(),
        deserialize_bool "boolean" visit_bool(false),
        deserialize_i8 "integer" visit_i64(0),
        deserialize_i16 "integer" visit_i64(0),
        deserialize_i32 "integer" visit_i64(0),
        deserialize_i64 "integer" visit_i64(0),
        deserialize_u8 "integer" visit_u64(0),
        deserialize_u16 "integer" visit_u64(0),
        deserialize_u32 "integer" visit_u64(0),
        deserialize_u64 "integer" visit_u64(0),
        deserialize_f32 "number" visit_f64(0.0),
        deserialize_f64 "number" visit_f64(0.0),
        deserialize_str "string" visit_str(""),
        deserialize_string "string" visit_str(""),
        deserialize_seq "list" visit_seq(de::value::SeqDeserializer::new(std::iter::empty::<u8>())),
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        *self.kind = variants.join("|");
        let first: StrDeserializer<'_, Refused> = variants.first().copied().unwrap_or("").into_deserializer();
        visitor.visit_enum(first)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[allow(dead_code)]
    enum Order {
        Asc,
        Desc,
    }

    #[derive(Deserialize)]
    #[allow(dead_code)]
    struct Example {
        name: String,
        count: Option<i64>,
        #[serde(default)]
        force: bool,
        items: Vec<String>,
        order: Option<Order>,
        value: serde_json::Value,
    }

    #[test]
    fn fields_are_found_with_type_and_need() {
        let found: Vec<String> = arguments::<Example>()
            .into_iter()
            .map(|a| format!("{}{}:{}", a.name, if a.required { "" } else { "?" }, a.kind))
            .collect();
        assert_eq!(
            found,
            ["name:string", "count?:integer", "force?:boolean", "items:list", "order?:asc|desc", "value:any"]
        );
    }

    #[test]
    fn a_struct_without_fields_has_no_arguments() {
        assert_eq!(arguments::<super::super::params::NoParams>(), []);
    }
}
