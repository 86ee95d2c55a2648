//! Dates as Kamailio's tables hold them: local time, no zone.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const FORM: &str = "%Y-%m-%d %H:%M:%S";

/// `2026-11-21 17:05:00` in local time, of seconds since 1970 UTC.
///
/// Moments that no calendar of four digits has are written as its first or last one.
pub fn time_text(unix: i64) -> String {
    let unix = unix.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    let moment = Timestamp::from_second(unix).unwrap_or_default();
    moment.to_zoned(TimeZone::system()).strftime(FORM).to_string()
}

/// Reads `2026-11-21 17:05:00` (also with `T`, a fraction, or no time of day) as local time, to seconds since 1970 UTC.
///
/// A text with a zone of its own is read by that zone.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment.as_second());
    }
    let local: DateTime = text.parse().ok()?;
    local
        .to_zoned(TimeZone::system())
        .ok()
        .map(|zoned| zoned.timestamp().as_second())
}

/// Seconds since 1970 UTC of a date and time of day in local time; `None` where no calendar has it.
pub fn local_moment(year: i16, month: i8, day: i8, hour: i8, minute: i8, second: i8) -> Option<i64> {
    let local = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    let zoned = local.to_zoned(TimeZone::system()).ok()?;
    Some(zoned.timestamp().as_second())
}

/// Seconds since 1970 UTC of a local date and time of day that is itself given as seconds since 1970.
pub fn local_seconds(local: i64) -> Option<i64> {
    let local = Timestamp::from_second(local)
        .ok()?
        .to_zoned(TimeZone::UTC)
        .datetime();
    let zoned = local.to_zoned(TimeZone::system()).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_moments_round_trip() {
        for unix in [0, 951_782_400, 1_790_000_000, 1_893_455_999] {
            assert_eq!(parse_time(&time_text(unix)), Some(unix));
        }
    }

    #[test]
    fn other_forms_are_read() {
        let plain = parse_time("2026-11-21 17:05:00");
        assert_eq!(parse_time("2026-11-21T17:05:00.25"), plain);
        assert_eq!(parse_time("2026-11-21T17:05:00Z"), Some(1_795_280_700));
        assert_eq!(parse_time("0000-00-00 00:00:00"), None);
        assert_eq!(parse_time("soon"), None);
    }

    #[test]
    fn parts_of_a_date_are_a_moment() {
        assert_eq!(
            local_moment(2026, 11, 21, 17, 5, 0),
            parse_time("2026-11-21 17:05:00")
        );
        assert_eq!(local_moment(0, 0, 0, 0, 0, 0), None);
        assert_eq!(local_seconds(1_795_280_700), parse_time("2026-11-21 17:05:00"));
        assert_eq!(local_seconds(i64::MAX), None);
    }

    #[test]
    fn no_moment_panics() {
        assert!(!time_text(i64::MAX).is_empty());
        assert!(!time_text(i64::MIN).is_empty());
    }
}
