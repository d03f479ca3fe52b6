//! Dates as RSS writes them (RFC 822 §5, with the four-digit years of RFC 1123).

use crate::time::{self, Civil};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Seconds since 1970 of a date like `Fri, 28 Jan 2022 18:00:06 +0100`. None for anything else.
pub(super) fn parse(text: &str) -> Option<f64> {
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let (day, month, year, clock) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let zone = words.next().unwrap_or("GMT");
    let month = month.to_ascii_lowercase();
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    // two digits are of a time when years had no more
    let year = match year.parse().ok()? {
        year @ 0u16..=49 => year + 2000,
        year @ 50..=99 => year + 1900,
        year => year,
    };
    let mut clock = clock.split(':').map(|part| part.parse().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    let date = Civil { year, month: u8::try_from(month).ok()?, day: day.parse().ok()?, hour, minute, second };
    Some(time::seconds_of(date)? as f64 - offset(zone)?)
}

/// Seconds east of Greenwich.
fn offset(zone: &str) -> Option<f64> {
    let hours = match zone {
        "GMT" | "UT" | "UTC" | "Z" => 0.0,
        "EDT" => -4.0,
        "EST" | "CDT" => -5.0,
        "CST" | "MDT" => -6.0,
        "MST" | "PDT" => -7.0,
        "PST" => -8.0,
        _ => {
            let digits = zone
                .get(1..)
                .filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))?;
            let number: f64 = digits.parse().ok()?;
            let hours = (number / 100.0).floor() + number % 100.0 / 60.0;
            match zone.as_bytes().first()? {
                b'+' => hours,
                b'-' => -hours,
                _ => return None,
            }
        }
    };
    Some(hours * 3600.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_rss_are_read() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:10 GMT", Some(10.0)),
            ("Fri, 28 Jan 2022 18:00:06 +0000", Some(1_643_392_806.0)),
            ("Fri, 28 Jan 2022 18:00:06 +0130", Some(1_643_387_406.0)),
            ("28 jan 22 18:00 EST", Some(1_643_410_800.0)),
            ("Fri, 28 Jan 2022 18:00:06 -0500", Some(1_643_410_806.0)),
            ("2022-01-28T18:00:06Z", None),
            ("Fri, 28 Foo 2022 18:00:06 GMT", None),
            ("Fri, 99 Jan 2022 18:00:06 GMT", None),
            ("Fri, 28 Jan 2022 18:00:06 é0000", None),
            ("Fri, 28 é 2022 18:00:06 GMT", None),
            ("", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }
}
