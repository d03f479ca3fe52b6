//! Small scanners for the text of sliced files: lines, comments, numbers, lists and durations. All are linear in their
//! input, take any bytes, and never fail harder than `None`.

use memchr::memchr;

/// The lines of `text`, without their ends. A line ends at `\n`; a `\r` before it belongs to the end. Text that has
/// no `\n` at all is split at `\r` (files that went through an old Mac editor or a wrong conversion).
pub(super) fn lines(text: &[u8]) -> Lines<'_> {
    let end = if memchr(b'\n', text).is_none() && memchr(b'\r', text).is_some() { b'\r' } else { b'\n' };
    Lines { text, at: 0, end }
}

/// Iterator over the lines of a text; see [`lines`].
pub(super) struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    end: u8,
}

/// One line and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// Offset of the line's first byte in the text.
    pub(super) start: usize,
    /// Offset of the first byte after the line and its end.
    pub(super) next: usize,
    /// The line without its end.
    pub(super) bytes: &'a [u8],
}

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = memchr(self.end, rest).unwrap_or(rest.len());
        let bytes = &rest[..length];
        let start = self.at;
        self.at = (start + length + 1).min(self.text.len());
        Some(Line { start, next: self.at, bytes: bytes.strip_suffix(b"\r").unwrap_or(bytes) })
    }
}

/// The text of a comment line: what follows `;` and blanks, without blanks at its end. `None` for other lines.
pub(super) fn comment(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b";").map(<[u8]>::trim_ascii)
}

/// Splits `key = value`, `key: value` or `key,value` at the first separator; both sides without outer blanks.
pub(super) fn key_value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| matches!(byte, b'=' | b':' | b','))?;
    Some((text[..at].trim_ascii_end(), text[at + 1..].trim_ascii()))
}

/// Whether `key` fits `pattern`, in which `%` stands for one or more digits and `*` at the end for anything.
pub(super) fn fits(pattern: &str, key: &[u8]) -> bool {
    let mut key = key;
    for byte in pattern.bytes() {
        match byte {
            b'*' => return true,
            b'%' => {
                let digits = key.iter().take_while(|byte| byte.is_ascii_digit()).count();
                if digits == 0 {
                    return false;
                }
                key = &key[digits..];
            }
            _ => match key.split_first() {
                Some((first, rest)) if *first == byte => key = rest,
                _ => return false,
            },
        }
    }
    key.is_empty()
}

/// The longest number that can be wanted: longer runs of digits are no number. Keeps hostile input cheap.
const MAX_NUMBER: usize = 40;

/// The number at the start of `text` (blanks before it allowed) and what follows it: digits with an optional sign,
/// decimal point and exponent. `None` if there is none or it is not finite.
pub(super) fn leading_number(text: &[u8]) -> Option<(f64, &[u8])> {
    let text = text.trim_ascii_start();
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative || text.first() == Some(&b'+'));
    let mut end = start;
    let mut mantissa = 0u64;
    let mut digits = 0;
    let mut point = None;
    while let Some(byte) = text.get(end) {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(*byte - b'0'));
                digits += 1;
            }
            b'.' if point.is_none() => point = Some(end),
            _ => break,
        }
        end += 1;
    }
    if digits == 0 {
        return None;
    }
    let fraction = point.map_or(0, |point| end - point - 1);
    if digits <= EXACT_DIGITS && !matches!(text.get(end), Some(b'e' | b'E')) {
        let number = mantissa as f64 / POWERS_OF_TEN[fraction];
        return Some((if negative { -number } else { number }, &text[end..]));
    }
    other_number(text, end)
}

