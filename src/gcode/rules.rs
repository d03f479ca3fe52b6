//! The table language in which each slicer's fields are described, and the one pass that reads a window by it.

use super::field::{Field, Metadata, Value};
use super::text;

/// Which part of a file is being read. A file that fits into one window is read once, as both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Window {
    /// The beginning.
    Head,
    /// The end.
    Foot,
    /// Everything.
    Whole,
}

/// Where a rule's line stands in files by this slicer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Only in the beginning.
    Head,
    /// Only in the end.
    Foot,
    /// In the beginning, or else in the end.
    HeadFirst,
    /// In the end, or else in the beginning.
    FootFirst,
}

impl At {
    /// How far a window is from where the line is expected: 0 there, 1 second choice, `None` not read.
    fn distance(self, window: Window) -> Option<u16> {
        match (self, window) {
            (_, Window::Whole)
            | (At::Head | At::HeadFirst, Window::Head)
            | (At::Foot | At::FootFirst, Window::Foot) => Some(0),
            (At::HeadFirst, Window::Foot) | (At::FootFirst, Window::Head) => Some(1),
            (At::Head, Window::Foot) | (At::Foot, Window::Head) => None,
        }
    }
}

/// What to do when a rule's line occurs more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// The first one counts.
    First,
    /// The last one counts.
    Last,
    /// The greatest number counts.
    Max,
    /// The least number counts.
    Min,
    /// The numbers are added.
    Sum,
}

/// Reads the value of a line into the JSON type of a field.
pub(super) type Read = fn(&[u8]) -> Option<Value>;

/// One row of a slicer's table: a comment whose key fits `key` gives `field`. Earlier rows win over later ones.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    key: &'static str,
    field: Field,
    at: At,
    take: Take,
    read: Read,
}

/// A row: the comment `key` separator value, found `at`, gives `field` by `read`; the first such line counts.
pub(super) const fn rule(key: &'static str, field: Field, at: At, read: Read) -> Rule {
    Rule { key, field, at, take: Take::First, read }
}

impl Rule {
    /// The same row for a line that occurs several times.
    pub(super) const fn take(self, take: Take) -> Rule {
        Rule { take, ..self }
    }
}

/// How well founded a value is: less is better. Rows of the table come before what is read from the commands.
pub(super) type Rank = u16;

/// Rank of values read from commands rather than stated by the slicer.
pub(super) const FROM_COMMANDS: Rank = 1_000;

/// Collects the values offered for each field and keeps the best founded one.
#[derive(Debug, Default)]
pub(super) struct Sink {
    slots: [Option<(Rank, Value)>; Field::ALL.len()],
}

impl Sink {
    /// Offers a value. A better rank replaces what is there; an equal one is merged as `take` says.
    pub(super) fn offer(&mut self, field: Field, rank: Rank, take: Take, value: Value) {
        let slot = &mut self.slots[field as usize];
        match slot {
            Some((held, _)) if *held < rank => {}
            Some((held, old)) if *held == rank => {
                let merged = match (take, old.number(), value.number()) {
                    (Take::First, ..) => return,
                    (Take::Max, Some(a), Some(b)) if a >= b => return,
                    (Take::Min, Some(a), Some(b)) if a <= b => return,
                    (Take::Sum, Some(a), Some(b)) => Value::Float(text::rounded(a + b)),
                    _ => value,
                };
                *old = merged;
            }
            _ => *slot = Some((rank, value)),
        }
    }

    /// Offers a number read from several lines; such a value is as well founded as the first row of a table.
    pub(super) fn found(&mut self, field: Field, take: Take, number: f64) {
        self.offer(field, 0, take, Value::Float(number));
    }

    /// Sets a value, whatever is there.
    pub(super) fn set(&mut self, field: Field, value: Value) {
        self.slots[field as usize] = Some((0, value));
    }

    /// Sets a value where none is there.
    pub(super) fn set_default(&mut self, field: Field, value: Value) {
        self.slots[field as usize].get_or_insert((Rank::MAX, value));
    }

    /// Removes a value.
    pub(super) fn clear(&mut self, field: Field) {
        self.slots[field as usize] = None;
    }

    /// The best value offered so far.
    pub(super) fn get(&self, field: Field) -> Option<&Value> {
        self.slots[field as usize].as_ref().map(|(_, value)| value)
    }

    /// The best value offered so far, if it is a number.
    pub(super) fn number(&self, field: Field) -> Option<f64> {
        self.get(field).and_then(Value::number)
    }

    /// Moves the values into the record.
    pub(super) fn into_metadata(self) -> Metadata {
        let mut metadata = Metadata::default();
        for (field, slot) in Field::ALL.into_iter().zip(self.slots) {
            if let Some((_, value)) = slot {
                metadata.set(field, value);
            }
        }
        metadata
    }
}

