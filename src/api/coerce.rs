//! The lenient reader of arguments: a serde deserializer over JSON values that converts what clients send
//! into what an endpoint's struct asks for. The rules are spec api.md §0.3, and this is their only place.

use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// Why arguments cannot be read: a sentence for the caller that names the argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ArgumentError(pub(super) String);

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ArgumentError {}

impl de::Error for ArgumentError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("No data for argument: {field}"))
    }
}

/// Reads a map of arguments into a struct.
pub(super) fn read<T: DeserializeOwned>(map: Map<String, Value>) -> Result<T, ArgumentError> {
    T::deserialize(Arguments(map))
}

struct Arguments(Map<String, Value>);

impl<'de> de::Deserializer<'de> for Arguments {
    type Error = ArgumentError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_map(ArgumentAccess { rest: self.0.into_iter(), next: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct ArgumentAccess {
    rest: serde_json::map::IntoIter,
    next: Option<(String, Value)>,
}

impl<'de> de::MapAccess<'de> for ArgumentAccess {
    type Error = ArgumentError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, ArgumentError> {
        // null counts as absent, so that an optional argument may be sent as null
        self.next = self.rest.by_ref().find(|(_, value)| !value.is_null());
        match &self.next {
            Some((key, _)) => seed.deserialize(key.as_str().into_deserializer()).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, ArgumentError> {
        let (key, value) = self.next.take().unwrap_or_default();
        seed.deserialize(Lenient { value, listed: false })
            .map_err(|ArgumentError(why)| ArgumentError(format!("Invalid value for argument '{key}': {why}")))
    }
}

/// One value that gives way.
struct Lenient {
    value: Value,
    /// Inside a list a string must be a string.
    listed: bool,
}

impl Lenient {
    fn wrong(&self, expected: &str) -> ArgumentError {
        let mut got = self.value.to_string();
        if got.len() > 60 {
            got = format!("{}…", got.chars().take(60).collect::<String>());
        }
        ArgumentError(format!("expected {expected}, got {got}"))
    }

    fn integer(&self) -> Result<i64, ArgumentError> {
        match &self.value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().filter(|n| n.abs() < 9e15).map(|n| n.trunc() as i64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| self.wrong("an integer"))
    }

    fn float(&self) -> Result<f64, ArgumentError> {
        match &self.value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        }
        .ok_or_else(|| self.wrong("a number"))
    }

    fn boolean(&self) -> Result<bool, ArgumentError> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::String(text) if text.trim().eq_ignore_ascii_case("true") => Some(true),
            Value::String(text) if text.trim().eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
        .ok_or_else(|| self.wrong("a boolean"))
    }

    fn text(self) -> Result<String, ArgumentError> {
        match self.value {
            Value::String(text) => Ok(text),
            _ if self.listed => Err(self.wrong("a string")),
            other => Ok(other.to_string()),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
            visitor.visit_i64(self.integer()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Lenient {
    type Error = ArgumentError;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        self.value.deserialize_any(visitor).map_err(de::Error::custom)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ArgumentError> {
        let items: Vec<Value> = match self.value {
            Value::Array(items) => items,
            Value::String(text) => {
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect()
            }
            _ => return Err(self.wrong("a list")),
        };
        let items = items.into_iter().map(|value| Listed(Lenient { value, listed: true }));
        visitor.visit_seq(de::value::SeqDeserializer::new(items))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ArgumentError> {
        let chosen = match &self.value {
            Value::String(text) => variants.iter().find(|name| name.eq_ignore_ascii_case(text.trim())),
            _ => None,
        };
        match chosen {
            Some(name) => visitor.visit_enum(IntoDeserializer::<ArgumentError>::into_deserializer(*name)),
            None => Err(self.wrong(&format!("one of {}", variants.join(", ")))),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ArgumentError> {
        // serde_json passes RawValue through this with a name of its own
        self.value.deserialize_newtype_struct(name, visitor).map_err(de::Error::custom)
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct map struct identifier ignored_any
    }
}

struct Listed(Lenient);

impl<'de> IntoDeserializer<'de, ArgumentError> for Listed {
    type Deserializer = Lenient;

    fn into_deserializer(self) -> Lenient {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(rename_all = "lowercase")]
    enum Order {
        Asc,
        Desc,
    }

    #[derive(Debug, Deserialize)]
    struct Example {
        name: String,
        count: Option<i64>,
        #[serde(default)]
        force: bool,
        factor: Option<f64>,
        items: Option<Vec<String>>,
        order: Option<Order>,
    }

    fn example(value: Value) -> Result<Example, ArgumentError> {
        match value {
            Value::Object(map) => read(map),
            _ => unreachable!(),
        }
    }

    #[test]
    fn values_give_way() {
        let read = example(json!({
            "name": 12, "count": " 7 ", "force": "TRUE", "factor": "1.5", "items": "a, b,,c", "order": "Desc",
            "unknown": [1],
        }))
        .unwrap();
        assert_eq!(read.name, "12");
        assert_eq!((read.count, read.force, read.factor), (Some(7), true, Some(1.5)));
        assert_eq!(read.items.unwrap(), ["a", "b", "c"]);
        assert_eq!(read.order, Some(Order::Desc));
        assert_eq!(example(json!({"name": "x", "count": 3.9})).unwrap().count, Some(3));
        assert!(example(json!({"name": "x", "count": null})).unwrap().count.is_none());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |value| example(value).unwrap_err().0;
        assert_eq!(message(json!({})), "No data for argument: name");
        assert_eq!(message(json!({"name": null})), "No data for argument: name");
        for (argument, value, expected) in [
            ("count", json!("1.5"), "an integer"),
            ("count", json!([1]), "an integer"),
            ("count", json!(1e300), "an integer"),
            ("force", json!(1), "a boolean"),
            ("force", json!("yes"), "a boolean"),
            ("factor", json!("NaN"), "a number"),
            ("items", json!(["a", 1]), "a string"),
            ("items", json!(5), "a list"),
            ("order", json!("up"), "one of asc, desc"),
        ] {
            let said = message(json!({"name": "x", argument: value}));
            assert!(said.contains(&format!("'{argument}'")) && said.contains(expected), "{said}");
        }
    }
}
