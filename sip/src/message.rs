//! [`Message`]: one received message as an index of ranges over its buffer.

use crate::{
    HeaderId, Limits, Method, ParseError, Span, Str,
    parse::{self, Parsed},
    via_hops::Vias,
};

/// One header: where its name, value and lines are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which header it is, however spelt.
    pub id: HeaderId,
    /// The name as written, without space before the colon.
    pub name: Span,
    /// The value without surrounding space; folds inside are kept.
    pub value: Span,
    /// The whole line, or lines where folded, with the line end.
    pub line: Span,
}

/// The request line or status line, without its line end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstLine {
    /// `INVITE sip:bob@example.com SIP/2.0`.
    Request {
        /// The method.
        method: Method,
        /// The method as written.
        method_text: Span,
        /// The request URI.
        uri: Span,
        /// `SIP/2.0`, or `HTTP/1.x`.
        version: Span,
    },
    /// `SIP/2.0 180 Ringing`.
    Reply {
        /// `SIP/2.0`, or `HTTP/1.x`.
        version: Span,
        /// The status code, 100 to 999.
        status: u16,
        /// The status code as written.
        status_text: Span,
        /// The reason phrase; may be empty.
        reason: Span,
    },
}

/// A received message. Its buffer is shared and never changes; all else are ranges in it.
#[derive(Clone, Debug)]
pub struct Message {
    buffer: Str,
    parsed: Parsed,
}

impl Message {
    /// Indexes the bytes of one datagram or frame in a single pass.
    ///
    /// Taken: line ends of LF alone, folded lines, compact forms, space and control characters before a colon, bytes
    /// that are no UTF-8, empty lines before the first line, HTTP/1.x first lines. Bytes beyond Content-Length are
    /// not part of the body (RFC 3261 section 18.3). That a header is there does not say that its value is valid,
    /// and no header is required here: [`Message::fault`] tells.
    ///
    /// # Errors
    /// [`ParseError`] where the bytes are no message, or one beyond `limits`.
    pub fn parse(buffer: Str, limits: &Limits) -> Result<Message, ParseError> {
        let parsed = parse::message(&buffer, limits)?;
        Ok(Message { buffer, parsed })
    }

    /// An index of whatever can be recognised in a request that [`Message::parse`] refused, for replying to it.
    ///
    /// Bad lines are left out and the body is empty. `None` where no reply can be due: replies, ACK requests, bytes
    /// without a first line, and requests without Via, From, To, Call-ID or CSeq.
    pub fn salvage(buffer: Str, limits: &Limits) -> Option<Message> {
        let parsed = parse::salvage(&buffer, limits)?;
        Some(Message { buffer, parsed })
    }

    /// The bytes as they came.
    pub fn buffer(&self) -> &Str {
        &self.buffer
    }

    /// The request line or status line.
    pub fn first_line(&self) -> &FirstLine {
        &self.parsed.first_line
    }

    /// The first line's bytes without the line end.
    pub fn first_line_span(&self) -> Span {
        self.parsed.first_line_span
    }

    /// Has a request line.
    pub fn is_request(&self) -> bool {
        matches!(self.parsed.first_line, FirstLine::Request { .. })
    }

    /// Has a status line.
    pub fn is_reply(&self) -> bool {
        matches!(self.parsed.first_line, FirstLine::Reply { .. })
    }

    /// Is HTTP rather than SIP (module xhttp).
    pub fn is_http(&self) -> bool {
        self.bytes(self.version())
            .get(..5)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"))
    }

    /// The protocol version as written.
    pub fn version(&self) -> Span {
        match self.parsed.first_line {
            FirstLine::Request { version, .. } | FirstLine::Reply { version, .. } => version,
        }
    }

    /// The request's method; for a reply that of its CSeq, [`Method::Other`] where that is missing or broken.
    pub fn method(&self) -> Method {
        match self.parsed.first_line {
            FirstLine::Request { method, .. } => method,
            FirstLine::Reply { .. } => self
                .cseq()
                .map_or(Method::Other, |(_, method)| Method::parse(self.bytes(method))),
        }
    }

    /// The request's method as written; for a reply that of its CSeq, empty where that is missing or broken.
    pub fn method_text(&self) -> &[u8] {
        match self.parsed.first_line {
            FirstLine::Request { method_text, .. } => self.bytes(method_text),
            FirstLine::Reply { .. } => self.cseq().map_or(&[], |(_, method)| self.bytes(method)),
        }
    }

