//! Writing messages: a request or reply that goes on, and replies of this server's own.
//!
//! What no edit touches leaves byte for byte as it came. Where Kamailio has a choice of place or order, its choice is
//! taken, but for: `received` and `rport` go to the first hop of a Via that holds several, an old `received` is
//! replaced, an empty To tag is filled, and bytes behind the body are not sent on.

use std::{fmt, io::Write, net::SocketAddr};

use smallvec::SmallVec;

use crate::{
    EditTag, Edits, FirstLine, Header, HeaderId, Late, Message, Method, Place, Span, Str,
    edits::{Patch, Piece, Plan},
    via_parts::{Param, ToTag, ViaParts, to_tag},
};

/// What a proxy notes in the topmost Via of a request (RFC 3261 section 18.2.1, RFC 3581).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViaFix {
    /// Where the request came from.
    pub source: SocketAddr,
    /// Add `rport` even where the sender did not ask for it (`force_rport()`).
    pub force_rport: bool,
}

/// What a forwarded request gets besides the script's edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestParts<'a> {
    /// The new request URI, where it changed.
    pub ruri: Option<&'a [u8]>,
    /// A whole Via header with its line end, put in front of the topmost one.
    pub new_via: Option<&'a [u8]>,
    /// What to note in the previous topmost Via.
    pub via_fix: Option<ViaFix>,
    /// It leaves over a stream, where Content-Length is mandatory: added where missing.
    pub stream: bool,
}

/// Appends `message` with `edits` and `parts` applied to `out`, as a request that is sent on.
pub fn request(
    message: &Message,
    edits: &Edits,
    parts: &RequestParts<'_>,
    late: Late<'_>,
    out: &mut Vec<u8>,
) {
    let noted;
    let mut more = More::new();
    if let (Some(ruri), FirstLine::Request { uri, .. }) = (parts.ruri, message.first_line()) {
        more.push(Patch::replace(*uri, ruri));
    }
    if let Some(via) = parts.new_via {
        let at = message
            .first(HeaderId::Via)
            .map_or(message.headers_start(), |header| header.line.start());
        more.push(Patch::replace(Span::at(at), via));
    }
    if let (Some(fix), Some(via)) = (parts.via_fix, ViaParts::top(message)) {
        noted = ViaNotes::new(message, &via, fix);
        noted.patches(&via, via.sent_by_end, &mut more);
    }
    finish(message, edits, &more, parts.stream, late, out);
}

/// Appends a received reply to `out` with `edits` applied and without its topmost Via, for the next hop down.
pub fn reply_forward(message: &Message, edits: &Edits, stream: bool, late: Late<'_>, out: &mut Vec<u8>) {
    let top: More<'_> = top_via_removal(message).map(Patch::remove).into_iter().collect();
    finish(message, edits, &top, stream, late, out);
}

/// Appends `message` with `edits` applied to `out` and Content-Length set right: what `msg_apply_changes()` needs.
pub fn edited(message: &Message, edits: &Edits, late: Late<'_>, out: &mut Vec<u8>) {
    finish(message, edits, &[], false, late, out);
}

/// The bytes that go when the topmost Via is taken off: its line, or its part of a list up to the next hop.
fn top_via_removal(message: &Message) -> Option<Span> {
    let mut hops = message.vias();
    let top = hops.next()?;
    match hops.next() {
        Some(next) if next.header == top.header => Some(Span::new(top.span.start(), next.span.start())),
        _ => message.headers().get(top.header).map(|header| header.line),
    }
}

/// Patches of the serialiser itself: request URI, Via, two Via parameters, Content-Length.
type More<'a> = SmallVec<[Patch<'a>; 6]>;

