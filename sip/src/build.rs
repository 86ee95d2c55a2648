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
