//! Whole media streams, their transports, and lines by what they begin with.

use kahea_module::{Cx, Fault, Str, Value, VarRef};
use kahea_sip::{
    EditTag, Span,
    sdp::{Direction, Lines, Media, Sdp},
};

use super::{
    SdpOps,
    body::{Found, find},
};

/// The stream is of this type; every one is where none, or an empty one, is stated.
pub(super) fn of_type(media: &Media<'_>, mtype: Option<&[u8]>) -> bool {
    mtype.is_none_or(|mtype| mtype.is_empty() || media.kind.eq_ignore_ascii_case(mtype))
}

fn any(cx: &Cx, test: impl Fn(&Media<'_>) -> bool) -> bool {
    find(&cx.msg)
        .sdp()
        .is_some_and(|sdp| sdp.media().any(|media| test(&media)))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    part.is_empty()
        || text
            .windows(part.len())
            .any(|window| window.eq_ignore_ascii_case(part))
}

pub(super) fn with_media(_: &SdpOps, cx: &mut Cx, kind: Str) -> bool {
    any(cx, |media| media.kind.eq_ignore_ascii_case(&kind))
}

pub(super) fn with_active_media(_: &SdpOps, cx: &mut Cx, kind: Str) -> bool {
    any(cx, |media| {
        media.kind.eq_ignore_ascii_case(&kind)
            && !media.is_disabled()
            && media.direction() != Direction::Inactive
    })
}

pub(super) fn with_transport(_: &SdpOps, cx: &mut Cx, proto: Str) -> bool {
    any(cx, |media| media.proto.eq_ignore_ascii_case(&proto))
}

pub(super) fn with_transport_like(_: &SdpOps, cx: &mut Cx, part: Str) -> bool {
    any(cx, |media| contains(media.proto, &part))
}

pub(super) fn transport(_: &SdpOps, cx: &mut Cx, var: VarRef) -> Result<i64, Fault> {
    let proto = match find(&cx.msg) {
        // Kamailio takes no description for one whose streams agree.
        Found::None => return Ok(1),
        Found::Unreadable => return Ok(-1),
        Found::Sdp(sdp) => common_transport(&sdp).map(|proto| cx.msg.buffer().share(proto)),
    };
    let Some(proto) = proto else {
        return Ok(-2);
    };
    var.set(cx, Value::Str(proto))?;
    Ok(1)
}

fn common_transport<'a>(sdp: &Sdp<'a>) -> Option<&'a [u8]> {
    let mut protos = sdp.media().map(|media| media.proto);
    let first = protos.next()?;
    protos
        .all(|proto| proto.eq_ignore_ascii_case(first))
        .then_some(first)
}

pub(super) fn remove_media(_: &SdpOps, cx: &mut Cx, kind: Str) -> bool {
    remove_streams(cx, |media| media.kind.eq_ignore_ascii_case(&kind))
}

pub(super) fn remove_transport(_: &SdpOps, cx: &mut Cx, proto: Str) -> bool {
    remove_streams(cx, |media| media.proto.eq_ignore_ascii_case(&proto))
}

fn remove_streams(cx: &mut Cx, which: impl Fn(&Media<'_>) -> bool) -> bool {
    let Some(sdp) = find(&cx.msg).sdp() else {
        return false;
    };
    let gone: Vec<Span> = sdp
        .media()
        .filter(which)
        .filter_map(|media| Span::within(cx.msg.buffer(), media.raw))
        .collect();
    for span in &gone {
        cx.edits.remove(*span, EditTag::Body);
    }
    !gone.is_empty()
}

pub(super) fn remove_line_by_prefix(_: &SdpOps, cx: &mut Cx, prefix: Str, mtype: Option<Str>) -> bool {
    let Some(sdp) = find(&cx.msg).sdp().filter(|_| !prefix.is_empty()) else {
        return false;
    };
    let mut gone = Vec::new();
    let mut take = |lines: Lines<'_>| {
        let lines = lines.filter(|line| line.text.starts_with(&prefix));
        gone.extend(lines.filter_map(|line| Span::within(cx.msg.buffer(), line.whole)));
    };
    match mtype.as_deref().filter(|mtype| !mtype.is_empty()) {
        None => take(sdp.lines()),
        some => sdp
            .media()
            .filter(|media| of_type(media, some))
            .for_each(|media| take(media.lines())),
    }
    for span in gone {
        cx.edits.remove(span, EditTag::Body);
    }
    true
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{
        super::{body::tests::message, codecs::tests::after},
        *,
    };

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    #[test]
    fn streams_leave_as_a_whole_and_a_second_time_is_no_error() {
        let left = after(|cx| {
            assert!(super::super::codecs::remove_by_id(&SdpOps, cx, text("99"), None));
            assert!(remove_media(&SdpOps, cx, text("VIDEO")));
            assert!(remove_media(&SdpOps, cx, text("video")));
            assert!(!remove_media(&SdpOps, cx, text("image")));
            assert!(!remove_transport(&SdpOps, cx, text("RTP/SAVP")));
        });
        assert!(left.starts_with("m=audio") && left.ends_with("a=sendrecv\n"));
        assert_eq!(
            after(|cx| assert!(remove_transport(&SdpOps, cx, text("rtp/avp")))),
            ""
        );
    }

    #[test]
    fn lines_leave_by_prefix() {
        let left = after(|cx| {
            assert!(remove_line_by_prefix(
                &SdpOps,
                cx,
                text("a="),
                Some(text("video"))
            ))
        });
        assert!(left.ends_with("a=sendrecv\nm=video 6 RTP/AVP 99 101\n"));
        let left = after(|cx| assert!(remove_line_by_prefix(&SdpOps, cx, text("m=video"), None)));
        assert!(left.contains("m=audio") && !left.contains("m=video"));
        let left = after(|cx| assert!(remove_line_by_prefix(&SdpOps, cx, text("A="), None)));
        assert!(left.contains("a=sendrecv"));
    }

    #[test]
    fn questions_about_streams() {
        let server = Server::default();
        let sdp = "v=0\no=- 7 8 IN IP4 1.2.3.4\ns=-\nt=0 0\nm=audio 4 RTP/AVP 0\nm=video 6 RTP/AVP 99\na=inactive\n\
                   m=application 0 UDP/DTLS/SCTP x\n";
        let cx = &mut message(&server, "application/sdp", sdp);
        assert!(with_media(&SdpOps, cx, text("Audio")) && !with_media(&SdpOps, cx, text("aud")));
        assert!(with_active_media(&SdpOps, cx, text("audio")));
        assert!(!with_active_media(&SdpOps, cx, text("video")));
        assert!(!with_active_media(&SdpOps, cx, text("application")));
        assert!(with_transport(&SdpOps, cx, text("rtp/avp")) && !with_transport(&SdpOps, cx, text("RTP")));
        assert!(
            with_transport_like(&SdpOps, cx, text("dtls")) && !with_transport_like(&SdpOps, cx, text("SAVP"))
        );
        let var = cx.bind().var("$var(t)").unwrap();
        assert_eq!(transport(&SdpOps, cx, var.clone()), Ok(-2));
        let cx = &mut message(&server, "application/sdp", sdp.split("m=app").next().unwrap());
        assert_eq!(transport(&SdpOps, cx, var.clone()), Ok(1));
        assert_eq!(var.get(cx).str_or_empty(), "RTP/AVP");
    }
}
