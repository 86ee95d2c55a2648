//! Values as SQLite keeps them, the way Kamailio's db_sqlite does: moments are Julian days (UTC) in columns whose
//! declared type names a date or a time, half a second late so that no rounding brings them into the second before.

use kahea_db::{Value, parse_time};
use kahea_module::Str;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// The Julian day of 1970-01-01 00:00 UTC.
const EPOCH: f64 = 2_440_587.5;
const DAY: f64 = 86_400.0;
/// The day after 9999-12-31: larger figures are seconds since 1970.
const LAST_DAY: f64 = 5_373_485.0;

/// The declared type of a column means moments.
pub(crate) fn is_time(declared: Option<&str>) -> bool {
    declared.is_some_and(|name| {
        let name = name.to_ascii_uppercase();
        name.contains("DATE") || name.contains("TIME")
    })
}

/// A value for a placeholder.
pub(crate) fn to_sql(value: &Value) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match value {
        Value::Null => ValueRef::Null,
        Value::Int(n) => ValueRef::Integer(*n),
        Value::Real(n) => ValueRef::Real(*n),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(bytes) => ValueRef::Blob(bytes.as_bytes()),
        Value::Time(unix) => ValueRef::Real(julian(*unix)),
    })
}

/// A value of a row.
pub(crate) fn from_sql(value: ValueRef<'_>, is_time: bool) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        #[expect(clippy::cast_precision_loss, reason = "moments are far below 2^53")]
        ValueRef::Integer(n) if is_time => moment(n as f64),
        ValueRef::Integer(n) => Value::Int(n),
        ValueRef::Real(n) if is_time => moment(n),
        ValueRef::Real(n) => Value::Real(n),
        ValueRef::Text(text) => {
            let time = match is_time {
                true => std::str::from_utf8(text).ok().and_then(parse_time),
                false => None,
            };
            time.map_or_else(|| Value::Text(Str::copy(text)), Value::Time)
        }
        ValueRef::Blob(bytes) => Value::Blob(Str::copy(bytes)),
    }
}

fn julian(unix: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "moments are far below 2^53")]
    let seconds = unix as f64;
    (seconds + 0.5) / DAY + EPOCH
}

fn moment(figure: f64) -> Value {
    let unix = match (0.0..LAST_DAY).contains(&figure) {
        true => (figure - EPOCH) * DAY,
        false => figure,
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, and NaN cannot be stored"
    )]
    let unix = unix.floor() as i64;
    Value::Time(unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_round_trip_as_julian_days() {
        for unix in [0, 1, 951_782_400, 1_795_284_859, 4_102_444_800] {
            let value = Value::Time(unix);
            let ToSqlOutput::Borrowed(stored) = to_sql(&value) else {
                panic!("nothing is copied");
            };
            assert_eq!(from_sql(stored, true), value);
        }
        // What db_sqlite of Kamailio 5.6.3 wrote at 2026-11-21 18:16:24 UTC.
        assert_eq!(moment(2_461_366.261_394_68), Value::Time(1_795_284_984));
    }

    #[test]
    fn seconds_and_texts_are_moments_too() {
        assert_eq!(
            from_sql(ValueRef::Integer(1_600_000_000), true),
            Value::Time(1_600_000_000)
        );
        assert_eq!(
            from_sql(ValueRef::Text(b"2026-11-21T17:05:00Z"), true),
            Value::Time(1_795_280_700)
        );
        assert_eq!(from_sql(ValueRef::Text(b"soon"), true), Value::from("soon"));
        assert_eq!(
            from_sql(ValueRef::Text(b"2026-11-21"), false),
            Value::from("2026-11-21")
        );
    }

    #[test]
    fn declared_types_tell_moments() {
        assert!(is_time(Some("TIMESTAMP WITHOUT TIME ZONE")) && is_time(Some("datetime")));
        assert!(!is_time(Some("INTEGER")) && !is_time(None));
    }
}
