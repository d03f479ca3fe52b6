//! One line of G-code: its command and parameters, cut as Klippy cuts them.

use std::borrow::Cow;

use super::{CommandError, shlex};

/// A line, cut into parts that alternate between letters and what follows them.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct Gcmd<'a> {
    /// The command, in capitals.
    pub(in crate::demo::klippy) name: &'a str,
    /// The line as it was given.
    pub(in crate::demo::klippy) line: &'a str,
    params: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The bounds of a number.
#[derive(Debug, Clone, Copy)]
pub(in crate::demo::klippy) enum Bound {
    /// At least.
    Min(f64),
    /// At most.
    Max(f64),
    /// More than.
    Above(f64),
    /// Less than.
    Below(f64),
}

/// The line in capitals without its comment: what [`Gcmd::parse`] cuts.
pub(in crate::demo::klippy) fn prepare(line: &str) -> String {
    line.split(';').next().unwrap_or_default().to_uppercase()
}

impl<'a> Gcmd<'a> {
    /// Cuts a line. `upper` is what [`prepare`] makes of it; both are to be without blanks around.
    pub(in crate::demo::klippy) fn parse(line: &'a str, upper: &'a str) -> Self {
        let mut parts = Parts { text: upper, at: 0 };
        let lead = parts.gap();
        let mut params: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::with_capacity(6);
        let mut command_end = lead.len();
        let mut command_start = 0;
        let mut number_first = false;
        while let Some(letters) = parts.letters() {
            let value = parts.gap();
            match params.len() {
                0 => {
                    number_first = lead.is_empty() && letters == "N";
                    command_end = parts.at;
                }
                // the line number is no command
                1 if number_first => {
                    command_start = parts.at - value.len() - letters.len();
                    command_end = parts.at;
                }
                _ => {}
            }
            params.push((Cow::Borrowed(letters), Cow::Borrowed(value.trim())));
        }
        if number_first && params.len() < 2 {
            command_start = command_end;
        }
        Self { name: upper[command_start..command_end].trim(), line, params }
    }

    /// Reads the parameters of an extended command, `KEY=value`.
    ///
    /// # Errors
    /// Klippy's message for what cannot be read.
    pub(in crate::demo::klippy) fn extended(mut self) -> Result<Self, CommandError> {
        let pairs = shlex::split(self.raw_parameters())
            .ok_or_else(|| CommandError(format!("Malformed command '{}'", self.line)))?;
        self.params = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Ok(self)
    }

    /// The same under the name that a line such as `M117 3 words` really means.
    pub(in crate::demo::klippy) fn renamed(mut self, name: &'a str) -> Self {
        self.name = name;
        self
    }

    /// All that follows the command, as it was given.
    pub(in crate::demo::klippy) fn raw_parameters(&self) -> &'a str {
        let mut start = self.name.len().min(self.line.len());
        let mut end = self.line.len();
        let begins = self.line.get(..start).is_some_and(|begin| begin.to_uppercase() == self.name);
        if !begins {
            // a line number before it, perhaps a checksum after it
            start += self.line.to_uppercase().find(self.name).unwrap_or(0);
            if let Some(star) = self.line.rfind('*') {
                let sum = &self.line[star + 1..];
                if !sum.is_empty() && sum.bytes().all(|byte| byte.is_ascii_digit()) {
                    end = star;
                }
            }
        }
        let rest = self.line.get(start..end).unwrap_or_default();
        rest.strip_prefix(char::is_whitespace).unwrap_or(rest)
    }

    /// All parameters.
    pub(in crate::demo::klippy) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        self.params.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// A parameter; of several with this name the last.
    pub(in crate::demo::klippy) fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// Klippy's message if it is not.
    pub(in crate::demo::klippy) fn required(&self, name: &str) -> Result<&str, CommandError> {
        self.get(name).ok_or_else(|| self.error(&format!("missing {name}")))
    }

    /// A number.
    ///
    /// # Errors
    /// Klippy's message for one that cannot be read or is out of bounds.
    pub(in crate::demo::klippy) fn float(
        &self,
        name: &str,
        bounds: &[Bound],
    ) -> Result<Option<f64>, CommandError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let value = parse_float(text).ok_or_else(|| self.error(&format!("unable to parse {text}")))?;
        self.check(name, value, bounds, |bound| format!("{bound:?}"))?;
        Ok(Some(value))
    }

    /// A whole number.
    ///
    /// # Errors
    /// As [`Self::float`].
    pub(in crate::demo::klippy) fn int(
        &self,
        name: &str,
        bounds: &[Bound],
    ) -> Result<Option<i64>, CommandError> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let value: i64 = text.trim().parse().map_err(|_| self.error(&format!("unable to parse {text}")))?;
        self.check(name, value as f64, bounds, |bound| format!("{bound:.0}"))?;
        Ok(Some(value))
    }

    fn check(
        &self,
        name: &str,
        value: f64,
        bounds: &[Bound],
        show: impl Fn(f64) -> String,
    ) -> Result<(), CommandError> {
        for bound in bounds {
            let (kept, words, bound) = match *bound {
                Bound::Min(min) => (value >= min, "must have minimum of", min),
                Bound::Max(max) => (value <= max, "must have maximum of", max),
                Bound::Above(above) => (value > above, "must be above", above),
                Bound::Below(below) => (value < below, "must be below", below),
            };
            if !kept {
                return Err(self.error(&format!("{name} {words} {}", show(bound))));
            }
        }
        Ok(())
    }

    /// An error of this command.
    pub(in crate::demo::klippy) fn error(&self, problem: &str) -> CommandError {
        CommandError(format!("Error on '{}': {problem}", self.line))
    }
}

