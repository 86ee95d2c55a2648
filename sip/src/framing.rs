//! Cutting a byte stream into messages: one set of rules for TCP, TLS and WebSocket.
//!
//! There is no way back once it is unclear where a message ends, so the first doubt is final: the connection is to be
//! closed, never searched for a next message.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr;

use crate::{
    HeaderId,
    http::{self, HttpFault, Progress},
    parse,
};

/// What a stream may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramerOptions {
    /// Bytes of a whole message.
    pub max_message: usize,
    /// Take a SIP message without Content-Length as one without body (`tcp_accept_no_cl`).
    pub accept_no_content_length: bool,
    /// Report double line ends as [`Frame::Ping`] (`tcp_crlf_ping`, RFC 5626 section 3.5.1).
    pub crlf_ping: bool,
}

impl Default for FramerOptions {
    fn default() -> FramerOptions {
        FramerOptions {
            max_message: 65_535,
            accept_no_content_length: false,
            crlf_ping: true,
        }
    }
}

/// One piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, SIP or HTTP, from its first line to the end of its body.
    Message(Bytes),
    /// The second line end of a double one: to be answered by one line end.
    Ping,
    /// A line end between messages: the answer to a ping of ours, where one is awaited. A double one is reported as
    /// `Pong` and then `Ping`, so that an answer never waits for what may follow it.
    Pong,
    /// A whole STUN message (RFC 5389 with magic cookie).
    Stun(Bytes),
    /// An HTTP client waits to be told that its body is welcome: to be answered by `100 Continue`.
    Continue,
}

/// Why the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FramingError {
    /// What stands where a message should begin is neither SIP nor HTTP nor STUN.
    NotSip,
    /// The message is or says that it will be longer than [`FramerOptions::max_message`].
    TooLarge,
    /// There is no Content-Length.
    NoContentLength,
    /// Content-Length is no number below 2^31, or stated twice with different values.
    ContentLength,
    /// A reply of HTTP with a Transfer-Encoding.
    TransferEncoding,
    /// A request of HTTP that is refused.
    Http(HttpFault),
    /// A WebSocket message holds more or less than one SIP message.
    NotOneMessage,
}

impl FramingError {
    /// The reply that should go out before the connection closes, where [`crate::Message::salvage`] finds a request
    /// in the buffer, which still begins with the bad message.
    pub const fn reply(self) -> Option<(u16, &'static str)> {
        match self {
            FramingError::NotSip => None,
            FramingError::TooLarge => Some((513, "Message Too Large")),
            FramingError::NoContentLength => Some((400, "Missing Content-Length")),
            FramingError::ContentLength => Some((400, "Bad Content-Length")),
            FramingError::TransferEncoding => Some((501, "Transfer-Encoding Not Supported")),
            FramingError::Http(fault) => Some(fault.reply()),
            FramingError::NotOneMessage => Some((400, "Body Length Differs From Content-Length")),
        }
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FramingError::Http(fault) => return fault.fmt(f),
            FramingError::NotSip => "the stream holds something other than SIP",
            FramingError::TooLarge => "message is too large",
            FramingError::NoContentLength => "message has no Content-Length",
            FramingError::ContentLength => "Content-Length is not one number",
            FramingError::TransferEncoding => "Transfer-Encoding is not supported",
            FramingError::NotOneMessage => "a WebSocket message must hold exactly one SIP message",
        })
    }
}

impl std::error::Error for FramingError {}

/// Cuts one connection's bytes into frames. Its cost is linear in the bytes, however they arrive.
#[derive(Debug)]
pub struct Framer {
    options: FramerOptions,
    /// Bytes of the buffer that were searched for a line end already.
    scanned: usize,
    /// Where the line begins whose end is being searched.
    line_start: usize,
    /// The length of the message, once its headers are complete.
    total: Option<usize>,
    /// The last frame was a single line end.
    after_line_end: bool,
    /// The request of HTTP at the front; boxed, since most streams never carry one.
    http: Option<Box<http::Request>>,
    failed: Option<FramingError>,
}

impl Framer {
    /// For a fresh connection.
    pub const fn new(options: FramerOptions) -> Framer {
        Framer {
            options,
            scanned: 0,
            line_start: 0,
            total: None,
            after_line_end: false,
            http: None,
            failed: None,
        }
    }

    /// Takes the next frame off the front of `buffer`; `None` where more bytes are needed.
    ///
    /// Between calls bytes may be added at the end of `buffer` only.
    ///
    /// # Errors
    /// [`FramingError`], then and on every later call. `buffer` is left with the bad message at its front.
    pub fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(buffer);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// How many bytes are still missing from the message at the front, as far as that is known: for sizing the read.
    pub fn missing(&self, buffer: &BytesMut) -> usize {
        self.total.map_or(0, |total| total.saturating_sub(buffer.len()))
    }