/// Writes the message with all patches, the length of the new body in place of the old one.
fn finish(
    message: &Message,
    edits: &Edits,
    more: &[Patch<'_>],
    stream: bool,
    late: Late<'_>,
    out: &mut Vec<u8>,
) {
    let whole = message.span();
    let body_span = message.body_span();
    out.reserve(whole.len().saturating_add(512));
    if length_stays(message, edits, stream) {
        return edits
            .plan(more.iter().copied())
            .write(message.buffer(), whole, out, late);
    }
    let mut body = Vec::with_capacity(body_span.len());
    body_plan(edits, message).write(message.buffer(), body_span, &mut body, late);
    let length = body.len().to_string();
    let line = format!("Content-Length: {length}\r\n");
    let mut more: More<'_> = more.iter().copied().collect();
    more.extend(length_patches(message, edits, stream, &length, &line));
    let head = Span::new(whole.start(), body_span.start());
    head_plan(edits, message, &more).write(message.buffer(), head, out, late);
    out.extend_from_slice(&body);
}

/// Whether the body leaves as it came and Content-Length is there, or need not be.
fn length_stays(message: &Message, edits: &Edits, stream: bool) -> bool {
    let stated = message
        .all(HeaderId::ContentLength)
        .any(|header| !edits.is_removed(header.line));
    !edits.touches(message.body_span()) && (stated || !stream)
}

/// Edits of the body alone.
fn body_plan<'a>(edits: &'a Edits, message: &Message) -> Plan<'a> {
    let start = message.body_span().start();
    let mut plan = edits.plan([]);
    plan.retain(|patch| patch.removed.end() > start || patch.removed.start() >= start);
    plan
}

/// Edits of what stands before the body.
fn head_plan<'a>(edits: &'a Edits, message: &Message, more: &[Patch<'a>]) -> Plan<'a> {
    let start = message.body_span().start();
    let mut plan = edits.plan(more.iter().copied());
    plan.retain(|patch| patch.removed.start() < start);
    plan
}

/// States the body's length: in place where a header is left, as a new line at the end where one is due.
fn length_patches<'a>(
    message: &Message,
    edits: &Edits,
    stream: bool,
    length: &'a str,
    line: &'a str,
) -> More<'a> {
    let added = edits.iter().any(|(_, edit)| {
        edit.insert.is_some()
            && edit.tag == EditTag::Header(HeaderId::ContentLength)
            && edit.removed.start() < message.body_span().start()
    });
    let kept: Vec<&Header> = message
        .all(HeaderId::ContentLength)
        .filter(|header| !edits.is_removed(header.line))
        .collect();
    if added {
        // The script states the length itself: a second statement could only contradict it.
        return kept
            .into_iter()
            .map(|header| Patch::remove(header.line))
            .collect();
    }
    if kept.is_empty() {
        let at = Span::at(message.headers_end());
        let last = Patch {
            removed: at,
            piece: Piece::Text(line.as_bytes()),
            place: Place::After,
        };
        return stream.then_some(last).into_iter().collect();
    }
    kept.into_iter()
        .map(|header| Patch::replace(header.value, length.as_bytes()))
        .collect()
}

/// The texts for [`ViaFix`], kept while the patches borrow them.
#[derive(Debug, Default)]
struct ViaNotes {
    received: Vec<u8>,
    rport: Vec<u8>,
    /// The number at the end of `rport`.
    port: Vec<u8>,
    address: Vec<u8>,
}

impl ViaNotes {
    fn new(message: &Message, via: &ViaParts, fix: ViaFix) -> ViaNotes {
        let ask = via.rport.is_some() || fix.force_rport;
        let mut notes = ViaNotes::default();
        if ask || !is_host(message.bytes(via.host), fix.source) {
            notes.address = fix.source.ip().to_canonical().to_string().into_bytes();
            notes.received = [b";received=", notes.address.as_slice()].concat();
        }
        if ask {
            notes.port = fix.source.port().to_string().into_bytes();
            notes.rport = [b";rport=", notes.port.as_slice()].concat();
        }
        notes
    }

    /// In place where the parameter is there, else at `at`, `rport` before `received`.
    fn patches<'a>(&'a self, via: &ViaParts, at: u32, more: &mut More<'a>) {
        let mut note =
            |param: Option<Param>, name: &'static [u8], value: &'a [u8], whole: &'a [u8]| match param {
                _ if value.is_empty() => {}
                Some(Param { value: Some(old), .. }) => more.push(Patch::replace(old, value)),
                // Written anew as one piece: `rport` becomes `rport=5060`.
                Some(Param { name: old, .. }) => {
                    more.push(Patch::replace(old, whole.get(1..).unwrap_or(name)))
                }
                None => more.push(Patch::replace(Span::at(at), whole)),
            };
        note(via.rport, b"rport", &self.port, &self.rport);
        note(via.received, b"received", &self.address, &self.received);
    }
}

