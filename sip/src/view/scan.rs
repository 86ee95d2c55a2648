//! The lexical ground of all views: blanks, quotes, brackets, numbers. Every function is linear and total.

use super::{Malformed, Params, range_in};

/// Linear white space of RFC 3261 25.1. A value has been cut out of its message already: a line end in it is folding.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A `token` character of RFC 3261 25.1.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}

/// `text` without blanks at its ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_end(trim_start(text))
}

/// `text` without leading blanks.
pub(crate) fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_lws(*first)
    {
        text = rest;
    }
    text
}

/// `text` without trailing blanks.
pub(crate) fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && is_lws(*last)
    {
        text = rest;
    }
    text
}

/// The first `at` bytes, or all.
pub(crate) fn before(text: &[u8], at: usize) -> &[u8] {
    text.split_at_checked(at).map_or(text, |(head, _)| head)
}

/// What follows the first `at` bytes: an empty piece at the end of `text` where that is past it.
pub(crate) fn after(text: &[u8], at: usize) -> &[u8] {
    text.split_at(at.min(text.len())).1
}

/// The bytes from `from` up to `to`, each moved into `text` where it lies outside.
pub(crate) fn cut(text: &[u8], from: usize, to: usize) -> &[u8] {
    after(before(text, to), from)
}

/// Splits at the first `byte`, which belongs to neither side; the right side is `None` where there is none.
pub(crate) fn split_once(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|b| *b == byte) {
        Some(at) => (before(text, at), Some(after(text, at + 1))),
        None => (text, None),
    }
}

/// The offset of `piece` in `outer`, for the place of a fault; 0 where it is no part of it.
pub(crate) fn offset(outer: &[u8], piece: &[u8]) -> usize {
    range_in(outer, piece).map_or(0, |range| range.start)
}

/// Past the closing quote of the quoted string that opens at `open`; `None` where it does not close.
pub(crate) fn quoted_end(text: &[u8], open: usize) -> Option<usize> {
    let mut at = open + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Which bytes open a stretch in which separators do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nesting {
    /// None: inside of URIs.
    Flat,
    /// Quoted strings: credentials.
    Quotes,
    /// Quoted strings and `<…>`: header values.
    Header,
    /// Quoted strings, `<…>` and comments: Via and the like.
    Comments,
}

/// The first byte from `from` on that `stop` accepts outside of quotes, brackets and comments, else the length.
///
/// # Errors
/// A stretch that does not close, at its opening byte.
pub(crate) fn find(
    text: &[u8],
    from: usize,
    nesting: Nesting,
    stop: impl Fn(u8) -> bool,
) -> Result<usize, Malformed> {
    let mut at = from;
    while let Some(&byte) = text.get(at) {
        if stop(byte) {
            return Ok(at);
        }
        at = match byte {
            b'"' if nesting != Nesting::Flat => {
                quoted_end(text, at).ok_or(Malformed::new("quote that does not close", at))?
            }
            b'<' if matches!(nesting, Nesting::Header | Nesting::Comments) => {
                memchr::memchr(b'>', after(text, at))
                    .map(|length| at + length + 1)
                    .ok_or(Malformed::new("'<' that does not close", at))?
            }
            b'(' if nesting == Nesting::Comments => comment_end(text, at)?,
            _ => at + 1,
        };
    }
    Ok(text.len())
}

/// Past the `)` that closes the comment opened at `open`; comments nest and hide escapes (RFC 3261 25.1).
pub(crate) fn comment_end(text: &[u8], open: usize) -> Result<usize, Malformed> {
    let mut depth = 0usize;
    let mut at = open;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' if depth == 1 => return Ok(at + 1),
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    Err(Malformed::new("comment that does not close", open))
}

/// The next element of a comma separated list that is not blank, with its offset; moves `at` past its comma.
pub(crate) fn next_element<'a>(
    text: &'a [u8],
    at: &mut usize,
    nesting: Nesting,
) -> Option<Result<(usize, &'a [u8]), Malformed>> {
    while *at < text.len() {
        let start = *at;
        let end = match find(text, start, nesting, |b| b == b',') {
            Ok(end) => end,
            Err(error) => {
                *at = text.len();
                return Some(Err(error));
            }
        };
        *at = end + 1;
        let piece = cut(text, start, end);
        if !trim_start(piece).is_empty() {
            return Some(Ok((start, piece)));
        }
    }
    None
}

/// `value [;params]` of a header: the value without blanks, and the parameters without the first `;`.
pub(crate) fn value_and_params(text: &[u8]) -> (&[u8], Params<'_>) {
    let end = find(text, 0, Nesting::Header, |b| b == b';').unwrap_or(text.len());
    (trim(before(text, end)), Params::header(after(text, end + 1)))
}

