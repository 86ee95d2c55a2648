//! Why bytes are no message, where, and what the sender deserves to hear.

use std::fmt;

/// Caps on what is read from the network. A message beyond one of them is refused, never cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message; at most 4 GiB.
    pub message: usize,
    /// Number of header lines, folds not counted.
    pub headers: usize,
    /// Bytes of one header with its folds.
    pub header: usize,
    /// Bytes of the request URI.
    pub uri: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 65_535,
            headers: 512,
            header: 32_768,
            uri: 8_192,
        }
    }
}

/// What is wrong with the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParseErrorKind {
    /// Nothing but line ends.
    Empty,
    /// The first line is neither a request line nor a status line.
    FirstLine,
    /// The first line names a protocol version other than SIP/2.0 (or HTTP/1.x).
    Version,
    /// The request URI is longer than [`Limits::uri`].
    UriTooLong,
    /// The message is longer than [`Limits::message`].
    TooLarge,
    /// More headers than [`Limits::headers`].
    TooManyHeaders,
    /// A header longer than [`Limits::header`].
    HeaderTooLong,
    /// A line among the headers has no colon or no name.
    Header,
    /// The headers end without an empty line.
    Unfinished,
    /// Content-Length is no number, too large, or stated twice with different values.
    ContentLength,
    /// Content-Length states more bytes than came.
    BodyTruncated,
}

/// Why a message was refused: the sender's fault in every case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// The offset of the byte where it shows.
    pub at: u32,
}

impl ParseError {
    pub(crate) const fn new(kind: ParseErrorKind, at: u32) -> ParseError {
        ParseError { kind, at }
    }

    /// The reply that a request with this fault deserves, where one can be built ([`crate::Message::salvage`]).
    /// `None` where no request can be recognised in the bytes.
    pub const fn reply(self) -> Option<(u16, &'static str)> {
        match self.kind {
            ParseErrorKind::Empty => None,
            ParseErrorKind::FirstLine => Some((400, "Bad Request Line")),
            ParseErrorKind::Version => Some((505, "Version Not Supported")),
            ParseErrorKind::UriTooLong => Some((414, "Request-URI Too Long")),
            ParseErrorKind::TooLarge | ParseErrorKind::TooManyHeaders | ParseErrorKind::HeaderTooLong => {
                Some((513, "Message Too Large"))
            }
            ParseErrorKind::Header => Some((400, "Bad Header")),
            ParseErrorKind::Unfinished => Some((400, "Headers Not Ended")),
            ParseErrorKind::ContentLength => Some((400, "Bad Content-Length")),
            ParseErrorKind::BodyTruncated => Some((400, "Body Shorter Than Content-Length")),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ParseErrorKind::Empty => "message is empty",
            ParseErrorKind::FirstLine => "first line is neither a request line nor a status line",
            ParseErrorKind::Version => "protocol version is not SIP/2.0",
            ParseErrorKind::UriTooLong => "request URI is too long",
            ParseErrorKind::TooLarge => "message is too large",
            ParseErrorKind::TooManyHeaders => "message has too many headers",
            ParseErrorKind::HeaderTooLong => "header is too long",
            ParseErrorKind::Header => "header line has no name and colon",
            ParseErrorKind::Unfinished => "headers do not end with an empty line",
            ParseErrorKind::ContentLength => "Content-Length is not one number",
            ParseErrorKind::BodyTruncated => "body is shorter than Content-Length says",
        };
        write!(f, "{what} (byte {})", self.at)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reply_derives_from_the_fault() {
        assert_eq!(
            ParseError::new(ParseErrorKind::Version, 0).reply(),
            Some((505, "Version Not Supported"))
        );
        assert_eq!(ParseError::new(ParseErrorKind::Empty, 0).reply(), None);
        assert_eq!(
            ParseError::new(ParseErrorKind::Header, 17).to_string(),
            "header line has no name and colon (byte 17)"
        );
    }
}
