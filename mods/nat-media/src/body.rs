//! Where the session description of a message is.

use kahea_module::{Cx, Str};
use kahea_sip::{EditTag, HeaderId, Message, Place, Span, multipart::Multipart, sdp::Sdp, view::MediaType};

/// The session description of the message: its body, or the first such part of a multipart body. `None` where there is
/// none; the text itself may be no description.
pub fn find(msg: &Message) -> Option<Span> {
    part_of(msg, |kind| kind.is("application", "sdp"))
}

/// The first part of a type, or the body where it is of that type.
pub fn part_of(msg: &Message, wanted: impl Fn(&MediaType<'_>) -> bool) -> Option<Span> {
    let body = msg.body();
    if body.is_empty() {
        return None;
    }
    let value = msg.value(msg.first(HeaderId::ContentType)?);
    let kind = MediaType::parse(value).ok()?;
    if wanted(&kind) {
        return Some(msg.body_span());
    }
    let parts = Multipart::parse(value, body).ok()?;
    let part = parts
        .parts()
        .find(|part| part.media_type().is_some_and(|kind| wanted(&kind)))?;
    Span::within(msg.buffer(), part.body)
}

/// The description in that place, where the text is one with at least one media section.
pub fn read(msg: &Message, place: Span) -> Option<Sdp<'_>> {
    let sdp = Sdp::parse(msg.bytes(place)).ok()?;
    let valid = sdp.session_lines().of(b'v').is_some() && sdp.media().len() > 0;
    valid.then_some(sdp)
}

/// Adds a line, given with its line end, behind the description at `place` or behind a section of it.
///
/// The last line of a part of a multipart body has no line end of its own: that belongs to the delimiter behind it
/// (RFC 2046 section 5.1.1).
pub fn append_line(cx: &mut Cx, place: Span, line: &Str) {
    let buffer = cx.msg.buffer();
    let behind = buffer.get(place.range().end..).unwrap_or_default();
    let (at, text) = match (cx.msg.bytes(place), behind) {
        ([.., b'\n'], _) => (place.end(), line.clone()),
        (_, [b'\r', b'\n', ..]) => (place.end().saturating_add(2), line.clone()),
        (_, [b'\n', ..]) => (place.end().saturating_add(1), line.clone()),
        _ => {
            let text = [b"\r\n".as_slice(), line.trim_ascii_end()].concat();
            (place.end(), Str::from(text))
        }
    };
    cx.edits.insert(at, Place::After, text, EditTag::Body);
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn descriptions_are_found_in_bodies_and_parts() {
        let server = Server::default();
        let cx = server.invite();
        let place = find(&cx.msg).unwrap();
        assert_eq!(place, cx.msg.body_span());
        assert!(read(&cx.msg, place).is_some());
        let parts = "--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n\r\n--x--\r\n";
        let cx = server.message(&format!(
            "INVITE sip:b@h SIP/2.0\nContent-Type: multipart/mixed;boundary=x\nContent-Length: {}\n\n{parts}",
            parts.len()
        ));
        let place = find(&cx.msg).unwrap();
        assert!(cx.msg.bytes(place).starts_with(b"v=0"));
        let cx = server.message("INVITE sip:b@h SIP/2.0\nContent-Type: text/plain\nContent-Length: 3\n\nv=0");
        assert_eq!(find(&cx.msg), None);
    }
}
