//! What must hold for any bytes at all: the entry points of the fuzz targets, of their smoke run in CI and of the
//! property tests. Each takes arbitrary bytes and panics where a promise is broken.

use bytes::{Bytes, BytesMut};

use crate::{
    EditTag, Edits, Limits, Message, Place, Span, Str,
    build::{self, LocalReply, RequestParts, ViaFix},
    framing::{self, Frame, Framer, FramerOptions, FramingError},
};

/// A datagram: whatever is taken leaves unchanged, and whatever is answered gets a well-formed reply.
pub fn message(data: &[u8]) {
    let limits = Limits::default();
    let buffer = Str::copy(data);
    match Message::parse(buffer.clone(), &limits) {
        Ok(message) => {
            lines_tile_the_head(&message);
            leaves_unchanged(&message);
            reply_is_well_formed(&message);
            let _fault = message.fault();
            let _method = (message.method(), message.method_text(), message.call_id());
            forwarded_is_a_message(&message);
        }
        Err(error) => {
            assert!(error.at as usize <= data.len().max(limits.message));
            if let Some(message) = Message::salvage(buffer, &limits) {
                reply_is_well_formed(&message);
            }
        }
    }
}

/// A stream: however it is cut into reads, the frames are the same; the first byte says how.
pub fn framing(data: &[u8]) {
    let Some((seed, stream)) = data.split_first() else {
        return;
    };
    let whole = frames(stream, stream.len().max(1));
    assert_eq!(
        whole,
        frames(stream, usize::from(*seed).max(1)),
        "the cut changed the frames"
    );
    assert_eq!(whole, frames(stream, 1), "single bytes changed the frames");
    for frame in &whole.0 {
        if let Frame::Message(bytes) = frame {
            let limits = Limits {
                message: MAX_FRAME,
                ..Limits::default()
            };
            if let Ok(message) = Message::parse(Str::from(bytes.clone()), &limits) {
                assert_eq!(
                    message.span(),
                    Span::of(0, bytes.len()),
                    "framing and parser agree about the end"
                );
            }
        }
    }
    let _one = framing::whole(Bytes::copy_from_slice(stream), &FramerOptions::default());
}

/// Edits made from the bytes: what nobody removed is written once and in order.
pub fn edits(data: &[u8]) {
    const TEXT: &str = "OPTIONS sip:a SIP/2.0\r\nA: 1\r\nB: 2\r\nVia: SIP/2.0/UDP c\r\nl: 4\r\n\r\nbody";
    const MARK: u8 = 0x01;
    let Ok(message) = Message::parse(Str::from_static(TEXT), &Limits::default()) else {
        unreachable!("the text is a message")
    };
    let mut edits = Edits::new();
    let mut kept = [true; TEXT.len()];
    for step in data.chunks_exact(3) {
        let [what, at, length] = *step else { continue };
        let at = u32::from(at) % (TEXT.len() as u32);
        let end = at.saturating_add(u32::from(length)).min(TEXT.len() as u32);
        let span = Span::new(at, end);
        let mark = Str::from_static("\u{1}");
        match what % 4 {
            0 => edits.remove(span, EditTag::Other),
            1 => edits.replace(span, mark, EditTag::Other),
            2 => edits.insert(at, Place::Before, mark, EditTag::Other),
            _ => edits.insert(at, Place::After, mark, EditTag::Other),
        };
        if what % 4 < 2 {
            kept.iter_mut()
                .take(end as usize)
                .skip(at as usize)
                .for_each(|kept| *kept = false);
        }
    }
    let mut out = Vec::new();
    edits.apply(&message, &mut out, 0..TEXT.len() as u32, &mut |_, _| {});
    out.retain(|byte| *byte != MARK);
    let want: Vec<u8> = TEXT
        .bytes()
        .zip(kept)
        .filter_map(|(byte, kept)| kept.then_some(byte))
        .collect();
    assert_eq!(out, want, "untouched bytes were lost, moved or doubled");
    build::edited(&message, &edits, &mut |_, _| {}, &mut out);
}

