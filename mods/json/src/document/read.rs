//! Reads documents.

use indexmap::IndexMap;
use kahea_module::Str;

use super::{Dialect, Malformed, Node, Number};

/// Arrays and objects inside one another; more is refused, so that a document of brackets costs no stack.
const DEEPEST: usize = 256;

/// Reads a document.
pub fn document(text: &[u8], dialect: Dialect) -> Result<Node, Malformed> {
    let mut reader = Reader { text, at: 0, dialect };
    reader.space();
    if dialect == Dialect::Strict && !matches!(reader.peek(), Some(b'{' | b'[')) {
        return Err(reader.wrong("'[' or '{' expected"));
    }
    let node = reader.value(0)?;
    reader.space();
    if dialect == Dialect::Strict && reader.peek().is_some() {
        return Err(reader.wrong("text behind the document"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    dialect: Dialect,
}

impl Reader<'_> {
    fn wrong(&self, what: &'static str) -> Malformed {
        Malformed { what, at: self.at }
    }

    fn loose(&self) -> bool {
        self.dialect == Dialect::Loose
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        if there {
            self.step();
        }
        there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.step();
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Malformed> {
        if depth > DEEPEST {
            return Err(self.wrong("too many brackets inside one another"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(quote @ (b'"' | b'\'')) if quote == b'"' || self.loose() => {
                self.step();
                self.string(quote).map(Node::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z' | b'A'..=b'Z') => self.word(),
            Some(_) => Err(self.wrong("no value begins like this")),
            None => Err(self.wrong("the document ends too early")),
        }
    }

    fn word(&mut self) -> Result<Node, Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphabetic()) {
            self.step();
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        let is = |known: &str| {
            word == known.as_bytes() || self.loose() && word.eq_ignore_ascii_case(known.as_bytes())
        };
        match () {
            () if is("true") => Ok(Node::Bool(true)),
            () if is("false") => Ok(Node::Bool(false)),
            () if is("null") => Ok(Node::Null),
            () if self.loose() && is("nan") => Ok(Node::Number(Number::Real(f64::NAN, None))),
            () => Err(Malformed {
                what: "an unknown word",
                at: start,
            }),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.step();
        }
        self.at.saturating_sub(start)
    }

    fn number(&mut self) -> Result<Node, Malformed> {
        let start = self.at;
        self.take(b'-');
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || leading_zero && digits > 1 && !self.loose() {
            return Err(self.wrong("a number is malformed"));
        }
        let mut whole = true;
        if self.take(b'.') {
            whole = false;
            if self.digits() == 0 && !self.loose() {
                return Err(self.wrong("digits are missing behind the point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.step();
            if !self.take(b'+') {
                self.take(b'-');
            }
            if self.digits() == 0 {
                return Err(self.wrong("digits are missing in the exponent"));
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let words = std::str::from_utf8(text).unwrap_or_default();
        if whole {
            return self.int(words);
        }
        let real: f64 = words.parse().map_err(|_| self.wrong("a number is malformed"))?;
        if !real.is_finite() && !self.loose() {
            return Err(self.wrong("a number is too large"));
        }
        Ok(Node::Number(Number::Real(real, Some(Str::copy(text)))))
    }

    /// 64 bits hold it, or it is refused (strict) or brought into their range (loose).
    fn int(&self, text: &str) -> Result<Node, Malformed> {
        let (lowest, highest) = (i128::from(i64::MIN), i128::from(u64::MAX));
        let n = match text.parse::<i128>() {
            Ok(n) => n,
            Err(_) if self.loose() && text.starts_with('-') => lowest,
            Err(_) if self.loose() => highest,
            Err(_) => return Err(self.wrong("a number is too large")),
        };
        match self.loose() {
            true => Ok(Node::Number(Number::Int(n.clamp(lowest, highest)))),
            false if i64::try_from(n).is_ok() => Ok(Node::Number(Number::Int(n))),
            false => Err(self.wrong("a number is too large")),
        }
    }

    /// What stands behind the opening quote.
    fn string(&mut self, quote: u8) -> Result<Str, Malformed> {
        let start = self.at;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.wrong("a text does not end")),
                Some(byte) if byte == quote => break,
                Some(b'\\') => {
                    self.step();
                    self.escape(&mut out)?;
                    continue;
                }
                Some(0..=0x1f) if !self.loose() => {
                    return Err(self.wrong("a text holds a control character"));
                }
                Some(byte) => out.push(byte),
            }
            self.step();
        }
        self.step();
        if !self.loose() && std::str::from_utf8(&out).is_err() {
            return Err(Malformed {
                what: "a text is not UTF-8",
                at: start,
            });
        }
        Ok(Str::from(out))
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        let byte = self.peek().ok_or_else(|| self.wrong("a text does not end"))?;
        self.step();
        out.push(match byte {
            b'"' | b'\\' | b'/' => byte,
            b'\'' if self.loose() => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let c = self.character()?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong("an unknown escape")),
        });
        Ok(())
    }

    /// The character of a `\u` escape, or of two that make a pair.
    fn character(&mut self) -> Result<char, Malformed> {
        let first = self.four_digits()?;
        if first == 0 && !self.loose() {
            return Err(self.wrong("a text holds a null character"));
        }
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let before = self.at;
        if first < 0xdc00 && self.take(b'\\') && self.take(b'u') {
            let second = self.four_digits()?;
            let high = first.wrapping_sub(0xd800) << 10;
            let low = second.wrapping_sub(0xdc00);
            let pair = (low < 0x400).then(|| high.wrapping_add(low).wrapping_add(0x1_0000));
            if let Some(c) = pair.and_then(char::from_u32) {
                return Ok(c);
            }
        }
        self.at = before;
        match self.loose() {
            true => Ok(char::REPLACEMENT_CHARACTER),
            false => Err(self.wrong("half of a surrogate pair")),
        }
    }

    fn four_digits(&mut self) -> Result<u32, Malformed> {
        let end = self.at.saturating_add(4);
        let digits = self
            .text
            .get(self.at..end)
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let value = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.wrong("four hexadecimal digits are missing"))?;
        self.at = end;
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Node, Malformed> {
        self.step();
        let mut items = Vec::new();
        loop {
            self.space();
            if (items.is_empty() || self.loose()) && self.take(b']') {
                return Ok(Node::Array(items));
            }
            items.push(self.value(depth.saturating_add(1))?);
            self.space();
            if self.take(b']') {
                return Ok(Node::Array(items));
            }
            if !self.take(b',') {
                return Err(self.wrong("',' or ']' expected"));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Node, Malformed> {
        self.step();
        let mut members = IndexMap::new();
        loop {
            self.space();
            if (members.is_empty() || self.loose()) && self.take(b'}') {
                return Ok(Node::Object(members));
            }
            let name = self.name()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("':' expected"));
            }
            self.space();
            let value = self.value(depth.saturating_add(1))?;
            if members.insert(name, value).is_some() && !self.loose() {
                return Err(self.wrong("an object has the same name twice"));
            }
            self.space();
            if self.take(b'}') {
                return Ok(Node::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("',' or '}' expected"));
            }
        }
    }

    fn name(&mut self) -> Result<Str, Malformed> {
        match self.peek() {
            Some(quote @ (b'"' | b'\'')) if quote == b'"' || self.loose() => {
                self.step();
                self.string(quote)
            }
            _ => Err(self.wrong("a name in quotes expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> Result<Node, Malformed> {
        document(text.as_bytes(), Dialect::Strict)
    }

    fn loose(text: &str) -> Result<Node, Malformed> {
        document(text.as_bytes(), Dialect::Loose)
    }

    #[test]
    fn both_dialects_read_plain_documents() {
        let text = r#" {"a": [1, -2.5e1, "x\u00e9\ud83d\ude00\n"], "b": {"t": true, "n": null}} "#;
        let read = strict(text).expect("a document");
        assert_eq!(loose(text), Ok(read.clone()));
        let Some(Node::Array(items)) = read.member(b"a") else {
            panic!("{read:?}")
        };
        assert_eq!(items.first(), Some(&Node::int(1)));
        assert_eq!(items.get(2), Some(&Node::Text(Str::from("xé😀\n"))));
    }

    #[test]
    fn what_only_one_dialect_takes() {
        for text in [
            "{'a':1}",
            "{\"a\":1} x",
            "[1,]",
            "[NaN]",
            "[01]",
            "[TRUE]",
            "[99999999999999999999]",
            "7",
            "{\"a\":1,\"a\":2}",
            "[\"\\ud83d\"]",
        ] {
            assert!(strict(text).is_err(), "{text}");
            assert!(loose(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "{",
            "[1",
            "{a:1}",
            "[\"x]",
            "[1 2]",
            "{\"a\"1}",
            "[\"\\q\"]",
            "[-]",
            "[\"\\u12\"]",
        ] {
            assert!(strict(text).is_err() && loose(text).is_err(), "{text}");
        }
    }

    #[test]
    fn truncated_at_every_byte_it_is_refused() {
        let text = r#"{"a":[1,2.5,"x\u00e9"],"b":{"c":null}}"#;
        for end in 0..text.len() {
            let part = text.as_bytes().get(..end).unwrap_or_default();
            assert!(document(part, Dialect::Strict).is_err(), "{end}");
        }
    }

    #[test]
    fn brackets_without_end_are_refused() {
        for dialect in [Dialect::Strict, Dialect::Loose] {
            let deep = "[".repeat(60_000);
            assert!(document(deep.as_bytes(), dialect).is_err_and(|error| error.what.contains("brackets")));
        }
    }
}
