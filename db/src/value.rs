//! Values of columns.

use std::sync::Arc;

use kahea_module::Str;

use crate::time;

/// A value of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// SQL NULL.
    #[default]
    Null,
    /// Any integer type.
    Int(i64),
    /// A floating-point or decimal type.
    Real(f64),
    /// Text.
    Text(Str),
    /// Bytes.
    Blob(Str),
    /// A date with time of day, in seconds since 1970 UTC. Stored as Kamailio does: in the server's local time, without
    /// a zone.
    Time(i64),
}

impl Value {
    /// SQL NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// As an integer: numbers, numbers written as text, and times.
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(n) | Value::Time(n) => Some(*n),
            Value::Text(text) | Value::Blob(text) => text.as_utf8()?.trim().parse().ok(),
            // Saturates, which is what a column out of range deserves.
            #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
            Value::Real(n) if n.is_finite() => Some(*n as i64),
            Value::Real(_) | Value::Null => None,
        }
    }

    /// As a number with a fraction.
    pub fn real(&self) -> Option<f64> {
        match self {
            Value::Real(n) => Some(*n),
            Value::Text(text) | Value::Blob(text) => text.as_utf8()?.trim().parse().ok(),
            #[expect(
                clippy::cast_precision_loss,
                reason = "columns of this kind hold small numbers"
            )]
            Value::Int(n) | Value::Time(n) => Some(*n as f64),
            Value::Null => None,
        }
    }

    /// As text; `None` where NULL.
    pub fn text(&self) -> Option<Str> {
        match self {
            Value::Null => None,
            Value::Int(n) => Some(kahea_module::value::int_text(*n)),
            Value::Real(n) => Some(Str::from(n.to_string())),
            Value::Text(text) | Value::Blob(text) => Some(text.clone()),
            Value::Time(unix) => Some(Str::from(time::time_text(*unix))),
        }
    }

    /// As a moment in seconds since 1970: times, numbers, and dates written as text.
    pub fn time(&self) -> Option<i64> {
        match self {
            Value::Text(text) | Value::Blob(text) => time::parse_time(text.as_utf8()?).or_else(|| self.int()),
            other => other.int(),
        }
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Value {
        Value::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(Str::from(text))
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// The values of one row, in the order of the columns asked for.
pub type Row = Vec<Value>;

/// What a statement gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Names of the columns; empty where the statement gives no rows.
    pub columns: Arc<[Str]>,
    /// The rows.
    pub rows: Vec<Row>,
    /// Rows that the statement changed.
    pub affected: u64,
    /// The number that the database gave to an inserted row, where it tells.
    pub last_id: Option<i64>,
}

/// Rows without names of columns.
impl From<Vec<Row>> for Rows {
    fn from(rows: Vec<Row>) -> Rows {
        Rows {
            rows,
            ..Rows::default()
        }
    }
}

impl Rows {
    /// The first row.
    pub fn first(&self) -> Option<&Row> {
        self.rows.first()
    }

    /// The value in the first column of the first row.
    pub fn single(&self) -> Option<&Value> {
        self.first()?.first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_whatever_holds_them() {
        assert_eq!(Value::from("17").int(), Some(17));
        assert_eq!(Value::Real(3.9).int(), Some(3));
        assert_eq!(Value::Real(f64::NAN).int(), None);
        assert_eq!(Value::from("x").int(), None);
        assert_eq!(Value::Null.int(), None);
        assert_eq!(Value::from("0.25").real(), Some(0.25));
        assert_eq!(Value::Int(4).text(), Some(Str::from("4")));
    }

    #[test]
    fn options_become_null() {
        assert_eq!(Value::from(None::<Str>), Value::Null);
        assert_eq!(Value::from(Some(3)), Value::Int(3));
    }
}
