//! Writing messages: a request or reply that goes on, and replies of this server's own.
//!
//! What no edit touches leaves byte for byte as it came. Where Kamailio has a choice of place or order, its choice is
//! taken, but for: `received` and `rport` go to the first hop of a Via that holds several, an old `received` is
//! replaced, an empty To tag is filled, and bytes behind the body are not sent on.

mod local_reply;
mod via_fix;

use self::via_fix::{More, ViaNotes};
pub use self::{
    local_reply::{CannotReply, LocalReply, local_reply},
    via_fix::ViaFix,
};
use crate::{
    EditTag, Edits, FirstLine, Header, HeaderId, Late, Message, Place, Span,
    edits::{Patch, Piece, Plan},
    via_parts::ViaParts,
};

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

/// How much longer than the message its build may become.
fn growth(edits: &Edits, more: &[Patch<'_>]) -> usize {
    /// For a text that is not known yet, and for a Content-Length that grows.
    const UNKNOWN: usize = 160;
    let length = |patch: &Patch<'_>| match patch.piece {
        Piece::Nothing => 0,
        Piece::Text(text) => text.len(),
        Piece::Late(_) => UNKNOWN,
    };
    let known: usize = more.iter().map(length).sum();
    if edits.is_empty() {
        return known;
    }
    let recorded: usize = edits.iter().map(|(_, edit)| length(&Patch::from(edit))).sum();
    known.saturating_add(recorded).saturating_add(UNKNOWN)
}

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
    out.reserve(whole.len().saturating_add(growth(edits, more)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Str};

    /// What the reference server (Kamailio 5.6.3) sends for the same request is the expectation of these tests.
    pub(super) fn invite(via: &str, more: &str, body: &str) -> Message {
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

    pub(super) fn fix(source: &str, force_rport: bool) -> Option<ViaFix> {
        Some(ViaFix {
            source: source.parse().expect("an address"),
            force_rport,
        })
    }

    pub(super) fn via_line(text: &str, index: usize) -> String {
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
                "SIP/2.0/UDP 127.0.0.9:5099;branch=x",
                true,
                "SIP/2.0/UDP 127.0.0.9:5099;rport=5060;branch=x",
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
}
