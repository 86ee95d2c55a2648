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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ParseErrorKind;

    fn parse(text: &str) -> Result<Message, ParseError> {
        Message::parse(Str::from(text), &Limits::default())
    }

    fn values(message: &Message, name: &[u8]) -> Vec<String> {
        message
            .named(name)
            .map(|header| message.value_text(header).to_string())
            .collect()
    }

    #[test]
    fn however_a_name_is_spelt_it_is_one_header() {
        let message = parse(
            "OPTIONS sip:a SIP/2.0\r\nX-Name: 1\r\nX-Name : 2\r\nx-NAME\t: 3\r\nX-Name\x01: 4\r\nX-Name \x0b:5\r\n\
             \x01X-Name: 6\r\nX-Name:\r\n 7\r\nX-Name:\r\ni : c\r\nX-Names: no\r\nSubject: a\r\n  b \r\n\r\n",
        )
        .expect("a request");
        assert_eq!(
            values(&message, b"x-name"),
            ["1", "2", "3", "4", "5", "6", "7", ""]
        );
        assert_eq!(values(&message, b"CALL-ID"), ["c"]);
        assert_eq!(values(&message, b"I"), ["c"]);
        assert_eq!(message.call_id(), Some(&b"c"[..]));
        assert_eq!(values(&message, b"s"), ["a\r\n  b"]);
    }

    #[test]
    fn a_reply_takes_its_method_from_cseq() {
        let message = parse("SIP/2.0 180 Ringing  now\r\nCSeq: 7\r\n  INVITE\r\n\r\n").expect("a reply");
        assert_eq!(
            (message.status(), message.reason()),
            (Some(180), Some(&b"Ringing  now"[..]))
        );
        assert_eq!(
            (message.method(), message.method_text()),
            (Method::Invite, &b"INVITE"[..])
        );
        assert_eq!(message.uri(), None);
        let message = parse("SIP/2.0 200\r\nCSeq: 4294967296 BYE\r\n\r\n").expect("a reply");
        assert_eq!(
            (message.method(), message.method_text(), message.cseq()),
            (Method::Other, &b""[..], None)
        );
    }

    #[test]
    fn lone_line_feeds_leading_line_ends_and_raw_bytes_are_taken() {
        let text = b"\r\n\n\r\nOPTIONS sip:a sip/2.0\nSubject: \xff\xfe \nl:2\n\nhi and more";
        let message = Message::parse(Str::copy(text), &Limits::default()).expect("a request");
        assert_eq!(
            message
                .first(HeaderId::Subject)
                .map(|header| message.value(header)),
            Some(&b"\xff\xfe"[..])
        );
        assert_eq!((message.body(), message.content_length()), (&b"hi"[..], Some(2)));
        assert_eq!(message.bytes(message.first_line_span()), b"OPTIONS sip:a sip/2.0");
        assert!(message.bytes(message.span()).starts_with(b"OPTIONS") && !message.is_http());
        assert!(parse("POST /rpc HTTP/1.1\r\n\r\n").is_ok_and(|message| message.is_http()));
    }

    #[test]
    fn each_fault_has_its_kind_and_place() {
        use ParseErrorKind::*;
        let cases = [
            ("", Empty, 0),
            ("\r\n\r\n", Empty, 4),
            ("OPTIONS sip:a SIP/2.0", FirstLine, 21),
            ("OPTIONS sip:a\r\n\r\n", FirstLine, 8),
            ("OPTIONS  sip:a SIP/2.0\r\n\r\n", FirstLine, 9),
            ("OPTIONS sip:a; lr SIP/2.0\r\n\r\n", FirstLine, 15),
            ("OPT{ONS sip:a SIP/2.0\r\n\r\n", FirstLine, 0),
            ("OPTIONS sip:a SIP/7.0\r\n\r\n", Version, 14),
            ("OPTIONS sip:a MRCP/2.0\r\n\r\n", FirstLine, 14),
            ("SIP/2.0 2000 OK\r\n\r\n", FirstLine, 11),
            ("SIP/2.0 099 No\r\n\r\n", FirstLine, 8),
            ("SIP/2.0 2x0 No\r\n\r\n", FirstLine, 8),
            ("A sip:a SIP/2.0\r\nX: y\r\n", Unfinished, 23),
            ("A sip:a SIP/2.0\r\nX: y", Unfinished, 17),
            ("A sip:a SIP/2.0\r\nno colon\r\n\r\n", Header, 17),
            ("A sip:a SIP/2.0\r\n: y\r\n\r\n", Header, 17),
            ("A sip:a SIP/2.0\r\nX Y: y\r\n\r\n", Header, 17),
            ("A sip:a SIP/2.0\r\n X: y\r\n\r\n", Header, 17),
            ("A sip:a SIP/2.0\r\nl: -1\r\n\r\n", ContentLength, 20),
            ("A sip:a SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n12", ContentLength, 26),
            ("A sip:a SIP/2.0\r\nl: 4294967297\r\n\r\n1", ContentLength, 20),
            ("A sip:a SIP/2.0\r\nl: 3\r\n\r\n12", BodyTruncated, 27),
        ];
        for (text, kind, at) in cases {
            assert_eq!(
                parse(text).map(|_| ()),
                Err(ParseError::new(kind, at)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn limits_are_kept_to_the_byte() {
        let text = "A sip:ab SIP/2.0\r\nX: y\r\nZ: z\r\n\r\n";
        let fits = Limits {
            message: text.len(),
            headers: 2,
            header: 6,
            uri: 6,
        };
        let kind = |limits: Limits| {
            Message::parse(Str::from(text), &limits)
                .err()
                .map(|error| error.kind)
        };
        assert_eq!(kind(fits), None);
        assert_eq!(
            kind(Limits {
                message: text.len() - 1,
                ..fits
            }),
            Some(ParseErrorKind::TooLarge)
        );
        assert_eq!(
            kind(Limits { headers: 1, ..fits }),
            Some(ParseErrorKind::TooManyHeaders)
        );
        assert_eq!(
            kind(Limits { header: 5, ..fits }),
            Some(ParseErrorKind::HeaderTooLong)
        );
        assert_eq!(kind(Limits { uri: 5, ..fits }), Some(ParseErrorKind::UriTooLong));
    }

    #[test]
    fn a_broken_request_is_salvaged_for_its_reply_only() {
        let needed = "v: SIP/2.0/UDP h\r\nf: f\r\nbroken line\r\nt: t\r\ni: i\r\nCSeq: 1 X";
        let salvage = |text: String| Message::salvage(Str::from(text), &Limits::default());
        let message =
            salvage(format!("INVITE sip:a; lr SIP/7.0\r\n{needed}\r\nl: 9\r\n\r\n12")).expect("answerable");
        assert_eq!(
            (message.uri(), message.headers().len(), message.body()),
            (Some(&b"sip:a; lr"[..]), 6, &b""[..])
        );
        assert!(
            salvage(format!("INVITE sip:a SIP/2.0\r\n{needed}\r\n")).is_some(),
            "no empty line"
        );
        assert!(
            salvage(format!("INVITE sip:a SIP/2.0\r\n{needed}")).is_none(),
            "CSeq was cut off"
        );
        assert!(salvage(format!("ACK sip:a SIP/2.0\r\n{needed}\r\n\r\n")).is_none());
        assert!(salvage(format!("SIP/2.0 200 OK\r\n{needed}\r\n\r\n")).is_none());
        assert!(
            salvage(format!(
                "INVITE sip:a SIP/2.0\r\n{}\r\n\r\n",
                needed.replace("f: f", "x: f")
            ))
            .is_none()
        );
    }

    #[test]
    fn hops_come_in_order_across_lines_and_commas() {
        let message = parse(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a;x=\"1,2\\\",\" , SIP/2.0/UDP b\r\nTo: t\r\nv:,SIP/2.0/TCP c,\r\n d ,\r\n\r\n",
        )
        .expect("a reply");
        let hops: Vec<_> = message
            .vias()
            .map(|hop| (hop.header, message.text(hop.span).to_string()))
            .collect();
        let want = [
            (0, "SIP/2.0/UDP a;x=\"1,2\\\",\""),
            (0, "SIP/2.0/UDP b"),
            (2, "SIP/2.0/TCP c"),
            (2, "d"),
        ];
        assert_eq!(hops, want.map(|(header, hop)| (header, hop.to_owned())));
    }
}
