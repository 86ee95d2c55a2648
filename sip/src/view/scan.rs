//! The lexical ground of all views: blanks, quotes, brackets, numbers. Every function is linear and total.

use super::{Malformed, Params, range_in};

/// Linear white space of RFC 3261 25.1. A value has been cut out of its message already: a line end in it is folding.
pub(crate) const fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Bits of [`CLASSES`].
const TOKEN: u8 = 1;
const HOST: u8 = 2;
const OPENS: u8 = 4;

/// What each byte may be: one load where a chain of comparisons would be several.
static CLASSES: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    reason = "runs while compiling, where an index that is too large is an error"
)]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = (byte as u8).is_ascii_alphanumeric();
        if letter
            || matches!(
                byte as u8,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            )
        {
            table[byte] |= TOKEN;
        }
        if letter || matches!(byte as u8, b'-' | b'.' | b'_' | 0x80..) {
            table[byte] |= HOST;
        }
        if matches!(byte as u8, b'"' | b'<' | b'(') {
            table[byte] |= OPENS;
        }
        byte += 1;
    }
    table
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES
        .get(usize::from(byte))
        .is_some_and(|bits| bits & class != 0)
}

/// A `token` character of RFC 3261 25.1.
pub(crate) fn is_token(byte: u8) -> bool {
    is(byte, TOKEN)
}

/// How many characters of a token `text` begins with.
pub(crate) fn token_length(text: &[u8]) -> usize {
    text.iter().position(|b| !is(*b, TOKEN)).unwrap_or(text.len())
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
    while let Some(skipped) = after(text, at).iter().position(|b| stop(*b) || is(*b, OPENS)) {
        at += skipped;
        let byte = text.get(at).copied().unwrap_or_default();
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
    /// What follows them.
    pub(crate) rest: &'a [u8],
}

/// Reads the `hostport` of RFC 3261 25.1 that `text` begins with; raw bytes above 127 pass as parts of a name.
///
/// Blanks around the colon are passed over where `blanks` says so: Via allows them, URIs do not.
pub(crate) fn host_port(text: &[u8], blanks: bool) -> Result<HostPort<'_>, Malformed> {
    let end = match text.first() {
        Some(b'[') => reference_end(text)?,
        _ => text.iter().position(|b| !is(*b, HOST)).unwrap_or(text.len()),
    };
    if end == 0 {
        return Err(Malformed::new("no host", 0));
    }
    let (host, rest) = text.split_at_checked(end).unwrap_or((text, text));
    let rest_trimmed = if blanks { trim_start(rest) } else { rest };
    let [b':', port @ ..] = rest_trimmed else {
        return Ok(HostPort {
            host,
            port_text: before(rest, 0),
            port: None,
            rest,
        });
    };
    let port = if blanks { trim_start(port) } else { port };
    let digits = port
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(port.len());
    let (port_text, rest) = port.split_at_checked(digits).unwrap_or((port, port));
    let number = number(port_text);
    if number.is_none() && !port_text.is_empty() {
        return Err(Malformed::new("port above 65535", offset(text, port_text)));
    }
    Ok(HostPort {
        host,
        port_text,
        port: number,
        rest,
    })
}

/// Past the `]` of the IPv6 reference that `text` begins with; a zone (`%eth0`) passes.
fn reference_end(text: &[u8]) -> Result<usize, Malformed> {
    let close = memchr::memchr(b']', text).ok_or(Malformed::new("'[' that does not close", 0))?;
    let inner = cut(text, 1, close);
    if inner.is_empty() {
        return Err(Malformed::new("no host", 0));
    }
    match inner
        .iter()
        .position(|b| !is(*b, HOST) && !matches!(b, b':' | b'%'))
    {
        Some(at) => Err(Malformed::new("byte that no address has", at + 1)),
        None => Ok(close + 1),
    }
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
        let at = |text: &'static str| host_port(text.as_bytes(), false).map(|h| (h.host, h.port, h.rest));
        assert_eq!(at("a.b:5060;x"), Ok((&b"a.b"[..], Some(5060), &b";x"[..])));
        assert_eq!(
            at("[2001:db8::1]:5070"),
            Ok((&b"[2001:db8::1]"[..], Some(5070), &b""[..]))
        );
        assert_eq!(at("[fe80::1%eth0]"), Ok((&b"[fe80::1%eth0]"[..], None, &b""[..])));
        assert_eq!(at("host:?"), Ok((&b"host"[..], None, &b"?"[..])));
        assert_eq!(at("2001:db8::10"), Ok((&b"2001"[..], None, &b"db8::10"[..])));
        for bad in ["", ":5060", "[]", "[::1", "a:65536", ":]", "[a;b]", "]"] {
            assert!(at(bad).is_err(), "{bad}");
        }
        let spaced = host_port(b"a \r\n : \t5 ;x", true).unwrap();
        assert_eq!(
            (spaced.host, spaced.port, spaced.rest),
            (&b"a"[..], Some(5), &b" ;x"[..])
        );
    }
}
