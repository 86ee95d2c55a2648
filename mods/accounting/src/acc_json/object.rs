//! The JSON object of a record, in the form that Kamailio's library writes.

use std::fmt::Write;

use kahea_module::{Cx, Str};
use serde_json::{Map, Number, Value};

use super::Objects;
use crate::acc::{Legs, Record, TimeMode};

/// Stands for a value that should have been JSON and is not.
const NO_JSON: &str = "INVALID_JSON";
/// Stands for a text that is not UTF-8.
const NO_TEXT: &str = "NON-UTF8";

impl Objects {
    /// The object of a record; of several legs it has the first.
    pub fn text(&self, cx: &mut Cx, record: &Record, legs: &Legs) -> String {
        let mut members = Map::new();
        members.insert("time".to_owned(), self.time_value(record));
        for (name, value) in [
            ("method", &record.method),
            ("from_tag", &record.from_tag),
            ("to_tag", &record.to_tag),
            ("callid", &record.call_id),
            ("sip_code", &record.code),
            ("sip_reason", &record.reason),
        ] {
            members.insert(name.to_owned(), text(value));
        }
        for (name, value) in self.extras.values(cx) {
            let value = value.str_or_empty();
            let value = match &self.encoded {
                Some(prefix) if name.starts_with(prefix.as_bytes()) => encoded(&value),
                _ => text(&value),
            };
            members.insert(name.text().into_owned(), value);
        }
        if !legs.is_empty() {
            let first = legs.rows(cx).into_iter().next().unwrap_or_default();
            for (name, value) in legs.names().zip(first) {
                members.insert(name.text().into_owned(), text(&value.str_or_empty()));
            }
        }
        let mut out = String::with_capacity(256);
        push(&mut out, &Value::Object(members));
        out
    }

    fn time_value(&self, record: &Record) -> Value {
        match &self.time {
            TimeMode::Plain | TimeMode::Micros => Value::from(record.at.seconds),
            TimeMode::Millis => Number::from_f64(record.at.fraction()).map_or(Value::Null, Value::Number),
            mode @ (TimeMode::Local(_) | TimeMode::Utc(_)) => {
                Value::from(mode.text(record.at).unwrap_or_default())
            }
        }
    }
}

fn text(value: &Str) -> Value {
    Value::from(value.as_utf8().unwrap_or(NO_TEXT))
}

/// A value that a script has written as JSON: an object or a list.
fn encoded(value: &Str) -> Value {
    match serde_json::from_slice(value) {
        Ok(known @ (Value::Object(_) | Value::Array(_))) => known,
        Ok(_) | Err(_) => Value::from(NO_JSON),
    }
}

/// Adds a value: a space behind colons and commas, ASCII alone.
fn push(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => push_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                push(out, item);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (name, member)) in members.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                push_text(out, name);
                out.push_str(": ");
                push(out, member);
            }
            out.push('}');
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => out.push_str(&plain.to_string()),
    }
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            ' '..='~' => out.push(c),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{unit:04X}");
                }
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &Value) -> String {
        let mut out = String::new();
        push(&mut out, value);
        out
    }

    #[test]
    fn texts_are_ascii() {
        assert_eq!(
            shown(&Value::from("tab\there \"q\" \\ é / 😀 \u{1}")),
            r#""tab\there \"q\" \\ \u00E9 / \uD83D\uDE00 \u0001""#
        );
    }

    #[test]
    fn what_is_json_already_keeps_its_form() {
        assert_eq!(
            shown(&encoded(&r#"{"b":2,"c":[3,{"d":null}]}"#.into())),
            r#"{"b": 2, "c": [3, {"d": null}]}"#
        );
        assert_eq!(encoded(&"{x".into()), Value::from(NO_JSON));
        assert_eq!(text(&Str::copy(b"a\xffb")), Value::from(NO_TEXT));
    }
}
