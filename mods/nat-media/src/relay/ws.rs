//! The client side of WebSocket (RFC 6455), as far as a relay needs it: one message out, one in.

use std::hash::{BuildHasher, RandomState};

use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::wire::Silence;

/// The subprotocol of rtpengine's ng messages.
pub const NG_PROTOCOL: &str = "ng.rtpengine.com";

/// RFC 6455 section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A connection whose handshake is done.
#[derive(Debug)]
pub struct WebSocket<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Does the handshake (RFC 6455 section 4.1).
    ///
    /// # Errors
    /// The server refuses it, or is none.
    pub async fn connect(
        mut stream: S,
        host: &str,
        path: &str,
        protocol: &str,
    ) -> Result<WebSocket<S>, Silence> {
        let key = base64(&[random().to_be_bytes(), random().to_be_bytes()].concat());
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {protocol}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut buffer = Vec::with_capacity(1_024);
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if buffer.len() > 8_192 || stream.read_buf(&mut buffer).await? == 0 {
                return Err(Silence("no WebSocket handshake came back".to_owned()));
            }
        };
        let head = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).into_owned();
        check(&head, &key)?;
        buffer.drain(..end.saturating_add(4));
        Ok(WebSocket { stream, buffer })
    }

    /// Sends one text message.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn send(&mut self, data: &[u8]) -> Result<(), Silence> {
        self.frame(TEXT, data).await
    }

    /// The next message; pings are answered on the way.
    ///
    /// # Errors
    /// The connection fails or ends, a message is longer than `most`, or a frame breaks RFC 6455.
    pub async fn receive(&mut self, most: usize) -> Result<Vec<u8>, Silence> {
        let mut message = Vec::new();
        loop {
            let frame = self.next_frame(most).await?;
            match frame.opcode {
                TEXT | BINARY | CONTINUATION => message.extend_from_slice(&frame.data),
                PING => self.frame(PONG, &frame.data).await?,
                PONG => {}
                CLOSE => return Err(Silence("the WebSocket was closed".to_owned())),
                _ => return Err(Silence("a frame of an unknown kind".to_owned())),
            }
            if message.len() > most {
                return Err(Silence("the answer is too long".to_owned()));
            }
            if frame.last && frame.opcode < CLOSE {
                return Ok(message);
            }
        }
    }

    /// Client frames are masked (RFC 6455 section 5.3).
    async fn frame(&mut self, opcode: u8, data: &[u8]) -> Result<(), Silence> {
        let mut out = Vec::with_capacity(data.len().saturating_add(14));
        out.push(0x80 | opcode);
        match (u8::try_from(data.len()), u16::try_from(data.len())) {
            (Ok(short @ 0..=125), _) => out.push(0x80 | short),
            (_, Ok(middle)) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&middle.to_be_bytes());
            }
            _ => {
                out.push(0x80 | 127);
                let long = u64::try_from(data.len()).unwrap_or(u64::MAX);
                out.extend_from_slice(&long.to_be_bytes());
            }
        }
        let [a, b, c, d, ..] = random().to_be_bytes();
        let mask = [a, b, c, d];
        out.extend_from_slice(&mask);
        out.extend(
            data.iter()
                .zip(mask.iter().cycle())
                .map(|(byte, mask)| byte ^ mask),
        );
        Ok(self.stream.write_all(&out).await?)
    }

    async fn next_frame(&mut self, most: usize) -> Result<Frame, Silence> {
        loop {
            if let Some((frame, used)) = Frame::parse(&self.buffer, most)? {
                self.buffer.drain(..used);
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(Silence("the connection was closed".to_owned()));
            }
        }
    }
}

/// A frame from the server.
#[derive(Debug, PartialEq)]
struct Frame {
    last: bool,
    opcode: u8,
    data: Vec<u8>,
}

impl Frame {
    /// The frame at the start of `bytes` and its length; `None` while it is not whole (RFC 6455 section 5.2).
    fn parse(bytes: &[u8], most: usize) -> Result<Option<(Frame, usize)>, Silence> {
        let [first, second, rest @ ..] = bytes else {
            return Ok(None);
        };
        if second & 0x80 != 0 {
            return Err(Silence("a masked frame from a server".to_owned()));
        }
        let (length, extra) = match (second & 0x7f, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0_usize),
        };
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= most)
            .ok_or_else(|| Silence("the answer is too long".to_owned()))?;
        let start = extra.saturating_add(2);
        let end = start.saturating_add(length);
        let Some(data) = bytes.get(start..end) else {
            return Ok(None);
        };
        let frame = Frame {
            last: first & 0x80 != 0,
            opcode: first & 0x0f,
            data: data.to_vec(),
        };
        Ok(Some((frame, end)))
    }
}