    /// Whether a message has begun and is not complete, so that a deadline should run.
    pub fn is_midway(&self, buffer: &BytesMut) -> bool {
        !buffer.is_empty()
    }

    fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        loop {
            if let Some(request) = &mut self.http {
                let progress = request.next(buffer).map_err(FramingError::Http)?;
                return Ok(self.http_frame(buffer, progress));
            }
            if let Some(total) = self.total {
                return Ok(self.take(buffer, total).map(Frame::Message));
            }
            if self.scanned == 0 {
                match buffer.first().copied() {
                    None => return Ok(None),
                    Some(b'\n') => {
                        buffer.advance(1);
                        continue;
                    }
                    Some(b'\r') => match buffer.get(1).copied() {
                        None => return Ok(None),
                        Some(b'\n') => {
                            buffer.advance(2);
                            return Ok(Some(self.line_end()));
                        }
                        Some(_) => return Err(FramingError::NotSip),
                    },
                    Some(0 | 1) => return self.stun(buffer),
                    Some(_) => self.after_line_end = false,
                }
            }
            if !self.scan_line(buffer)? {
                return Ok(None);
            }
        }
    }

    fn http_frame(&mut self, buffer: &mut BytesMut, progress: Progress) -> Option<Frame> {
        match progress {
            Progress::More => None,
            Progress::Continue => Some(Frame::Continue),
            Progress::Whole(length) => {
                self.http = None;
                self.take(buffer, length).map(Frame::Message)
            }
            Progress::Decoded(message, length) => {
                self.http = None;
                self.take(buffer, length).map(|_| Frame::Message(message))
            }
        }
    }

    /// A line end between messages.
    fn line_end(&mut self) -> Frame {
        let second = self.after_line_end && self.options.crlf_ping;
        self.after_line_end = !second;
        if second { Frame::Ping } else { Frame::Pong }
    }

    /// Goes on to the end of the current line; false where it has not arrived yet.
    fn scan_line(&mut self, buffer: &BytesMut) -> Result<bool, FramingError> {
        let fresh = buffer.get(self.scanned..).unwrap_or_default();
        let Some(length) = memchr(b'\n', fresh) else {
            self.scanned = buffer.len();
            return if buffer.len() > self.options.max_message {
                Err(FramingError::TooLarge)
            } else {
                Ok(false)
            };
        };
        let end = self.scanned.saturating_add(length);
        let line = buffer.get(self.line_start..end).unwrap_or_default();
        let next = end.saturating_add(1);
        if next > self.options.max_message {
            return Err(FramingError::TooLarge);
        }
        if self.line_start == 0 {
            if !is_first_line(line) {
                return Err(FramingError::NotSip);
            }
            if http::is_request_line(line) {
                self.http = Some(Box::new(http::Request::new(self.options.max_message)));
                return Ok(true);
            }
        } else if matches!(line, b"" | b"\r") {
            let head = buffer.get(..next).unwrap_or_default();
            self.total = Some(message_length(head, &self.options)?);
        }
        self.line_start = next;
        self.scanned = next;
        Ok(true)
    }

    /// Takes `length` bytes off the front, where they are there.
    fn take(&mut self, buffer: &mut BytesMut, length: usize) -> Option<Bytes> {
        if buffer.len() < length {
            return None;
        }
        self.total = None;
        self.scanned = 0;
        self.line_start = 0;
        Some(buffer.split_to(length).freeze())
    }

    /// A STUN message: 20 bytes of header that state the length of the rest (RFC 5389 section 6).
    fn stun(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FramingError> {
        self.after_line_end = false;
        let Some((head, _)) = buffer.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let [_, _, high, low, cookie @ ..] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if cookie != STUN_COOKIE || !length.is_multiple_of(4) {
            return Err(FramingError::NotSip);
        }
        let total = length.saturating_add(STUN_HEADER);
        if total > self.options.max_message {
            return Err(FramingError::TooLarge);
        }
        Ok(self.take(buffer, total).map(Frame::Stun))
    }
}

const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const STUN_HEADER: usize = 20;

