//! Following the head through a window of commands, to learn how low and how high it extrudes.

use super::commands;
use super::field::{Field, Value};
use super::rules::{FROM_COMMANDS, Rank, Sink, Take, Window};
use super::text;

/// Heights above this are none, mm.
const MAX_HEIGHT: f64 = 10_000.0;

/// The words of a movement that matter here.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(super) struct Move {
    pub(super) x: Option<f64>,
    pub(super) y: Option<f64>,
    pub(super) z: Option<f64>,
    /// Whether it extrudes: what stands behind E is above 0. (How much does not matter, so it is not read.)
    pub(super) extrudes: Option<bool>,
}

impl Move {
    /// The words of a command that follow its code, up to a comment.
    pub(super) fn parse(words: &[u8]) -> Move {
        let mut found = Move::default();
        let mut rest = words;
        while let Some((letter, after)) = rest.split_first() {
            rest = after;
            let word = match letter {
                b'X' | b'x' => &mut found.x,
                b'Y' | b'y' => &mut found.y,
                b'Z' | b'z' => &mut found.z,
                b'E' | b'e' => {
                    let length =
                        rest.iter().take_while(|byte| matches!(byte, b'-' | b'.' | b'0'..=b'9')).count();
                    let (amount, after) = rest.split_at(length);
                    found.extrudes = Some(
                        amount.first() != Some(&b'-')
                            && amount.iter().any(|byte| matches!(byte, b'1'..=b'9')),
                    );
                    rest = after;
                    continue;
                }
                b';' | b'\r' | b'\n' => break,
                _ => continue,
            };
            if let Some((number, after)) = text::leading_number(rest) {
                *word = Some(number);
                rest = after;
            }
        }
        found
    }
}

/// The code of a `G` command and what follows it.
pub(super) fn g_code(line: &[u8]) -> Option<(u32, &[u8])> {
    let rest = line.strip_prefix(b"G").or_else(|| line.strip_prefix(b"g"))?;
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=4).contains(&digits) {
        return None;
    }
    let code = rest[..digits].iter().fold(0, |code, digit| code * 10 + u32::from(digit - b'0'));
    Some((code, &rest[digits..]))
}

/// The least and the greatest of the heights seen.
#[derive(Debug, Default, Clone, Copy)]
struct Range(Option<(f64, f64)>);

impl Range {
    fn include(&mut self, z: f64) {
        let (least, greatest) = self.0.unwrap_or((z, z));
        self.0 = Some((least.min(z), greatest.max(z)));
    }
}

/// Offers the greatest height of a window at which something is extruded, and the least if it is the beginning. Where
/// nothing is extruded at all (a mill, a laser), that at which it moves.
pub(super) fn heights(bytes: &[u8], window: Window, sink: &mut Sink) {
    let mut z: Option<f64> = None;
    let mut relative = false;
    let mut extruding = Range::default();
    let mut moving = Range::default();
    for line in text::lines(bytes).filter(|line| commands::is_command(line.bytes)) {
        let Some((code, words)) = g_code(line.bytes) else { continue };
        match code {
            0..=3 => {
                let step = Move::parse(words);
                if let Some(to) = step.z {
                    z = if relative { z.map(|z| z + to) } else { Some(to) };
                }
                let Some(z) = z.filter(|z| *z > 0.0 && *z < MAX_HEIGHT) else { continue };
                if step.x.is_some() || step.y.is_some() {
                    match step.extrudes {
                        Some(true) => extruding.include(z),
                        None if code > 0 => moving.include(z),
                        _ => {}
                    }
                }
            }
            90 => relative = false,
            91 => relative = true,
            _ => {}
        }
    }
    if let Some((least, greatest)) = extruding.0.or(moving.0) {
        let rank = FROM_COMMANDS + Rank::from(extruding.0.is_none());
        let height = |height: f64| Value::Float(text::rounded(height));
        sink.offer(Field::ObjectHeight, rank, Take::Max, height(greatest));
        if window != Window::Foot {
            sink.offer(Field::FirstLayerHeight, rank, Take::Min, height(least));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_absolute_and_relative_heights() {
        let gcode = b"G28\nG1 Z5 F5000\nG1 X1 E-1\nG1 Z.3\nG1 X5 Y5 E.5\ng1 z1.25 ; up\nG2 X1 I3 E1\nG91\nG1 Z10\nG1 E2\nG1 X1 E-1\nG90\nG0 Z200";
        let mut sink = Sink::default();
        heights(gcode, Window::Whole, &mut sink);
        assert_eq!(sink.number(Field::ObjectHeight), Some(1.25));
        assert_eq!(sink.number(Field::FirstLayerHeight), Some(0.3));
    }

    #[test]
    fn words_of_a_move() {
        let step = Move::parse(b" X10.5 Y-3 F1800 E.02 ; Z9");
        assert_eq!(step, Move { x: Some(10.5), y: Some(-3.0), z: None, extrudes: Some(true) });
        for (words, extrudes) in
            [("E-1", Some(false)), ("E0.000", Some(false)), ("X1", None), ("E.1F2", Some(true))]
        {
            assert_eq!(Move::parse(words.as_bytes()).extrudes, extrudes, "{words}");
        }
        assert_eq!(g_code(b"G92.1 X1"), Some((92, &b".1 X1"[..])));
        assert_eq!(g_code(b"G"), None);
    }
}