/// Reads a number, which must be finite.
pub(in crate::demo::klippy) fn parse_float(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite())
}

/// Whether a command is a letter and a number, such as `G1`.
pub(in crate::demo::klippy) fn is_traditional(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_uppercase())
        && name.as_bytes().get(1).is_some_and(u8::is_ascii_digit)
        && name[1..].parse::<f64>().is_ok()
}

/// Cuts text into runs of letters and what is between them.
struct Parts<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parts<'a> {
    /// What comes before the next letters.
    fn gap(&mut self) -> &'a str {
        self.take(|byte| !is_letter(byte) && byte != b'*')
    }

    /// The next letters, or one star.
    fn letters(&mut self) -> Option<&'a str> {
        if self.text.as_bytes().get(self.at) == Some(&b'*') {
            self.at += 1;
            return Some("*");
        }
        Some(self.take(is_letter)).filter(|letters| !letters.is_empty())
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.bytes().position(|byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with<T>(line: &str, look: impl FnOnce(Gcmd<'_>) -> T) -> T {
        let upper = prepare(line);
        look(Gcmd::parse(line, upper.trim()))
    }

    #[test]
    fn commands_and_parameters_are_cut_as_in_klippy() {
        let cut = |line: &str| {
            with(line, |gcmd| {
                let params: Vec<String> =
                    gcmd.params().map(|(key, value)| format!("{key}={value}")).collect();
                format!("{}|{}|{}", gcmd.name, params.join(","), gcmd.raw_parameters())
            })
        };
        assert_eq!(cut("G1 X10.5 y-3 F1200 ; move"), "G1|G=1,X=10.5,Y=-3,F=1200|X10.5 y-3 F1200 ; move");
        assert_eq!(cut("g28"), "G28|G=28|");
        assert_eq!(cut("M117 Hello World"), "M117|M=117,HELLO=,WORLD=|Hello World");
        assert_eq!(cut("M117 3 items"), "M117 3|M=117 3,ITEMS=|items");
        assert_eq!(cut("N10 M118 x*33"), "M118|N=10,M=118,X=,*=33|x");
        assert_eq!(cut("N10"), "|N=10|N10");
        assert_eq!(
            cut("EXCLUDE_OBJECT_START NAME=a b"),
            "EXCLUDE_OBJECT_START|EXCLUDE_OBJECT_START=,NAME==,A=,B=|NAME=a b"
        );
        assert_eq!(cut(""), "||");
    }

    #[test]
    fn numbers_are_read_with_klippys_errors() {
        let error = |line: &str, bounds: &[Bound]| with(line, |gcmd| gcmd.float("S", bounds).unwrap_err().0);
        assert_eq!(error("M220 S0", &[Bound::Above(0.0)]), "Error on 'M220 S0': S must be above 0.0");
        assert_eq!(error("M104 S1.2.3", &[]), "Error on 'M104 S1.2.3': unable to parse 1.2.3");
        assert_eq!(error("M1 S-1", &[Bound::Min(0.0)]), "Error on 'M1 S-1': S must have minimum of 0.0");
        assert_eq!(with("M106 S127.5", |gcmd| gcmd.float("S", &[])), Ok(Some(127.5)));
        assert_eq!(with("M106", |gcmd| gcmd.float("S", &[])), Ok(None));
        assert_eq!(
            with("M26 S-1", |gcmd| gcmd.int("S", &[Bound::Min(0.0)])).unwrap_err().0,
            "Error on 'M26 S-1': S must have minimum of 0"
        );
        assert_eq!(with("M23", |gcmd| gcmd.required("X").unwrap_err().0), "Error on 'M23': missing X");
    }

    #[test]
    fn extended_commands_have_their_own_parameters() {
        with("respond type=error MSG=\"a b\"", |gcmd| {
            let gcmd = gcmd.extended().unwrap();
            assert_eq!(
                (gcmd.get("TYPE"), gcmd.get("MSG"), gcmd.get("RESPOND")),
                (Some("error"), Some("a b"), None)
            );
        });
        with("ECHO hi", |gcmd| {
            assert_eq!(gcmd.extended().unwrap_err().0, "Malformed command 'ECHO hi'");
        });
    }

    #[test]
    fn which_commands_are_traditional() {
        for name in ["G1", "M104", "T0", "G92.1"] {
            assert!(is_traditional(name), "{name}");
        }
        for name in ["", "G", "PAUSE", "_A1", "M1X", "É1"] {
            assert!(!is_traditional(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_cut(line: String) {
            let line = line.trim();
            let upper = prepare(line);
            let gcmd = Gcmd::parse(line, upper.trim());
            let _ = gcmd.raw_parameters();
            let _ = gcmd.clone().extended();
            let _ = is_traditional(gcmd.name);
        }
    }
}