/// The frame that one WebSocket message holds (RFC 7118): a SIP message, whose Content-Length may be missing but must
/// be right, or a line end or two for keepalive. `None` where it is empty.
///
/// # Errors
/// [`FramingError`], after which the connection is to be closed.
pub fn whole(message: Bytes, options: &FramerOptions) -> Result<Option<Frame>, FramingError> {
    match message.as_ref() {
        b"" => return Ok(None),
        b"\r\n" => return Ok(Some(Frame::Pong)),
        b"\r\n\r\n" if options.crlf_ping => return Ok(Some(Frame::Ping)),
        b"\r\n\r\n" => return Ok(Some(Frame::Pong)),
        _ => {}
    }
    if message.len() > options.max_message {
        return Err(FramingError::TooLarge);
    }
    let first_line = memchr(b'\n', &message).and_then(|end| message.get(..end));
    if !first_line.is_some_and(is_first_line) {
        return Err(FramingError::NotSip);
    }
    let head_len = head_length(&message).ok_or(FramingError::NotOneMessage)?;
    let head = message.get(..head_len).unwrap_or_default();
    if let Some(length) = stated(head)?
        && head_len.checked_add(length) != Some(message.len())
    {
        return Err(FramingError::NotOneMessage);
    }
    Ok(Some(Frame::Message(message)))
}

/// The bytes up to and with the empty line.
fn head_length(message: &[u8]) -> Option<usize> {
    let mut start = 0usize;
    loop {
        let rest = message.get(start..)?;
        let length = memchr(b'\n', rest)?;
        let line = rest.get(..length)?;
        start = start.checked_add(length)?.checked_add(1)?;
        if matches!(line, b"" | b"\r") {
            return Some(start);
        }
    }
}

/// Whether a line may begin a message: it names SIP or HTTP at its end (request) or start (reply), in whatever version.
fn is_first_line(line: &[u8]) -> bool {
    let names = |word: &[u8]| {
        word.get(..4)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"SIP/"))
            || word
                .get(..5)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
    };
    let last = line
        .trim_ascii_end()
        .rsplit(|byte| *byte == b' ')
        .next()
        .unwrap_or_default();
    names(line) || names(last) && last.len() < line.len()
}

/// The length of the message that begins with `head`.
fn message_length(head: &[u8], options: &FramerOptions) -> Result<usize, FramingError> {
    let length = match stated(head)? {
        Some(length) => length,
        None if options.accept_no_content_length || is_http(head) => 0,
        None => return Err(FramingError::NoContentLength),
    };
    let total = head.len().checked_add(length).ok_or(FramingError::TooLarge)?;
    if total > options.max_message {
        Err(FramingError::TooLarge)
    } else {
        Ok(total)
    }
}

/// Whether the first line is HTTP's, where a missing Content-Length means that there is no body.
fn is_http(head: &[u8]) -> bool {
    let line = memchr(b'\n', head)
        .and_then(|end| head.get(..end))
        .unwrap_or_default()
        .trim_ascii_end();
    let last = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    last.starts_with(b"HTTP/") || line.starts_with(b"HTTP/")
}

/// The one value of all Content-Length headers of `head`.
fn stated(head: &[u8]) -> Result<Option<usize>, FramingError> {
    let mut found = None;
    for line in HeaderLines(head).skip(1) {
        let candidate = line.iter().find(|byte| **byte > b' ').map(u8::to_ascii_lowercase);
        if !matches!(candidate, Some(b'c' | b'l' | b't')) {
            continue;
        }
        let Some(header) = parse::header(line, 0) else {
            continue;
        };
        if header.id == HeaderId::ContentLength {
            let length =
                parse::decimal(header.value.of_bytes(line)).filter(|length| *length <= i32::MAX as u32);
            let length = length.ok_or(FramingError::ContentLength)? as usize;
            if found.is_some_and(|found| found != length) {
                return Err(FramingError::ContentLength);
            }
            found = Some(length);
        } else if header
            .name
            .of_bytes(line)
            .eq_ignore_ascii_case(b"Transfer-Encoding")
            && is_http(head)
        {
            return Err(FramingError::TransferEncoding);
        }
    }
    Ok(found)
}

/// Iterator over lines with their folds.
struct HeaderLines<'a>(&'a [u8]);

