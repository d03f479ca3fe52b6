//! Arguments of an HTTP request: query, form and JSON body merged (spec api.md §0.3).

use serde_json::{Map, Value};

use crate::api::{Error, QueryStyle, Result};

/// Keys that are for the transport and never reach an endpoint.
const OWN_KEYS: [&str; 4] = ["_", "token", "access_token", "connection_id"];

/// Adds pairs of a query or form to the arguments; a later value replaces an earlier one.
fn add_pairs<K, V>(arguments: &mut Map<String, Value>, pairs: impl Iterator<Item = (K, V)>)
where
    K: AsRef<str>,
    V: AsRef<str>,
{
    for (key, value) in pairs {
        let value = clean(value.as_ref());
        let (key, value) = typed(key.as_ref(), value);
        if !OWN_KEYS.contains(&key) {
            arguments.insert(key.to_owned(), value);
        }
    }
}

/// Adds the members of a JSON body. Empty and invalid JSON counts as no arguments.
///
/// # Errors
/// 400 for JSON that is no object.
pub(super) fn add_json(arguments: &mut Map<String, Value>, body: &[u8]) -> Result<()> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => arguments.extend(members),
        Ok(_) => return Err(Error::bad_request("The JSON body is not an object")),
        Err(error) if !body.is_empty() => log::debug!("A JSON body was ignored: {error}"),
        Err(_) => {}
    }
    Ok(())
}

/// The arguments of a query, in the style of its endpoint.
pub(super) fn from_query(query: &str, style: QueryStyle) -> Map<String, Value> {
    let mut arguments = Map::new();
    if style == QueryStyle::Objects {
        arguments.insert("objects".to_owned(), Value::Object(Map::new()));
    }
    add_in_style(&mut arguments, form_urlencoded::parse(query.as_bytes()), style);
    arguments
}

/// Adds pairs of a query or form in the style of their endpoint.
pub(super) fn add_in_style<K, V>(
    arguments: &mut Map<String, Value>,
    pairs: impl Iterator<Item = (K, V)>,
    style: QueryStyle,
) where
    K: AsRef<str>,
    V: AsRef<str>,
{
    if style == QueryStyle::Arguments {
        return add_pairs(arguments, pairs);
    }
    let Some(Value::Object(objects)) = arguments.get_mut("objects") else { return };
    for (name, fields) in pairs.filter(|(name, _)| !OWN_KEYS.contains(&name.as_ref())) {
        let fields = clean(fields.as_ref());
        let value = if fields.is_empty() { Value::Null } else { Value::String(fields) };
        objects.insert(name.as_ref().to_owned(), value);
    }
}

/// The value of one of the transport's own keys.
pub(super) fn own_key(query: &str, key: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| *name == *key);
    pairs.last().map(|(_, value)| value.into_owned())
}

/// Control characters become blanks, and blanks around a value go.
fn clean(value: &str) -> String {
    let is_odd = |c: char| c < ' ' && !('\t'..='\r').contains(&c);
    value.replace(is_odd, " ").trim().to_owned()
}

/// Splits a type hint off a key. A value that is not of the type stays text.
fn typed(key: &str, value: String) -> (&str, Value) {
    let Some((name, hint)) = key.rsplit_once(':') else {
        return (key, Value::String(value));
    };
    let converted = match hint {
        "int" => value.parse::<i64>().ok().map(Value::from),
        "float" => value.parse::<f64>().ok().filter(|n| n.is_finite()).map(Value::from),
        "bool" => Some(Value::Bool(value.eq_ignore_ascii_case("true"))),
        "json" => serde_json::from_str(&value).ok(),
        _ => None,
    };
    (name, converted.unwrap_or(Value::String(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_is_read_with_its_hints() {
        for (query, expected) in [
            ("a=1&a=2", json!({"a": "2"})),
            ("a:int=1&b:float=1.5&c:bool=TRUE&d:bool=1", json!({"a": 1, "b": 1.5, "c": true, "d": false})),
            ("a:json=%5B1%5D&b:json=%5B", json!({"a": [1], "b": "["})),
            ("a:int=x&b:what=y", json!({"a": "x", "b": "y"})),
            ("a=%20x%01y%20&b=%C3%A9+z", json!({"a": "x y", "b": "é z"})),
            ("_=1&token=t&access_token=a&connection_id=5&x=", json!({"x": ""})),
            ("a:b:int=3", json!({"a:b": 3})),
        ] {
            assert_eq!(Value::Object(from_query(query, QueryStyle::Arguments)), expected, "{query}");
        }
        assert_eq!(own_key("token=a&token=b", "token").as_deref(), Some("b"));
    }

    #[test]
    fn a_query_of_objects_is_wrapped() {
        let found =
            from_query("toolhead=position,%20status&fan&gcode_macro%20A=&token=x", QueryStyle::Objects);
        let expected =
            json!({"objects": {"toolhead": "position, status", "fan": null, "gcode_macro A": null}});
        assert_eq!(Value::Object(found), expected);
    }

    #[test]
    fn a_body_wins_over_the_query() {
        let mut arguments = from_query("a=1&b=2", QueryStyle::Arguments);
        add_json(&mut arguments, b"{\"b\":3,\"_\":4}").unwrap();
        assert_eq!(Value::Object(arguments.clone()), json!({"a": "1", "b": 3, "_": 4}));
        add_json(&mut arguments, b"").unwrap();
        add_json(&mut arguments, b"{broken").unwrap();
        assert_eq!(add_json(&mut arguments, b"[1]").unwrap_err().status(), 400);
    }

    proptest! {
        #[test]
        fn any_query_is_read(query in ".*") {
            from_query(&query, QueryStyle::Arguments);
            from_query(&query, QueryStyle::Objects);
        }
    }
}
