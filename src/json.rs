//! Small helpers for JSON text. Floor 0: knows nothing else of the house.

use serde::Serialize;
use serde_json::value::RawValue;

/// How deeply arrays and objects may nest in anything that a client sends. serde_json refuses values below
/// 128 levels by itself; raw slices are passed on unread, so they are checked against this first.
pub const MAX_DEPTH: usize = 100;

/// Whether `text` nests arrays and objects no deeper than `limit`. Looks only at brackets outside strings, so
/// it is linear, needs no stack, and can run before the text is parsed.
pub fn depth_within(text: &[u8], limit: usize) -> bool {
    let mut depth = 0usize;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    true
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

/// The JSON text of a value. A value that has no JSON form (a map with keys that are no strings) gives `null`;
/// the types that are serialised here have none such.
pub fn to_text<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        log::error!("a value has no JSON form: {error}");
        "null".to_owned()
    })
}

/// The JSON text of a value as a raw value, to be put into other JSON as it stands.
pub fn to_raw<T: Serialize + ?Sized>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap_or_else(|error| {
        log::error!("a value has no JSON form: {error}");
        RawValue::NULL.to_owned()
    })
}

/// Appends `text` to `out` as a JSON string.
pub fn push_quoted(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&to_text(text));
    }
}

/// Whether JSON text is one of the values that count as "nothing" in Klippy's replies: `{}`, `[]`, `""`, `0`,
/// `0.0`, `false`, `null` (spec behaviour.md §2.1).
pub fn is_falsy(text: &str) -> bool {
    let text = text.trim();
    match text.as_bytes() {
        [b'{', rest @ .., b'}'] | [b'[', rest @ .., b']'] => rest.iter().all(u8::is_ascii_whitespace),
        _ => matches!(text, "\"\"" | "false" | "null") || text.parse::<f64>() == Ok(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert!(depth_within(br#"{"a":["[[[[","\"[["]}"#, 2));
        assert!(!depth_within(b"[[[]]]", 2));
        assert!(!depth_within("[".repeat(10_000).as_bytes(), MAX_DEPTH));
    }

    #[test]
    fn falsy_values_are_those_of_python() {
        for text in ["{}", "[ ]", "\"\"", "0", "0.0", "-0", "false", "null"] {
            assert!(is_falsy(text), "{text}");
        }
        for text in ["{\"a\":1}", "[0]", "\"0\"", "1", "true"] {
            assert!(!is_falsy(text), "{text}");
        }
    }
}
