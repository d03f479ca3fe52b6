//! What the commands themselves tell: where they begin and end, and the temperatures they ask for. The one source for
//! files whose slicer is unknown, and the last resort for those whose slicer is silent.

use super::field::{Field, Value};
use super::rules::{FROM_COMMANDS, Sink, Take};
use super::text;

/// The commands that set a temperature, which one, and whether they wait for it. Those that wait are the surer sign.
const HEATERS: [(i64, Field, bool); 6] = [
    (109, Field::FirstLayerExtrTemp, true),
    (104, Field::FirstLayerExtrTemp, false),
    (190, Field::FirstLayerBedTemp, true),
    (140, Field::FirstLayerBedTemp, false),
    (191, Field::ChamberTemp, true),
    (141, Field::ChamberTemp, false),
];

/// Parameters of start macros that carry a temperature.
const MACRO_PARAMETERS: [(&[u8], Field); 3] = [
    (b"EXTRUDER", Field::FirstLayerExtrTemp),
    (b"BED", Field::FirstLayerBedTemp),
    (b"CHAMBER", Field::ChamberTemp),
];

/// Temperatures above this are none, °C.
const MAX_TEMPERATURE: f64 = 1_000.0;

/// Whether a line is a numbered command (`G1 …`, `M84`), as opposed to a comment, macro or tool change.
pub(super) fn is_command(line: &[u8]) -> bool {
    if !matches!(line.first(), Some(b'G' | b'M' | b'g' | b'm')) {
        return false;
    }
    let digits = line[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && line.get(1 + digits).is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b';')
}

/// The value of a command's parameter, such as `S` in `M109 T0 S215`.
pub(super) fn parameter(command: &[u8], letter: u8) -> Option<f64> {
    let code = command.split(|byte| *byte == b';').next()?;
    let word = code
        .split(u8::is_ascii_whitespace)
        .skip(1)
        .find(|word| word.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&letter)))?;
    text::number(&word[1..])
}

/// Offers the temperature that a command of the file's beginning sets, if it sets one.
pub(super) fn temperature(line: &[u8], sink: &mut Sink) {
    match line {
        [b'M' | b'm', b'1', _, _, rest @ ..] if rest.first().is_none_or(|byte| !byte.is_ascii_digit()) => {
            let Some(code) = text::integer(&line[1..4]) else { return };
            for (rank, (command, field, waits)) in (FROM_COMMANDS..).zip(HEATERS) {
                if command == code
                    && let Some(degrees) = parameter(line, b'S').or_else(|| parameter(line, b'R'))
                    && (0.0..MAX_TEMPERATURE).contains(&degrees)
                    && (waits || degrees > 0.0)
                {
                    let off = if degrees == 0.0 { 100 } else { 0 };
                    sink.offer(field, rank + off, Take::First, Value::Float(degrees));
                }
            }
        }
        [b'P' | b'p' | b'S' | b's', ..] => start_macro(line, sink),
        _ => {}
    }
}

/// `PRINT_START BED=110 EXTRUDER=235`, also with `_TEMP` and the like after the heater's name.
fn start_macro(line: &[u8], sink: &mut Sink) {
    let line = line.to_ascii_uppercase();
    let mut words = line.split(u8::is_ascii_whitespace);
    if !matches!(words.next(), Some(b"PRINT_START" | b"START_PRINT")) {
        return;
    }
    for word in words {
        for (name, field) in MACRO_PARAMETERS {
            if word.starts_with(name)
                && let Some((_, value)) = text::key_value(word)
                && let Some(degrees) = text::number(value)
                && (1.0..MAX_TEMPERATURE).contains(&degrees)
            {
                sink.offer(field, FROM_COMMANDS + 50, Take::First, Value::Float(degrees));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_others() {
        for line in ["G28", "G1 X1", "M83;", "m104 S1", "M84 "] {
            assert!(is_command(line.as_bytes()), "{line}");
        }
        for line in ["", "G", "; G1", "GET_POSITION", "M1x", "T0"] {
            assert!(!is_command(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn waiting_and_warm_win() {
        let mut sink = Sink::default();
        for line in
            ["M104 S180", "M109 T0 S215.5 ; wait", "M190 S0", "M140 S60", "M141 S0", "G1 X1", "M1090 S9"]
        {
            temperature(line.as_bytes(), &mut sink);
        }
        assert_eq!(sink.number(Field::FirstLayerExtrTemp), Some(215.5));
        assert_eq!(sink.number(Field::FirstLayerBedTemp), Some(60.0));
        assert_eq!(sink.number(Field::ChamberTemp), None);
    }

    #[test]
    fn start_macros_come_last() {
        let mut sink = Sink::default();
        temperature(b"print_start BED_TEMP=110 EXTRUDER=235 CHAMBER=x", &mut sink);
        temperature(b"M104 S200", &mut sink);
        assert_eq!(sink.number(Field::FirstLayerExtrTemp), Some(200.0));
        assert_eq!(sink.number(Field::FirstLayerBedTemp), Some(110.0));
        assert_eq!(sink.number(Field::ChamberTemp), None);
    }
}
