//! The expressions of `#!ifexp` and `#!defexp`.
//!
//! Numbers are floating point. An undefined name is 0, and the empty string where a string is needed. A defined name has
//! the number or string of its value; without a value it is 1.

use std::fmt;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    /// An undefined name.
    Nothing,
}

impl Value {
    pub(super) fn is_true(&self) -> bool {
        match self {
            Value::Number(number) => *number != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::Nothing => false,
        }
    }

    fn number(&self) -> f64 {
        match self {
            Value::Number(number) => *number,
            Value::Text(text) => text.trim().parse().unwrap_or(0.0),
            Value::Nothing => 0.0,
        }
    }

    /// For the bit operators: without the fraction.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is what is wanted"
    )]
    fn integer(&self) -> i64 {
        self.number() as i64
    }

    /// What the text of a definition stands for.
    pub(super) fn of_definition(text: &str) -> Value {
        let text = text.trim();
        if text.is_empty() {
            return Value::Number(1.0);
        }
        for quote in ['"', '\''] {
            if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
                return Value::Text(inner.to_owned());
            }
        }
        let hex = text
            .strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let starts_like_number = text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
        match (hex, text.parse()) {
            (Some(number), _) => Value::Number(f64::from(number)),
            (None, Ok(number)) if starts_like_number => Value::Number(number),
            _ => Value::Text(text.to_owned()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) => f.write_str(text),
            Value::Nothing => Ok(()),
        }
    }
}

/// A mistake: the byte where it is, and what it is.
pub(super) type Fault = (usize, String);

/// The value of an expression; `lookup` knows the definitions.
pub(super) fn evaluate(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Value, Fault> {
    let mut reader = Reader {
        text,
        at: 0,
        lookup,
        depth: 0,
    };
    let value = reader.binary(0)?;
    reader.skip_blanks();
    if reader.rest().is_empty() {
        return Ok(value);
    }
    Err((reader.at, format!("unexpected `{}`", reader.rest())))
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    lookup: &'a dyn Fn(&str) -> Option<String>,
    depth: usize,
}

/// Operators by level, the loosest first; longer ones of a prefix first.
const LEVELS: &[&[&str]] = &[
    &[","],
    &["||"],
    &["&&"],
    &["|"],
    &["^"],
    &["&"],
    &["==", "!="],
    &["<=", ">=", "<", ">"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "%"],
    &["**"],
];

const ALL: &[&str] = &[
    "**", "||", "&&", "==", "!=", "<=", ">=", "<<", ">>", ",", "|", "^", "&", "<", ">", "+", "-", "*", "/",
    "%",
];

const MAX_DEPTH: usize = 100;

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest().len().saturating_sub(self.rest().trim_start().len());
        self.at = self.at.saturating_add(blanks);
        // A remark ends the line.
        if self.rest().starts_with('#') || self.rest().starts_with("//") {
            self.at = self.text.len();
        }
    }

    fn binary(&mut self, level: usize) -> Result<Value, Fault> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level.saturating_add(1))?;
        loop {
            self.skip_blanks();
            let found = ALL.iter().find(|op| self.rest().starts_with(**op));
            let Some(op) = found.filter(|op| operators.contains(op)) else {
                return Ok(left);
            };
            self.at = self.at.saturating_add(op.len());
            // `**` binds to the right.
            let right = if *op == "**" {
                self.deeper(|reader| reader.binary(level))?
            } else {
                self.binary(level.saturating_add(1))?
            };
            left = apply(op, &left, right);
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_DEPTH {
            return Err((self.at, String::from("nested too deeply")));
        }
        let result = read(self);
        self.depth = self.depth.saturating_sub(1);
        result
    }

    fn unary(&mut self) -> Result<Value, Fault> {
        self.skip_blanks();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Err((start, String::from("value missing")));
        };
        if matches!(first, '!' | '-' | '+' | '^' | '(') {
            self.at = self.at.saturating_add(1);
        }
        match first {
            '!' => Ok(truth(!self.deeper(Self::unary)?.is_true())),
            '-' => Ok(Value::Number(-self.deeper(Self::unary)?.number())),
            '+' => Ok(Value::Number(self.deeper(Self::unary)?.number())),
            '^' => {
                #[expect(clippy::cast_precision_loss, reason = "numbers are floating point here")]
                let inverted = !self.deeper(Self::unary)?.integer() as f64;
                Ok(Value::Number(inverted))
            }
            '(' => {
                let value = self.deeper(|reader| reader.binary(0))?;
                self.skip_blanks();
                if !self.rest().starts_with(')') {
                    return Err((start, String::from("parenthesis never closed")));
                }
                self.at = self.at.saturating_add(1);
                Ok(value)
            }
            '"' | '\'' => self.string(first),
            _ => self.word(first),
        }
    }

    fn string(&mut self, quote: char) -> Result<Value, Fault> {
        let start = self.at;
        let inner = self.rest().get(1..).unwrap_or_default();
        let Some(length) = inner.find(quote) else {
            return Err((start, String::from("string never closed")));
        };
        let value = inner.get(..length).unwrap_or_default().to_owned();
        self.at = self.at.saturating_add(length).saturating_add(2);
        Ok(Value::Text(value))
    }

    fn word(&mut self, first: char) -> Result<Value, Fault> {
        let start = self.at;
        let is_number = first.is_ascii_digit() || first == '.';
        let belongs = |c: char| c.is_ascii_alphanumeric() || c == '_' || (is_number && c == '.');
        let length = self.rest().find(|c| !belongs(c)).unwrap_or(self.rest().len());
        let word = self.rest().get(..length).unwrap_or_default().to_owned();
        if word.is_empty() {
            return Err((start, format!("unexpected `{first}`")));
        }
        self.at = self.at.saturating_add(length);
        if !is_number {
            return Ok((self.lookup)(&word).map_or(Value::Nothing, |text| Value::of_definition(&text)));
        }
        match Value::of_definition(&word) {
            Value::Number(number) => Ok(Value::Number(number)),
            _ => Err((start, format!("`{word}` is no number"))),
        }
    }
}

