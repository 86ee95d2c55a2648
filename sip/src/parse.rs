//! The one pass over a message's bytes that finds its first line, headers and body.

use memchr::memchr;

use crate::{FirstLine, Header, HeaderId, Limits, Method, ParseError, ParseErrorKind, Span, span::offset};

/// What the pass found.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub first_line: FirstLine,
    pub first_line_span: Span,
    pub headers: Vec<Header>,
    /// Which kinds of header are there, as bits of [`HeaderId::bit`].
    pub present: u64,
    pub headers_start: u32,
    pub headers_end: u32,
    pub body: Span,
    pub content_length: Option<u32>,
}

/// More than most messages have, so that the list is allocated once.
const USUAL_HEADERS: usize = 24;

/// Indexes a whole message.
pub(crate) fn message(buffer: &[u8], limits: &Limits) -> Result<Parsed, ParseError> {
    if buffer.len() > limits.message || u32::try_from(buffer.len()).is_err() {
        return Err(ParseError::new(ParseErrorKind::TooLarge, offset(limits.message)));
    }
    let start = leading_line_ends(buffer);
    let (line, headers_start) = first_line_span(buffer, start)?;
    let first_line = first_line(buffer, line, limits)?;
    let mut headers = Headers::new(buffer, headers_start, limits);
    while headers.next()? {}
    let Headers {
        list,
        present,
        at: headers_end,
        end: body_start,
        ..
    } = headers;
    let content_length = stated_length(buffer, &list, present)?;
    let body = body(buffer, body_start, content_length)?;
    Ok(Parsed {
        first_line,
        first_line_span: line,
        headers: list,
        present,
        headers_start: offset(headers_start),
        headers_end: offset(headers_end),
        body,
        content_length,
    })
}

/// Indexes what can be recognised of a broken request; `None` where none can be answered.
pub(crate) fn salvage(buffer: &[u8], limits: &Limits) -> Option<Parsed> {
    let start = leading_line_ends(buffer);
    let (line, headers_start) = first_line_span(buffer, start).ok()?;
    let first_line = rough_request_line(buffer, line)?;
    let mut headers = Headers::new(buffer, headers_start, limits);
    loop {
        match headers.next() {
            Ok(true) => {}
            Ok(false) => break,
            Err(ParseError {
                kind: ParseErrorKind::Header | ParseErrorKind::HeaderTooLong,
                ..
            }) => headers.skip_line(),
            Err(_) => break,
        }
    }
    let needed = [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ];
    if !needed.into_iter().all(|id| headers.present & id.bit() != 0) {
        return None;
    }
    let end = offset(headers.at);
    Some(Parsed {
        first_line,
        first_line_span: line,
        headers: headers.list,
        present: headers.present,
        headers_start: offset(headers_start),
        headers_end: end,
        body: Span::at(end),
        content_length: None,
    })
}

/// How many bytes of line ends stand before the first line (RFC 3261 section 7.5).
fn leading_line_ends(buffer: &[u8]) -> usize {
    buffer
        .iter()
        .take_while(|byte| matches!(byte, b'\r' | b'\n'))
        .count()
}

/// The first line without its line end, and the index behind that.
fn first_line_span(buffer: &[u8], start: usize) -> Result<(Span, usize), ParseError> {
    let rest = buffer.get(start..).unwrap_or_default();
    if rest.is_empty() {
        return Err(ParseError::new(ParseErrorKind::Empty, offset(start)));
    }
    let Some(length) = memchr(b'\n', rest) else {
        return Err(ParseError::new(ParseErrorKind::FirstLine, offset(buffer.len())));
    };
    let line = rest.get(..length).unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let end = start.saturating_add(line.len());
    Ok((
        Span::of(start, end),
        start.saturating_add(length).saturating_add(1),
    ))
}

/// Request line or status line.
fn first_line(buffer: &[u8], line: Span, limits: &Limits) -> Result<FirstLine, ParseError> {
    let bytes = line.of_bytes(buffer);
    match bytes.get(..4) {
        Some(start) if start.eq_ignore_ascii_case(b"SIP/") => status_line(buffer, line),
        Some(b"HTTP") => status_line(buffer, line),
        _ => request_line(buffer, line, limits),
    }
}

