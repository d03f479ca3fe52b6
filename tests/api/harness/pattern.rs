//! Patterns for JSON, written as JSON.
//!
//! A value matches itself; an object matches when all *its* keys match (others may be there); an array matches
//! item by item. An object with a key that begins with `$` is a test, and all its tests must hold:
//!
//! | test | holds for |
//! |---|---|
//! | `{"$any": true}` | anything that is there |
//! | `{"$absent": true}` | a key that is not there |
//! | `{"$type": "number"}` | `null`, `boolean`, `number`, `integer`, `string`, `array`, `object` |
//! | `{"$in": [a, b]}` | one of these patterns |
//! | `{"$not": a}` | what does not match the pattern |
//! | `{"$all": [a, b]}` | all of these patterns |
//! | `{"$min": n}`, `{"$max": n}` | numbers |
//! | `{"$contains": text}`, `{"$starts": text}`, `{"$ends": text}` | strings |
//! | `{"$len": n}` | strings and arrays of this length |
//! | `{"$has": [a, b]}` | arrays in which each of these patterns is met by some item |
//! | `{"$each": a}` | arrays all of whose items match, objects all of whose values do |
//! | `{"$keys": [..]}` | objects with exactly these keys, in any order |

use serde_json::Value;

/// Where and why `value` does not match, if it does not.
pub fn mismatch(pattern: &Value, value: &Value) -> Option<String> {
    find("", pattern, Some(value))
}

/// Panics with the place of the difference unless `value` matches.
#[track_caller]
pub fn assert_matches(value: &Value, pattern: &Value) {
    if let Some(why) = mismatch(pattern, value) {
        panic!("{why}\n  in {value}");
    }
}

fn find(at: &str, pattern: &Value, value: Option<&Value>) -> Option<String> {
    let place = if at.is_empty() { "the value" } else { at };
    if let Some(tests) = pattern.as_object().filter(|map| map.keys().any(|key| key.starts_with('$'))) {
        return tests.iter().find_map(|(name, argument)| test(place, name, argument, value));
    }
    let Some(value) = value else {
        return Some(format!("{place} is missing, expected {pattern}"));
    };
    match (pattern, value) {
        (Value::Object(wanted), Value::Object(found)) => {
            wanted.iter().find_map(|(key, pattern)| find(&format!("{at}/{key}"), pattern, found.get(key)))
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            pairs
                .map(|(n, (pattern, value))| find(&format!("{at}/{n}"), pattern, Some(value)))
                .find_map(|w| w)
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => None,
        _ if pattern == value => None,
        _ => Some(format!("{place}: expected {pattern}, got {value}")),
    }
}

fn test(place: &str, name: &str, argument: &Value, value: Option<&Value>) -> Option<String> {
    if name == "$absent" {
        return value.map(|value| format!("{place} should not be there, is {value}"));
    }
    let Some(value) = value else {
        return Some(format!("{place} is missing, expected {name} {argument}"));
    };
    let inner = |pattern: &Value, value: &Value| find(place, pattern, Some(value));
    let text = |holds: fn(&str, &str) -> bool| match (value.as_str(), argument.as_str()) {
        (Some(value), Some(argument)) => holds(value, argument),
        _ => false,
    };
    let number = |holds: fn(f64, f64) -> bool| match (value.as_f64(), argument.as_f64()) {
        (Some(value), Some(argument)) => holds(value, argument),
        _ => false,
    };
    let items = || argument.as_array().expect("an array as argument of the test").iter();
    let holds = match name {
        "$any" => true,
        "$type" => type_matches(argument.as_str().expect("the name of a type"), value),
        "$in" => items().any(|pattern| inner(pattern, value).is_none()),
        "$not" => inner(argument, value).is_some(),
        "$all" => return items().find_map(|pattern| inner(pattern, value)),
        "$min" => number(|value, least| value >= least),
        "$max" => number(|value, most| value <= most),
        "$contains" => text(|value, part| value.contains(part)),
        "$starts" => text(|value, part| value.starts_with(part)),
        "$ends" => text(|value, part| value.ends_with(part)),
        "$len" => {
            let length = value.as_array().map(Vec::len).or_else(|| value.as_str().map(str::len));
            length.is_some_and(|length| argument == length)
        }
        "$has" => {
            let found = value.as_array();
            items().all(|pattern| found.is_some_and(|all| all.iter().any(|v| inner(pattern, v).is_none())))
        }
        "$each" => {
            return match value {
                Value::Array(all) => all.iter().find_map(|value| inner(argument, value)),
                Value::Object(all) => all.values().find_map(|value| inner(argument, value)),
                _ => Some(format!("{place}: neither array nor object: {value}")),
            };
        }
        "$keys" => {
            let mut wanted: Vec<_> = items().filter_map(Value::as_str).collect();
            wanted.sort_unstable();
            let mut found: Vec<_> =
                value.as_object().into_iter().flat_map(|map| map.keys().map(|key| &**key)).collect();
            found.sort_unstable();
            wanted == found
        }
        other => panic!("unknown test {other} in a pattern"),
    };
    (!holds).then(|| format!("{place}: expected {name} {argument}, got {value}"))
}

fn type_matches(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other} in a pattern"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn patterns_hold_where_they_should() {
        for (pattern, value) in [
            (json!({"a": 1}), json!({"a": 1.0, "b": 2})),
            (json!({"b": {"$absent": true}}), json!({"a": 1})),
            (json!([{"$type": "integer"}, {"$type": "null"}]), json!([1, null])),
            (json!({"$all": [{"$min": 1, "$max": 3}, {"$in": [2, 5]}]}), json!(2)),
            (json!({"$has": [{"a": 2}]}), json!([{"a": 1}, {"a": 2}])),
            (json!({"$each": {"$type": "number"}, "$len": 2}), json!([1, 2.5])),
            (json!({"$keys": ["b", "a"]}), json!({"a": 1, "b": 2})),
            (json!({"$contains": "x", "$not": "x"}), json!("axb")),
        ] {
            assert_eq!(mismatch(&pattern, &value), None);
        }
    }

    #[test]
    fn a_mismatch_says_where() {
        for (pattern, value, at) in [
            (json!({"a": {"b": 1}}), json!({"a": {"b": 2}}), "/a/b"),
            (json!({"a": [1, 2]}), json!({"a": [1]}), "/a"),
            (json!({"a": {"$any": true}}), json!({}), "/a"),
            (json!({"a": {"$absent": true}}), json!({"a": 0}), "/a"),
            (json!({"$each": {"$type": "string"}}), json!(["a", 1]), "the value"),
            (json!({"$keys": ["a"]}), json!({"a": 1, "b": 2}), "the value"),
        ] {
            assert!(mismatch(&pattern, &value).is_some_and(|why| why.starts_with(at)), "{pattern} {value}");
        }
    }
}
