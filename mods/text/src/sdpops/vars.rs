//! `$sdp(…)`.

use kahea_module::{Bind, BindError, Cx, Fault, Index, Str, Value};
use kahea_sip::{
    EditTag, Insert, Span,
    sdp::{Media, Sdp},
};

use super::{SdpOps, body::find};

/// What the variable shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Body,
    SessionVersion,
    ConnectionIp,
    ConnectionFamily,
    OriginIp,
    Media(usize, MediaPart),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MediaPart {
    Raw,
    RtpPort,
    RtcpPort,
    Bandwidth(Str),
}

pub(super) fn parse(name: &str, _: &dyn Bind) -> Result<Part, BindError> {
    let part = match name {
        "body" | "raw" => Some(Part::Body),
        "sess_version" => Some(Part::SessionVersion),
        "c:ip" => Some(Part::ConnectionIp),
        "c:af" => Some(Part::ConnectionFamily),
        "o:ip" => Some(Part::OriginIp),
        _ => media(name),
    };
    part.ok_or_else(|| {
        BindError::new(format!("$sdp has no part '{name}'")).help(
            "write body, sess_version, c:ip, c:af, o:ip, m0:raw, m0:rtp:port, m0:rtcp:port or m0:b:AS (0: the first stream)",
        )
    })
}

/// `mN:…`
fn media(name: &str) -> Option<Part> {
    let (number, part) = name.strip_prefix('m')?.split_once(':')?;
    let part = match part {
        "raw" => MediaPart::Raw,
        "rtp:port" => MediaPart::RtpPort,
        "rtcp:port" => MediaPart::RtcpPort,
        _ => MediaPart::Bandwidth(Str::from(
            part.strip_prefix("b:").filter(|kind| !kind.is_empty())?,
        )),
    };
    Some(Part::Media(number.parse().ok()?, part))
}

pub(super) fn get(_: &SdpOps, cx: &mut Cx, part: &Part, _: Index) -> Value {
    let Some(sdp) = find(&cx.msg).sdp() else {
        return Value::Null;
    };
    let share = |piece: &[u8]| Value::Str(cx.msg.buffer().share(piece));
    match part {
        Part::Body => share(sdp.raw),
        Part::SessionVersion => session_version(&sdp).map_or(Value::Null, share),
        Part::ConnectionIp => connection(&sdp).map_or(Value::Null, |c| share(c.address)),
        Part::ConnectionFamily => connection(&sdp).map_or(Value::Null, |c| share(c.address_type)),
        Part::OriginIp => sdp.origin().map_or(Value::Null, |origin| share(origin.address)),
        Part::Media(at, part) => match sdp.media().nth(*at) {
            Some(media) => media_part(&media, part, share),
            None => Value::Null,
        },
    }
}

fn media_part(media: &Media<'_>, part: &MediaPart, share: impl Fn(&[u8]) -> Value) -> Value {
    match part {
        MediaPart::Raw => share(media.raw),
        MediaPart::RtpPort => media.port.into(),
        MediaPart::RtcpPort => rtcp_port(media).into(),
        MediaPart::Bandwidth(kind) => media
            .bandwidths()
            .find(|bandwidth| bandwidth.kind.eq_ignore_ascii_case(kind))
            .and_then(|bandwidth| i64::try_from(bandwidth.number?).ok())
            .into(),
    }
}

/// As `a=rtcp` says, else the port itself with `a=rtcp-mux`, else the one after the port (RFC 3550 section 11).
fn rtcp_port(media: &Media<'_>) -> Option<u16> {
    let stated = media.rtcp().and_then(|rtcp| rtcp.port);
    let next = if media.has_rtcp_mux() { 0 } else { 1 };
    stated.or_else(|| media.port?.checked_add(next))
}

/// Of the first stream, else of the session.
fn connection<'a>(sdp: &Sdp<'a>) -> Option<kahea_sip::sdp::Connection<'a>> {
    let first = sdp.media().next();
    first
        .and_then(|media| media.connection())
        .or_else(|| sdp.connection())
}

fn session_version<'a>(sdp: &Sdp<'a>) -> Option<&'a [u8]> {
    sdp.origin()
        .map(|origin| origin.version)
        .filter(|version| !version.is_empty())
}

