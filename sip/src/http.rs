//! Cutting HTTP/1.x requests off a stream that SIP comes over too (RFC 9112).
//!
//! Own framing rather than hyper: the first line decides message by message whether a stream carries SIP or HTTP, and
//! the request has to become a [`crate::Message`] in one buffer for the routing script, with the same caps and deadlines
//! as SIP. hyper owns the socket, speaks in typed requests and streams bodies, so that each request would be taken apart
//! and put together again. What two parsers could read differently is refused here: there is one reading or none.

use std::{fmt, ops::Range};

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::HeaderId;

/// Bytes of the request line and the fields.
pub const LONGEST_HEAD: usize = 32 * 1024;
/// Bytes of the request target.
const LONGEST_TARGET: usize = 8 * 1024;
/// Fields of a request.
const MOST_FIELDS: usize = 100;
/// Bytes of the line before a chunk, its extensions included.
const LONGEST_CHUNK_LINE: usize = 256;
/// Bytes of the fields behind the last chunk.
const LONGEST_TRAILERS: usize = 4 * 1024;
/// Chunks may need that many times the room of what they carry.
const CHUNK_OVERHEAD: usize = 4;

/// Why an HTTP request is refused; the connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpFault {
    /// A line end without CR, or a CR or NUL within a line (RFC 9112 section 2.2).
    LineEnd,
    /// The request line is not `METHOD SP TARGET SP VERSION` (RFC 9112 section 3).
    RequestLine,
    /// A version other than 1.0 and 1.1.
    Version,
    /// A field is folded, has blanks before its colon, or characters that no field has (RFC 9112 section 5).
    Field,
    /// No Host field in HTTP/1.1, or several (RFC 9112 section 3.2).
    Host,
    /// Content-Length is no number below 2^31, or there are several (RFC 9112 section 6.3).
    ContentLength,
    /// Transfer-Encoding together with Content-Length, twice, or in HTTP/1.0 (RFC 9112 section 6.1).
    Ambiguous,
    /// A transfer coding other than chunked.
    Coding,
    /// An Expect field that asks for something other than 100-continue (RFC 9110 section 10.1.1).
    Expectation,
    /// A chunk is not what its length says, or has none (RFC 9112 section 7.1).
    Chunk,
    /// The request target is too long.
    Target,
    /// The fields are too long or too many.
    Head,
    /// The body is too long.
    Body,
}

impl HttpFault {
    /// The status to answer with.
    pub const fn reply(self) -> (u16, &'static str) {
        match self {
            HttpFault::Version => (505, "HTTP Version Not Supported"),
            HttpFault::Coding => (501, "Not Implemented"),
            HttpFault::Expectation => (417, "Expectation Failed"),
            HttpFault::Target => (414, "URI Too Long"),
            HttpFault::Head => (431, "Request Header Fields Too Large"),
            HttpFault::Body => (413, "Content Too Large"),
            _ => (400, "Bad Request"),
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpFault::LineEnd => "HTTP request has a line that does not end with CRLF",
            HttpFault::RequestLine => "HTTP request line is malformed",
            HttpFault::Version => "HTTP version is not supported",
            HttpFault::Field => "HTTP request has a malformed field",
            HttpFault::Host => "HTTP request has no Host or several",
            HttpFault::ContentLength => "HTTP Content-Length is not one number",
            HttpFault::Ambiguous => "HTTP request states its length in two ways",
            HttpFault::Coding => "HTTP transfer coding is not supported",
            HttpFault::Expectation => "HTTP request expects something unknown",
            HttpFault::Chunk => "HTTP chunk is malformed",
            HttpFault::Target => "HTTP request target is too long",
            HttpFault::Head => "HTTP request has too many fields",
            HttpFault::Body => "HTTP request body is too large",
        })
    }
}

/// Whether a line, with or without its line end, is the request line of HTTP in whatever version.
pub fn is_request_line(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    last.starts_with(b"HTTP/") && last.len() < line.len()
}

/// How far a request is.
pub(crate) enum Progress {
    /// More bytes are needed.
    More,
    /// The peer wants to be told that its body is welcome (RFC 9110 section 10.1.1); reported once.
    Continue,
    /// The first so many bytes are the request.
    Whole(usize),
    /// The request with its chunks put together, and how many bytes of the stream it took.
    Decoded(Bytes, usize),
}

