//! [`Codec`]: how a stream is cut into messages. SIP has one; HTTP and WebSocket bring their own.

use bytes::{Bytes, BytesMut};

/// A piece of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Bytes),
    /// A double CRLF outside messages (RFC 5626 section 4.4.1): the peer asks for a CRLF.
    Ping,
    /// A single CRLF: the answer to one of ours.
    Pong,
}

/// Cuts a stream into frames without doing I/O.
pub trait Codec {
    /// Takes the next frame off the front of `buffer`; `None` needs more bytes; an error ends the connection.
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, String>;
}

/// The codec of SIP.
pub fn sip(config: &crate::NetConfig) -> impl Codec + use<> {
    Sip {
        limit: config.msg_recv_max_size,
        length_optional: config.tcp.accept_no_cl,
    }
}

/// Cuts SIP by Content-Length (RFC 3261 section 18.3).
struct Sip {
    limit: usize,
    length_optional: bool,
}

impl Codec for Sip {
    fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, String> {
        if buffer.starts_with(b"\r\n\r\n") {
            let _ = buffer.split_to(4);
            return Ok(Some(Frame::Ping));
        }
        if buffer.starts_with(b"\r\n")
            && buffer.len() > 2
            && !b"\r\n".starts_with(buffer.get(2..3).unwrap_or_default())
        {
            let _ = buffer.split_to(2);
            return Ok(Some(Frame::Pong));
        }
        let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else {
            return if buffer.len() > self.limit {
                Err("the message is too long".into())
            } else {
                Ok(None)
            };
        };
        let text = buffer.get(..head).unwrap_or_default();
        let body = content_length(text, self.length_optional)?;
        let whole = head.saturating_add(4).saturating_add(body);
        if whole > self.limit {
            return Err("the message is too long".into());
        }
        Ok((buffer.len() >= whole).then(|| Frame::Message(buffer.split_to(whole).freeze())))
    }
}

fn content_length(head: &[u8], optional: bool) -> Result<usize, String> {
    let mut found = None;
    for line in head.split(|b| *b == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = std::str::from_utf8(value.get(1..).unwrap_or_default().trim_ascii()).unwrap_or("?");
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        let number = value
            .parse()
            .ok()
            .filter(|_| digits)
            .ok_or("bad Content-Length")?;
        if found.replace(number).is_some_and(|other| other != number) {
            return Err("two different Content-Length headers".into());
        }
    }
    match found {
        None if optional => Ok(0),
        None => Err("no Content-Length".into()),
        Some(length) => Ok(length),
    }
}
