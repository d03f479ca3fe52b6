//! Python literals, the values of macro variables, as JSON.

use serde_json::{Map, Value, json};

/// How deep lists and dictionaries may nest.
const MAX_DEPTH: usize = 32;

/// Reads a Python literal: numbers, strings, `True`, `False`, `None`, lists, tuples, dictionaries with strings as
/// keys. Nothing for anything else.
pub(in crate::demo::klippy) fn parse(text: &str) -> Option<Value> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    (reader.at == text.len()).then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn eat(&mut self, token: char) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len_utf8();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.blanks();
        match self.rest().chars().next()? {
            '[' => self.list('[', ']', depth).map(|(items, _)| Value::Array(items)),
            '(' => {
                let (mut items, comma) = self.list('(', ')', depth)?;
                // (1) is 1, (1,) is a tuple
                if items.len() == 1 && !comma { items.pop() } else { Some(Value::Array(items)) }
            }
            '{' => self.dictionary(depth),
            '"' | '\'' => self.string().map(Value::String),
            _ => self.word(),
        }
    }

    /// The items, and whether the last is followed by a comma.
    fn list(&mut self, open: char, close: char, depth: usize) -> Option<(Vec<Value>, bool)> {
        let mut items = Vec::new();
        if !self.eat(open) {
            return None;
        }
        loop {
            if self.eat(close) {
                let comma = !items.is_empty();
                return Some((items, comma));
            }
            items.push(self.value(depth + 1)?);
            if !self.eat(',') {
                return self.eat(close).then_some((items, false));
            }
        }
    }

    fn dictionary(&mut self, depth: usize) -> Option<Value> {
        let mut map = Map::new();
        if !self.eat('{') {
            return None;
        }
        loop {
            if self.eat('}') {
                return Some(Value::Object(map));
            }
            let key = match self.value(depth + 1)? {
                Value::String(key) => key,
                Value::Number(number) => number.to_string(),
                _ => return None,
            };
            if !self.eat(':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            if !self.eat(',') {
                return self.eat('}').then_some(Value::Object(map));
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let mut out = String::new();
        let mut chars = self.rest().char_indices();
        let (_, quote) = chars.next()?;
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at += at + c.len_utf8();
                    return Some(out);
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    c @ ('\\' | '\'' | '"') => out.push(c),
                    c => out.extend(['\\', c]),
                },
                c => out.push(c),
            }
        }
        None
    }

    fn word(&mut self) -> Option<Value> {
        let rest = self.rest();
        let end = rest.find([',', ']', ')', '}', ':', ' ', '\t', '\n']).unwrap_or(rest.len());
        let word = rest.get(..end)?;
        let value = match word {
            "True" => json!(true),
            "False" => json!(false),
            "None" => Value::Null,
            _ if !word.bytes().any(|byte| byte.is_ascii_digit()) => return None,
            _ => match word.parse::<i64>() {
                Ok(number) => json!(number),
                Err(_) => json!(super::line::parse_float(word)?),
            },
        };
        self.at += end;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn literals_become_json() {
        for (text, value) in [
            ("5", json!(5)),
            (" -1.5 ", json!(-1.5)),
            ("True", json!(true)),
            ("None", Value::Null),
            ("'a\\'b'", json!("a'b")),
            ("\"PLA\"", json!("PLA")),
            ("(1, 2)", json!([1, 2])),
            ("(1)", json!(1)),
            ("(1,)", json!([1])),
            ("[1, 'x', [2,],]", json!([1, "x", [2]])),
            ("{\"a\": 1, 'b': [1, 2], 'c': {'d': None}}", json!({"a": 1, "b": [1, 2], "c": {"d": null}})),
            ("[]", json!([])),
            ("{}", json!({})),
        ] {
            assert_eq!(parse(text), Some(value), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in ["abc", "", "1 2", "[1", "{1}", "'open", "inf", "nan", "{None: 1}"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"[".repeat(10_000)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(text: String) {
            let _ = parse(&text);
        }
    }
}
