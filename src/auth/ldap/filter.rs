//! Search filters in their written form (RFC 4515), with a place for the name of the user. The name is put in where
//! it means nothing but itself: after the filter has been read.

use super::ber::{OCTETS, SEQUENCE, element};

/// What stands for the name of the user (spec config.md §3).
pub const USERNAME: &str = "USERNAME";

/// How deep filters may lie in each other.
const MAX_DEPTH: usize = 16;

/// A filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of these, any of these, or not this one: the tag says which.
    Of(u8, Vec<Filter>),
    /// A comparison by the operator that the tag stands for.
    Compare(u8, String, Vec<u8>),
    /// The attribute is there.
    Present(String),
    /// The value has these parts; each with its tag.
    Parts(String, Vec<(u8, Vec<u8>)>),
    /// By a rule of the server's.
    Rule {
        /// The attribute; empty for all.
        attribute: String,
        /// The name or number of the rule; empty for that of the attribute.
        rule: String,
        /// Whether the parts of the entry's name count as well.
        with_dn: bool,
        /// The value.
        value: Vec<u8>,
    },
}

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const GREATER: u8 = 0xa5;
const LESS: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const ALIKE: u8 = 0xa8;
const RULE: u8 = 0xa9;

const INITIAL: u8 = 0x80;
const ANY: u8 = 0x81;
const FINAL: u8 = 0x82;

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let filter = parse(&mut rest, 0)?;
        if rest.is_empty() { Ok(filter) } else { Err(format!("'{rest}' stands behind its end")) }
    }

    /// The filter for a user, as it is sent.
    pub(super) fn encode(&self, name: &str) -> Vec<u8> {
        let octets = |value: &[u8]| element(OCTETS, value);
        match self {
            Self::Of(tag, filters) => {
                let content: Vec<u8> = filters.iter().flat_map(|filter| filter.encode(name)).collect();
                element(*tag, &content)
            }
            Self::Compare(tag, attribute, value) => {
                element(*tag, &[octets(attribute.as_bytes()), octets(&with_name(value, name))].concat())
            }
            Self::Present(attribute) => element(PRESENT, attribute.as_bytes()),
            Self::Parts(attribute, parts) => {
                let parts: Vec<u8> =
                    parts.iter().flat_map(|(tag, value)| element(*tag, &with_name(value, name))).collect();
                element(SUBSTRINGS, &[octets(attribute.as_bytes()), element(SEQUENCE, &parts)].concat())
            }
            Self::Rule { attribute, rule, with_dn, value } => {
                let optional = |tag, text: &str| match text {
                    "" => Vec::new(),
                    text => element(tag, text.as_bytes()),
                };
                let mut content = optional(0x81, rule);
                content.extend(optional(0x82, attribute));
                content.extend(element(0x83, &with_name(value, name)));
                if *with_dn {
                    content.extend(element(0x84, &[0xff]));
                }
                element(RULE, &content)
            }
        }
    }
}

/// A value with the name in its place.
fn with_name(value: &[u8], name: &str) -> Vec<u8> {
    let mut made = Vec::with_capacity(value.len() + name.len());
    let mut rest = value;
    while let Some(at) = memchr::memmem::find(rest, USERNAME.as_bytes()) {
        made.extend(&rest[..at]);
        made.extend(name.as_bytes());
        rest = &rest[at + USERNAME.len()..];
    }
    made.extend(rest);
    made
}

fn parse(rest: &mut &str, depth: usize) -> Result<Filter, String> {
    if depth > MAX_DEPTH {
        return Err("it is nested too deeply".to_owned());
    }
    let expected = |what: char, rest: &str| format!("'{what}' is missing before '{rest}'");
    *rest = rest.strip_prefix('(').ok_or_else(|| expected('(', rest))?.trim_start();
    let list = [('&', AND), ('|', OR), ('!', NOT)].into_iter().find(|(sign, _)| rest.starts_with(*sign));
    let filter = match list {
        Some((_, tag)) => {
            *rest = rest[1..].trim_start();
            let mut filters = Vec::new();
            while rest.starts_with('(') && (tag != NOT || filters.is_empty()) {
                filters.push(parse(rest, depth + 1)?);
                *rest = rest.trim_start();
            }
            if filters.is_empty() {
                return Err(expected('(', rest));
            }
            Filter::Of(tag, filters)
        }
        None => {
            let end = rest.find(['(', ')']).ok_or_else(|| expected(')', ""))?;
            let (item, after) = rest.split_at(end);
            *rest = after;
            item_of(item)?
        }
    };
    *rest = rest.strip_prefix(')').ok_or_else(|| expected(')', rest))?;
    Ok(filter)
}