pub(super) fn set(_: &SdpOps, cx: &mut Cx, part: &Part, _: Index, value: Value) -> Result<(), Fault> {
    if *part != Part::SessionVersion {
        return Err(Fault::script("only $sdp(sess_version) can be assigned"));
    }
    let number = value.int().filter(|number| *number >= -1).ok_or_else(|| {
        Fault::script(format!(
            "'{value}' is no session version: a number, or -1 to add one"
        ))
    })?;
    let old = find(&cx.msg)
        .sdp()
        .and_then(|sdp| Span::within(cx.msg.buffer(), session_version(&sdp)?))
        .ok_or_else(|| Fault::peer("the message has no session description with a version"))?;
    let text = match number {
        -1 => incremented(cx.msg.bytes(old))?,
        number => number.to_string(),
    };
    replace(cx, old, Str::from(text));
    Ok(())
}

fn incremented(version: &[u8]) -> Result<String, Fault> {
    let number = std::str::from_utf8(version)
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    match number.and_then(|number| number.checked_add(1)) {
        Some(next) => Ok(next.to_string()),
        None => Err(Fault::peer("the session version is no number that can grow")),
    }
}

/// Records the new version instead of one recorded before.
fn replace(cx: &mut Cx, span: Span, text: Str) {
    let earlier = cx
        .edits
        .iter()
        .find(|(_, edit)| edit.removed == span && edit.tag == EditTag::Body)
        .map(|(id, _)| id);
    match earlier.and_then(|id| cx.edits.get_mut(id)) {
        Some(edit) => edit.insert = Some(Insert::Text(text)),
        None => {
            cx.edits.replace(span, text, EditTag::Body);
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::{FakeBind, Server};
    use kahea_sip::build::edited;

    use super::{super::body::tests::message, *};

    const SDP: &str = "v=0\no=- 7 8 IN IP4 1.2.3.4\ns=-\nc=IN IP4 1.2.3.5\nt=0 0\nm=audio 4000 RTP/AVP 0\nb=AS:64\n\
                       m=video 6000 RTP/AVP 99\nc=IN IP6 ::1\na=rtcp:6010\n";

    fn show(cx: &mut Cx, name: &str) -> Value {
        let part = parse(name, &FakeBind::default()).unwrap();
        get(&SdpOps, cx, &part, Index::None)
    }

    #[test]
    fn parts_of_a_description() {
        let server = Server::default();
        let cx = &mut message(&server, "application/sdp", SDP);
        assert_eq!(show(cx, "sess_version"), "8".into());
        assert_eq!(
            (show(cx, "c:ip"), show(cx, "c:af"), show(cx, "o:ip")),
            ("1.2.3.5".into(), "IP4".into(), "1.2.3.4".into())
        );
        assert_eq!(
            (
                show(cx, "m0:rtp:port"),
                show(cx, "m0:rtcp:port"),
                show(cx, "m1:rtcp:port")
            ),
            (4000.into(), 4001.into(), 6010.into())
        );
        assert_eq!(
            (show(cx, "m0:b:AS"), show(cx, "m0:b:RR")),
            (64.into(), Value::Null)
        );
        assert!(show(cx, "m1:raw").str_or_empty().starts_with(b"m=video 6000"));
        assert!(show(cx, "m2:raw").is_null());
        let none = &mut message(&server, "", "");
        assert!(show(none, "body").is_null());
        for wrong in ["", "m:raw", "m0", "mx:raw", "m0:b:", "x"] {
            assert!(parse(wrong, &FakeBind::default()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_version_can_be_set_and_grow() {
        let server = Server::default();
        for (values, wanted) in [(vec![-1, -1], "o=- 7 9 IN"), (vec![-1, 42], "o=- 7 42 IN")] {
            let mut cx = message(&server, "application/sdp", SDP);
            for value in values {
                set(&SdpOps, &mut cx, &Part::SessionVersion, Index::None, value.into()).unwrap();
            }
            let mut out = Vec::new();
            edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
            assert!(String::from_utf8(out).unwrap().contains(wanted));
        }
        let mut cx = message(&server, "application/sdp", SDP);
        assert!(set(&SdpOps, &mut cx, &Part::Body, Index::None, "x".into()).is_err());
        assert!(set(&SdpOps, &mut cx, &Part::SessionVersion, Index::None, "x".into()).is_err());
        assert!(cx.edits.is_empty());
    }
}
