//! Text of an option as a value: numbers, booleans, and what they are called in messages.
//!
//! What is accepted is what Python's `int()`, `float()` and `configparser` accept, since existing files were
//! written for them.

use std::fmt::Display;

use serde_json::Value as Json;

/// A value that stands alone: as an option, or as an element of a list or dict.
pub trait Scalar: Sized + Clone + Into<Json> {
    /// The value that a trimmed text stands for, or a sentence that says what is wrong with it.
    fn parse(text: &str) -> Result<Self, String>;
}

impl Scalar for String {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl Scalar for bool {
    fn parse(text: &str) -> Result<Self, String> {
        let is_any = |words: [&str; 4]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
        if is_any(["yes", "on", "true", "1"]) {
            Ok(true)
        } else if is_any(["no", "off", "false", "0"]) {
            Ok(false)
        } else {
            Err(format!("'{text}' is neither True nor False (nor yes, no, on, off, 1, 0)"))
        }
    }
}

impl Scalar for f64 {
    fn parse(text: &str) -> Result<Self, String> {
        let number: Option<f64> = without_separators(text).and_then(|text| text.parse().ok());
        match number {
            Some(number) if number.is_finite() => Ok(number),
            Some(_) => Err(format!("'{text}' is not a finite number")),
            None => Err(format!("'{text}' is not a number")),
        }
    }
}

/// A whole number of any width.
pub trait Whole: Scalar + Copy + Display + TryFrom<i64> {}

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn parse(text: &str) -> Result<Self, String> {
                let number = whole_number(text)?;
                Self::try_from(number).map_err(|_| {
                    format!("{number} is not between {} and {}", Self::MIN, Self::MAX)
                })
            }
        }
        impl Whole for $type {}
    )*};
}
whole!(u8, u16, u32, u64, usize, i32, i64);

fn whole_number(text: &str) -> Result<i64, String> {
    without_separators(text)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("'{text}' is not a whole number"))
}

/// Text without the underscores that may stand between digits.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let between_digits = |at: usize| {
        let before = at.checked_sub(1).and_then(|i| bytes.get(i));
        let after = bytes.get(at + 1);
        before.is_some_and(u8::is_ascii_digit) && after.is_some_and(u8::is_ascii_digit)
    };
    let separators: Vec<usize> = text.match_indices('_').map(|(at, _)| at).collect();
    separators.into_iter().all(between_digits).then(|| text.replace('_', ""))
}

/// Limits of a number: above and below exclude the limit itself.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<N> {
    pub(super) above: Option<N>,
    pub(super) below: Option<N>,
    pub(super) min: Option<N>,
    pub(super) max: Option<N>,
}

impl<N> Default for Bounds<N> {
    fn default() -> Self {
        Self { above: None, below: None, min: None, max: None }
    }
}

impl<N: PartialOrd + Display + Copy> Bounds<N> {
    /// Nothing if `number` is within the limits, else a sentence that names the one it breaks.
    pub(super) fn check(&self, number: N) -> Result<(), String> {
        let broken = [
            (self.above.filter(|limit| number <= *limit), "must be above"),
            (self.below.filter(|limit| number >= *limit), "must be below"),
            (self.min.filter(|limit| number < *limit), "is below the minimum"),
            (self.max.filter(|limit| number > *limit), "is above the maximum"),
        ];
        match broken.into_iter().find_map(|(limit, words)| Some((limit?, words))) {
            Some((limit, words)) => Err(format!("{number} {words} {limit}")),
            None => Ok(()),
        }
    }
}

/// What stands between the elements of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// Each line is an element.
    Newline,
    /// Any run of spaces and newlines.
    Whitespace,
    /// This character.
    Char(char),
}

impl Separator {
    /// The elements of a text, trimmed, without the empty ones.
    pub(super) fn split(self, text: &str) -> impl Iterator<Item = &str> {
        let is_separator = move |c: char| match self {
            Self::Newline => c == '\n',
            Self::Whitespace => c.is_whitespace(),
            Self::Char(separator) => c == separator,
        };
        text.split(is_separator).map(str::trim).filter(|element| !element.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn booleans() {
        for (text, value) in [("yes", true), ("ON", true), ("True", true), ("1", true)] {
            assert_eq!(bool::parse(text), Ok(value));
        }
        for text in ["no", "Off", "false", "0"] {
            assert_eq!(bool::parse(text), Ok(false));
        }
        for text in ["", "y", "2", "truee"] {
            assert!(bool::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(u16::parse("7125"), Ok(7125));
        assert_eq!(u16::parse("+7_125"), Ok(7125));
        assert_eq!(i64::parse("-3"), Ok(-3));
        assert_eq!(u8::parse("256").unwrap_err(), "256 is not between 0 and 255");
        for text in ["", "1.0", "0x10", "_1", "1_", "1__0", "1 0", "९"] {
            assert!(i64::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fractions() {
        for (text, value) in [("3.5", 3.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1_0.5", 10.5), ("-2", -2.0)]
        {
            assert_eq!(f64::parse(text), Ok(value));
        }
        for text in ["", "nan", "inf", "-infinity", "1e999", "1,5", "1 s"] {
            assert!(f64::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bounds() {
        let float = |above, below, min, max| Bounds { above, below, min, max }.check(3.5);
        assert!(float(Some(3.55), None, None, None).is_err());
        assert!(float(Some(3.5), None, None, None).is_err());
        assert!(float(None, Some(3.45), None, None).is_err());
        assert!(float(None, None, Some(3.6), None).is_err());
        assert!(float(None, None, None, Some(3.45)).is_err());
        assert!(float(Some(3.4), Some(3.6), Some(3.5), Some(3.5)).is_ok());
        let whole = Bounds { max: Some(0), ..Bounds::default() };
        assert_eq!(whole.check(1), Err("1 is above the maximum 0".into()));
    }

    #[test]
    fn separators() {
        let split = |separator: Separator, text| separator.split(text).collect::<Vec<_>>();
        assert_eq!(split(Separator::Newline, "\n one \ntwo, 3\n"), ["one", "two, 3"]);
        assert_eq!(split(Separator::Char(','), "1, ,2,"), ["1", "2"]);
        assert_eq!(split(Separator::Char('-'), "0-5"), ["0", "5"]);
        assert_eq!(split(Separator::Whitespace, " a b\n c "), ["a", "b", "c"]);
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(whole: i64, real in any::<f64>()) {
            prop_assert_eq!(i64::parse(&whole.to_string()), Ok(whole));
            prop_assert_eq!(f64::parse(&real.to_string()).ok(), real.is_finite().then_some(real));
        }

        #[test]
        fn a_joined_list_is_split_again(parts in proptest::collection::vec("[a-z0-9.]{1,8}", 0..8)) {
            for (separator, glue) in
                [(Separator::Newline, "\n"), (Separator::Whitespace, "  "), (Separator::Char(','), ", ")]
            {
                let text = parts.join(glue);
                prop_assert_eq!(separator.split(&text).collect::<Vec<_>>(), parts.clone());
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (bool::parse(&text), f64::parse(&text), u8::parse(&text));
        }
    }
}
