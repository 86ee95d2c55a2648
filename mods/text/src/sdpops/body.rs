//! Where the session description is, and functions on it as a whole.

use std::fmt::Write as _;

use kahea_module::{
    Cx, Fault, Str, Value, VarRef,
    log::{self, Level},
};
use kahea_sip::{
    HeaderId, Message,
    multipart::Multipart,
    sdp::{Media, Sdp},
    view::MediaType,
};

use super::SdpOps;

/// What became of the search for a session description.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one match; a box would cost an allocation"
)]
pub(super) enum Found<'a> {
    /// The message has none.
    None,
    /// Its body is of another type, or no session description in spite of its type.
    Unreadable,
    /// Here it is.
    Sdp(Sdp<'a>),
}

impl<'a> Found<'a> {
    pub(super) fn sdp(self) -> Option<Sdp<'a>> {
        match self {
            Found::Sdp(sdp) => Some(sdp),
            Found::None | Found::Unreadable => None,
        }
    }
}

/// The session description of the message: its body, or the first such part of a multipart body.
pub(super) fn find(msg: &Message) -> Found<'_> {
    let body = msg.body();
    if body.is_empty() {
        return Found::None;
    }
    let Some(value) = msg.first(HeaderId::ContentType).map(|header| msg.value(header)) else {
        return Found::Unreadable;
    };
    let Ok(kind) = MediaType::parse(value) else {
        return Found::Unreadable;
    };
    if kind.is("application", "sdp") {
        return read(body);
    }
    if !kind.kind.eq_ignore_ascii_case(b"multipart") {
        return Found::Unreadable;
    }
    match Multipart::parse(value, body) {
        Ok(parts) => parts
            .find("application", "sdp")
            .map_or(Found::None, |part| read(part.body)),
        Err(_) => Found::Unreadable,
    }
}

fn read(text: &[u8]) -> Found<'_> {
    match Sdp::parse(text) {
        Ok(sdp) if sdp.session_lines().of(b'v').is_some() => Found::Sdp(sdp),
        _ => Found::Unreadable,
    }
}

pub(super) fn content(_: &SdpOps, cx: &mut Cx, sloppy: Option<Str>) -> bool {
    match sloppy {
        Some(_) => claims_sdp(&cx.msg),
        None => find(&cx.msg).sdp().is_some(),
    }
}

pub(super) fn content_flags(m: &SdpOps, cx: &mut Cx, flags: i64) -> bool {
    content(m, cx, (flags != 0).then_some(Str::EMPTY))
}

/// By the content type alone, or by that text within a body of several parts.
fn claims_sdp(msg: &Message) -> bool {
    let kind = msg
        .first(HeaderId::ContentType)
        .and_then(|header| MediaType::parse(msg.value(header)).ok());
    let Some(kind) = kind.filter(|_| !msg.body().is_empty()) else {
        return false;
    };
    kind.is("application", "sdp")
        || kind.is("multipart", "mixed")
            && msg
                .body()
                .windows(b"application/sdp".len())
                .any(|window| window.eq_ignore_ascii_case(b"application/sdp"))
}

pub(super) fn get(_: &SdpOps, cx: &mut Cx, var: VarRef) -> Result<i64, Fault> {
    let text = match find(&cx.msg) {
        Found::None => return Ok(-2),
        Found::Unreadable => return Ok(-1),
        Found::Sdp(sdp) => cx.msg.buffer().share(sdp.raw),
    };
    var.set(cx, Value::Str(text))?;
    Ok(1)
}

pub(super) fn get_line(_: &SdpOps, cx: &mut Cx, var: VarRef, prefix: Str) -> Result<i64, Fault> {
    let line = match find(&cx.msg) {
        Found::None => return Ok(-2),
        Found::Unreadable => return Ok(-1),
        Found::Sdp(sdp) => sdp
            .lines()
            .find(|line| line.text.starts_with(&prefix))
            .map(|line| cx.msg.buffer().share(line.text)),
    };
    let Some(line) = line.filter(|_| !prefix.is_empty()) else {
        return Ok(-1);
    };
    var.set(cx, Value::Str(line))?;
    Ok(1)
}

pub(super) fn address_family(_: &SdpOps, cx: &mut Cx) -> i64 {
    let family = find(&cx.msg).sdp().and_then(|sdp| sdp.address_family());
    family.map_or(-1, i64::from)
}

pub(super) fn with_ice(_: &SdpOps, cx: &mut Cx) -> bool {
    find(&cx.msg).sdp().is_some_and(|sdp| {
        sdp.lines()
            .attributes()
            .any(|attribute| attribute.is("candidate"))
    })
}