/// What is being read.
#[derive(Clone, Copy, Debug)]
enum Part {
    RequestLine,
    Fields,
    /// A body up to here.
    Body(usize),
    ChunkSize,
    /// A chunk of so many bytes and its line end.
    Chunk(usize),
    Trailers,
}

/// One request that is being read. Its cost is linear in the bytes, however they arrive; the bytes stay in the buffer
/// until the request is complete.
#[derive(Debug)]
pub(crate) struct Request {
    part: Part,
    /// Where the line or chunk in work begins.
    at: usize,
    /// Searched for a line end up to here.
    scanned: usize,
    head: Head,
    /// The body of chunks.
    decoded: Vec<u8>,
    /// Where the trailers begin.
    trailers: usize,
    /// Bytes of a whole message.
    cap: usize,
}

/// What the head says.
#[derive(Debug, Default)]
struct Head {
    /// Behind the empty line.
    end: usize,
    fields: usize,
    hosts: usize,
    length: Option<usize>,
    /// The line of Transfer-Encoding.
    chunked: Option<Range<usize>>,
    expects: bool,
    is_1_1: bool,
}

impl Request {
    pub(crate) fn new(cap: usize) -> Request {
        Request {
            part: Part::RequestLine,
            at: 0,
            scanned: 0,
            head: Head::default(),
            decoded: Vec::new(),
            trailers: 0,
            cap,
        }
    }

    /// Goes on with what the buffer holds; bytes may have been added at its end only.
    pub(crate) fn next(&mut self, buffer: &BytesMut) -> Result<Progress, HttpFault> {
        loop {
            match self.part {
                Part::Body(total) => return Ok(self.body(buffer, total)),
                Part::Chunk(length) => {
                    if !self.chunk(buffer, length)? {
                        return Ok(Progress::More);
                    }
                }
                _ => {
                    let Some(line) = self.line(buffer)? else {
                        return Ok(Progress::More);
                    };
                    if let Some(done) = self.take_line(buffer, line)? {
                        return Ok(done);
                    }
                }
            }
        }
    }

    fn body(&mut self, buffer: &BytesMut, total: usize) -> Progress {
        if buffer.len() >= total {
            return Progress::Whole(total);
        }
        match std::mem::take(&mut self.head.expects) && buffer.len() <= self.head.end {
            true => Progress::Continue,
            false => Progress::More,
        }
    }

    /// The next line without its end.
    fn line(&mut self, buffer: &BytesMut) -> Result<Option<Range<usize>>, HttpFault> {
        let (cap, fault) = self.line_cap();
        let fresh = buffer.get(self.scanned..).unwrap_or_default();
        let Some(length) = memchr(b'\n', fresh) else {
            self.scanned = buffer.len();
            return if buffer.len() > cap { Err(fault) } else { Ok(None) };
        };
        let end = self.scanned.saturating_add(length);
        if end > cap {
            return Err(fault);
        }
        let line = buffer.get(self.at..end).unwrap_or_default();
        let inner = line.strip_suffix(b"\r").ok_or(HttpFault::LineEnd)?;
        if inner.iter().any(|byte| matches!(byte, b'\r' | 0)) {
            return Err(HttpFault::LineEnd);
        }
        let range = self.at..self.at.saturating_add(inner.len());
        self.at = end.saturating_add(1);
        self.scanned = self.at;
        Ok(Some(range))
    }

    /// Up to where in the buffer the line in work may reach.
    fn line_cap(&self) -> (usize, HttpFault) {
        match self.part {
            Part::ChunkSize => (self.at.saturating_add(LONGEST_CHUNK_LINE), HttpFault::Chunk),
            Part::Trailers => (self.trailers.saturating_add(LONGEST_TRAILERS), HttpFault::Head),
            _ => (LONGEST_HEAD.min(self.cap), HttpFault::Head),
        }
    }

    fn take_line(&mut self, buffer: &BytesMut, range: Range<usize>) -> Result<Option<Progress>, HttpFault> {
        let line = buffer.get(range.clone()).unwrap_or_default();
        match self.part {
            Part::RequestLine => {
                self.head.is_1_1 = request_line(line)?;
                self.part = Part::Fields;
            }
            Part::Fields if line.is_empty() => return self.head_ends(),
            Part::Fields => self.head.field(line, range)?,
            Part::ChunkSize => {
                let length = chunk_size(line)?;
                if self
                    .head
                    .end
                    .saturating_add(self.decoded.len())
                    .saturating_add(length)
                    > self.cap
                {
                    return Err(HttpFault::Body);
                }
                self.trailers = self.at;
                self.part = match length {
                    0 => Part::Trailers,
                    length => Part::Chunk(length),
                };
            }
            Part::Trailers if line.is_empty() => {
                let message = self.put_together(buffer);
                return Ok(Some(Progress::Decoded(message, self.at)));
            }
            Part::Trailers => {
                field(line)?;
            }
            Part::Body(_) | Part::Chunk(_) => {}
        }
        Ok(None)
    }

