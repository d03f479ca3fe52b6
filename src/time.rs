//! Calendar time: seconds since 1970 as a date, in UTC or in the machine's time zone. Floor 0.
//!
//! Many boards have no clock that outlives a cut of power: they start in 1970, and the network tells them the time later.
//! What is remembered (the begin of a print, the end of a token) must not be of 1970, so until then time goes on from
//! where it was last known to be: [`resume_from`].

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// 2026-01-01, in seconds since 1970. A clock that says that it is earlier is not set.
const EARLIEST: u64 = 1_767_225_600;

/// The first and the last second that [`Civil`] can show: years 1 to 9999. What lies outside is clamped.
const RANGE: (i64, i64) = (-62_135_596_800, 253_402_300_799);
const DAY: i64 = 86_400;

/// A date and a time of day. `Display` gives `YYYY-mm-dd HH:MM:SS`; values order as time does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59: leap seconds do not exist in Unix time.
    pub second: u8,
}

impl Civil {
    /// The day alone, to compare days with.
    pub fn date(&self) -> (u16, u8, u8) {
        (self.year, self.month, self.day)
    }

    /// `YYYY-mm-dd_HH-MM-SS`: safe in file names, sorts as time does.
    pub fn file_stamp(&self) -> String {
        let Self { year, month, day, hour, minute, second } = self;
        format!("{year:04}-{month:02}-{day:02}_{hour:02}-{minute:02}-{second:02}")
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Milliseconds since 1970, negative before.
pub fn unix_ms(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

/// Where time goes on while the clock is not set: a time since 1970, and when it was that.
static RESUMED: OnceLock<(Duration, Instant)> = OnceLock::new();

/// Has time go on from here while the clock is not set. The first call counts; it belongs to the start of the process.
pub fn resume_from(last_known: SystemTime) {
    let since = last_known.duration_since(UNIX_EPOCH).unwrap_or_default();
    RESUMED.get_or_init(|| (since.max(Duration::from_secs(EARLIEST)), Instant::now()));
}

/// The time since 1970 when the clock says this: what it says if it is set.
fn since_1970(clock: SystemTime, resumed: (Duration, Instant)) -> Duration {
    let said = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
    if said.as_secs() >= EARLIEST { said } else { resumed.0 + resumed.1.elapsed() }
}

fn since_1970_now() -> Duration {
    since_1970(SystemTime::now(), *RESUMED.get_or_init(|| (Duration::from_secs(EARLIEST), Instant::now())))
}

/// Seconds since 1970 of this moment; while the clock is not set as [`resume_from`] says.
pub fn now() -> f64 {
    since_1970_now().as_secs_f64()
}

/// Whole seconds since 1970, now; while the clock is not set as [`resume_from`] says.
pub fn unix_seconds() -> u64 {
    since_1970_now().as_secs()
}

/// The date in UTC of a number of seconds since 1970.
pub fn utc(seconds: i64) -> Civil {
    let seconds = seconds.clamp(RANGE.0, RANGE.1);
    let (year, month, day) = date_of(seconds.div_euclid(DAY));
    let rest = seconds.rem_euclid(DAY);
    Civil {
        year: year as u16,
        month: month as u8,
        day: day as u8,
        hour: (rest / 3600) as u8,
        minute: (rest / 60 % 60) as u8,
        second: (rest % 60) as u8,
    }
}

/// The date in the machine's time zone (`TZ`, else `/etc/localtime`) of a number of seconds since 1970.
pub fn local(seconds: i64) -> Civil {
    utc(seconds.saturating_add(local_offset(seconds)))
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
///
/// Counts from 1 March of year 0 in cycles of 400 years (146,097 days), so that the leap day ends a year.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (cycle, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + cycle * 400 + late, month, day)
}

/// Seconds since 1970 of a date in UTC. None for one that the calendar does not have.
pub fn seconds_of(date: Civil) -> Option<i64> {
    let Civil { year, month, day, hour, minute, second } = date;
    // as in `date_of`, a year begins on 1 March
    let (late, month) = if month > 2 { (0, i64::from(month) - 3) } else { (1, i64::from(month) + 9) };
    let year = i64::from(year) - late;
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = days + (153 * month + 2) / 5 + i64::from(day) - 1 - 719_468;
    let clock = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    let seconds = days * DAY + clock;
    (utc(seconds) == date).then_some(seconds)
}

/// Seconds east of UTC in the machine's time zone at a moment; 0 where the C library cannot say.
#[allow(irrefutable_let_patterns, clippy::useless_conversion, reason = "time_t has 32 bits on some targets")]
fn local_offset(seconds: i64) -> i64 {
    let Ok(moment) = seconds.try_into() else { return 0 };
    // SAFETY: `tm` is plain data, for which all zeroes is a value (a null `tm_zone` is never read).
    // `localtime_r` reads `moment`, writes only `result`, keeps neither pointer, and locks the zone data.
    unsafe {
        let mut result: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&moment, &mut result).is_null() { 0 } else { i64::from(result.tm_gmtoff) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (-1, "1969-12-31 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (4_107_542_399, "2100-02-28 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
            (1_788_177_600, "2026-08-31 12:00:00"),
            (i64::MIN, "0001-01-01 00:00:00"),
            (i64::MAX, "9999-12-31 23:59:59"),
        ] {
            assert_eq!(utc(seconds).to_string(), text);
        }
        assert_eq!(utc(1_788_177_600).file_stamp(), "2026-08-31_12-00-00");
    }

    #[test]
    fn dates_that_do_not_exist_have_no_time() {
        let date = |year, month, day| Civil { year, month, day, hour: 0, minute: 0, second: 0 };
        for (year, month, day) in [(2023, 2, 29), (2023, 13, 1), (2023, 0, 1), (2023, 4, 31), (0, 1, 1)] {
            assert_eq!(seconds_of(date(year, month, day)), None, "{year} {month} {day}");
        }
        assert_eq!(seconds_of(Civil { hour: 24, ..date(2023, 1, 1) }), None);
    }

    #[test]
    fn a_clock_that_is_not_set() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let last = EARLIEST + 5000;
        let resumed = (Duration::from_secs(last), Instant::now());
        // a clock that is set counts, also when it is behind what was last known
        for seconds in [EARLIEST, EARLIEST + 1, last, last + 1_000_000, 4_000_000_000] {
            assert_eq!(since_1970(at(seconds), resumed), Duration::from_secs(seconds));
        }
        // one that is not set does not; time goes on all the same
        for clock in [UNIX_EPOCH - Duration::from_secs(1), UNIX_EPOCH, at(60), at(EARLIEST - 1)] {
            let first = since_1970(clock, resumed);
            assert!(first >= resumed.0 && first < resumed.0 + Duration::from_secs(60));
            assert!(since_1970(clock, resumed) >= first);
        }
    }

    #[test]
    fn milliseconds_before_and_after_the_epoch() {
        assert_eq!(unix_ms(UNIX_EPOCH + Duration::from_millis(1_234)), 1_234);
        assert_eq!(unix_ms(UNIX_EPOCH - Duration::from_millis(1_234)), -1_234);
    }

    proptest! {
        #[test]
        fn local_time_is_within_a_day_of_utc(seconds in any::<i64>()) {
            let distance = local_offset(seconds).abs();
            prop_assert!(distance <= DAY, "{distance}");
            let _ = local(seconds);
        }

        #[test]
        fn dates_and_times_go_both_ways(seconds in RANGE.0..=RANGE.1) {
            prop_assert_eq!(seconds_of(utc(seconds)), Some(seconds));
        }

        #[test]
        fn later_moments_are_later_dates(seconds in RANGE.0..RANGE.1, more in 1..10_000_000i64) {
            let later = (seconds + more).min(RANGE.1);
            prop_assert!(utc(seconds) < utc(later) || seconds == later);
        }
    }
}
