//! Replies that this server gives to a request itself.

use std::{fmt, io::Write};

use super::via_fix::{More, ViaFix, ViaNotes};
use crate::{
    Edits, Header, HeaderId, Message, Method, Span, Str,
    edits::Patch,
    via_parts::{Param, ToTag, ViaParts, to_tag},
    view::NameAddr,
};

/// A reply that this server gives to a request itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalReply<'a> {
    /// 100 to 699.
    pub status: u16,
    /// The reason phrase; line ends in it are written as spaces.
    pub reason: &'a [u8],
    /// The tag that To gets where it has none (or an empty one). `None` for 100.
    pub to_tag: Option<&'a [u8]>,
    /// The Server header's line without its line end, such as `Server: kahea (0.1.0)`.
    pub server: Option<&'a [u8]>,
    /// Further header lines with their line ends (`append_to_reply`).
    pub extra: &'a [Str],
    /// Content-Type and body.
    pub body: Option<(&'a [u8], &'a [u8])>,
    /// A Warning header's value.
    pub warning: Option<&'a [u8]>,
    /// What to note in the topmost Via.
    pub via_fix: Option<ViaFix>,
}

/// Why no reply is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CannotReply {
    /// The message is a reply itself.
    NoRequest,
    /// The request is an ACK, which is never answered.
    Ack,
    /// Via or CSeq is missing: nobody could tell which request the reply is for.
    Missing(HeaderId),
    /// The topmost Via cannot be read: nobody knows where the reply should go.
    Via,
}

impl fmt::Display for CannotReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotReply::NoRequest => f.write_str("a reply cannot be answered"),
            CannotReply::Ack => f.write_str("an ACK is never answered"),
            CannotReply::Missing(id) => write!(f, "the request has no {} header", id.name()),
            CannotReply::Via => f.write_str("the request's topmost Via cannot be read"),
        }
    }
}

impl std::error::Error for CannotReply {}

/// Appends a reply to the request `message` to `out`: Via, From, To, Call-ID and CSeq as they came and in their order,
/// Record-Route too in 18x and 2xx; of From, To, Call-ID and CSeq the first one only, where there are several. Without
/// From, To or Call-ID the reply has none either (RFC 4475 section 3.3.1 wants a 400 for such a request).
///
/// # Errors
/// [`CannotReply`], with `out` as it was.
pub fn local_reply(message: &Message, reply: &LocalReply<'_>, out: &mut Vec<u8>) -> Result<(), CannotReply> {
    let via = answerable(message)?;
    let notes = reply
        .via_fix
        .map(|fix| ViaNotes::new(message, &via, fix))
        .unwrap_or_default();
    out.reserve(message.headers_end() as usize);
    write_status_line(reply, out);
    let record_route = matches!(reply.status, 180..=189 | 200..=299);
    let mut done = 0u64;
    for header in message.headers() {
        let first = done & header.id.bit() == 0;
        done |= header.id.bit();
        match header.id {
            HeaderId::Via if first => write_top_via(message, header, &via, &notes, out),
            HeaderId::Via => out.extend_from_slice(message.bytes(header.line)),
            HeaderId::To if first => write_to(message, header, reply.to_tag, out),
            HeaderId::From | HeaderId::CallId | HeaderId::CSeq if first => {
                out.extend_from_slice(message.bytes(header.line));
            }
            HeaderId::RecordRoute if record_route => out.extend_from_slice(message.bytes(header.line)),
            _ => {}
        }
    }
    write_own_headers(reply, out);
    Ok(())
}

/// The topmost Via, where the request can be answered.
fn answerable(message: &Message) -> Result<ViaParts, CannotReply> {
    if !message.is_request() {
        return Err(CannotReply::NoRequest);
    }
    if message.method() == Method::Ack {
        return Err(CannotReply::Ack);
    }
    // The sender finds its transaction by these two (RFC 3261 section 17.1.3).
    if let Some(id) = [HeaderId::Via, HeaderId::CSeq]
        .into_iter()
        .find(|id| !message.has(*id))
    {
        return Err(CannotReply::Missing(id));
    }
    ViaParts::top(message).ok_or(CannotReply::Via)
}

fn write_status_line(reply: &LocalReply<'_>, out: &mut Vec<u8>) {
    push(out, format_args!("SIP/2.0 {} ", reply.status));
    out.extend(reply.reason.iter().map(|byte| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    }));
    out.extend_from_slice(b"\r\n");
}

/// The header of the topmost hop; new parameters go behind that hop's own.
fn write_top_via(message: &Message, header: &Header, via: &ViaParts, notes: &ViaNotes, out: &mut Vec<u8>) {
    let mut patches = More::new();
    notes.patches(via, via.end, &mut patches);
    Edits::new()
        .plan(patches)
        .write(message.buffer(), header.line, out, &mut |_, _| {});
}

/// The To header with a tag.
fn write_to(message: &Message, header: &Header, tag: Option<&[u8]>, out: &mut Vec<u8>) {
    let Some(tag) = tag.filter(|tag| !tag.is_empty()) else {
        return out.extend_from_slice(message.bytes(header.line));
    };
    let param = [b";tag=", tag].concat();
    let patch = match to_tag(message.buffer(), header.value) {
        ToTag::Some => return out.extend_from_slice(message.bytes(header.line)),
        // A tag behind an unclosed bracket would be part of the URI.
        ToTag::None if NameAddr::parse(message.value(header)).is_err() => {
            return out.extend_from_slice(message.bytes(header.line));
        }
        ToTag::None => Patch::replace(Span::at(header.value.end()), &param),
        ToTag::Empty(Param {
            value: Some(value), ..
        }) => Patch::replace(value, tag),
        ToTag::Empty(Param { name, .. }) => Patch::replace(name, param.get(1..).unwrap_or_default()),
    };
    Edits::new()
        .plan([patch])
        .write(message.buffer(), header.line, out, &mut |_, _| {});
}