    fn head_ends(&mut self) -> Result<Option<Progress>, HttpFault> {
        let head = &mut self.head;
        head.end = self.at;
        if head.hosts > 1 || head.hosts == 0 && head.is_1_1 {
            return Err(HttpFault::Host);
        }
        if head.chunked.is_some() {
            if head.length.is_some() || !head.is_1_1 {
                return Err(HttpFault::Ambiguous);
            }
            self.part = Part::ChunkSize;
            // The answer is due before the first chunk.
            return Ok(std::mem::take(&mut head.expects).then_some(Progress::Continue));
        }
        let total = head.end.saturating_add(head.length.unwrap_or(0));
        if total > self.cap {
            return Err(HttpFault::Body);
        }
        head.expects &= head.is_1_1;
        self.part = Part::Body(total);
        Ok(None)
    }

    /// Takes a chunk that is complete; false where it is not.
    fn chunk(&mut self, buffer: &BytesMut, length: usize) -> Result<bool, HttpFault> {
        let end = self.at.saturating_add(length);
        let next = end.saturating_add(2);
        if next > self.cap.saturating_mul(CHUNK_OVERHEAD) {
            return Err(HttpFault::Body);
        }
        let Some(line_end) = buffer.get(end..next) else {
            return Ok(false);
        };
        if line_end != b"\r\n" {
            return Err(HttpFault::Chunk);
        }
        self.decoded
            .extend_from_slice(buffer.get(self.at..end).unwrap_or_default());
        self.at = next;
        self.scanned = next;
        self.part = Part::ChunkSize;
        Ok(true)
    }

    /// The head with a Content-Length in the place of its Transfer-Encoding, and the body.
    fn put_together(&self, buffer: &BytesMut) -> Bytes {
        let coding = self.head.chunked.clone().unwrap_or_default();
        let before = buffer.get(..coding.start).unwrap_or_default();
        let after = buffer.get(coding.end..self.head.end).unwrap_or_default();
        let length = format!("Content-Length: {}", self.decoded.len());
        [before, length.as_bytes(), after, &self.decoded].concat().into()
    }
}

impl Head {
    fn field(&mut self, line: &[u8], at: Range<usize>) -> Result<(), HttpFault> {
        self.fields = self.fields.saturating_add(1);
        if self.fields > MOST_FIELDS {
            return Err(HttpFault::Head);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"Host") {
            self.hosts = self.hosts.saturating_add(1);
        } else if HeaderId::parse(name) == HeaderId::ContentLength {
            // SIP's compact form is a length to the routing script and none to HTTP's proxies.
            let known = self.length.replace(content_length(value)?);
            if known.is_some() || name.len() == 1 {
                return Err(HttpFault::ContentLength);
            }
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HttpFault::Coding);
            }
            if self.chunked.replace(at).is_some() {
                return Err(HttpFault::Ambiguous);
            }
        } else if name.eq_ignore_ascii_case(b"Expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(HttpFault::Expectation);
            }
            self.expects = true;
        }
        Ok(())
    }
}

/// Checks a request line; whether it is HTTP/1.1.
fn request_line(line: &[u8]) -> Result<bool, HttpFault> {
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next()) else {
        return Err(HttpFault::RequestLine);
    };
    let graphic = |byte: &u8| byte.is_ascii_graphic() || *byte >= 0x80;
    if !is_token(method) || target.is_empty() || !target.iter().all(graphic) {
        return Err(HttpFault::RequestLine);
    }
    if target.len() > LONGEST_TARGET {
        return Err(HttpFault::Target);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        _ => Err(HttpFault::Version),
    }
}

