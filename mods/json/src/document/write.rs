//! Writes documents.

use super::{Node, Number};

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `{"a":[1,2]}`: module `jansson`.
    Compact,
    /// `{"a": [1, 2]}`: what `jansson_xencode()` gives.
    Plain,
    /// `{ "a": [ 1, 2 ] }`, slashes with a backslash before them: module `json`.
    Spaced,
}

impl Style {
    fn colon(self) -> &'static [u8] {
        match self {
            Style::Compact => b":",
            Style::Plain | Style::Spaced => b": ",
        }
    }

    fn comma(self) -> &'static [u8] {
        match self {
            Style::Compact => b",",
            Style::Plain | Style::Spaced => b", ",
        }
    }

    fn inside(self, out: &mut Vec<u8>) {
        if self == Style::Spaced {
            out.push(b' ');
        }
    }
}

/// Writes a value.
pub fn node(node: &Node, style: Style, out: &mut Vec<u8>) {
    match node {
        Node::Null => out.extend_from_slice(b"null"),
        Node::Bool(true) => out.extend_from_slice(b"true"),
        Node::Bool(false) => out.extend_from_slice(b"false"),
        Node::Number(number) => self::number(number, style, out),
        Node::Text(text) => string(text, style, out),
        Node::Array(items) => list(b"[]", items.iter(), style, out, |item, out| {
            self::node(item, style, out)
        }),
        Node::Object(members) => list(b"{}", members.iter(), style, out, |(name, value), out| {
            string(name, style, out);
            out.extend_from_slice(style.colon());
            self::node(value, style, out);
        }),
    }
}

fn list<T>(
    [open, close]: &[u8; 2],
    items: impl Iterator<Item = T>,
    style: Style,
    out: &mut Vec<u8>,
    write: impl Fn(T, &mut Vec<u8>),
) {
    out.push(*open);
    for (at, item) in items.enumerate() {
        match at {
            0 => style.inside(out),
            _ => out.extend_from_slice(style.comma()),
        }
        write(item, out);
    }
    style.inside(out);
    out.push(*close);
}

fn number(number: &Number, style: Style, out: &mut Vec<u8>) {
    match number {
        Number::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Number::Real(_, Some(text)) if style == Style::Spaced => out.extend_from_slice(text),
        Number::Real(n, _) => out.extend_from_slice(real(*n).as_bytes()),
    }
}

/// With 17 significant digits, as jansson writes it, and recognisable as a real.
fn real(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    let text = significant(n, 17);
    match text.contains(['.', 'e']) {
        true => text,
        false => text + ".0",
    }
}

/// As `%.*g` of C prints it.
pub fn significant(n: f64, digits: usize) -> String {
    let digits = digits.max(1);
    let scientific = format!("{n:.*e}", digits.saturating_sub(1));
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let most = i32::try_from(digits).unwrap_or(i32::MAX);
    if exponent < -4 || exponent >= most {
        let sign = if exponent < 0 { '-' } else { '+' };
        let mantissa = without_zeros(mantissa);
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let places = usize::try_from(most.saturating_sub(1).saturating_sub(exponent)).unwrap_or(0);
    without_zeros(&format!("{n:.places$}")).to_owned()
}

fn without_zeros(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

/// Writes a text in quotes.
pub fn string(text: &[u8], style: Style, out: &mut Vec<u8>) {
    out.push(b'"');
    escaped(text, style, out);
    out.push(b'"');
}

/// Writes a text with escapes, without quotes.
pub fn escaped(text: &[u8], style: Style, out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'/' if style == Style::Spaced => out.extend_from_slice(b"\\/"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Dialect, *};

    fn written(text: &str, style: Style) -> String {
        let read = Node::read(text.as_bytes(), Dialect::Loose).expect("a document");
        read.text(style).text().into_owned()
    }

    #[test]
    fn each_style_has_its_spaces() {
        let text = r#"{"a":[1,{"b":"x/y"}],"c":{},"d":[]}"#;
        assert_eq!(written(text, Style::Compact), text);
        assert_eq!(
            written(text, Style::Plain),
            r#"{"a": [1, {"b": "x/y"}], "c": {}, "d": []}"#
        );
        assert_eq!(
            written(text, Style::Spaced),
            r#"{ "a": [ 1, { "b": "x\/y" } ], "c": { }, "d": [ ] }"#
        );
    }

    #[test]
    fn reals_are_written_as_the_libraries_do() {
        assert_eq!(
            written("[3.14,1e5,2.0,1.5e300,0.00001]", Style::Compact),
            "[3.1400000000000001,100000.0,2.0,1.5000000000000001e+300,1.0000000000000001e-05]"
        );
        assert_eq!(written("[1.50,1e5]", Style::Spaced), "[ 1.50, 1e5 ]");
        assert_eq!(significant(3.14, 15), "3.14");
        assert_eq!(significant(100_000.0, 15), "100000");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            written(r#"["a\"\\\u0001\n\b"]"#, Style::Compact),
            r#"["a\"\\\u0001\n\b"]"#
        );
    }
}