/// `METHOD SP URI SP VERSION`, with nothing but space behind it (RFC 4475 section 3.1.2.10 lets that pass).
fn request_line(buffer: &[u8], line: Span, limits: &Limits) -> Result<FirstLine, ParseError> {
    let bad = |at: u32| ParseError::new(ParseErrorKind::FirstLine, at);
    let bytes = line.of_bytes(buffer).trim_ascii_end();
    let method_len = memchr(b' ', bytes).ok_or(bad(line.end()))?;
    let method = bytes.get(..method_len).unwrap_or_default();
    if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) {
        return Err(bad(line.start()));
    }
    let rest = bytes.get(method_len.saturating_add(1)..).unwrap_or_default();
    let uri_start = line.start().saturating_add(offset(method_len)).saturating_add(1);
    let uri_len = rest.iter().position(|byte| *byte <= b' ').ok_or(bad(uri_start))?;
    let version_start = uri_start.saturating_add(offset(uri_len)).saturating_add(1);
    let version = rest.get(uri_len.saturating_add(1)..).unwrap_or_default();
    if uri_len == 0 || rest.get(uri_len) != Some(&b' ') || version.iter().any(|byte| *byte <= b' ') {
        return Err(bad(version_start));
    }
    check_version(version, version_start)?;
    if uri_len > limits.uri {
        return Err(ParseError::new(ParseErrorKind::UriTooLong, uri_start));
    }
    Ok(FirstLine::Request {
        method: Method::parse(method),
        method_text: Span::new(line.start(), uri_start.saturating_sub(1)),
        uri: Span::new(uri_start, version_start.saturating_sub(1)),
        version: Span::new(version_start, version_start.saturating_add(offset(version.len()))),
    })
}

/// `VERSION SP 3DIGIT [SP REASON]`.
fn status_line(buffer: &[u8], line: Span) -> Result<FirstLine, ParseError> {
    let bad = ParseError::new(ParseErrorKind::FirstLine, line.start());
    let bytes = line.of_bytes(buffer);
    let version_len = memchr(b' ', bytes).ok_or(bad)?;
    check_version(bytes.get(..version_len).unwrap_or_default(), line.start())?;
    let rest = bytes.get(version_len.saturating_add(1)..).unwrap_or_default();
    let (status, after) = rest.split_at_checked(3).ok_or(bad)?;
    let status_start = line.start().saturating_add(offset(version_len)).saturating_add(1);
    let status_end = status_start.saturating_add(3);
    let reason_start = match after.first() {
        None => line.end(),
        Some(b' ') => status_end.saturating_add(1),
        Some(_) => return Err(ParseError::new(ParseErrorKind::FirstLine, status_end)),
    };
    let status = decimal(status)
        .filter(|status| *status >= 100)
        .and_then(|status| u16::try_from(status).ok());
    Ok(FirstLine::Reply {
        version: Span::new(line.start(), line.start().saturating_add(offset(version_len))),
        status: status.ok_or(ParseError::new(ParseErrorKind::FirstLine, status_start))?,
        status_text: Span::new(status_start, status_end),
        reason: Span::new(reason_start, line.end()),
    })
}

/// A request line however broken: the first word is the method, the last one the version, between them the URI.
fn rough_request_line(buffer: &[u8], line: Span) -> Option<FirstLine> {
    let bytes = line.of_bytes(buffer);
    if bytes
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/") || start == b"HTTP")
    {
        return None;
    }
    let method = bytes.split(|byte| *byte <= b' ').find(|word| !word.is_empty())?;
    let version = bytes.rsplit(|byte| *byte <= b' ').find(|word| !word.is_empty())?;
    let method_text = Span::within(buffer, method)?;
    let version_text = Span::within(buffer, version).filter(|span| *span != method_text)?;
    if !version.get(..4)?.eq_ignore_ascii_case(b"SIP/") || method == b"ACK" {
        return None;
    }
    Some(FirstLine::Request {
        method: Method::parse(method),
        method_text,
        uri: crate::via_hops::trim(buffer, Span::new(method_text.end(), version_text.start())),
        version: version_text,
    })
}