/// Name and value of a field line.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), HttpFault> {
    let colon = memchr(b':', line).ok_or(HttpFault::Field)?;
    let name = line.get(..colon).unwrap_or_default();
    let value = line.get(colon.saturating_add(1)..).unwrap_or_default();
    let text = |byte: &u8| *byte >= b' ' && *byte != 0x7f || *byte == b'\t';
    if !is_token(name) || !value.iter().all(text) {
        return Err(HttpFault::Field);
    }
    Ok((name, value.trim_ascii()))
}

/// RFC 9110 section 5.6.2.
fn is_token(word: &[u8]) -> bool {
    let mark = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(mark)
}

fn content_length(value: &[u8]) -> Result<usize, HttpFault> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(value).ok().filter(|_| digits);
    let number = number.and_then(|text| text.parse::<u32>().ok());
    let number = number.filter(|length| *length <= i32::MAX as u32);
    number
        .and_then(|length| usize::try_from(length).ok())
        .ok_or(HttpFault::ContentLength)
}

/// Hexadecimal digits, and extensions that nobody has to understand.
fn chunk_size(line: &[u8]) -> Result<usize, HttpFault> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let digits = digits.trim_ascii_end();
    let plain = line.iter().all(|byte| *byte >= b' ' || *byte == b'\t');
    if digits.is_empty() || digits.len() > 8 || !plain || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(HttpFault::Chunk);
    }
    let text = std::str::from_utf8(digits).map_err(|_| HttpFault::Chunk)?;
    usize::from_str_radix(text, 16).map_err(|_| HttpFault::Chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Limits, Message, Str,
        framing::{Frame, Framer, FramerOptions, FramingError},
    };

    fn frames(stream: &[u8], chunk: usize) -> (Vec<Frame>, Option<FramingError>) {
        let mut framer = Framer::new(FramerOptions {
            max_message: 40_000,
            ..FramerOptions::default()
        });
        let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(chunk) {
            buffer.extend_from_slice(piece);
            loop {
                match framer.next(&mut buffer) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    fn fault(stream: &str) -> Option<HttpFault> {
        let found = [1, 7, stream.len()].map(|chunk| match frames(stream.as_bytes(), chunk).1 {
            Some(FramingError::Http(fault)) => Some(fault),
            other => {
                assert_eq!(other, None, "{stream:?}");
                None
            }
        });
        assert!(found.iter().all(|one| *one == found[0]), "{stream:?}: {found:?}");
        found[0]
    }

    #[test]
    fn requests_follow_one_another_and_sip_follows_them() {
        let get = "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n";
        let post = "POST /b HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc";
        let sip = "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n";
        let stream = format!("{get}{post}{get}{sip}");
        let want = [get, post, get, sip].map(|text| Frame::Message(Bytes::copy_from_slice(text.as_bytes())));
        for chunk in 1..stream.len() {
            assert_eq!(frames(stream.as_bytes(), chunk), (want.to_vec(), None), "{chunk}");
        }
    }

    #[test]
    fn chunks_become_one_body() {
        let stream = "POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\nX: y\r\n\r\n\
                      3\r\nabc\r\n00a;name=\"v\"\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for chunk in 1..stream.len() {
            let (found, failed) = frames(stream.as_bytes(), chunk);
            assert_eq!((found.len(), failed), (2, None), "{chunk}");
            let Frame::Message(data) = &found[0] else {
                panic!("{found:?}")
            };
            let message = Message::parse(Str::from(data.clone()), &Limits::default()).expect("a request");
            assert_eq!(message.body(), b"abc0123456789");
            assert_eq!(message.content_length(), Some(13));
            assert_eq!(message.named(b"transfer-encoding").count(), 0);
            assert_eq!(message.headers().len(), 3);
        }
    }

    #[test]
    fn what_two_servers_could_read_in_two_ways_is_refused() {
        use HttpFault::*;
        let cases = [
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
                Ambiguous,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
                Ambiguous,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                Ambiguous,
            ),
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Ambiguous),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                Coding,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n",
                Coding,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
                Field,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
                ContentLength,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n",
                ContentLength,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n",
                ContentLength,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2147483648\r\n\r\n",
                ContentLength,
            ),
            ("POST / HTTP/1.1\r\nHost: h\r\nl: 3\r\n\r\n", ContentLength),
            ("POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", Field),
            ("POST / HTTP/1.1\r\nHost: h\r\n X: a\r\n\r\n", Field),
            ("POST / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", Field),
            ("POST / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n", Field),
            ("POST / HTTP/1.1\nHost: h\r\n\r\n", LineEnd),
            ("POST / HTTP/1.1\r\nHost: h\n\r\n", LineEnd),
            ("POST / HTTP/1.1\r\nHost: h\r\n\n", LineEnd),
            ("POST / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n", LineEnd),
            ("POST / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n", LineEnd),
            ("POST / HTTP/1.1\r\n\r\n", Host),
            ("POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Host),
            ("POST  / HTTP/1.1\r\nHost: h\r\n\r\n", RequestLine),
            ("P(OST / HTTP/1.1\r\nHost: h\r\n\r\n", RequestLine),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", Version),
            ("PRI * HTTP/2.0\r\n\r\n", Version),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nExpect: miracles\r\n\r\n",
                Expectation,
            ),
            (
                "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40001\r\n\r\n",
                Body,
            ),
        ];
        for (stream, want) in cases {
            assert_eq!(fault(stream), Some(want), "{stream:?}");
        }
        let chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (body, want) in [
            ("x\r\n", Chunk),
            ("\r\n", Chunk),
            ("-1\r\n", Chunk),
            ("0x1\r\na\r\n", Chunk),
            ("123456789\r\n", Chunk),
            ("ffffffff\r\n", Body),
            ("1\r\nab\r\n", Chunk),
            ("1\na\r\n", LineEnd),
            ("0\r\nbad\r\n\r\n", Field),
        ] {
            assert_eq!(fault(&format!("{chunked}{body}")), Some(want), "{body:?}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let long = |length| "a".repeat(length);
        let request =
            |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let target = format!("/{}", long(LONGEST_TARGET));
        assert_eq!(fault(&request(&target, "")), Some(HttpFault::Target));
        let field = format!("X: {}\r\n", long(LONGEST_HEAD));
        assert_eq!(fault(&request("/", &field)), Some(HttpFault::Head));
        assert_eq!(
            fault(&request("/", &"X: y\r\n".repeat(MOST_FIELDS))),
            Some(HttpFault::Head)
        );
        assert_eq!(fault(&request("/", &"X: y\r\n".repeat(MOST_FIELDS - 1))), None);
        let chunked = request("/", "Transfer-Encoding: chunked\r\n");
        let flood = format!("{chunked}{}", "1;pad=pad\r\na\r\n".repeat(20_000));
        assert_eq!(fault(&flood), Some(HttpFault::Body));
        let extension = format!("{chunked}1;{}", long(LONGEST_CHUNK_LINE));
        assert_eq!(fault(&extension), Some(HttpFault::Chunk));
        let trailers = format!("{chunked}0\r\n{}", "X: y\r\n".repeat(1000));
        assert_eq!(fault(&trailers), Some(HttpFault::Head));
    }

    #[test]
    fn a_client_that_asks_is_told_to_go_on_once() {
        let head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
        let (found, _) = frames(format!("{head}abc").as_bytes(), head.len());
        assert!(
            matches!(found[..], [Frame::Continue, Frame::Message(_)]),
            "{found:?}"
        );
        let (found, _) = frames(format!("{head}abc").as_bytes(), head.len() + 3);
        assert!(matches!(found[..], [Frame::Message(_)]), "{found:?}");
        let (found, _) = frames(head.replace("/1.1", "/1.0").as_bytes(), 5);
        assert_eq!(found, []);
        let chunked = head.replace("Content-Length: 3", "Transfer-Encoding: chunked");
        let (found, _) = frames(format!("{chunked}0\r\n\r\n").as_bytes(), 9);
        assert!(
            matches!(found[..], [Frame::Continue, Frame::Message(_)]),
            "{found:?}"
        );
    }

    proptest::proptest! {
        #[test]
        fn frames_do_not_depend_on_the_cut(
            cut in 1u8..20,
            pieces in proptest::collection::vec(
                proptest::sample::select(vec![
                    "GET / HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PRI * HTTP/2.0\r\n", "Host: h\r\n", "Content-Length: 3\r\n",
                    "Transfer-Encoding: chunked\r\n", "Expect: 100-continue\r\n", "X: y\r\n", " fold\r\n", "\r\n", "\n", "\r", "3\r\nabc\r\n",
                    "0\r\n\r\n", "a", ":", " ", "\0", "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n",
                ]),
                0..12,
            ),
        ) {
            let mut data = vec![cut];
            pieces.iter().for_each(|piece| data.extend_from_slice(piece.as_bytes()));
            crate::fuzz::framing(&data);
        }
    }
}
