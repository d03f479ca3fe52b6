//! Names of GPIO lines in options: `[^|~][!][gpiochipN/]gpioM` (spec config.md §2).

use std::fmt;

/// The chip of a pin that names none.
const DEFAULT_CHIP: u32 = 0;

/// The resistor of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// No flag: none, or what the kernel has set.
    None,
    /// `^`
    PullUp,
    /// `~`
    PullDown,
}

/// A GPIO line as an option names it. `Display` gives the option's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// N of `/dev/gpiochipN`.
    pub chip: u32,
    /// The line's offset in the chip.
    pub line: u32,
    /// Whether low counts as on (`!`).
    pub inverted: bool,
    /// Never other than [`Bias::None`] for an output.
    pub bias: Bias,
    text: String,
}

impl Pin {
    /// A pin that is read.
    pub fn input(text: &str) -> Result<Self, String> {
        parse(text.trim()).ok_or_else(|| {
            format!("'{text}' is not a pin: expected [^|~][!][gpiochipN/]gpioM, such as !gpiochip0/gpio17")
        })
    }

    /// A pin that is written: pull-up and pull-down make no sense.
    pub fn output(text: &str) -> Result<Self, String> {
        let pin = Self::input(text)?;
        match pin.bias {
            Bias::None => Ok(pin),
            _ => Err(format!("'{text}' is an output, which has no pull-up or pull-down ('^', '~')")),
        }
    }

    /// `gpiochip0:gpio17`: the same for every way to write a pin, so two options can be compared.
    pub fn name(&self) -> String {
        format!("gpiochip{}:gpio{}", self.chip, self.line)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parse(text: &str) -> Option<Pin> {
    let (bias, rest) = match text.as_bytes().first()? {
        b'^' => (Bias::PullUp, &text[1..]),
        b'~' => (Bias::PullDown, &text[1..]),
        _ => (Bias::None, text),
    };
    let (inverted, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
    let (chip, line) = match rest.split_once('/') {
        Some((chip, line)) => (number(chip, "gpiochip")?, line),
        None => (DEFAULT_CHIP, rest),
    };
    Some(Pin { chip, line: number(line, "gpio")?, inverted, bias, text: text.to_owned() })
}

fn number(text: &str, prefix: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pins() {
        for (text, chip, line, inverted, bias) in [
            ("gpiochip0/gpio26", 0, 26, false, Bias::None),
            ("gpio26", 0, 26, false, Bias::None),
            ("!gpiochip1/gpio26", 1, 26, true, Bias::None),
            ("!gpio26", 0, 26, true, Bias::None),
            ("^!gpio3", 0, 3, true, Bias::PullUp),
            ("~gpiochip12/gpio300", 12, 300, false, Bias::PullDown),
        ] {
            let pin = Pin::input(text).unwrap();
            assert_eq!((pin.chip, pin.line, pin.inverted, pin.bias), (chip, line, inverted, bias), "{text}");
            assert_eq!(pin.to_string(), text);
            assert_eq!(pin.name(), format!("gpiochip{chip}:gpio{line}"));
            assert_eq!(Pin::output(text).is_ok(), bias == Bias::None, "{text}");
        }
    }

    #[test]
    fn what_is_no_pin() {
        for text in ["", "26", "gpio", "gpio-1", "gpio+1", "!^gpio1", "chip0/gpio1", "gpiochip/gpio1", "gpio1/gpio2",
            "gpio99999999999", "gpio1x", "é", "^"]
        {
            assert!(Pin::input(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = Pin::output(&text);
        }
    }
}