/// Offers what the rows of a table say about one comment (its text without `;`).
pub(super) fn apply<'a>(
    rules: impl Iterator<Item = &'a Rule>,
    comment: &[u8],
    window: Window,
    sink: &mut Sink,
) {
    let Some((key, value)) = text::key_value(comment) else { return };
    for (rank, rule) in (0..).step_by(2).zip(rules) {
        if text::fits(rule.key, key)
            && let Some(distance) = rule.at.distance(window)
            && let Some(value) = (rule.read)(value)
        {
            sink.offer(rule.field, rank + distance, rule.take, value);
        }
    }
}

/// The ways to read a value.
pub(super) mod read {
    use super::{Value, text};

    /// Lengths above this (1 km) are no lengths: CuraEngine writes ±2.14748e+06 for "unknown".
    const MAX_LENGTH: f64 = 1e6;

    /// A number that is not negative.
    pub(in super::super) fn number(value: &[u8]) -> Option<Value> {
        text::number(value).filter(|number| *number >= 0.0).map(Value::Float)
    }

    /// A length in mm that can be true.
    pub(in super::super) fn length(value: &[u8]) -> Option<Value> {
        text::number(value).filter(|number| (0.0..MAX_LENGTH).contains(number)).map(Value::Float)
    }

    /// A whole number that is not negative.
    pub(in super::super) fn integer(value: &[u8]) -> Option<Value> {
        text::integer(value).filter(|number| *number >= 0).map(Value::Int)
    }

    /// The rest of the line.
    pub(in super::super) fn text(value: &[u8]) -> Option<Value> {
        Some(Value::Text(text::text(value)))
    }

    /// A list of texts.
    pub(in super::super) fn texts(value: &[u8]) -> Option<Value> {
        Some(Value::Texts(text::list(value)))
    }

    /// A list of texts as the record has it for materials: one is a text, several a JSON array in a text, none nothing.
    pub(in super::super) fn names(value: &[u8]) -> Option<Value> {
        let mut list = text::list(value);
        match list.len() {
            0 => None,
            1 => list.pop().map(Value::Text),
            _ => Some(Value::Text(json_array(&list))),
        }
    }

    /// A list of whole numbers; nothing if one of them is not.
    pub(in super::super) fn integers(value: &[u8]) -> Option<Value> {
        let items = text::list(value);
        let numbers: Option<Vec<i64>> = items.iter().map(|item| item.parse().ok()).collect();
        numbers.map(Value::Ints)
    }

    /// All numbers of the line.
    pub(in super::super) fn numbers(value: &[u8]) -> Option<Value> {
        Some(text::numbers(value)).filter(|list| !list.is_empty()).map(Value::Floats)
    }

    /// The sum of all numbers of the line.
    pub(in super::super) fn sum(value: &[u8]) -> Option<Value> {
        let numbers = text::numbers(value);
        (!numbers.is_empty()).then(|| Value::Float(text::rounded(numbers.iter().sum())))
    }

    /// A duration in whole seconds.
    pub(in super::super) fn duration(value: &[u8]) -> Option<Value> {
        text::duration(value).map(|seconds| Value::Int(seconds.round() as i64))
    }

    /// A duration in seconds, or a plain number of them.
    pub(in super::super) fn seconds(value: &[u8]) -> Option<Value> {
        text::duration(value).map(Value::Float).or_else(|| number(value))
    }

    /// The sum of the lengths of a line, each with its unit (`1.25m, 2.5m` or `44.8mm (0.1cm3)`), in mm.
    pub(in super::super) fn lengths(value: &[u8]) -> Option<Value> {
        let metres = text::sum_of_unit(value, b"m").map(|metres| metres * 1e3);
        let sum = match (metres, text::sum_of_unit(value, b"mm")) {
            (None, None) => return None,
            (a, b) => a.unwrap_or(0.0) + b.unwrap_or(0.0),
        };
        Some(Value::Float(text::rounded(sum)))
    }

    /// The sum of the weights of a line that have their unit, g.
    pub(in super::super) fn grams(value: &[u8]) -> Option<Value> {
        text::sum_of_unit(value, b"g").map(text::rounded).map(Value::Float)
    }

    /// The number of a layer that counts from 0, as the number of layers up to it.
    pub(in super::super) fn layers_up_to(value: &[u8]) -> Option<Value> {
        text::integer(value).filter(|number| *number >= 0).map(|number| Value::Int(number + 1))
    }

    /// A number above 0: 0 says that nothing is set.
    pub(in super::super) fn positive(value: &[u8]) -> Option<Value> {
        text::number(value).filter(|number| *number > 0.0).map(Value::Float)
    }

    /// A height that a print can have: CuraEngine run by itself writes 0.01 for "unknown".
    pub(in super::super) fn height(value: &[u8]) -> Option<Value> {
        text::number(value).filter(|number| (0.05..MAX_LENGTH).contains(number)).map(Value::Float)
    }

    /// A JSON array of texts, spaced as Python's `json` writes it, which is what clients have always received.
    fn json_array(items: &[String]) -> String {
        let quoted: Vec<String> =
            items.iter().map(|item| serde_json::Value::from(item.as_str()).to_string()).collect();
        format!("[{}]", quoted.join(", "))
    }
}