/// What a reply holds of this server's own, and the body.
fn write_own_headers(reply: &LocalReply<'_>, out: &mut Vec<u8>) {
    for line in reply.extra {
        out.extend_from_slice(line);
    }
    let (content_type, body) = reply.body.unwrap_or_default();
    let mut line = |name: &[u8], value: &[u8]| {
        out.extend_from_slice(name);
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    if !content_type.is_empty() {
        line(b"Content-Type: ", content_type);
    }
    if let Some(server) = reply.server {
        line(b"", server);
    }
    line(b"Content-Length: ", body.len().to_string().as_bytes());
    if let Some(warning) = reply.warning {
        line(b"Warning: ", warning);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
}

/// Writing to a vector cannot fail.
fn push(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    let _written: std::io::Result<()> = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{fix, invite, via_line},
        *,
    };
    use crate::Limits;

    fn replied(message: &Message, reply: &LocalReply<'_>) -> Result<String, CannotReply> {
        let mut out = Vec::new();
        local_reply(message, reply, &mut out)?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_local_reply_is_kamailios() {
        let via = "Via: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKb1;rport";
        let message = invite(
            via,
            "Max-Forwards: 70\r\nRecord-Route: <sip:1.1.1.1;lr>\r\nTimestamp: 5\r\n",
            "",
        );
        let reply = LocalReply {
            status: 200,
            reason: b"Good",
            to_tag: Some(b"T"),
            server: Some(b"Server: kahea"),
            via_fix: fix("127.0.0.1:5061", false),
            ..LocalReply::default()
        };
        let want = "SIP/2.0 200 Good\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKb1;rport=5061;received=127.0.0.1\r\n\
             From: \"Alice\" <sip:alice@example.com>;tag=ft1\r\nTo: <sip:bob@127.0.0.1>;tag=T\r\nCall-ID: c1@case\r\n\
             CSeq: 1 INVITE\r\nRecord-Route: <sip:1.1.1.1;lr>\r\nServer: kahea\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(replied(&message, &reply).as_deref(), Ok(want));
        let extra = [Str::from("X-R: 1\r\n")];
        let reply = LocalReply {
            status: 404,
            reason: b"Not\r\nthere",
            extra: &extra,
            body: Some((b"text/plain", b"hello\r\n")),
            warning: Some(b"392 a \"b\""),
            ..reply
        };
        let out = replied(&message, &reply).expect("a reply");
        assert!(out.starts_with("SIP/2.0 404 Not  there\r\n"));
        let tail = "CSeq: 1 INVITE\r\nX-R: 1\r\nContent-Type: text/plain\r\nServer: kahea\r\nContent-Length: 7\r\n\
             Warning: 392 a \"b\"\r\n\r\nhello\r\n";
        assert!(out.ends_with(tail), "{out}");
    }

    #[test]
    fn a_local_reply_stays_well_formed_whatever_came() {
        let reply = LocalReply {
            status: 400,
            reason: b"Bad",
            to_tag: Some(b"T"),
            ..LocalReply::default()
        };
        let via =
            "v : SIP/2.0/UDP example.com;received=3.4.5.6,SIP/2.0/UDP 1.2.3.4\r\nVIA: SIP/2.0/UDP 5.5.5.5";
        let message = invite(
            via,
            "To: <sip:b@c>;tag=second\r\nCSeq: 2 INVITE\r\nf: <sip:x@y>\r\ni: 2\r\n",
            "",
        );
        let out = replied(
            &message,
            &LocalReply {
                via_fix: fix("[2001:db8::1]:9", true),
                ..reply
            },
        )
        .expect("a reply");
        let first = "v : SIP/2.0/UDP example.com;received=2001:db8::1;rport=9,SIP/2.0/UDP 1.2.3.4";
        assert_eq!(
            (via_line(&out, 0), via_line(&out, 1)),
            (first.into(), "VIA: SIP/2.0/UDP 5.5.5.5".into())
        );
        assert!(!out.contains("second") && out.matches("CSeq").count() == 1 && !out.contains("i: 2"));
        let long = format!("<sip:b@c>;tag={}", "t".repeat(20_000));
        for (to, want) in [
            ("<sip:b@c>;tag=", "<sip:b@c>;tag=T"),
            ("<sip:b@c>;tag ;x", "<sip:b@c>;tag=T ;x"),
            (&long, &long),
        ] {
            let text = format!(
                "BYE sip:a SIP/2.0\r\nv: SIP/2.0/UDP h\r\nf: f\r\nt: {to}\r\ni: 1\r\nCSeq: 1 BYE\r\n\r\n"
            );
            let message = Message::parse(Str::from(text), &Limits::default()).expect("a request");
            assert!(
                replied(&message, &reply)
                    .expect("a reply")
                    .contains(&format!("\r\nt: {want}\r\n"))
            );
        }
    }

    #[test]
    fn no_reply_where_none_is_possible() {
        let reply = LocalReply {
            status: 400,
            reason: b"Bad",
            ..LocalReply::default()
        };
        assert_eq!(
            replied(&invite("Via: SIP/2.0/UDP :]", "", ""), &reply),
            Err(CannotReply::Via)
        );
        assert_eq!(
            replied(&invite("X: y", "", ""), &reply),
            Err(CannotReply::Missing(HeaderId::Via))
        );
        let ack =
            Message::parse(Str::from("ACK sip:a SIP/2.0\r\n\r\n"), &Limits::default()).expect("a request");
        assert_eq!(replied(&ack, &reply), Err(CannotReply::Ack));
    }
}