/// Numbers of up to this many digits, and powers of ten up to it, are exact as `f64`, and so is their quotient rounded.
const EXACT_DIGITS: usize = 15;
const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// A number with many digits or an exponent, which begins at `end` if there is one.
fn other_number(text: &[u8], mut end: usize) -> Option<(f64, &[u8])> {
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let digits = text.get(end + 1 + sign..).unwrap_or_default();
        let exponent = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    if end > MAX_NUMBER {
        return None;
    }
    let number = std::str::from_utf8(&text[..end]).ok()?.parse::<f64>().ok()?;
    number.is_finite().then(|| (number, &text[end..]))
}

/// The number at the start of `text`.
pub(super) fn number(text: &[u8]) -> Option<f64> {
    leading_number(text).map(|(number, _)| number)
}

/// The whole number at the start of `text`.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    number(text).filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64)
}

/// Every number in `text` that does not continue a word, in order.
pub(super) fn numbers(text: &[u8]) -> Vec<f64> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte.is_ascii_digit()) {
        let signed = rest[..at].iter().rev().take_while(|byte| matches!(byte, b'.' | b'-')).count();
        match leading_number(&rest[at - signed..]).or_else(|| leading_number(&rest[at..])) {
            Some((number, after)) => {
                found.push(number);
                rest = after;
            }
            None => rest = &rest[at + rest[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()..],
        }
        if found.len() >= MAX_LIST {
            break;
        }
    }
    found
}

/// A computed number to a millionth, which is more than slicers write: 0.23 and 0.07 are 0.3, not 0.30000000000000004.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1e6).round() / 1e6
}

/// The sum of the numbers in `text` that have the given unit. `None` if none has.
pub(super) fn sum_of_unit(text: &[u8], unit: &[u8]) -> Option<f64> {
    let mut sum = None;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte.is_ascii_digit()) {
        let point = usize::from(at > 0 && rest[at - 1] == b'.');
        let Some((number, after)) = leading_number(&rest[at - point..]) else { break };
        let word = after.trim_ascii_start();
        let length = word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'^').count();
        if &word[..length] == unit {
            sum = Some(sum.unwrap_or(0.0) + number);
        }
        rest = &word[length..];
    }
    sum
}

/// `text` as UTF-8 with invalid bytes dropped, surrounding blanks and quotes removed.
pub(super) fn text(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let text = text.strip_prefix(b"\"").unwrap_or(text);
    let text = text.strip_suffix(b"\"").unwrap_or(text);
    utf8(text).trim().to_owned()
}

/// `bytes` as UTF-8 with invalid bytes dropped, as the reference does (spec behaviour.md §6.1).
pub(super) fn utf8(bytes: &[u8]) -> String {
    bytes.utf8_chunks().map(|chunk| chunk.valid()).collect()
}

/// Most items that a list is read to; a printer has a few dozen filaments at most.
const MAX_LIST: usize = 256;

/// The items of a list separated by `,` or `;`. Quoted items may contain separators and `\"`; blank items are dropped
/// (spec behaviour.md §6.1).
pub(super) fn list(text: &[u8]) -> Vec<String> {
    let mut items = Vec::new();
    let mut item = Vec::new();
    let mut quoted = false;
    let mut bytes = text.iter().copied();
    loop {
        let byte = bytes.next();
        match byte {
            Some(b'"') => quoted = !quoted,
            Some(b'\\') if quoted => match bytes.next() {
                Some(b'"') => item.push(b'"'),
                Some(other) => item.extend([b'\\', other]),
                None => item.push(b'\\'),
            },
            None | Some(b',' | b';') if byte.is_none() || !quoted => {
                let text = utf8(&item);
                if !text.trim().is_empty() {
                    items.push(text.trim().to_owned());
                }
                item.clear();
            }
            Some(byte) => item.push(byte),
            None => {}
        }
        if byte.is_none() || items.len() >= MAX_LIST {
            return items;
        }
    }
}