pub(super) fn print(_: &SdpOps, cx: &mut Cx, level: i64) -> i64 {
    let sdp = match find(&cx.msg) {
        Found::None => return 1,
        Found::Unreadable => return -1,
        Found::Sdp(sdp) => sdp,
    };
    let level = Level::from_number(level);
    if log::shows(level) {
        log::write(level, "sdpops", format_args!("{}", describe(&sdp)));
    }
    1
}

/// One line: the origin, then each stream with its formats.
fn describe(sdp: &Sdp<'_>) -> String {
    let mut out = String::from("SDP:");
    if let Some(origin) = sdp.origin() {
        let _ = write!(out, " origin {}", text(origin.line.value));
    }
    if let Some(connection) = sdp.connection() {
        let _ = write!(out, ", connection {}", text(connection.address));
    }
    for media in sdp.media() {
        describe_media(&media, &mut out);
    }
    out
}

fn describe_media(media: &Media<'_>, out: &mut String) {
    let _ = write!(
        out,
        "; {} port {} over {}, {}:",
        text(media.kind),
        text(media.port_text),
        text(media.proto),
        media.direction().name()
    );
    for codec in media.codecs() {
        let _ = write!(out, " {}={}", text(codec.format), text(codec.name));
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use kahea_module::testing::Server;

    use super::*;

    /// An INVITE with that content type and body.
    pub(crate) fn message(server: &Server, content_type: &str, body: &str) -> Cx {
        let body = body.replace('\n', "\r\n");
        let type_line = if content_type.is_empty() {
            String::new()
        } else {
            format!("Content-Type: {content_type}\n")
        };
        server.message(&format!(
            "INVITE sip:b@c SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\n\
             To: <sip:b@c>\nCall-ID: 1\nCSeq: 1 INVITE\n{type_line}Content-Length: {}\n\n{body}",
            body.len()
        ))
    }

    const SDP: &str = "v=0\no=- 7 8 IN IP6 ::1\ns=-\nc=IN IP6 ::1\nt=0 0\nm=audio 4 RTP/AVP 0\n";

    #[test]
    fn it_is_found_as_the_body_and_as_a_part() {
        let server = Server::default();
        let mut whole = message(&server, "Application/SDP;x=y", SDP);
        assert!(content(&SdpOps, &mut whole, None) && content(&SdpOps, &mut whole, Some(Str::EMPTY)));
        assert_eq!(address_family(&SdpOps, &mut whole), 6);
        let parts = format!("--bb\nContent-Type: application/sdp\n\n{SDP}\n--bb\n\nx\n--bb--\n");
        let mut parts = message(&server, "multipart/mixed;boundary=bb", &parts);
        assert!(content(&SdpOps, &mut parts, None) && content(&SdpOps, &mut parts, Some(Str::EMPTY)));
    }

    #[test]
    fn nothing_else_is_one() {
        let server = Server::default();
        for (kind, body) in [
            ("", ""),
            ("", SDP),
            ("text/plain", SDP),
            ("application/sdp", "hello"),
            ("multipart/mixed;boundary=bb", "--bb\n\nx\n--bb--\n"),
        ] {
            let mut cx = message(&server, kind, body);
            assert!(!content(&SdpOps, &mut cx, None), "{kind} {body}");
            assert_eq!(address_family(&SdpOps, &mut cx), -1);
        }
    }

    #[test]
    fn a_variable_takes_the_body_or_a_line() {
        let server = Server::default();
        let mut cx = message(&server, "application/sdp", SDP);
        let bind = cx.bind();
        let var = bind.var("$var(x)").unwrap();
        assert_eq!(get(&SdpOps, &mut cx, var.clone()), Ok(1));
        assert_eq!(
            var.get(&mut cx).str_or_empty(),
            SDP.replace('\n', "\r\n").as_str()
        );
        assert_eq!(get_line(&SdpOps, &mut cx, var.clone(), Str::from("c=")), Ok(1));
        assert_eq!(var.get(&mut cx).str_or_empty(), "c=IN IP6 ::1");
        assert_eq!(get_line(&SdpOps, &mut cx, var.clone(), Str::from("z=")), Ok(-1));
        let mut none = message(&server, "", "");
        assert_eq!(get(&SdpOps, &mut none, var.clone()), Ok(-2));
        let mut other = message(&server, "text/plain", "hi");
        assert_eq!(get_line(&SdpOps, &mut other, var, Str::from("v")), Ok(-1));
    }

    #[test]
    fn the_description_names_streams_and_codecs() {
        let sdp = Sdp::parse(SDP.as_bytes()).unwrap();
        assert_eq!(
            describe(&sdp),
            "SDP: origin - 7 8 IN IP6 ::1, connection ::1; audio port 4 over RTP/AVP, sendrecv: 0=PCMU"
        );
    }
}
