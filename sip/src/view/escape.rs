//! Percent escapes (RFC 3261 25.1 `escaped`) and quoted strings.

use std::borrow::Cow;

use super::scan;

/// Undoes percent escapes; a `%` without two hexadecimal digits stays as it is.
pub fn percent_decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'%', text) else {
        return Cow::Borrowed(text);
    };
    let mut out = Vec::with_capacity(text.len());
    out.extend_from_slice(scan::before(text, first));
    let mut rest = scan::after(text, first);
    while let [byte, tail @ ..] = rest {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(hex(*high) << 4 | hex(*low));
                tail
            }
            _ => {
                out.push(*byte);
                tail
            }
        };
    }
    Cow::Owned(out)
}

/// The value of a hexadecimal digit; others count as 0.
fn hex(digit: u8) -> u8 {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
        .unwrap_or(0)
}

/// `unreserved` of RFC 3261 25.1.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        )
}

/// Escapes what the user part of a URI cannot hold (`user-unreserved` of RFC 3261 25.1).
pub fn user_escape(text: &[u8]) -> Cow<'_, [u8]> {
    escape(text, |b| {
        is_unreserved(b) || matches!(b, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    })
}

/// Escapes what the name or value of a URI parameter cannot hold (`paramchar` of RFC 3261 25.1).
pub fn param_escape(text: &[u8]) -> Cow<'_, [u8]> {
    escape(text, |b| {
        is_unreserved(b) || matches!(b, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
    })
}

fn escape(text: &[u8], plain: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    if text.iter().all(|b| plain(*b)) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len().saturating_add(8));
    for &byte in text {
        if plain(byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend([byte >> 4, byte & 15].map(hex_digit));
        }
    }
    Cow::Owned(out)
}

/// The upper-case hexadecimal digit of a number up to 15.
const fn hex_digit(value: u8) -> u8 {
    match value {
        0..=9 => b'0' + value,
        _ => b'A' - 10 + (value & 15),
    }
}

/// `text` as a quoted string, with `"` and `\` escaped and line ends as blanks (RFC 3261 25.1 `quoted-string`).
pub fn quote(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\r' | b'\n' | 0 => out.push(b' '),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
    out
}

/// The content of a quoted string; text without quotes around it comes back as it is.
pub fn unquote(text: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = text else {
        return Cow::Borrowed(text);
    };
    if memchr::memchr(b'\\', inner).is_none() {
        return Cow::Borrowed(inner);
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        // A backslash that ends the text escapes nothing.
        out.push(if byte == b'\\' {
            bytes.next().copied().unwrap_or(byte)
        } else {
            byte
        });
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_the_place_needs() {
        assert_eq!(user_escape(b"al ice@x;p").as_ref(), b"al%20ice%40x;p");
        assert_eq!(param_escape(b"a;b=c").as_ref(), b"a%3Bb%3Dc");
        assert!(matches!(user_escape(b"+1-234"), Cow::Borrowed(_)));
        assert_eq!(percent_decode(b"%41%zz%4").as_ref(), b"A%zz%4");
        assert_eq!(percent_decode(b"sip%3Auser%00").as_ref(), b"sip:user\0");
    }

    #[test]
    fn quotes() {
        assert_eq!(quote(br#"a "b" \c"#), br#""a \"b\" \\c""#);
        assert_eq!(unquote(br#""J Rosenberg \\\"""#).as_ref(), br#"J Rosenberg \""#);
        assert_eq!(unquote(b"\"").as_ref(), b"\"");
        assert_eq!(unquote(b"\"\"").as_ref(), b"");
        assert_eq!(unquote(b"\"a\\\"").as_ref(), b"a\\");
    }

    proptest! {
        #[test]
        fn both_ways(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            for escaped in [user_escape(&text), param_escape(&text)] {
                let plain = percent_decode(&escaped);
                prop_assert_eq!(plain.as_ref(), &text[..]);
            }
            let line: Vec<u8> = text.into_iter().filter(|b| !matches!(b, 0 | b'\r' | b'\n')).collect();
            let quoted = quote(&line);
            let unquoted = unquote(&quoted);
            prop_assert_eq!(unquoted.as_ref(), &line[..]);
        }
    }
}