/// The answer takes the connection over, and knows the key.
fn check(head: &str, key: &str) -> Result<(), Silence> {
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(Silence(format!("no WebSocket there: {status}")));
    }
    let wanted = base64(&Sha1::digest(format!("{key}{GUID}")));
    let accepted = lines.any(|line| {
        line.split_once(':').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("Sec-WebSocket-Accept") && value.trim() == wanted
        })
    });
    match accepted {
        true => Ok(()),
        false => Err(Silence("the WebSocket handshake has another key".to_owned())),
    }
}

/// Not for secrets: masks only keep proxies from misreading frames.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// RFC 4648 section 4.
fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32| {
        let at = usize::try_from(bits & 63).unwrap_or(0);
        char::from(LETTERS.get(at).copied().unwrap_or(b'='))
    };
    let mut out = String::with_capacity(data.len().div_ceil(3).saturating_mul(4));
    for chunk in data.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        out.push(letter(bits >> 18));
        out.push(letter(bits >> 12));
        out.push(if chunk.len() > 1 { letter(bits >> 6) } else { '=' });
        out.push(if chunk.len() > 2 { letter(bits) } else { '=' });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_answered_as_the_rfc_shows() {
        assert_eq!(base64(b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(
            (base64(b""), base64(b"f"), base64(b"fo")),
            ("".into(), "Zg==".into(), "Zm8=".into())
        );
        let head = "HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert_eq!(check(head, "dGhlIHNhbXBsZSBub25jZQ=="), Ok(()));
        assert!(check(head, "other").is_err());
        assert!(check("HTTP/1.1 200 OK", "x").is_err());
    }

    #[test]
    fn frames_are_cut_at_every_length() {
        let of = |length: usize| {
            let mut bytes = vec![0x82];
            match length {
                0..=125 => bytes.push(length as u8),
                _ => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + length, 7);
            bytes
        };
        for length in [0, 1, 125, 126, 300] {
            let bytes = of(length);
            for cut in 0..bytes.len() {
                assert_eq!(Frame::parse(&bytes[..cut], 1_000), Ok(None), "{length} at {cut}");
            }
            let (frame, used) = Frame::parse(&bytes, 1_000).unwrap().unwrap();
            assert_eq!((frame.data.len(), used), (length, bytes.len()));
        }
        assert!(Frame::parse(&of(300), 200).is_err());
        assert!(Frame::parse(&[0x81, 0x81, 0, 0, 0, 0, 1], 10).is_err(), "masked");
        assert!(Frame::parse(&[0x81, 127, 255, 0, 0, 0, 0, 0, 0, 0], 10).is_err());
    }

    #[tokio::test]
    async fn a_message_goes_out_masked_and_its_answer_comes_in_pieces() {
        let (near, mut far) = tokio::io::duplex(4_096);
        let server = async {
            let mut buffer = Vec::new();
            while !buffer.ends_with(b"\r\n\r\n") {
                far.read_buf(&mut buffer).await.unwrap();
            }
            let head = String::from_utf8(buffer).unwrap();
            assert!(head.contains("Sec-WebSocket-Protocol: ng.rtpengine.com\r\n"));
            let key = head
                .split("Sec-WebSocket-Key: ")
                .nth(1)
                .unwrap()
                .split("\r\n")
                .next()
                .unwrap();
            let accept = base64(&Sha1::digest(format!("{key}{GUID}")));
            let answer = format!("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: {accept}\r\n\r\n");
            far.write_all(answer.as_bytes()).await.unwrap();
            let mut frame = [0; 11];
            far.read_exact(&mut frame).await.unwrap();
            let data: Vec<u8> = frame[6..]
                .iter()
                .zip(frame[2..6].iter().cycle())
                .map(|(a, b)| a ^ b)
                .collect();
            assert_eq!(data, b"hello");
            // A ping, then an answer in two frames.
            far.write_all(&[0x89, 0, 0x01, 2, b'h', b'i', 0x80, 1, b'!'])
                .await
                .unwrap();
            far.read_exact(&mut frame[..6]).await.unwrap();
            assert_eq!(frame[0], 0x8a, "a pong");
        };
        let client = async {
            let mut socket = WebSocket::connect(near, "h:1", "/ng", NG_PROTOCOL).await.unwrap();
            socket.send(b"hello").await.unwrap();
            socket.receive(100).await.unwrap()
        };
        let (answer, ()) = tokio::join!(client, server);
        assert_eq!(answer, b"hi!");
    }
}