fn truth(is_true: bool) -> Value {
    Value::Number(if is_true { 1.0 } else { 0.0 })
}

fn apply(op: &str, left: &Value, right: Value) -> Value {
    let as_text = matches!(left, Value::Text(_)) || matches!(right, Value::Text(_));
    let order = if as_text {
        Some(left.to_string().cmp(&right.to_string()))
    } else {
        left.number().partial_cmp(&right.number())
    };
    let (a, b) = (left.number(), right.number());
    #[expect(clippy::cast_precision_loss, reason = "numbers are floating point here")]
    let bits = |number: i64| Value::Number(number as f64);
    let shift = u32::try_from(right.integer()).unwrap_or(u32::MAX);
    match op {
        "," => right,
        "||" => truth(left.is_true() || right.is_true()),
        "&&" => truth(left.is_true() && right.is_true()),
        "|" => bits(left.integer() | right.integer()),
        "^" => bits(left.integer() ^ right.integer()),
        "&" => bits(left.integer() & right.integer()),
        "<<" => bits(left.integer().checked_shl(shift).unwrap_or(0)),
        ">>" => bits(left.integer().checked_shr(shift).unwrap_or(0)),
        "==" => truth(order.is_some_and(std::cmp::Ordering::is_eq)),
        "!=" => truth(!order.is_some_and(std::cmp::Ordering::is_eq)),
        "<" => truth(order.is_some_and(std::cmp::Ordering::is_lt)),
        "<=" => truth(order.is_some_and(std::cmp::Ordering::is_le)),
        ">" => truth(order.is_some_and(std::cmp::Ordering::is_gt)),
        ">=" => truth(order.is_some_and(std::cmp::Ordering::is_ge)),
        "+" if matches!(left, Value::Text(_)) => Value::Text(format!("{left}{right}")),
        "+" => Value::Number(a + b),
        "-" => Value::Number(a - b),
        "*" => Value::Number(a * b),
        "/" => Value::Number(if b == 0.0 { 0.0 } else { a / b }),
        "%" => Value::Number(if b == 0.0 { 0.0 } else { a % b }),
        "**" => Value::Number(a.powf(b)),
        _ => Value::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<String, Fault> {
        let lookup = |name: &str| match name {
            "NUM" => Some(String::from("42")),
            "STR" => Some(String::from("\"hello\"")),
            "ADDR" => Some(String::from("127.0.0.1")),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        evaluate(text, &lookup).map(|value| value.to_string())
    }

    #[test]
    fn values() {
        for (text, expected) in [
            ("1 + 2 * 3", "7"),
            ("(1 + 2) * 3", "9"),
            ("2 ** 3 ** 2", "512"),
            ("10 - 2 - 3", "5"),
            ("7 % 4", "3"),
            ("7 / 2", "3.5"),
            ("1 << 3 == 8", "1"),
            ("6 & 3 | 8", "10"),
            ("!NUM", "0"),
            ("!NOT_THERE && EMPTY", "1"),
            ("NUM >= 42 && NUM < 43", "1"),
            ("STR == 'hello'", "1"),
            ("\"sip:\" + ADDR + \":5060\"", "sip:127.0.0.1:5060"),
            ("(0, 5)", "5"),
            ("- NUM", "-42"),
            ("NUM # remark", "42"),
            ("NUM > 1 // remark", "1"),
            ("0x10", "16"),
            ("1 / 0", "0"),
            ("1 << 100", "0"),
            ("NOT_THERE == ''", "1"),
        ] {
            assert_eq!(value(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes() {
        for (text, at) in [
            ("", 0),
            ("1 +", 3),
            ("1 2", 2),
            ("(1", 0),
            ("\"a", 0),
            ("1 + @", 4),
            ("1x", 0),
        ] {
            assert_eq!(value(text).map_err(|fault| fault.0), Err(at), "{text}");
        }
        assert!(value(&"(".repeat(100_000)).is_err());
        assert!(value(&"!".repeat(100_000)).is_err());
        assert!(value(&"2**".repeat(100_000)).is_err());
    }
}
