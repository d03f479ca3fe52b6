//! Moonraker's form of a stored value: a type byte, then the body (spec database.md §2, "Value encoding").
//! Used by text backups and when moving in.

use std::borrow::Cow;

use super::error::{Error, Result};

/// A JSON text that has no exact form of Moonraker's (an integer beyond 64 bits, a string with half a surrogate
/// pair): kept as text. Only Perigee reads it.
const OTHER: u8 = b'#';

/// The form of a JSON text.
pub fn encode(json: &str) -> Vec<u8> {
    let tagged = |tag: u8, body: &[u8]| [&[tag], body].concat();
    match json.as_bytes() {
        [b'{' | b'[', ..] => json.as_bytes().to_vec(),
        b"null" => vec![0],
        b"true" => tagged(b'?', &[1]),
        b"false" => tagged(b'?', &[0]),
        [b'"', ..] => match serde_json::from_str::<Cow<'_, str>>(json) {
            Ok(text) => tagged(b's', text.as_bytes()),
            Err(_) => tagged(OTHER, json.as_bytes()),
        },
        _ => number(json).unwrap_or_else(|| tagged(OTHER, json.as_bytes())),
    }
}

/// The form of a JSON text that Moonraker can read, as near to it as can be.
#[cfg(feature = "import")]
pub(super) fn encode_for_moonraker(json: &str) -> Vec<u8> {
    let form = encode(json);
    match form.first() {
        Some(&OTHER) if json.starts_with('"') => {
            // half a surrogate pair has no UTF-8
            let text = String::from_utf8_lossy(form.get(2..form.len() - 1).unwrap_or_default()).into_owned();
            [b"s".as_slice(), text.as_bytes()].concat()
        }
        Some(&OTHER) => {
            let number = json.parse::<f64>().unwrap_or_default().clamp(f64::MIN, f64::MAX);
            [b"d".as_slice(), &number.to_le_bytes()].concat()
        }
        _ => form,
    }
}

fn number(json: &str) -> Option<Vec<u8>> {
    if json.contains(['.', 'e', 'E']) {
        let number = json.parse::<f64>().ok().filter(|number| number.is_finite())?;
        return Some([b"d".as_slice(), &number.to_le_bytes()].concat());
    }
    let number = json.parse::<i64>().ok().filter(|_| json != "-0")?;
    Some([b"q".as_slice(), &number.to_le_bytes()].concat())
}

/// The JSON text of a form. Python writes NaN and infinities, which JSON does not have: they become `null`; the
/// flag says whether that happened.
///
/// # Errors
/// BadRequest when it is none of the forms.
pub fn decode(record: &[u8]) -> Result<(String, bool)> {
    let bad = || Error::bad_request("A value of unknown form");
    let (tag, body) = record.split_first().ok_or_else(bad)?;
    let text = |bytes| std::str::from_utf8(bytes).map_err(|error| bad().caused_by(error));
    let json = match tag {
        b'{' | b'[' => return valid(text(record)?),
        b's' => crate::json::to_text(text(body)?),
        b'q' => i64::from_le_bytes(body.try_into().map_err(|_| bad())?).to_string(),
        b'd' => {
            let number = f64::from_le_bytes(body.try_into().map_err(|_| bad())?);
            return Ok((crate::json::to_text(&number), !number.is_finite()));
        }
        b'?' => body.first().is_some_and(|byte| *byte != 0).to_string(),
        0 => "null".to_owned(),
        &OTHER => return valid(text(body)?),
        _ => return Err(bad()),
    };
    Ok((json, false))
}

/// JSON text that is known to be right, or is made so.
fn valid(text: &str) -> Result<(String, bool)> {
    if is_json(text).is_ok() {
        return Ok((text.to_owned(), false));
    }
    let mended = without_constants(text);
    is_json(&mended).map_err(|error| Error::bad_request("A value that is not JSON").caused_by(error))?;
    Ok((mended, true))
}

fn is_json(text: &str) -> serde_json::Result<()> {
    serde_json::from_str::<&serde_json::value::RawValue>(text).map(drop)
}

/// Replaces the bare words `NaN`, `Infinity` and `-Infinity` by `null`.
fn without_constants(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_string = false;
    while let Some(first) = rest.chars().next() {
        let word =
            ["NaN", "Infinity", "-Infinity"].into_iter().find(|word| !in_string && rest.starts_with(word));
        let taken = match (word, first) {
            (Some(word), _) => word.len(),
            (None, '\\') if in_string => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
            _ => first.len_utf8(),
        };
        in_string ^= first == '"';
        out.push_str(if word.is_some() { "null" } else { &rest[..taken] });
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back_as_it_was() {
        for json in [
            "1",
            "-9223372036854775808",
            "9223372036854775807",
            "1.5",
            "1.0",
            "-0.0",
            "5e-324",
            "true",
            "false",
            "null",
            "\"\"",
            "\"ä\\n\\u0000\"",
            "{}",
            "[1,{\"a\":null}]",
            "9223372036854775808",
            "-0",
            "1e999",
            "\"\\ud800\"",
            "123456789012345678901234567890",
        ] {
            let (back, mended) = decode(&encode(json)).unwrap();
            assert_eq!((back.as_str(), mended), (json, false));
        }
    }

    #[test]
    fn what_json_lacks_becomes_null() {
        let nan = [b"d".as_slice(), &f64::NAN.to_le_bytes()].concat();
        assert_eq!(decode(&nan).unwrap(), ("null".into(), true));
        let text = br#"{"a":NaN,"NaN \" Infinity":[-Infinity,Infinity,"\\"]}"#;
        assert_eq!(decode(text).unwrap(), (r#"{"a":null,"NaN \" Infinity":[null,null,"\\"]}"#.into(), true));
    }

    #[test]
    fn other_bytes_are_refused() {
        for bytes in [b"".as_slice(), b"q123", b"x", b"{", b"[1,]", b"s\xff", b"#", b"d1234567890"] {
            assert!(decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