/// `SIP/2.0` in any case (RFC 3261 section 7.1), or HTTP/1.x.
fn check_version(version: &[u8], at: u32) -> Result<(), ParseError> {
    if version.eq_ignore_ascii_case(b"SIP/2.0") || matches!(version, b"HTTP/1.1" | b"HTTP/1.0") {
        return Ok(());
    }
    let named = version
        .get(..4)
        .is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"));
    let kind = if named {
        ParseErrorKind::Version
    } else {
        ParseErrorKind::FirstLine
    };
    Err(ParseError::new(kind, at))
}

/// The headers found so far.
struct Headers<'a> {
    buffer: &'a [u8],
    limits: &'a Limits,
    list: Vec<Header>,
    present: u64,
    /// Where the next line begins; the empty line once that is reached.
    at: usize,
    /// Behind the empty line.
    end: usize,
}

impl<'a> Headers<'a> {
    fn new(buffer: &'a [u8], at: usize, limits: &'a Limits) -> Headers<'a> {
        Headers {
            buffer,
            limits,
            list: Vec::with_capacity(USUAL_HEADERS),
            present: 0,
            at,
            end: at,
        }
    }

    /// Indexes one header; false at the empty line.
    fn next(&mut self) -> Result<bool, ParseError> {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        match rest {
            [b'\n', ..] => {
                self.end = self.at.saturating_add(1);
                return Ok(false);
            }
            [b'\r', b'\n', ..] => {
                self.end = self.at.saturating_add(2);
                return Ok(false);
            }
            [] => return Err(self.error(ParseErrorKind::Unfinished)),
            _ => {}
        }
        let length = self.line_length(rest)?;
        if length > self.limits.header {
            return Err(self.error(ParseErrorKind::HeaderTooLong));
        }
        if self.list.len() >= self.limits.headers {
            return Err(self.error(ParseErrorKind::TooManyHeaders));
        }
        let line = rest.get(..length).unwrap_or_default();
        let header = header(line, offset(self.at)).ok_or(self.error(ParseErrorKind::Header))?;
        self.present |= header.id.bit();
        self.list.push(header);
        self.at = self.at.saturating_add(length);
        Ok(true)
    }

    /// The length of the header at the start of `rest` with its folds and line end.
    #[inline]
    fn line_length(&self, rest: &[u8]) -> Result<usize, ParseError> {
        let mut length = 0usize;
        loop {
            let tail = rest.get(length..).unwrap_or_default();
            let Some(at) = memchr(b'\n', tail) else {
                return Err(self.error(ParseErrorKind::Unfinished));
            };
            length = length.saturating_add(at).saturating_add(1);
            if !matches!(rest.get(length), Some(b' ' | b'\t')) {
                return Ok(length);
            }
        }
    }

    /// Leaves a bad header out.
    fn skip_line(&mut self) {
        let rest = self.buffer.get(self.at..).unwrap_or_default();
        let length = self.line_length(rest).unwrap_or(rest.len());
        self.at = self.at.saturating_add(length);
    }

    fn error(&self, kind: ParseErrorKind) -> ParseError {
        ParseError::new(kind, offset(self.at))
    }
}

/// One header from its line; `None` without a colon or with a name that is none.
///
/// Space and control characters around the name are not part of it: some receivers ignore them, so a check by name
/// must see through them.
#[inline]
pub(crate) fn header(line: &[u8], at: u32) -> Option<Header> {
    let plain = line.iter().position(|byte| class(*byte) & ENDS_NAME != 0)?;
    let (skipped, name_len, colon) = match line.get(plain) {
        Some(b':') => (0, plain, plain),
        _ => untidy_name(line)?,
    };
    let name = line.get(skipped..name_len).filter(|name| !name.is_empty())?;
    let after = line.get(colon.saturating_add(1)..)?.trim_ascii_end();
    let value = after.trim_ascii_start();
    // No sum can overflow: all lie within a buffer shorter than 4 GiB.
    let place = |index: usize| at.wrapping_add(offset(index));
    let value_end = place(colon).wrapping_add(1).wrapping_add(offset(after.len()));
    Some(Header {
        id: HeaderId::parse(name),
        name: Span::new(place(skipped), place(name_len)),
        value: Span::new(value_end.wrapping_sub(offset(value.len())), value_end),
        line: Span::new(at, place(line.len())),
    })
}