    /// The request URI as received; `None` for a reply.
    pub fn uri(&self) -> Option<&[u8]> {
        match self.parsed.first_line {
            FirstLine::Request { uri, .. } => Some(self.bytes(uri)),
            FirstLine::Reply { .. } => None,
        }
    }

    /// The reply's status; `None` for a request.
    pub fn status(&self) -> Option<u16> {
        match self.parsed.first_line {
            FirstLine::Request { .. } => None,
            FirstLine::Reply { status, .. } => Some(status),
        }
    }

    /// The reply's reason phrase; `None` for a request.
    pub fn reason(&self) -> Option<&[u8]> {
        match self.parsed.first_line {
            FirstLine::Request { .. } => None,
            FirstLine::Reply { reason, .. } => Some(self.bytes(reason)),
        }
    }

    /// All headers in the order of the message.
    pub fn headers(&self) -> &[Header] {
        &self.parsed.headers
    }

    /// The first header of this kind.
    pub fn first(&self, id: HeaderId) -> Option<&Header> {
        if !self.has(id) {
            return None;
        }
        self.parsed.headers.iter().find(|header| header.id == id)
    }

    /// Whether there is a header of this kind; costs one bit test.
    pub fn has(&self, id: HeaderId) -> bool {
        self.parsed.present & id.bit() != 0
    }

    /// All headers of this kind in order.
    pub fn all(&self, id: HeaderId) -> impl DoubleEndedIterator<Item = &Header> {
        self.parsed.headers.iter().filter(move |header| header.id == id)
    }

    /// All headers of this name in order: any case, long for compact and compact for long.
    pub fn named<'m, 'n>(
        &'m self,
        name: &'n [u8],
    ) -> impl DoubleEndedIterator<Item = &'m Header> + use<'m, 'n> {
        let name = name.trim_ascii();
        let id = HeaderId::parse(name);
        self.parsed.headers.iter().filter(move |header| {
            header.id == id && (id != HeaderId::Other || self.bytes(header.name).eq_ignore_ascii_case(name))
        })
    }

    /// The bytes of a range; empty where the range is not of this message.
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.of_bytes(&self.buffer)
    }

    /// The text of a range, sharing the message's buffer.
    pub fn text(&self, span: Span) -> Str {
        self.buffer.share(self.bytes(span))
    }

    /// A header's value.
    pub fn value(&self, header: &Header) -> &[u8] {
        self.bytes(header.value)
    }

    /// A header's value, sharing the message's buffer.
    pub fn value_text(&self, header: &Header) -> Str {
        self.text(header.value)
    }

    /// The offset behind the first line's end, where `insert_hf` puts headers.
    pub fn headers_start(&self) -> u32 {
        self.parsed.headers_start
    }

    /// The offset of the empty line that ends the headers, where `append_hf` puts headers.
    pub fn headers_end(&self) -> u32 {
        self.parsed.headers_end
    }

    /// Where the body is.
    pub fn body_span(&self) -> Span {
        self.parsed.body
    }

    /// The body, as long as Content-Length says; up to the end of the datagram where there is none.
    pub fn body(&self) -> &[u8] {
        self.bytes(self.parsed.body)
    }

    /// Where the message is in its buffer: from the first line to the end of the body.
    pub fn span(&self) -> Span {
        Span::new(self.parsed.first_line_span.start(), self.parsed.body.end())
    }

    /// The first Call-ID's value.
    pub fn call_id(&self) -> Option<&[u8]> {
        self.first(HeaderId::CallId).map(|header| self.value(header))
    }

    /// The value of Content-Length; `None` where there is none.
    pub fn content_length(&self) -> Option<u32> {
        self.parsed.content_length
    }

    /// Number and method of the first CSeq; `None` where it is missing, broken, or the number is beyond 2^32-1.
    pub fn cseq(&self) -> Option<(u32, Span)> {
        let header = self.first(HeaderId::CSeq)?;
        parse::cseq(&self.buffer, header.value)
    }

    /// Every hop of every Via header, topmost first, across lines and commas.
    pub fn vias(&self) -> Vias<'_> {
        Vias::new(self)
    }
}
