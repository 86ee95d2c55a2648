//! Values as the protocol carries them.

use kahea_db::{Value, local_moment, parse_time, time_text};
use kahea_module::Str;
use mysql_async::{Column, Value as Mysql, consts::ColumnType as Type};

/// The character set of bytes that are no text.
const BINARY: u16 = 63;

/// A value for a placeholder. Texts that are no UTF-8 go as they are: the server decides.
pub(crate) fn to_server(value: &Value, server_timezone: bool) -> Mysql {
    match value {
        Value::Null => Mysql::NULL,
        Value::Int(n) => Mysql::Int(*n),
        Value::Real(n) => Mysql::Double(*n),
        Value::Text(text) | Value::Blob(text) => Mysql::Bytes(text.as_bytes().to_vec()),
        Value::Time(unix) if server_timezone => Mysql::Int(*unix),
        Value::Time(unix) => Mysql::Bytes(time_text(*unix).into_bytes()),
    }
}

/// What is needed of a column to read its values.
#[derive(Clone, Copy)]
pub(crate) struct Reader {
    kind: Type,
    binary: bool,
}

impl Reader {
    pub(crate) fn of(column: &Column) -> Reader {
        Reader {
            kind: column.column_type(),
            binary: column.character_set() == BINARY,
        }
    }

    pub(crate) fn read(self, value: Mysql) -> Value {
        match value {
            Mysql::NULL => Value::Null,
            Mysql::Int(n) => Value::Int(n),
            // What does not fit is as large as can be.
            Mysql::UInt(n) => Value::Int(i64::try_from(n).unwrap_or(i64::MAX)),
            // The shortest figure that means the same, so that 0.1 does not become 0.10000000149011612.
            Mysql::Float(n) => Value::Real(n.to_string().parse().unwrap_or(f64::from(n))),
            Mysql::Double(n) => Value::Real(n),
            Mysql::Date(year, month, day, hour, minute, second, _) => {
                moment(year, [month, day, hour, minute, second])
            }
            Mysql::Time(negative, days, hours, minutes, seconds, _) => {
                let hours = days.saturating_mul(24).saturating_add(u32::from(hours));
                let sign = if negative { "-" } else { "" };
                Value::from(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}").as_str())
            }
            Mysql::Bytes(bytes) => self.bytes(bytes),
        }
    }

    /// Figures come as text where they have no fixed size, and all of them do in the protocol for texts.
    fn bytes(self, bytes: Vec<u8>) -> Value {
        let text = || std::str::from_utf8(&bytes).ok();
        let read = match self.kind {
            Type::MYSQL_TYPE_TINY
            | Type::MYSQL_TYPE_SHORT
            | Type::MYSQL_TYPE_INT24
            | Type::MYSQL_TYPE_LONG
            | Type::MYSQL_TYPE_LONGLONG
            | Type::MYSQL_TYPE_YEAR => text().and_then(|text| text.parse().ok()).map(Value::Int),
            Type::MYSQL_TYPE_FLOAT
            | Type::MYSQL_TYPE_DOUBLE
            | Type::MYSQL_TYPE_DECIMAL
            | Type::MYSQL_TYPE_NEWDECIMAL => text().and_then(|text| text.parse().ok()).map(Value::Real),
            Type::MYSQL_TYPE_TIMESTAMP
            | Type::MYSQL_TYPE_TIMESTAMP2
            | Type::MYSQL_TYPE_DATETIME
            | Type::MYSQL_TYPE_DATETIME2
            | Type::MYSQL_TYPE_DATE
            | Type::MYSQL_TYPE_NEWDATE => Some(Value::Time(text().and_then(parse_time).unwrap_or(0))),
            Type::MYSQL_TYPE_BIT => bits(&bytes).map(Value::Int),
            _ => None,
        };
        match (read, self.binary) {
            (Some(value), _) => value,
            (None, true) => Value::Blob(Str::from(bytes)),
            (None, false) => Value::Text(Str::from(bytes)),
        }
    }
}

fn bits(bytes: &[u8]) -> Option<i64> {
    let figure = bytes.iter().try_fold(0u64, |sum, byte| {
        sum.checked_mul(256)?.checked_add(u64::from(*byte))
    })?;
    i64::try_from(figure).ok()
}

/// `0000-00-00`, which is no day, is the beginning of time.
fn moment(year: u16, parts: [u8; 5]) -> Value {
    let [month, day, hour, minute, second] = parts.map(|part| i8::try_from(part).unwrap_or(-1));
    let year = i16::try_from(year).unwrap_or(-1);
    Value::Time(local_moment(year, month, day, hour, minute, second).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Type, value: Mysql) -> Value {
        Reader { kind, binary: false }.read(value)
    }

    #[test]
    fn figures_in_texts_are_figures() {
        let text = |text: &str| Mysql::Bytes(text.as_bytes().to_vec());
        assert_eq!(
            read(Type::MYSQL_TYPE_NEWDECIMAL, text("-1.50")),
            Value::Real(-1.5)
        );
        assert_eq!(read(Type::MYSQL_TYPE_LONG, text("17")), Value::Int(17));
        assert_eq!(
            read(Type::MYSQL_TYPE_BIT, Mysql::Bytes(vec![1, 2])),
            Value::Int(258)
        );
        assert_eq!(read(Type::MYSQL_TYPE_VAR_STRING, text("17")), Value::from("17"));
        let binary = Reader {
            kind: Type::MYSQL_TYPE_BLOB,
            binary: true,
        };
        assert_eq!(binary.read(text("a")), Value::Blob(Str::from("a")));
        assert_eq!(read(Type::MYSQL_TYPE_FLOAT, Mysql::Float(0.1)), Value::Real(0.1));
        assert_eq!(
            read(Type::MYSQL_TYPE_LONGLONG, Mysql::UInt(u64::MAX)),
            Value::Int(i64::MAX)
        );
    }

    #[test]
    fn dates_are_moments_in_local_time() {
        let date = Mysql::Date(2026, 11, 21, 17, 5, 0, 0);
        let expected = Value::Time(parse_time("2026-11-21 17:05:00").expect("it is a date"));
        assert_eq!(read(Type::MYSQL_TYPE_DATETIME, date), expected);
        assert_eq!(
            read(Type::MYSQL_TYPE_DATETIME, Mysql::Date(0, 0, 0, 0, 0, 0, 0)),
            Value::Time(0)
        );
        assert_eq!(
            read(
                Type::MYSQL_TYPE_DATETIME,
                Mysql::Bytes(b"2026-11-21 17:05:00".to_vec())
            ),
            expected
        );
        assert_eq!(
            read(Type::MYSQL_TYPE_TIME, Mysql::Time(true, 1, 2, 3, 4, 0)),
            Value::from("-26:03:04")
        );
    }
}
