//! Which part of a file a GET asks for (RFC 9110 §13 and §14). Pure functions.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The request headers that decide what a GET of a file answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// `Range`.
    pub range: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<&'a str>,
}

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// 200 with the whole file.
    Whole,
    /// 206 with the bytes from `start` up to, but without, `end`.
    Part {
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// 304 without a body.
    NotModified,
    /// 416 without a body.
    Unsatisfiable,
}

impl Selection {
    /// Decides for a file of `length` bytes that was changed at `modified`. There are no entity tags, so
    /// `If-None-Match` and an `If-Range` with a tag never match (spec api.md §1).
    pub fn of(conditions: &Conditions<'_>, length: u64, modified: SystemTime) -> Self {
        let modified = whole_seconds(modified);
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        if let Some(since) = conditions.if_modified_since.and_then(date)
            && modified <= since
        {
            return Self::NotModified;
        }
        // A part is of use only to a client that has the rest of this very version (RFC 9110 §13.1.5).
        if conditions.if_range.is_some_and(|text| date(text) != Some(modified)) {
            return Self::Whole;
        }
        conditions.range.map_or(Self::Whole, |range| parse(range, length))
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Whole => 200,
            Self::Part { .. } => 206,
            Self::NotModified => 304,
            Self::Unsatisfiable => 416,
        }
    }

    /// The value of `Content-Range`, if the answer has one.
    pub fn content_range(self, length: u64) -> Option<String> {
        match self {
            Self::Part { start, end } => Some(format!("bytes {start}-{}/{length}", end.saturating_sub(1))),
            Self::Unsatisfiable => Some(format!("bytes */{length}")),
            Self::Whole | Self::NotModified => None,
        }
    }
}

/// The precision that dates have in HTTP.
pub(super) fn whole_seconds(time: SystemTime) -> SystemTime {
    time.duration_since(UNIX_EPOCH)
        .map_or(UNIX_EPOCH, |since| UNIX_EPOCH + Duration::from_secs(since.as_secs()))
}

/// What a `Range` header selects. A header that is malformed, has another unit or several ranges is ignored, and
/// one that covers the whole file is not a part (spec api.md §1).
fn parse(header: &str, length: u64) -> Selection {
    select(header, length).unwrap_or(Selection::Whole)
}

/// None if the header is to be ignored.
fn select(header: &str, length: u64) -> Option<Selection> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let part = |start: u64, end: u64| match (start, end.min(length)) {
        (start, _) if start >= length => Selection::Unsatisfiable,
        (0, end) if end == length => Selection::Whole,
        (start, end) => Selection::Part { start, end },
    };
    let (first, last) = set.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", count) => Some(match number(count)? {
            0 => Selection::Unsatisfiable,
            count if count >= length => Selection::Whole,
            count => Selection::Part { start: length - count, end: length },
        }),
        (first, "") => Some(part(number(first)?, length)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then(|| part(first, last.saturating_add(1)))
        }
    }
}

/// A number of digits only; one that is too large for 64 bits is as good as the largest.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges() {
        use Selection::{Part, Unsatisfiable, Whole};
        for (header, length, expected) in [
            ("bytes=0-0", 10, Part { start: 0, end: 1 }),
            ("bytes=2-5", 10, Part { start: 2, end: 6 }),
            ("bytes=2-", 10, Part { start: 2, end: 10 }),
            ("bytes=-3", 10, Part { start: 7, end: 10 }),
            ("Bytes = 2 - 5 ", 10, Part { start: 2, end: 6 }),
            ("bytes=9-99999999999999999999999", 10, Part { start: 9, end: 10 }),
            ("bytes=0-", 10, Whole),
            ("bytes=0-9", 10, Whole),
            ("bytes=-10", 10, Whole),
            ("bytes=-11", 10, Whole),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-11", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Whole),
            ("bytes=5-2", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes", 10, Whole),
            ("", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=--1", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1-x", 10, Whole),
            ("lines=1-2", 10, Whole),
        ] {
            assert_eq!(parse(header, length), expected, "{header:?} of {length}");
        }
        assert_eq!(Part { start: 2, end: 6 }.content_range(10).unwrap(), "bytes 2-5/10");
        assert_eq!(Unsatisfiable.content_range(10).unwrap(), "bytes */10");
    }

    #[test]
    fn conditions() {
        let modified = UNIX_EPOCH + Duration::from_millis(1_000_000_500);
        let (same, older) = ("Mon, 12 Jan 1970 13:46:40 GMT", "Mon, 12 Jan 1970 13:46:39 GMT");
        let of = |conditions: Conditions<'_>| Selection::of(&conditions, 10, modified);
        let range = Some("bytes=2-5");
        assert_eq!(
            of(Conditions { if_modified_since: Some(same), range, ..Conditions::default() }).status(),
            304
        );
        assert_eq!(
            of(Conditions { if_modified_since: Some(older), range, ..Conditions::default() }).status(),
            206
        );
        assert_eq!(
            of(Conditions { if_modified_since: Some("yesterday"), ..Conditions::default() }).status(),
            200
        );
        assert_eq!(of(Conditions { if_range: Some(same), range, ..Conditions::default() }).status(), 206);
        assert_eq!(of(Conditions { if_range: Some(older), range, ..Conditions::default() }).status(), 200);
        assert_eq!(
            of(Conditions { if_range: Some("\"tag\""), range, ..Conditions::default() }).status(),
            200
        );
    }

    proptest! {
        #[test]
        fn a_part_is_a_real_part(header in "bytes=[0-9]{0,3}-[0-9]{0,3}|.{0,12}", length in 0u64..300) {
            if let Selection::Part { start, end } = parse(&header, length) {
                prop_assert!(start < end && end <= length && end - start < length);
            }
        }

        #[test]
        fn all_ranges_of_a_small_file(first in 0u64..12, last in 0u64..12, length in 0u64..12) {
            let selected: Vec<u64> = (0..length).filter(|at| (first..=last).contains(at)).collect();
            match parse(&format!("bytes={first}-{last}"), length) {
                Selection::Part { start, end } => prop_assert_eq!((start..end).collect::<Vec<_>>(), selected),
                Selection::Whole => prop_assert!(last < first || selected.len() as u64 == length),
                Selection::Unsatisfiable => prop_assert!(selected.is_empty()),
                Selection::NotModified => prop_assert!(false),
            }
        }
    }
}