/// The seconds in a duration such as `1d 2h 3m 4s`, `1 hour 12 min 5 sec` or `2h12m`. `None` if no unit is found.
pub(super) fn duration(text: &[u8]) -> Option<f64> {
    let mut total = None;
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| byte.is_ascii_digit()) {
        let Some((number, after)) = leading_number(&rest[at..]) else { break };
        let unit = match after.trim_ascii_start().first() {
            Some(b'd') => 86_400.0,
            Some(b'h') => 3_600.0,
            Some(b'm') => 60.0,
            Some(b's') => 1.0,
            _ => 0.0,
        };
        if unit > 0.0 {
            total = Some(total.unwrap_or(0.0) + number * unit);
        }
        rest = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let split = |text: &'static str| {
            lines(text.as_bytes()).map(|line| String::from_utf8_lossy(line.bytes)).collect::<Vec<_>>()
        };
        assert_eq!(split("a\nb\r\n\nc"), ["a", "b", "", "c"]);
        assert_eq!(split("a\rb\r"), ["a", "b"]);
        assert!(split("").is_empty());
        let last = lines(b"a\nbc\n").last().unwrap();
        assert_eq!((last.start, last.next), (2, 5));
    }

    #[test]
    fn numbers_as_slicers_write_them() {
        assert_eq!(number(b" .5mm"), Some(0.5));
        assert_eq!(number(b"5."), Some(5.0));
        assert_eq!(number(b"-2.14748e+06"), Some(-2_147_480.0));
        assert_eq!(number(b"1e"), Some(1.0));
        assert_eq!(number(b"."), None);
        assert_eq!(number(b"mm"), None);
        assert_eq!(number(&[b'9'; 60_000]), None);
        assert_eq!(integer(b"12 "), Some(12));
        assert_eq!(integer(b"1.5"), None);
        assert_eq!(numbers(b"1.5, 2.25 (x3)"), [1.5, 2.25, 3.0]);
        assert_eq!(numbers(b"[12.25, .5]"), [12.25, 0.5]);
    }

    #[test]
    fn lists_with_quotes() {
        assert_eq!(
            list(br##""PLA; soft","say \"hi\"" ;;#FF0000, "##),
            ["PLA; soft", "say \"hi\"", "#FF0000"]
        );
        assert!(list(b"\"\"").is_empty());
    }

    #[test]
    fn durations() {
        assert_eq!(duration(b"3d 4h 5m 6s"), Some(273_906.0));
        assert_eq!(duration(b"1 hour 12 min 5 sec"), Some(4_325.0));
        assert_eq!(duration(b"0 hours 31 minutes"), Some(1_860.0));
        assert_eq!(duration(b"soon"), None);
    }

    #[test]
    fn units() {
        assert_eq!(sum_of_unit(b"1482.1mm, 34.4mm (3.6cm3)", b"mm"), Some(1516.5));
        assert_eq!(sum_of_unit(b"1.167m 3.0g", b"m"), Some(1.167));
        assert_eq!(sum_of_unit(b"1.167m .5 g", b"g"), Some(0.5));
        assert_eq!(sum_of_unit(b"782066mm3", b"mm"), None);
    }

    #[test]
    fn patterns() {
        assert!(fits("Ext *", b"Ext #1"));
        assert!(fits("Material#% Used", b"Material#12 Used"));
        assert!(!fits("Material#% Used", b"Material# Used"));
        assert!(!fits("layer_height", b"layer_height_2"));
        assert!(fits("estimated printing time*", b"estimated printing time (normal mode)"));
    }

    proptest! {
        #[test]
        fn numbers_are_those_of_the_standard_library(number in "[-+]?[0-9]{0,18}(\\.[0-9]{0,8})?") {
            let expected = number.parse::<f64>().ok();
            prop_assert_eq!(super::number(number.as_bytes()), expected, "{}", number);
        }

        #[test]
        fn nothing_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (lines(&text).count(), number(&text), numbers(&text), list(&text), duration(&text));
            let _ = (key_value(&text), comment(&text), super::text(&text), integer(&text));
        }
    }
}
