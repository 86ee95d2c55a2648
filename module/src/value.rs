//! Script values and their conversions.

use std::fmt;

use kahea_sip::Str;

/// What a variable holds and an expression yields.
///
/// Kamailio's variables can be a string and a number at once (`$rs`); here such a value is an [`Value::Int`] and its
/// string is made when asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `$null`: not set.
    #[default]
    Null,
    /// A 64-bit integer, as Kamailio 6.x has.
    Int(i64),
    /// A byte string.
    Str(Str),
}

impl Value {
    /// The empty string.
    pub const EMPTY: Value = Value::Str(Str::EMPTY);

    /// Is `$null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// As a string; [`Value::Null`] has none.
    pub fn str(&self) -> Option<Str> {
        match self {
            Value::Null => None,
            Value::Int(n) => Some(int_text(*n)),
            Value::Str(text) => Some(text.clone()),
        }
    }

    /// As a string, empty for `$null`.
    pub fn str_or_empty(&self) -> Str {
        self.str().unwrap_or_default()
    }

    /// As an integer, where it is one or its text is one (Kamailio's `str2sint`: sign and digits, nothing else).
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Null => None,
            Value::Int(n) => Some(*n),
            Value::Str(text) => parse_int(text),
        }
    }

    /// Adds the value's text to `out`; nothing for `$null`.
    pub fn push_to(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Int(n) => push_int(*n, out),
            Value::Str(text) => out.extend_from_slice(text),
        }
    }
}

/// An integer as Kamailio reads it: an optional sign and digits, or `0x` and hexadecimal digits; nothing before or after.
pub fn parse_int(text: &[u8]) -> Option<i64> {
    let digits = match text {
        [b'-' | b'+', rest @ ..] => rest,
        all => all,
    };
    if let [b'0', b'x' | b'X', hex @ ..] = digits {
        let n = i64::from_str_radix(
            std::str::from_utf8(hex)
                .ok()
                .filter(|hex| !hex.starts_with(['+', '-']))?,
            16,
        )
        .ok()?;
        return Some(if text.first() == Some(&b'-') {
            n.wrapping_neg()
        } else {
            n
        });
    }
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The decimal text of a number.
pub fn int_text(n: i64) -> Str {
    let mut out = Vec::with_capacity(20);
    push_int(n, &mut out);
    Str::from(out)
}

/// Adds the decimal text of a number.
pub fn push_int(n: i64, out: &mut Vec<u8>) {
    use std::io::Write;
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{n}");
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("<null>"),
            Value::Int(n) => n.fmt(f),
            Value::Str(text) => text.fmt(f),
        }
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(n.into())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Int(n.into())
    }
}

impl From<u16> for Value {
    fn from(n: u16) -> Value {
        Value::Int(n.into())
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Int(yes.into())
    }
}

impl From<Str> for Value {
    fn from(text: Str) -> Value {
        Value::Str(text)
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Value {
        Value::Str(Str::from_static(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Str(Str::from(text))
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Value {
        Value::Str(Str::from(bytes))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>, E> From<Result<T, E>> for Value {
    /// What could not be read is `$null`.
    fn from(value: Result<T, E>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_text_and_text_may_have_a_number() {
        assert_eq!(Value::Int(-42).str_or_empty(), "-42");
        assert_eq!(Value::from("0042").int(), Some(42));
        assert_eq!(Value::from("42a").int(), None);
        assert_eq!(Value::from("0x1F").int(), Some(31));
        assert_eq!(Value::from("").int(), None);
        assert_eq!(Value::from("99999999999999999999").int(), None);
        assert_eq!(Value::Null.int(), None);
    }
}
