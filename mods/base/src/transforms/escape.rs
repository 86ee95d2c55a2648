//! `{s.escape.…}`, `{s.unescape.…}` and their URL cousins.

use kahea_module::{Decl, Module, Str, Value};

use super::on_text;

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "s",
        "escape.common", "With a backslash before ', \", \\ and NUL (as 0), for SQL.", |s| escape_common(s).into();
        "unescape.common", "Without the backslashes of {s.escape.common}.", |s| unescape_common(s).into();
        "escape.user", "With %hh for what may not stand in the user of a SIP URI; null where it holds control characters or bytes above 126.",
            |s| percent(s, is_user);
        "unescape.user", "With %hh replaced by its character; null where it is none that can be printed.", unpercent;
        "escape.param", "With %hh for what may not stand in a parameter of a SIP URI; null where it holds control characters or bytes above 126.",
            |s| percent(s, is_param);
        "unescape.param", "With %hh replaced by its character; null where it is none that can be printed.", unpercent;
        "escape.crlf", "With %0D, %0A and %25 for CR, LF and the percent sign, so that it stays on one line.", |s| escape_crlf(s).into();
        "unescape.crlf", "Without the escapes of {s.escape.crlf}.", |s| unescape_crlf(s).into();
        "escape.csv", "As a CSV field: in double quotes, those inside doubled (RFC 4180).", |s| csv(s).into();
        "urlencode.param", "With %hh for all but letters, digits and -._~.", |s| encode(s, is_url).into();
        "urldecode.param", "With + read as a blank and %hh as its byte.", |s| url_decode(s).into();
    );
}

fn escape_common(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text {
        match b {
            b'\'' | b'"' | b'\\' => out.extend_from_slice(&[b'\\', *b]),
            0 => out.extend_from_slice(b"\\0"),
            _ => out.push(*b),
        }
    }
    out
}

fn unescape_common(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [b, after @ ..] = rest {
        let (behind, c) = match rest {
            [b'\\', c @ (b'\'' | b'"' | b'\\'), after @ ..] => (after, c),
            [b'\\', b'0', after @ ..] => (after, &0),
            _ => (after, b),
        };
        out.push(*c);
        rest = behind;
    }
    out
}

/// RFC 3261 25.1, `user`, but for `/`, as in Kamailio.
fn is_user(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?".contains(&b)
}

/// RFC 3261 25.1, `paramchar`.
fn is_param(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&b)
}

fn is_url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~".contains(&b)
}

fn encode(text: &[u8], keeps: fn(u8) -> bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_mul(2));
    for b in text {
        match keeps(*b) {
            true => out.push(*b),
            false => out.extend_from_slice(format!("%{b:02x}").as_bytes()),
        }
    }
    out
}

fn percent(text: &Str, keeps: fn(u8) -> bool) -> Value {
    if !text.iter().all(|b| (32..=126).contains(b)) {
        return Value::Null;
    }
    if text.iter().all(|b| keeps(*b)) {
        return Value::Str(text.clone());
    }
    encode(text, keeps).into()
}

fn unpercent(text: &Str) -> Value {
    let mut out = Vec::with_capacity(text.len());
    let mut rest: &[u8] = text;
    while let [b, after @ ..] = rest {
        if *b != b'%' {
            out.push(*b);
            rest = after;
            continue;
        }
        let [high, low, behind @ ..] = after else {
            return Value::Null;
        };
        match hex_pair(*high, *low) {
            Some(c @ 32..=126) => out.push(c),
            _ => return Value::Null,
        }
        rest = behind;
    }
    out.into()
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    u8::try_from(digit(high)?.checked_mul(16)?.checked_add(digit(low)?)?).ok()
}

fn escape_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text {
        match b {
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            b'%' => out.extend_from_slice(b"%25"),
            _ => out.push(*b),
        }
    }
    out
}

fn unescape_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [b, after @ ..] = rest {
        let (behind, c) = match rest {
            [b'%', b'0', b'd' | b'D', after @ ..] => (after, &b'\r'),
            [b'%', b'0', b'a' | b'A', after @ ..] => (after, &b'\n'),
            [b'%', b'2', b'5', after @ ..] => (after, &b'%'),
            _ => (after, b),
        };
        out.push(*c);
        rest = behind;
    }
    out
}

fn csv(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len().saturating_add(2));
    out.push(b'"');
    for b in text {
        if *b == b'"' {
            out.push(b'"');
        }
        out.push(*b);
    }
    out.push(b'"');
    out
}

/// Kamailio's decoder does not refuse what is no hexadecimal digit; it goes on counting letters behind `f`. A percent
/// sign with fewer than two characters behind it is dropped.
fn url_decode(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => b.wrapping_sub(b'0'),
        b => b.to_ascii_lowercase().wrapping_sub(b'a').wrapping_add(10),
    };
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [b, after @ ..] = rest {
        rest = after;
        match (b, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, behind @ ..]) => {
                out.push((digit(*high) << 4) | digit(*low));
                rest = behind;
            }
            (b'%', _) => {}
            _ => out.push(*b),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    const MARKS: &str = "!#&'()*+,-./:;<=>?@[]^_`|~";

    #[test]
    fn each_escape_has_its_own_set() {
        assert_eq!(
            text(MARKS, "s.escape.user"),
            "!%23&'()*+,-.%2f%3a;%3c=%3e?%40%5b%5d%5e_%60%7c~"
        );
        assert_eq!(
            text(MARKS, "s.escape.param"),
            "!%23&'()*+%2c-./:%3b%3c%3d%3e%3f%40[]%5e_%60%7c~"
        );
        assert_eq!(
            text(MARKS, "s.urlencode.param"),
            "%21%23%26%27%28%29%2a%2b%2c-.%2f%3a%3b%3c%3d%3e%3f%40%5b%5d%5e_%60%7c~"
        );
        assert_eq!(apply("a\tb", "s.escape.user"), Value::Null);
        assert_eq!(apply("ČAU", "s.escape.param"), Value::Null);
    }

    #[test]
    fn escapes_are_undone_strictly_for_uris_and_loosely_for_urls() {
        assert_eq!(text("a%20b+", "s.unescape.user"), "a b+");
        assert_eq!(apply("a%2", "s.unescape.user"), Value::Null);
        assert_eq!(apply("a%0d", "s.unescape.param"), Value::Null);
        assert_eq!(text("a%20b%41+c", "s.urldecode.param"), "a bA c");
        assert_eq!(text("a%2", "s.urldecode.param"), "a2");
        assert_eq!(text("a%zz", "s.urldecode.param"), "a3");
    }

    #[test]
    fn backslashes_and_lines() {
        assert_eq!(text("q\"b\\s'", "s.escape.common"), "q\\\"b\\\\s\\'");
        assert_eq!(text("a\\'b\\\\c\\q", "s.unescape.common"), "a'b\\c\\q");
        assert_eq!(
            apply(Value::from(vec![b'a', 0]), "s.escape.common"),
            Value::from("a\\0")
        );
        assert_eq!(text("a\r\nb%", "s.escape.crlf"), "a%0D%0Ab%25");
        assert_eq!(text("a%0d%0Ab%25%41", "s.unescape.crlf"), "a\r\nb%%41");
        assert_eq!(text("a\"b", "s.escape.csv"), "\"a\"\"b\"");
    }
}