/// Whether a Via's host is literally this address.
fn is_host(host: &[u8], source: SocketAddr) -> bool {
    let host = host
        .strip_prefix(b"[")
        .and_then(|host| host.strip_suffix(b"]"))
        .unwrap_or(host);
    std::str::from_utf8(host)
        .ok()
        .and_then(|host| host.parse::<std::net::IpAddr>().ok())
        .is_some_and(|ip| ip.to_canonical() == source.ip().to_canonical())
}

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
    /// A header that every reply repeats is missing.
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
/// Record-Route too in 18x and 2xx; of From, To, Call-ID and CSeq the first one only, where there are several.
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
    let repeated = [
        HeaderId::Via,
        HeaderId::From,
        HeaderId::To,
        HeaderId::CallId,
        HeaderId::CSeq,
    ];
    if let Some(id) = repeated.into_iter().find(|id| !message.has(*id)) {
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
    use super::*;
    use crate::Limits;

    /// What the reference server (Kamailio 5.6.3) sends for the same request is the expectation of these tests.
    fn invite(via: &str, more: &str, body: &str) -> Message {
        let text = format!(
            "INVITE sip:bob@127.0.0.1 SIP/2.0\r\n{via}\r\nFrom: \"Alice\" <sip:alice@example.com>;tag=ft1\r\n\
             To: <sip:bob@127.0.0.1>\r\nCall-ID: c1@case\r\nCSeq: 1 INVITE\r\n{more}\r\n{body}"
        );
        Message::parse(Str::from(text), &Limits::default()).expect("a request")
    }

    fn sent(message: &Message, edits: &Edits, parts: &RequestParts<'_>) -> String {
        let mut out = Vec::new();
        request(message, edits, parts, &mut |_, _| {}, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn fix(source: &str, force_rport: bool) -> Option<ViaFix> {
        Some(ViaFix {
            source: source.parse().expect("an address"),
            force_rport,
        })
    }

    fn via_line(text: &str, index: usize) -> String {
        text.lines()
            .filter(|line| line.to_ascii_lowercase().starts_with('v'))
            .nth(index)
            .unwrap_or("")
            .into()
    }

    #[test]
    fn the_sender_is_noted_in_its_via_where_kamailio_notes_it() {
        let cases = [
            (
                "SIP/2.0/UDP 127.0.0.9;branch=x",
                false,
                "SIP/2.0/UDP 127.0.0.9;branch=x",
            ),
            (
                "SIP/2.0/UDP 127.0.0.9;branch=x;rport",
                false,
                "SIP/2.0/UDP 127.0.0.9;received=127.0.0.9;branch=x;rport=5060",
            ),
            (
                "SIP/2.0/UDP 127.0.0.8 : 5060 ;branch=x;received=9.9.9.9;rport;i=1",
                false,
                "SIP/2.0/UDP 127.0.0.8 : 5060 ;branch=x;received=127.0.0.9;rport=5060;i=1",
            ),
            (
                "SIP / 2.0 / UDP example.com;branch=x;rport=6, SIP/2.0/UDP b.c;rport;branch=x",
                false,
                "SIP / 2.0 / UDP example.com;received=127.0.0.9;branch=x;rport=5060, SIP/2.0/UDP b.c;rport;branch=x",
            ),
            (
                "SIP/2.0/UDP example.com;branch=x",
                true,
                "SIP/2.0/UDP example.com;rport=5060;received=127.0.0.9;branch=x",
            ),
            (
                "SIP/2.0/UDP 127.0.0.9:5060;rport=7",
                true,
                "SIP/2.0/UDP 127.0.0.9:5060;received=127.0.0.9;rport=5060",
            ),
        ];
        for (via, force, want) in cases {
            let message = invite(&format!("Via: {via}"), "", "");
            let new_via = b"Via: SIP/2.0/UDP 127.0.0.1;branch=y\r\n";
            let via_fix = fix("127.0.0.9:5060", force);
            let parts = RequestParts {
                new_via: Some(new_via),
                via_fix,
                ..RequestParts::default()
            };
            let out = sent(&message, &Edits::new(), &parts);
            assert_eq!(via_line(&out, 0), "Via: SIP/2.0/UDP 127.0.0.1;branch=y");
            assert_eq!(via_line(&out, 1), format!("Via: {want}"));
        }
    }

    #[test]
    fn headers_inserted_by_the_script_stand_before_the_new_via() {
        let message = invite("Via: SIP/2.0/UDP h", "", "");
        let mut edits = Edits::new();
        edits.insert(
            message.headers_start(),
            Place::Before,
            Str::from("X-E: 1\r\n"),
            EditTag::Other,
        );
        edits.insert(
            message.headers_end(),
            Place::After,
            Str::from("X-A: 1\r\n"),
            EditTag::Other,
        );
        let parts = RequestParts {
            ruri: Some(b"sip:new"),
            new_via: Some(b"Via: n\r\n"),
            ..RequestParts::default()
        };
        let out = sent(&message, &edits, &parts);
        assert!(
            out.starts_with("INVITE sip:new SIP/2.0\r\nX-E: 1\r\nVia: n\r\nVia: SIP/2.0/UDP h\r\n"),
            "{out}"
        );
        assert!(out.ends_with("CSeq: 1 INVITE\r\nX-A: 1\r\n\r\n"), "{out}");
    }

    #[test]
    fn content_length_follows_the_body() {
        let plain = RequestParts::default();
        let stream = RequestParts {
            stream: true,
            ..plain
        };
        let cases = [
            (
                "Content-Length: 5\r\n",
                plain,
                "Content-Length: 13\r\n\r\ngoodbye world",
            ),
            (
                "l : 5 \r\nX: y\r\n",
                stream,
                "l : 13 \r\nX: y\r\n\r\ngoodbye world",
            ),
            ("", plain, "CSeq: 1 INVITE\r\n\r\ngoodbye world"),
            (
                "",
                stream,
                "CSeq: 1 INVITE\r\nX-A: 1\r\nContent-Length: 13\r\n\r\ngoodbye world",
            ),
        ];
        for (more, parts, want) in cases {
            let message = invite("v: SIP/2.0/UDP h", more, "hello");
            let mut edits = Edits::new();
            edits.replace(message.body_span(), Str::from("goodbye world"), EditTag::Body);
            if want.contains("X-A") {
                edits.insert(
                    message.headers_end(),
                    Place::After,
                    Str::from("X-A: 1\r\n"),
                    EditTag::Other,
                );
            }
            let out = sent(&message, &edits, &parts);
            assert!(out.ends_with(want), "{out}");
        }
    }

    #[test]
    fn a_stream_never_gets_a_message_without_length() {
        let stream = RequestParts {
            stream: true,
            ..RequestParts::default()
        };
        let message = invite("v: SIP/2.0/UDP h", "Content-Length: 5\r\n", "hello");
        let mut edits = Edits::new();
        let length = message.first(HeaderId::ContentLength).expect("stated").line;
        edits.remove(length, EditTag::Header(HeaderId::ContentLength));
        assert!(sent(&message, &edits, &stream).ends_with("\r\nContent-Length: 5\r\n\r\nhello"));
        assert!(sent(&message, &edits, &RequestParts::default()).ends_with("CSeq: 1 INVITE\r\n\r\nhello"));
        let own = Str::from("Content-Length: 5\r\n");
        edits.insert(
            message.headers_end(),
            Place::After,
            own,
            EditTag::Header(HeaderId::ContentLength),
        );
        assert_eq!(
            sent(&message, &edits, &stream).matches("Content-Length").count(),
            1,
            "the script's own counts"
        );
    }

    #[test]
    fn bytes_behind_the_body_are_not_sent_on() {
        let message = invite(
            "v: SIP/2.0/UDP h",
            "l: 2\r\n",
            "hiINVITE sip:smuggled SIP/2.0\r\n",
        );
        assert_eq!(message.body(), b"hi");
        assert!(sent(&message, &Edits::new(), &RequestParts::default()).ends_with("\r\n\r\nhi"));
    }

    #[test]
    fn a_reply_loses_its_topmost_via_only() {
        let cases = [
            (
                "Via: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP b\r\n",
                "Via: SIP/2.0/UDP b\r\n",
            ),
            (
                "Via: SIP/2.0/UDP a,   SIP/2.0/UDP b\r\n",
                "Via: SIP/2.0/UDP b\r\n",
            ),
            (
                "v : SIP/2.0/UDP a ,\r\n  SIP/2.0/UDP b, SIP/2.0/UDP c\r\n",
                "v : SIP/2.0/UDP b, SIP/2.0/UDP c\r\n",
            ),
            ("Via: SIP/2.0/UDP a\r\n", ""),
        ];
        for (vias, want) in cases {
            let text = format!("SIP/2.0 200 OK\r\n{vias}CSeq: 1 INVITE\r\n\r\n");
            let message = Message::parse(Str::from(text), &Limits::default()).expect("a reply");
            let mut out = Vec::new();
            reply_forward(&message, &Edits::new(), false, &mut |_, _| {}, &mut out);
            assert_eq!(
                String::from_utf8_lossy(&out),
                format!("SIP/2.0 200 OK\r\n{want}CSeq: 1 INVITE\r\n\r\n")
            );
        }
    }

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
