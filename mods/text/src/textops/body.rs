//! Functions on the body as a whole, and on what replies made here carry.

use kahea_module::{BindError, Cx, Fault, Lit, Literal, ReplyExtra, Str};
use kahea_sip::{EditTag, HeaderId, Place, Span, date::Date, sdp::Sdp, view::MediaType};

use super::{Textops, headers, strings::from_hex};

/// A media type as `has_body()` takes: `application/sdp`.
#[derive(Debug)]
pub(super) struct Mime(Str);

impl Literal for Mime {
    const WHAT: &'static str = "a media type such as application/sdp";
    fn parse(text: &str, _: &dyn kahea_module::Bind) -> Result<Mime, BindError> {
        MediaType::parse(text.as_bytes())
            .map(|_| Mime(Str::from(text)))
            .map_err(|_| BindError::new(format!("'{text}' is no media type")).help("write type/subtype"))
    }
}

impl Mime {
    /// The type given matches.
    pub fn accepts(&self, own: &MediaType<'_>) -> bool {
        MediaType::parse(&self.0).is_ok_and(|range| own.matches(&range))
    }
}

/// The value of Content-Type.
pub fn content_type(cx: &Cx) -> Option<&[u8]> {
    cx.msg
        .first(HeaderId::ContentType)
        .map(|header| cx.msg.value(header))
}

pub(super) fn has_body(_: &Textops, cx: &mut Cx, mime: Option<Lit<Mime>>) -> bool {
    if cx.msg.body().is_empty() {
        return false;
    }
    let Some(mime) = mime else { return true };
    // Kamailio takes a body without Content-Type for SDP.
    let own = content_type(cx).unwrap_or(b"application/sdp");
    MediaType::parse(own).is_ok_and(|own| mime.accepts(&own))
}

/// Puts a new body in the place of the present one, earlier new ones included.
pub fn set(cx: &mut Cx, content: Str, headers: &str) -> Result<(), Fault> {
    cx.spend_bytes(content.len())?;
    clear(cx);
    let body = cx.msg.body_span();
    match body.is_empty() {
        true => cx
            .edits
            .insert(body.start(), Place::Before, content, EditTag::Body),
        false => cx.edits.replace(body, content, EditTag::Body),
    };
    headers::append(cx, Str::from(headers))
}

/// Undoes what was done to body and Content-Type so far, and takes out the Content-Type that came.
fn clear(cx: &mut Cx) {
    let ours = |tag| matches!(tag, EditTag::Body | EditTag::Header(HeaderId::ContentType));
    let old: Vec<_> = cx
        .edits
        .iter()
        .filter(|(_, edit)| ours(edit.tag))
        .map(|(id, _)| id)
        .collect();
    for id in old {
        cx.edits.undo(id);
    }
    headers::remove_where(cx, |_, header| header.id == HeaderId::ContentType);
}

pub(super) fn set_body(_: &Textops, cx: &mut Cx, content: Str, kind: Str) -> Result<bool, Fault> {
    if content.is_empty() || kind.is_empty() {
        return Err(Fault::script(
            "the body or its type is empty: remove_body() takes the body out",
        ));
    }
    set(cx, content, &format!("Content-Type: {kind}\r\n")).map(|()| true)
}

pub(super) fn set_body_hex(m: &Textops, cx: &mut Cx, content: Str, kind: Str) -> Result<bool, Fault> {
    set_body(m, cx, from_hex(&content)?.into(), kind)
}

pub(super) fn set_reply_body(_: &Textops, cx: &mut Cx, content: Str, kind: Str) -> Result<bool, Fault> {
    if content.is_empty() || kind.is_empty() {
        return Err(Fault::script("the body or its type is empty"));
    }
    cx.spend_bytes(content.len())?;
    cx.reply_extra
        .retain(|extra| !matches!(extra, ReplyExtra::Body { .. }));
    cx.reply_extra.push(ReplyExtra::Body {
        content_type: kind,
        content,
    });
    Ok(true)
}

pub(super) fn set_reply_body_hex(m: &Textops, cx: &mut Cx, content: Str, kind: Str) -> Result<bool, Fault> {
    set_reply_body(m, cx, from_hex(&content)?.into(), kind)
}

pub(super) fn append_to_reply(_: &Textops, cx: &mut Cx, text: Str) -> Result<(), Fault> {
    if text.trim_ascii().is_empty() {
        return Err(Fault::script("the header is empty"));
    }
    cx.spend_bytes(text.len())?;
    cx.reply_extra.push(ReplyExtra::Header(headers::lines(text)));
    Ok(())
}

fn date_line(cx: &Cx) -> Str {
    Str::from(format!("Date: {}\r\n", Date::from_unix(cx.worker.unix_time())))
}

pub(super) fn append_time(_: &Textops, cx: &mut Cx) {
    let line = date_line(cx);
    cx.reply_extra.push(ReplyExtra::Header(line));
}

pub(super) fn append_time_to_request(_: &Textops, cx: &mut Cx) -> Result<(), Fault> {
    let line = date_line(cx);
    headers::insert(cx, line)
}