/// `attribute=value` and its kin.
fn item_of(item: &str) -> Result<Filter, String> {
    let (left, value) = item.split_once('=').ok_or_else(|| format!("there is no '=' in '{item}'"))?;
    let operators = [('>', GREATER), ('<', LESS), ('~', ALIKE)];
    if let Some((attribute, tag)) =
        operators.into_iter().find_map(|(sign, tag)| Some((left.strip_suffix(sign)?, tag)))
    {
        return Ok(Filter::Compare(tag, attribute_of(attribute)?, unescape(value)?));
    }
    if let Some(left) = left.strip_suffix(':') {
        return rule(left, value);
    }
    let attribute = attribute_of(left)?;
    let parts: Vec<&str> = value.split('*').collect();
    match parts[..] {
        ["", ""] => Ok(Filter::Present(attribute)),
        [value] => Ok(Filter::Compare(EQUAL, attribute, unescape(value)?)),
        _ => {
            let last = parts.len() - 1;
            let tag = |at| {
                if at == 0 {
                    INITIAL
                } else if at == last {
                    FINAL
                } else {
                    ANY
                }
            };
            let parts = parts.iter().enumerate().filter(|(_, part)| !part.is_empty());
            let parts: Result<_, String> = parts.map(|(at, part)| Ok((tag(at), unescape(part)?))).collect();
            Ok(Filter::Parts(attribute, parts?))
        }
    }
}

/// `attribute:dn:rule:=value`, each of the three optional; `left` is what stands before `:=`.
fn rule(left: &str, value: &str) -> Result<Filter, String> {
    let mut words = left.split(':');
    let attribute = words.next().unwrap_or_default();
    let mut words: Vec<&str> = words.collect();
    let with_dn = words.first().is_some_and(|word| word.eq_ignore_ascii_case("dn"));
    if with_dn {
        words.remove(0);
    }
    let (rule, more) = (words.first().copied().unwrap_or_default(), words.len() > 1);
    if more || (attribute.is_empty() && rule.is_empty()) {
        return Err(format!("'{left}:=' cannot be read"));
    }
    let attribute = if attribute.is_empty() { String::new() } else { attribute_of(attribute)? };
    let rule = if rule.is_empty() { String::new() } else { attribute_of(rule)? };
    Ok(Filter::Rule { attribute, rule, with_dn, value: unescape(value)? })
}

fn attribute_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.;_".contains(&byte);
    match !text.is_empty() && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err(format!("'{text}' is no name of an attribute")),
    }
}

/// A value with its `\xx` made into bytes.
fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = text.bytes();
    let mut value = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            value.push(byte);
            continue;
        }
        let mut digit = || Some((bytes.next()? as char).to_digit(16)? as u8);
        let escaped = digit().zip(digit()).map(|(high, low)| high << 4 | low);
        value.push(escaped.ok_or_else(|| format!("a '\\' without two digits in '{text}'"))?);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str, name: &str) -> Vec<u8> {
        Filter::parse(text).unwrap().encode(name)
    }

    #[test]
    fn a_name_means_nothing_but_itself() {
        let text = "(&(objectClass=Person)(uid=USERNAME))";
        let plain = encoded(text, "anna");
        assert_eq!(plain[..2], [AND, 36]);
        assert!(plain.ends_with(&[4, 3, b'u', b'i', b'd', 4, 4, b'a', b'n', b'n', b'a']));
        for name in ["*", "a)(uid=*", "\\2a", "anna)(|(uid=*", "USERNAME"] {
            let sent = encoded(text, name);
            let value = element(OCTETS, name.as_bytes());
            assert!(sent.ends_with(&value), "{name}");
            assert_eq!(sent.len(), plain.len() - 4 + name.len());
        }
    }

    #[test]
    fn every_kind() {
        for (text, expected) in [
            ("(a=*)", &[0x87, 1, b'a'] as &[u8]),
            ("(!(a=b))", &[0xa2, 8, 0xa3, 6, 4, 1, b'a', 4, 1, b'b']),
            ("( | (a=b)(a>=c) )", &[0xa1, 16, 0xa3, 6, 4, 1, 97, 4, 1, 98, 0xa5, 6, 4, 1, 97, 4, 1, 99]),
            ("(a~=b)", &[0xa8, 6, 4, 1, 97, 4, 1, 98]),
            ("(a=b*c*d)", &[0xa4, 14, 4, 1, 97, 48, 9, 0x80, 1, 98, 0x81, 1, 99, 0x82, 1, 100]),
            ("(a=*b*)", &[0xa4, 8, 4, 1, 97, 48, 3, 0x81, 1, 98]),
            ("(a=\\2a\\00)", &[0xa3, 7, 4, 1, 97, 4, 2, b'*', 0]),
            ("(a:1.2:=b)", &[0xa9, 11, 0x81, 3, b'1', b'.', b'2', 0x82, 1, 97, 0x83, 1, 98]),
            ("(a:dn:=b)", &[0xa9, 9, 0x82, 1, 97, 0x83, 1, 98, 0x84, 1, 0xff]),
        ] {
            assert_eq!(encoded(text, ""), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for text in [
            "",
            "a=b",
            "(a=b",
            "(a=b))",
            "(&)",
            "(!(a=b)(c=d))",
            "(a b=c)",
            "(=c)",
            "(a=\\2)",
            "(:=b)",
            "(a:b:c:d:=e)",
        ] {
            Filter::parse(text).unwrap_err();
        }
        Filter::parse(&format!("{}(a=b){}", "(!".repeat(1000), ")".repeat(1000))).unwrap_err();
    }

    proptest! {
        #[test]
        fn anything_is_read(text in "[(&|!)a*=\\\\:<2 é]{0,40}") {
            if let Ok(filter) = Filter::parse(&text) {
                filter.encode("anna");
            }
        }
    }
}