/// Start and end of a name with space or control characters around it, and the colon behind it.
fn untidy_name(line: &[u8]) -> Option<(usize, usize, usize)> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return None;
    }
    let colon = line.iter().position(|byte| matches!(byte, b':' | b'\n'))?;
    let before = line.get(..colon).filter(|_| line.get(colon) == Some(&b':'))?;
    let start = before.iter().position(|byte| !is_blank(*byte))?;
    let end = before
        .iter()
        .rposition(|byte| !is_blank(*byte))?
        .saturating_add(1);
    let inner = before.get(start..end)?;
    (!inner.iter().any(|byte| is_blank(*byte))).then_some((start, end, colon))
}

/// Space or control character.
const fn is_blank(byte: u8) -> bool {
    byte <= b' ' || byte == 0x7f
}

/// RFC 3261 section 25.1, `token`.
fn is_token(byte: u8) -> bool {
    class(byte) & TOKEN != 0
}

/// A byte that cannot be inside a header's name: the colon, space and control characters.
const ENDS_NAME: u8 = 1;
/// A byte of a `token`.
const TOKEN: u8 = 2;

static CLASSES: [u8; 256] = classes();

#[inline]
fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or_default()
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time only")]
const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        let marks = b"-.!%*_+`'~";
        let mut token = byte.is_ascii_alphanumeric();
        let mut at = 0;
        while at < marks.len() {
            token |= marks[at] == byte;
            at += 1;
        }
        let ends = byte == b':' || is_blank(byte);
        table[byte as usize] = if ends { ENDS_NAME } else { 0 } | if token { TOKEN } else { 0 };
        if byte == u8::MAX {
            return table;
        }
        byte += 1;
    }
}

/// The value of Content-Length, where all that are there say the same.
fn stated_length(buffer: &[u8], headers: &[Header], present: u64) -> Result<Option<u32>, ParseError> {
    if present & HeaderId::ContentLength.bit() == 0 {
        return Ok(None);
    }
    let mut stated = None;
    for header in headers
        .iter()
        .filter(|header| header.id == HeaderId::ContentLength)
    {
        let bad = ParseError::new(ParseErrorKind::ContentLength, header.value.start());
        let length = decimal(header.value.of_bytes(buffer)).ok_or(bad)?;
        if stated.is_some_and(|stated| stated != length) {
            return Err(bad);
        }
        stated = Some(length);
    }
    Ok(stated)
}

/// Digits and nothing else, at most 2^32-1.
pub(crate) fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, byte| {
        let digit = byte
            .is_ascii_digit()
            .then(|| u32::from(byte.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The body: to the end of the datagram, or as long as Content-Length says.
fn body(buffer: &[u8], start: usize, stated: Option<u32>) -> Result<Span, ParseError> {
    let rest = Span::of(start, buffer.len());
    match stated {
        None => Ok(rest),
        Some(length) if length as usize <= rest.len() => {
            Ok(Span::new(rest.start(), rest.start().saturating_add(length)))
        }
        Some(_) => Err(ParseError::new(ParseErrorKind::BodyTruncated, rest.end())),
    }
}

/// Number and method of a CSeq value.
pub(crate) fn cseq(buffer: &[u8], value: Span) -> Option<(u32, Span)> {
    let bytes = value.of_bytes(buffer);
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = bytes.split_at_checked(digits)?;
    let method = rest.trim_ascii();
    if method.is_empty() || method.len() == rest.len() || !method.iter().all(|byte| is_token(*byte)) {
        return None;
    }
    Some((decimal(number)?, Span::within(buffer, method)?))
}
