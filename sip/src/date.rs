//! SIP dates, RFC 3261 20.17: `Sat, 13 Nov 2010 23:29:00 GMT`. Arithmetic only, no clock.

use std::fmt;

use crate::view::{Malformed, scan};

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const SECONDS_PER_DAY: i64 = 86_400;

/// The last second of the year 9999: four digits are all that the grammar has.
const LAST: i64 = 253_402_300_799;

/// The first second of the year 0.
const FIRST: i64 = -62_167_219_200;

/// A point in time to the second, in the years 0 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

impl Date {
    /// From seconds since 1970-01-01 00:00 GMT; beyond the years 0 to 9999 the nearest of them.
    pub fn from_unix(seconds: i64) -> Date {
        Date(seconds.clamp(FIRST, LAST))
    }

    /// Seconds since 1970-01-01 00:00 GMT, leap seconds not counted.
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Reads a date of RFC 1123 as SIP writes it; the day of the week may be wrong or absent.
    ///
    /// # Errors
    /// A zone other than GMT (or UTC), a day that its month does not have, or text that is no date.
    pub fn parse(text: &[u8]) -> Result<Date, Malformed> {
        let start = memchr::memchr(b',', text).map_or(0, |at| at + 1);
        let mut words = scan::after(text, start)
            .split(|b| scan::is_lws(*b))
            .filter(|word| !word.is_empty());
        let mut word = || words.next().unwrap_or_else(|| scan::after(text, text.len()));
        let (day, month, year, time, zone) = (word(), word(), word(), word(), word());
        let bad = |what, piece| Malformed::new(what, scan::offset(text, piece));

        let month = MONTHS
            .iter()
            .position(|name| month.eq_ignore_ascii_case(name.as_bytes()))
            .ok_or(bad("month that has no such name", month))?;
        let year_number = Some(year)
            .filter(|year| year.len() == 4)
            .and_then(scan::number::<u16>);
        let year = i64::from(year_number.ok_or(bad("year that has not four digits", year))?);
        let day_number = scan::number::<u8>(day).filter(|day| (1..=days_of(month, year)).contains(day));
        let day = i64::from(day_number.ok_or(bad("day that its month does not have", day))?);
        let seconds = seconds_of_day(time).ok_or(bad("time that is not hh:mm:ss", time))?;
        if !zone.eq_ignore_ascii_case(b"GMT") && !zone.eq_ignore_ascii_case(b"UTC") {
            return Err(bad("zone other than GMT", zone));
        }
        let month = i64::try_from(month).unwrap_or(0);
        Ok(Date::from_unix(
            days_from_civil(year, month, day) * SECONDS_PER_DAY + seconds,
        ))
    }
}

impl fmt::Display for Date {
    /// The form of RFC 3261 20.17.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds) = (
            self.0.div_euclid(SECONDS_PER_DAY),
            self.0.rem_euclid(SECONDS_PER_DAY),
        );
        let (year, month, day) = civil_from_days(days);
        write!(
            f,
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            name(&DAYS, days.rem_euclid(7)),
            name(&MONTHS, month),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

fn name(names: &[&'static str], index: i64) -> &'static str {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index))
        .copied()
        .unwrap_or_default()
}

/// `hh:mm:ss`; a leap second counts as the first of the next minute.
fn seconds_of_day(text: &[u8]) -> Option<i64> {
    let mut parts = text
        .split(|b| *b == b':')
        .map(|part| scan::number::<u8>(part).map(i64::from));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    (parts.next().is_none() && hour < 24 && minute < 60 && second <= 60)
        .then_some(hour * 3600 + minute * 60 + second)
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// The days of a month counted from 0.
const fn days_of(month: usize, year: i64) -> u8 {
    match month {
        1 if is_leap(year) => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar, months counted from 0.
///
/// Years are counted from March, so that the leap day is the last one of its year: 146,097 days are 400 years,
/// and month `m` of such a year begins at day `(153 m + 2) / 5`.
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let from_march = (month + 10) % 12;
    let year = if month < 2 { year - 1 } else { year };
    let days_of_years = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days_of_years + (153 * from_march + 2) / 5 + day - 1 - 719_468
}

/// The inverse of [`days_from_civil`]: year, month from 0, day from 1.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    // The estimate is at most one year off: years differ from the mean by less than two days in 400 years.
    let mut year = (days * 400).div_euclid(146_097) + 1970;
    while days_from_civil(year, 0, 1) > days {
        year -= 1;
    }
    while days_from_civil(year + 1, 0, 1) <= days {
        year += 1;
    }
    let month = (0..12)
        .rev()
        .find(|month| days_from_civil(year, *month, 1) <= days)
        .unwrap_or(0);
    (year, month, days - days_from_civil(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_prints() {
        for (text, unix) in [
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 29 Feb 2000 12:00:01 GMT", 951_825_601),
            ("Wed, 31 Dec 1969 23:59:59 GMT", -1),
            ("Fri, 31 Dec 9999 23:59:59 GMT", LAST),
            ("Sat, 01 Jan 0000 00:00:00 GMT", FIRST),
        ] {
            assert_eq!(Date::parse(text.as_bytes()).map(Date::unix), Ok(unix), "{text}");
            assert_eq!(Date::from_unix(unix).to_string(), text);
        }
        assert_eq!(Date::parse(b"1 jan 1970\r\n 00:00:10 utc").unwrap().unix(), 10);
        assert_eq!(Date::from_unix(i64::MAX).unix(), LAST);
    }

    #[test]
    fn refuses_other_zones_and_days_that_are_not() {
        // The first is RFC 4475 3.1.2.12 (baddate).
        for (bad, at) in [
            ("Fri, 01 Jan 2010 16:00:00 EST", 26),
            ("Mon, 29 Feb 2100 00:00:00 GMT", 5),
            ("Mon, 00 Jan 2100 00:00:00 GMT", 5),
            ("Mon, 01 Foo 2100 00:00:00 GMT", 8),
            ("Mon, 01 Jan 21000 00:00:00 GMT", 12),
            ("Mon, 01 Jan 2100 24:00:00 GMT", 17),
            ("Mon, 01 Jan 2100 00:00 GMT", 17),
            ("Mon, 01 Jan 2100 00:00:00", 25),
            ("", 0),
        ] {
            assert_eq!(Date::parse(bad.as_bytes()).unwrap_err().at, at, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn both_ways(unix in FIRST..=LAST) {
            let text = Date::from_unix(unix).to_string();
            prop_assert_eq!(Date::parse(text.as_bytes()).map(Date::unix), Ok(unix));
        }

        #[test]
        fn nothing_panics(text in "[A-Za-z0-9:, ]{0,30}") {
            let _ = Date::parse(text.as_bytes());
        }
    }
}
