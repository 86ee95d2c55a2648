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
    fn no_moment_panics() {
        assert!(!time_text(i64::MAX).is_empty());
        assert!(!time_text(i64::MIN).is_empty());
    }
}
