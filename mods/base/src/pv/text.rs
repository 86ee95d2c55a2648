//! Small helpers that every group of variables uses.

use kahea_module::{Cx, Fault, Str, Value};
use kahea_sip::{Header, HeaderId};

/// A piece of the received message as a value that shares its buffer.
pub fn piece(cx: &Cx, bytes: &[u8]) -> Value {
    Value::Str(cx.msg.buffer().share(bytes))
}

/// The same; `$null` where it is empty.
pub fn filled(cx: &Cx, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        piece(cx, bytes)
    }
}

/// The same as [`filled`] for a piece of any shared text.
pub fn filled_of(whole: &Str, bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        Value::Str(whole.share(bytes))
    }
}

/// The value of the first header of this kind.
pub fn first_header(cx: &Cx, id: HeaderId) -> Option<&[u8]> {
    cx.msg.first(id).map(|header| cx.msg.value(header))
}

/// The value of the first header of this kind, or `$null`.
pub fn header_value(cx: &Cx, id: HeaderId) -> Value {
    match first_header(cx, id) {
        Some(value) => piece(cx, value),
        None => Value::Null,
    }
}

/// The header's value.
pub fn body_of(cx: &Cx, header: &Header) -> Value {
    piece(cx, cx.msg.value(header))
}

/// The length of a piece as a script number.
pub fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// A count as a script number.
pub fn count(n: usize) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

/// The text of an assignment, for variables that take text only.
///
/// # Errors
/// The value is `$null` or a number.
pub fn text_only(value: Value, name: &str) -> Result<Str, Fault> {
    match value {
        Value::Str(text) => Ok(text),
        other => Err(Fault::script(format!(
            "{name} takes a string, not {}",
            if other.is_null() { "$null" } else { "a number" }
        ))),
    }
}

/// The number of an assignment, for variables that take numbers only; `$null` is 0.
///
/// # Errors
/// The value is text.
pub fn number_only(value: &Value, name: &str) -> Result<i64, Fault> {
    match value {
        Value::Null => Ok(0),
        Value::Int(n) => Ok(*n),
        Value::Str(_) => Err(Fault::script(format!("{name} takes a number, not a string"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_take_one_kind_of_value() {
        assert_eq!(text_only(Value::from("a"), "$x"), Ok(Str::from("a")));
        assert!(text_only(Value::Int(1), "$x").is_err());
        assert!(text_only(Value::Null, "$x").is_err());
        assert_eq!(number_only(&Value::Null, "$x"), Ok(0));
        assert!(number_only(&Value::from("1"), "$x").is_err());
    }
}