impl<'a> Iterator for HeaderLines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut length = 0usize;
        loop {
            let rest = self.0.get(length..)?;
            length = length.checked_add(memchr(b'\n', rest)?)?.checked_add(1)?;
            if !matches!(self.0.get(length), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (line, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(stream: &[u8], chunk: usize) -> (Vec<Frame>, Option<FramingError>) {
        let mut framer = Framer::new(FramerOptions {
            max_message: 2_000,
            ..FramerOptions::default()
        });
        let mut buffer = BytesMut::new();
        let mut found = Vec::new();
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

    fn request(length: &str, body: &str) -> String {
        format!("MESSAGE sip:a@b SIP/2.0\r\nCall-ID: 1\r\n{length}\r\n{body}")
    }

    fn message(text: &str) -> Frame {
        Frame::Message(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_stream_gives_the_same_frames_however_it_is_cut() {
        let one = request("l : 5\r\n", "hello");
        let two = request("Content-Length:\r\n 0\r\nContent-Length: 0\r\n", "");
        let get = "GET /rpc HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut stunned = vec![0, 1, 0, 4, 0x21, 0x12, 0xa4, 0x42];
        stunned.extend_from_slice(&[7; 16]);
        let mut stream = format!("\r\n\r\n{one}\r\n{two}\r\n\r\n\r\n{get}").into_bytes();
        stream.extend_from_slice(&stunned);
        stream.extend_from_slice(one.replace("\r\n", "\n").as_bytes());
        let want = vec![
            Frame::Pong,
            Frame::Ping,
            message(&one),
            Frame::Pong,
            message(&two),
            Frame::Pong,
            Frame::Ping,
            Frame::Pong,
            message(get),
            Frame::Stun(Bytes::from(stunned)),
            message(&one.replace("\r\n", "\n")),
        ];
        for chunk in 1..stream.len() {
            assert_eq!(
                frames(&stream, chunk),
                (want.clone(), None),
                "in pieces of {chunk}"
            );
        }
    }

    #[test]
    fn any_doubt_about_the_length_ends_the_connection() {
        let lengths = [
            ("", FramingError::NoContentLength),
            ("Content-Length: \r\n", FramingError::ContentLength),
            ("Content-Length: -1\r\n", FramingError::ContentLength),
            ("Content-Length: +1\r\n", FramingError::ContentLength),
            ("Content-Length: 1 2\r\n", FramingError::ContentLength),
            ("Content-Length: 0x1\r\n", FramingError::ContentLength),
            ("Content-Length: 1\r\n 2\r\n", FramingError::ContentLength),
            ("Content-Length: 1,1\r\n", FramingError::ContentLength),
            ("Content-Length: 2147483647\r\n", FramingError::TooLarge),
            ("Content-Length: 2147483648\r\n", FramingError::ContentLength),
            ("Content-Length: 2147483649\r\n", FramingError::ContentLength),
            ("Content-Length: 4294967296\r\n", FramingError::ContentLength),
            ("Content-Length: 4294967297\r\n", FramingError::ContentLength),
            (
                "Content-Length: 18446744073709551616\r\n",
                FramingError::ContentLength,
            ),
            ("Content-Length: 1\r\nl: 2\r\n", FramingError::ContentLength),
            (
                "Content-Length\x01: 1\r\nCONTENT-LENGTH : 2\r\n",
                FramingError::ContentLength,
            ),
            ("Content-Length: 2001\r\n", FramingError::TooLarge),
        ];
        for (length, error) in lengths {
            let stream = format!("{}{}", request("l: 0\r\n", ""), request(length, "12"));
            for chunk in [1, 3, stream.len()] {
                let (found, failed) = frames(stream.as_bytes(), chunk);
                assert_eq!(
                    (found.len(), failed),
                    (1, Some(error)),
                    "{length:?} in pieces of {chunk}"
                );
            }
        }
    }

    #[test]
    fn a_failed_connection_never_comes_back() {
        let mut framer = Framer::new(FramerOptions::default());
        let mut buffer = BytesMut::from("garbage\r\n\r\n");
        assert_eq!(framer.next(&mut buffer), Err(FramingError::NotSip));
        let mut fresh = BytesMut::from(request("l: 0\r\n", "").as_str());
        assert_eq!(framer.next(&mut fresh), Err(FramingError::NotSip));
        assert_eq!(&buffer[..7], b"garbage", "the bad message stays for a last reply");
    }

    #[test]
    fn endless_heads_are_refused_at_the_cap() {
        assert_eq!(frames(&[b'A'; 2_001], 100).1, Some(FramingError::TooLarge));
        let many = format!("A sip:b SIP/2.0\r\n{}", "X: y\r\n".repeat(500));
        assert_eq!(frames(many.as_bytes(), 7).1, Some(FramingError::TooLarge));
    }

    #[test]
    fn a_websocket_message_holds_one_sip_message() {
        let options = FramerOptions::default();
        let framed = |text: &str| whole(Bytes::copy_from_slice(text.as_bytes()), &options);
        let good = request("l: 2\r\n", "hi");
        assert_eq!(framed(&good), Ok(Some(message(&good))));
        let open = request("", "hi");
        assert_eq!(framed(&open), Ok(Some(message(&open))));
        assert_eq!(
            framed(&request("l: 2\r\n", "hi!")),
            Err(FramingError::NotOneMessage)
        );
        assert_eq!(
            framed("A sip:b SIP/2.0\r\nX: y\r\n"),
            Err(FramingError::NotOneMessage)
        );
        assert_eq!(framed("\r\n\r\n"), Ok(Some(Frame::Ping)));
        assert_eq!(framed(""), Ok(None));
        assert_eq!(framed("{}"), Err(FramingError::NotSip));
    }
}