/// 1 where an audio stream has an address of zeros (RFC 2543), 2 where it is sendonly or inactive (RFC 3264).
pub(super) fn is_audio_on_hold(_: &Textops, cx: &mut Cx) -> i64 {
    let Some(sdp) = sdp_of(cx) else { return -1 };
    let Ok(sdp) = Sdp::parse(sdp) else { return -1 };
    for media in sdp
        .media()
        .filter(|media| media.kind.eq_ignore_ascii_case(b"audio") && !media.is_disabled())
    {
        if media
            .connection()
            .is_some_and(|connection| connection.is_unspecified())
        {
            return 1;
        }
        if media.direction().holds() {
            return 2;
        }
    }
    -1
}

/// The SDP of the message: its body, or the first such part of a multipart body.
pub fn sdp_of(cx: &Cx) -> Option<&[u8]> {
    let body = cx.msg.body();
    if body.is_empty() {
        return None;
    }
    let kind = MediaType::parse(content_type(cx).unwrap_or(b"application/sdp")).ok()?;
    if kind.is("application", "sdp") {
        return Some(body);
    }
    let parts = kahea_sip::multipart::Multipart::parse(content_type(cx)?, body).ok()?;
    parts.find("application", "sdp").map(|part| part.body)
}

/// A piece of the body, as a range of the message.
pub fn place(cx: &Cx, piece: &[u8]) -> Option<Span> {
    Span::within(cx.msg.buffer(), piece)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{built, lit, request, with_body};
    use super::*;

    const SDP: &str = "v=0\r\nc=IN IP4 1.2.3.4\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";

    fn sdp() -> Cx {
        with_body(
            &format!("Content-Type: application/sdp\nContent-Length: {}\n", SDP.len()),
            SDP,
        )
    }

    #[test]
    fn a_body_has_a_type() {
        let cx = &mut sdp();
        assert!(has_body(&Textops, cx, None));
        assert!(has_body(&Textops, cx, Some(lit("Application/SDP"))));
        assert!(has_body(&Textops, cx, Some(lit("application/*"))));
        assert!(!has_body(&Textops, cx, Some(lit("text/plain"))));
        assert!(!has_body(&Textops, &mut request("Content-Length: 0\n"), None));
        assert!(has_body(
            &Textops,
            &mut with_body("X: 1\n", SDP),
            Some(lit("application/sdp"))
        ));
    }

    #[test]
    fn the_last_new_body_wins_and_has_one_type() {
        let cx = &mut sdp();
        set_body(&Textops, cx, "one".into(), "text/plain".into()).unwrap();
        set_body(&Textops, cx, "second".into(), "text/html".into()).unwrap();
        let text = built(cx);
        assert!(
            text.ends_with("\r\n\r\nsecond") && text.contains("Content-Length: 6\r\n"),
            "{text}"
        );
        assert_eq!(text.matches("Content-Type:").count(), 1);
        assert!(text.contains("Content-Type: text/html\r\n"));
        assert!(set_body(&Textops, cx, "".into(), "text/html".into()).is_err());
        let cx = &mut request("Content-Length: 0\n");
        set_body_hex(&Textops, cx, "68 69".into(), "text/plain".into()).unwrap();
        assert!(built(cx).contains("Content-Length: 2\r\n") && built(cx).ends_with("\r\n\r\nhi"));
    }

    #[test]
    fn replies_get_headers_and_a_body() {
        let cx = &mut request("X: 1\n");
        append_to_reply(&Textops, cx, "X-R: 1".into()).unwrap();
        append_time(&Textops, cx);
        set_reply_body(&Textops, cx, "old".into(), "text/plain".into()).unwrap();
        set_reply_body(&Textops, cx, "new".into(), "text/plain".into()).unwrap();
        let seen: Vec<String> = cx
            .reply_extra
            .iter()
            .map(|extra| match extra {
                ReplyExtra::Header(line) => line.text().into_owned(),
                ReplyExtra::Body {
                    content_type,
                    content,
                } => format!("{content_type} {content}"),
            })
            .collect();
        assert_eq!(
            seen,
            [
                "X-R: 1\r\n",
                "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
                "text/plain new"
            ]
        );
        append_time_to_request(&Textops, cx).unwrap();
        assert!(built(cx).contains("\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nX: 1"));
    }

    #[test]
    fn hold_of_both_kinds() {
        assert_eq!(is_audio_on_hold(&Textops, &mut sdp()), -1);
        let hold = |change: &dyn Fn(&str) -> String| {
            is_audio_on_hold(
                &Textops,
                &mut with_body("Content-Type: application/sdp\n", &change(SDP)),
            )
        };
        assert_eq!(hold(&|sdp| sdp.replace("1.2.3.4", "0.0.0.0")), 1);
        assert_eq!(hold(&|sdp| format!("{sdp}a=sendonly\r\n")), 2);
        assert_eq!(
            hold(&|sdp| sdp.replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n")),
            2
        );
    }
}