const MAX_FRAME: usize = 4_096;

/// The frames of a stream that arrives in pieces of `chunk` bytes, and the error that ended it.
fn frames(stream: &[u8], chunk: usize) -> (Vec<Frame>, Option<FramingError>) {
    let mut framer = Framer::new(FramerOptions {
        max_message: MAX_FRAME,
        ..FramerOptions::default()
    });
    let mut buffer = BytesMut::new();
    let mut found = Vec::new();
    for piece in stream.chunks(chunk) {
        buffer.extend_from_slice(piece);
        loop {
            match framer.next(&mut buffer) {
                // Whether the peer has to be told to go on depends on what has come so far.
                Ok(Some(Frame::Continue)) => {}
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Every byte of the head belongs to exactly one header, and all ranges lie within their lines.
fn lines_tile_the_head(message: &Message) {
    let mut at = message.headers_start();
    for header in message.headers() {
        assert_eq!(header.line.start(), at);
        assert!(header.line.contains(header.name) && header.line.contains(header.value));
        assert!(
            message
                .named(message.bytes(header.name))
                .any(|found| found == header)
        );
        assert_eq!(message.first(header.id).map(|first| first.id), Some(header.id));
        at = header.line.end();
    }
    assert_eq!(at, message.headers_end());
    assert!(message.headers_end() < message.body_span().start());
    for hop in message.vias() {
        let line = message.headers().get(hop.header).map(|header| header.value);
        assert!(line.is_some_and(|line| line.contains(hop.span)));
    }
}

fn leaves_unchanged(message: &Message) {
    let mut out = Vec::new();
    build::request(
        message,
        &Edits::new(),
        &RequestParts::default(),
        &mut |_, _| {},
        &mut out,
    );
    assert_eq!(out, message.bytes(message.span()));
}

const FIX: Option<ViaFix> = Some(ViaFix {
    source: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060),
    force_rport: true,
});

/// A request sent on over a stream, and a reply sent on, are messages again, and framing finds their end.
fn forwarded_is_a_message(message: &Message) {
    let parts = RequestParts {
        ruri: None,
        new_via: Some(b"Via: SIP/2.0/TCP p\r\n"),
        via_fix: FIX,
        stream: true,
    };
    let mut out = Vec::new();
    if message.is_request() {
        build::request(message, &Edits::new(), &parts, &mut |_, _| {}, &mut out);
    } else {
        build::reply_forward(message, &Edits::new(), true, &mut |_, _| {}, &mut out);
    }
    let limits = Limits {
        message: usize::MAX,
        headers: usize::MAX,
        header: usize::MAX,
        uri: usize::MAX,
    };
    let again = Message::parse(Str::from(out.clone()), &limits);
    assert!(
        again.is_ok_and(|again| again.body() == message.body()),
        "what is sent on is no message"
    );
    let mut buffer = BytesMut::from(out.as_slice());
    let mut framer = Framer::new(FramerOptions {
        max_message: usize::MAX,
        ..FramerOptions::default()
    });
    let frame = framer.next(&mut buffer);
    assert_eq!(
        frame,
        Ok(Some(Frame::Message(Bytes::from(out)))),
        "what is sent on ends where it should"
    );
}

fn reply_is_well_formed(message: &Message) {
    let extra = [Str::from_static("X-Extra: 1\r\n")];
    let reply = LocalReply {
        status: 400,
        reason: b"Bad",
        to_tag: Some(b"tag"),
        extra: &extra,
        body: Some((b"text/plain", b"why")),
        via_fix: FIX,
        ..LocalReply::default()
    };
    let mut out = Vec::new();
    if build::local_reply(message, &reply, &mut out).is_ok() {
        let limits = Limits {
            message: usize::MAX,
            ..Limits::default()
        };
        let reply = Message::parse(Str::from(out), &limits);
        assert!(
            reply.is_ok_and(|reply| reply.status() == Some(400) && reply.body() == b"why"),
            "a broken reply"
        );
    } else {
        assert!(out.is_empty(), "a refused reply leaves nothing behind");
    }
}
