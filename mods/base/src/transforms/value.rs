//! `{val.…}` and `{num.…}`: values as such, `$null` included.

use kahea_module::{Decl, Module, TransformKind, Value};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    let mut row = |class, name, run, doc| {
        d.transform(class, name, &[], TransformKind::Args(0, 0, run), doc);
    };
    row(
        "val",
        "n0",
        |_, value, _| or(value, Value::Int(0)),
        "The value; 0 for null.",
    );
    row(
        "val",
        "ne",
        |_, value, _| or(value, Value::EMPTY),
        "The value; the empty text for null.",
    );
    row(
        "val",
        "json",
        |_, value, _| json(value, ""),
        "Escaped for a JSON string, without the quotes; empty for null.",
    );
    row(
        "val",
        "jsonqe",
        |_, value, _| match value {
            Value::Int(n) => Value::Int(n),
            other => json(other, "\""),
        },
        "As a JSON value: a string with its quotes, a number as it is; the empty string for null.",
    );
    row(
        "num",
        "fdigit",
        |_, value, _| digit(value, first),
        "The first digit of a number; 0 for a text or null.",
    );
    row(
        "num",
        "ldigit",
        |_, value, _| digit(value, last),
        "The last digit of a number; 0 for a text or null.",
    );
}

fn or(value: Value, otherwise: Value) -> Value {
    if value.is_null() { otherwise } else { value }
}

fn json(value: Value, quote: &str) -> Value {
    let text = value.str_or_empty();
    let mut out = Vec::with_capacity(text.len().saturating_add(8));
    out.extend_from_slice(quote.as_bytes());
    for b in &*text {
        match b {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            0..=31 => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
            _ => out.push(*b),
        }
    }
    out.extend_from_slice(quote.as_bytes());
    super::bounded(text.len(), out.into())
}

fn digit(value: Value, pick: fn(u64) -> u64) -> Value {
    let Value::Int(n) = value else {
        return Value::Int(0);
    };
    Value::Int(i64::try_from(pick(n.unsigned_abs())).unwrap_or(0))
}

fn first(mut n: u64) -> u64 {
    while n > 9 {
        n /= 10;
    }
    n
}

fn last(n: u64) -> u64 {
    n % 10
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    #[test]
    fn null_becomes_something() {
        assert_eq!(apply(Value::Null, "val.n0"), Value::Int(0));
        assert_eq!(apply(Value::Null, "val.ne"), Value::EMPTY);
        assert_eq!(apply(Value::Null, "val.jsonqe"), Value::from("\"\""));
        assert_eq!(apply("x", "val.n0"), Value::from("x"));
    }

    #[test]
    fn json_is_escaped() {
        assert_eq!(
            text("\"a\" \\ \n\u{1}é", "val.json"),
            "\\\"a\\\" \\\\ \\n\\u0001é"
        );
        assert_eq!(text("a", "val.jsonqe"), "\"a\"");
        assert_eq!(apply(7, "val.jsonqe"), Value::Int(7));
    }

    #[test]
    fn digits_of_numbers() {
        assert_eq!(apply(-1234, "num.fdigit"), Value::Int(1));
        assert_eq!(apply(-1234, "num.ldigit"), Value::Int(4));
        assert_eq!(apply("1234", "num.fdigit"), Value::Int(0));
        assert_eq!(apply(Value::Null, "num.ldigit"), Value::Int(0));
    }
}