/// [`value_and_params`] of the trimmed text, where the value has to be a token; `what` names the fault.
pub(crate) fn token_and_params<'a>(
    text: &'a [u8],
    what: &'static str,
) -> Result<(&'a [u8], &'a [u8], Params<'a>), Malformed> {
    let raw = trim(text);
    let (value, params) = value_and_params(raw);
    if value.is_empty() || !value.iter().all(|b| is_token(*b)) {
        return Err(Malformed::new(what, offset(text, raw)));
    }
    Ok((raw, value, params))
}

/// A decimal number of digits only; `None` where there is none, another byte, or more than a `u64` holds.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// [`decimal`] in the range of `T`.
pub(crate) fn number<T: TryFrom<u64>>(digits: &[u8]) -> Option<T> {
    T::try_from(decimal(digits)?).ok()
}

/// Seconds as RFC 3261 25.1 writes them; beyond 32 bits the largest number.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u32> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| number(text).unwrap_or(u32::MAX))
}

/// A host with its port: the two texts and the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostPort<'a> {
    pub(crate) host: &'a [u8],
    pub(crate) port_text: &'a [u8],
    pub(crate) port: Option<u16>,
}

/// Reads `hostport` of RFC 3261 25.1, with blanks around the colon where `blanks` (Via allows them, URIs do not).
pub(crate) fn host_port(text: &[u8], blanks: bool) -> Result<HostPort<'_>, Malformed> {
    let end = match text.first() {
        Some(b'[') => memchr::memchr(b']', text).ok_or(Malformed::new("'[' that does not close", 0))? + 1,
        _ => text.iter().position(|b| *b == b':').unwrap_or(text.len()),
    };
    let (host, rest) = (before(text, end), after(text, end));
    let (host, rest) = if blanks {
        (trim_end(host), trim_start(rest))
    } else {
        (host, rest)
    };
    check_host(host)?;
    let port_text = match rest {
        [] => {
            return Ok(HostPort {
                host,
                port_text: rest,
                port: None,
            });
        }
        [b':', port @ ..] if blanks => trim(port),
        [b':', port @ ..] => port,
        _ => return Err(Malformed::new("text after the host", end)),
    };
    let port = number(port_text);
    if port.is_none() && !port_text.is_empty() {
        return Err(Malformed::new(
            "port that is no number up to 65535",
            offset(text, port_text),
        ));
    }
    Ok(HostPort {
        host,
        port_text,
        port,
    })
}

/// Refuses a host that is empty or has bytes that no host name or address has; raw bytes above 127 pass.
fn check_host(host: &[u8]) -> Result<(), Malformed> {
    let inner = match host {
        [b'[', inner @ .., b']'] => inner,
        _ => host,
    };
    if inner.is_empty() {
        return Err(Malformed::new("no host", 0));
    }
    match host.iter().position(|b| !is_host(*b)) {
        Some(at)
            if inner.len() == host.len()
                || inner.iter().any(|b| !is_host(*b) && !matches!(b, b':' | b'%')) =>
        {
            Err(Malformed::new("byte that no host has", at))
        }
        _ => Ok(()),
    }
}

const fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_quotes_brackets_and_comments_do_not_count() {
        let text = br#""a,\",b" <sip:x,y> (c,(d,)e),f"#;
        let comma = |byte| byte == b',';
        assert_eq!(find(text, 0, Nesting::Flat, comma), Ok(2));
        assert_eq!(find(text, 0, Nesting::Header, comma), Ok(21));
        assert_eq!(find(text, 0, Nesting::Comments, comma), Ok(28));
        assert_eq!(find(b"a\"b", 0, Nesting::Header, comma).unwrap_err().at, 1);
        assert_eq!(find(b"a<b", 0, Nesting::Header, comma).unwrap_err().at, 1);
        assert_eq!(find(b"a(b", 0, Nesting::Comments, comma).unwrap_err().at, 1);
        assert_eq!(find(b"\"a\\", 0, Nesting::Header, comma).unwrap_err().at, 0);
    }

    #[test]
    fn numbers_do_not_wrap() {
        assert_eq!(decimal(b"0042"), Some(42));
        assert_eq!(decimal(b"18446744073709551616"), None);
        assert_eq!(number::<u16>(b"65536"), None);
        assert_eq!(decimal(b"+1"), None);
        assert_eq!(decimal(b""), None);
    }

    #[test]
    fn hosts() {
        let at = |text: &'static str| host_port(text.as_bytes(), false).map(|h| (h.host, h.port));
        assert_eq!(at("a.b:5060"), Ok((&b"a.b"[..], Some(5060))));
        assert_eq!(at("[2001:db8::1]:5070"), Ok((&b"[2001:db8::1]"[..], Some(5070))));
        assert_eq!(at("[2001:db8::1]"), Ok((&b"[2001:db8::1]"[..], None)));
        assert_eq!(at("host:"), Ok((&b"host"[..], None)));
        for bad in [
            "",
            ":5060",
            "[]",
            "[::1",
            "a:65536",
            "a:5060x",
            "[::1]x",
            ":]",
            "2001:db8::10",
            "a b",
            "a]",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
