//! The members of a JSON object as slices of its text, for records that are passed on without decoding.

/// Iterates over the top-level members of a JSON object as `(key with its quotes, value)`. The text must be
/// valid JSON, as stored records are; where it is not, the iteration ends.
pub(super) fn members(object: &str) -> Members<'_> {
    let inside = object.trim().strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    Members { rest: inside.unwrap_or("") }
}

/// See [`members`].
pub(super) struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.trim_start().trim_start_matches(',').trim_start();
        let key_end = string_end(text.as_bytes())?;
        let (key, rest) = text.split_at_checked(key_end)?;
        let rest = rest.trim_start().strip_prefix(':')?;
        let (value, rest) = rest.split_at_checked(value_end(rest.as_bytes()))?;
        self.rest = rest;
        Some((key, value.trim()))
    }
}

/// The object without the members of these names (with quotes), as text that more members can be added to: it
/// lacks the closing brace and ends with a comma unless nothing is left.
pub(super) fn open_without(object: &str, names: &[&str]) -> String {
    let mut out = String::with_capacity(object.len() + 64);
    out.push('{');
    for (key, value) in members(object).filter(|(key, _)| !names.contains(key)) {
        out.push_str(key);
        out.push(':');
        out.push_str(value);
        out.push(',');
    }
    out
}

/// The index after the string that `text` begins with.
fn string_end(text: &[u8]) -> Option<usize> {
    let mut bytes = text.iter().enumerate();
    bytes.next().filter(|(_, byte)| **byte == b'"')?;
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(index + 1),
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
    None
}

/// The index of the comma that ends the value which `text` begins with, or the end of the text.
fn value_end(text: &[u8]) -> usize {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at += text.get(at..).and_then(string_end).unwrap_or(text.len());
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at.min(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_are_cut_at_the_top_level() {
        let text = r#" { "a" : [1,{"b":",}"}] , "c\"d":"x\\","e":null } "#;
        let found: Vec<_> = members(text).collect();
        assert_eq!(found, [(r#""a""#, r#"[1,{"b":",}"}]"#), (r#""c\"d""#, r#""x\\""#), (r#""e""#, "null")]);
        assert_eq!(members("{}").count(), 0);
        assert_eq!(open_without(r#"{"a":1,"b":2}"#, &["\"a\""]), r#"{"b":2,"#);
        assert_eq!(open_without(r#"{"a":1}"#, &["\"a\""]), "{");
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::String),
        ];
        leaf.prop_recursive(3, 20, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".{0,5}", inner, 0..4)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn members_are_those_of_a_real_parser(map in prop::collection::btree_map(".{0,6}", json(), 0..6), pretty: bool) {
            let value = serde_json::Value::Object(map.into_iter().collect());
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let found: Vec<(String, serde_json::Value)> = members(&text)
                .map(|(k, v)| (serde_json::from_str(k).unwrap(), serde_json::from_str(v).unwrap()))
                .collect();
            let expected: Vec<_> = value.as_object().unwrap().clone().into_iter().collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn rubbish_does_no_harm(text in ".{0,40}") {
            let _ = members(&text).count();
            let _ = members(&format!("{{{text}}}")).count();
        }
    }
}
