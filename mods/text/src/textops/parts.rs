//! Functions on multipart bodies (RFC 2046 section 5.1).

use kahea_module::{Cx, Fault, Lit, Str, VarRef};
use kahea_sip::{
    EditTag, Place, Span,
    multipart::{Multipart, Part},
    view::MediaType,
};

use super::{
    Textops,
    body::{Mime, content_type, place, set},
    strings::from_hex,
};

/// The boundary where the script gives none.
const BOUNDARY: &str = "unique-boundary-1";

fn multipart(cx: &Cx) -> Option<Multipart<'_>> {
    Multipart::parse(content_type(cx)?, cx.msg.body()).ok()
}

fn part<'a>(cx: &'a Cx, kind: &[u8]) -> Option<Part<'a>> {
    let wanted = MediaType::parse(kind).ok()?;
    multipart(cx)?
        .parts()
        .find(|part| part.media_type().is_some_and(|own| own.matches(&wanted)))
}

fn make(cx: &mut Cx, content: &[u8], kind: &[u8], boundary: Option<Str>) -> Result<bool, Fault> {
    let boundary = boundary.unwrap_or(Str::from_static(BOUNDARY));
    let fits = !boundary.is_empty()
        && boundary.len() <= 70
        && boundary.iter().all(|b| (b' '..=b'~').contains(b) && *b != b'"');
    if !fits {
        return Err(Fault::script(format!(
            "'{boundary}' cannot be a boundary (RFC 2046 section 5.1.1)"
        )));
    }
    let body = [
        b"--",
        &*boundary,
        b"\r\nContent-Type: ",
        kind,
        b"\r\n\r\n",
        content,
        b"\r\n--",
        &boundary,
        b"--\r\n",
    ]
    .concat();
    let headers = format!("Content-Type: multipart/mixed;boundary=\"{boundary}\"\r\nMime-Version: 1.0\r\n");
    set(cx, body.into(), &headers).map(|()| true)
}

/// Makes the present body the first part of a multipart one.
fn wrap(cx: &mut Cx, boundary: Option<Str>) -> Result<bool, Fault> {
    let content = cx.msg.text(cx.msg.body_span());
    let Some(kind) = content_type(cx).map(Str::copy) else {
        return Err(Fault::script(
            "the message has no Content-Type: give text and type of the first part",
        ));
    };
    if content.is_empty() {
        return Err(Fault::script(
            "the message has no body: give text and type of the first part",
        ));
    }
    make(cx, &content, &kind, boundary)
}

pub(super) fn set_multipart_mode(_: &Textops, cx: &mut Cx) -> Result<bool, Fault> {
    wrap(cx, None)
}

pub(super) fn set_multipart_boundary(_: &Textops, cx: &mut Cx, boundary: Str) -> Result<bool, Fault> {
    wrap(cx, Some(boundary))
}

pub(super) fn set_multipart(
    _: &Textops,
    cx: &mut Cx,
    content: Str,
    kind: Str,
    boundary: Option<Str>,
) -> Result<bool, Fault> {
    if content.is_empty() || kind.is_empty() {
        return Err(Fault::script("the text of the part or its type is empty"));
    }
    make(cx, &content, &kind, boundary)
}

fn append(cx: &mut Cx, content: &[u8], kind: &Str, disposition: Option<Str>) -> Result<bool, Fault> {
    if content.is_empty() || kind.is_empty() {
        return Err(Fault::script("the text of the part or its type is empty"));
    }
    let whole = content_type(cx).and_then(|kind| MediaType::parse(kind).ok());
    let Some((boundary, body)) = whole.and_then(|kind| kind.boundary()).zip(multipart(cx)) else {
        return Ok(false);
    };
    let at = body.insert_at();
    let unclosed = at == body.body.len();
    let mut text = Vec::new();
    // The place is before the line end that belongs to the closing delimiter.
    if at > 0 && !(unclosed && body.body.ends_with(b"\n")) {
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(&[b"--", boundary, b"\r\nContent-Type: ", kind, b"\r\n"].concat());
    if let Some(disposition) = disposition.filter(|disposition| !disposition.is_empty()) {
        text.extend_from_slice(&[b"Content-Disposition: ", &*disposition, b"\r\n"].concat());
    }
    text.extend_from_slice(&[b"\r\n", content].concat());
    if at == 0 || unclosed {
        text.extend_from_slice(b"\r\n");
    }
    let start = cx.msg.body_span().start();
    let at = start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
    cx.spend_bytes(text.len())?;
    cx.edits.insert(at, Place::Before, Str::from(text), EditTag::Body);
    Ok(true)
}

pub(super) fn append_body_part(
    _: &Textops,
    cx: &mut Cx,
    content: Str,
    kind: Str,
    disposition: Option<Str>,
) -> Result<bool, Fault> {
    append(cx, &content, &kind, disposition)
}

pub(super) fn append_body_part_hex(
    _: &Textops,
    cx: &mut Cx,
    content: Str,
    kind: Str,
    disposition: Option<Str>,
) -> Result<bool, Fault> {
    append(cx, &from_hex(&content)?, &kind, disposition)
}

pub(super) fn remove_body_part(_: &Textops, cx: &mut Cx, kind: Str) -> bool {
    let Some(part) = part(cx, &kind).and_then(|part| place(cx, part.whole)) else {
        return false;
    };
    let body = cx.msg.body_span();
    // A part ends before the line end of the next delimiter. That of the first part has none before itself.
    let line_end = match cx.msg.bytes(Span::new(part.end(), body.end())) {
        [b'\r', b'\n', ..] if part.start() == body.start() => 2,
        _ => 0,
    };
    cx.edits.remove(
        Span::new(part.start(), part.end().saturating_add(line_end)),
        EditTag::Body,
    );
    true
}

pub(super) fn get_body_part(_: &Textops, cx: &mut Cx, kind: Str, to: VarRef) -> Result<bool, Fault> {
    match part(cx, &kind).map(|part| cx.msg.buffer().share(part.body)) {
        Some(content) => to.set(cx, content.into()).map(|()| true),
        None => Ok(false),
    }
}

/// The part from its headers to the end of the next delimiter line.
pub(super) fn get_body_part_raw(_: &Textops, cx: &mut Cx, kind: Str, to: VarRef) -> Result<bool, Fault> {
    match part(cx, &kind).and_then(|part| raw(cx, &part)) {
        Some(span) => {
            let text = cx.msg.text(span);
            to.set(cx, text.into()).map(|()| true)
        }
        None => Ok(false),
    }
}

fn raw(cx: &Cx, part: &Part<'_>) -> Option<Span> {
    let start = place(cx, part.headers)?.start();
    let content = place(cx, part.body)?.end();
    let rest = cx.msg.bytes(Span::new(content, cx.msg.body_span().end()));
    let delimiter: usize = rest
        .split_inclusive(|b| *b == b'\n')
        .take(2)
        .map(<[u8]>::len)
        .sum();
    Some(Span::new(
        start,
        content.checked_add(u32::try_from(delimiter).ok()?)?,
    ))
}

/// Leaves nothing of the body but the content of the first part of this type.
pub(super) fn filter_body(_: &Textops, cx: &mut Cx, mime: Lit<Mime>) -> bool {
    let found = multipart(cx).and_then(|all| {
        all.parts()
            .find(|part| part.media_type().is_some_and(|own| mime.accepts(&own)))
    });
    let Some(kept) = found.and_then(|part| place(cx, part.body)) else {
        return false;
    };
    let body = cx.msg.body_span();
    for gone in [
        Span::new(body.start(), kept.start()),
        Span::new(kept.end(), body.end()),
    ] {
        if !gone.is_empty() {
            cx.edits.remove(gone, EditTag::Body);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{body_of, built, lit, with_body};
    use super::*;

    const BODY: &str = "--bnd\r\nContent-Type: text/plain\r\n\r\nhello\r\n--bnd\r\nContent-Type: application/sdp\r\nX-P: 1\r\n\r\nv=0\r\n\r\n--bnd--\r\n";

    fn mixed() -> Cx {
        with_body("Content-Type: multipart/mixed;boundary=\"bnd\"\n", BODY)
    }

    #[test]
    fn parts_are_read_removed_and_filtered() {
        let cx = &mut mixed();
        let to = cx.bind().var("$var(x)").unwrap();
        assert_eq!(
            get_body_part(&Textops, cx, "application/sdp".into(), to.clone()),
            Ok(true)
        );
        assert_eq!(to.get(cx).str_or_empty(), "v=0\r\n");
        assert_eq!(
            get_body_part_raw(&Textops, cx, "text/plain".into(), to.clone()),
            Ok(true)
        );
        assert_eq!(
            to.get(cx).str_or_empty(),
            "Content-Type: text/plain\r\n\r\nhello\r\n--bnd\r\n"
        );
        assert_eq!(get_body_part(&Textops, cx, "text/xml".into(), to), Ok(false));
        assert!(remove_body_part(&Textops, cx, "application/sdp".into()));
        assert_eq!(
            body_of(cx),
            "--bnd\r\nContent-Type: text/plain\r\n\r\nhello\r\n--bnd--\r\n"
        );
        let cx = &mut mixed();
        assert!(!filter_body(&Textops, cx, lit("text/xml")));
        assert!(filter_body(&Textops, cx, lit("text/plain")));
        assert_eq!(body_of(cx), "hello");
    }

    #[test]
    fn parts_are_appended_in_order() {
        let cx = &mut mixed();
        append_body_part(
            &Textops,
            cx,
            "p2".into(),
            "text/html".into(),
            Some("signal".into()),
        )
        .unwrap();
        append_body_part_hex(&Textops, cx, "41 42".into(), "text/x".into(), None).unwrap();
        let body = body_of(cx);
        let tail = "v=0\r\n\r\n--bnd\r\nContent-Type: text/html\r\nContent-Disposition: signal\r\n\r\np2\r\n--bnd\r\nContent-Type: text/x\r\n\r\nAB\r\n--bnd--\r\n";
        assert!(body.ends_with(tail), "{body}");
        let cx = &mut with_body("Content-Type: text/plain\n", "x");
        assert_eq!(
            append_body_part(&Textops, cx, "p".into(), "text/x".into(), None),
            Ok(false)
        );
    }

    #[test]
    fn a_body_becomes_multipart() {
        let cx = &mut with_body("Content-Type: text/plain\n", "hello");
        assert_eq!(set_multipart_boundary(&Textops, cx, "b".into()), Ok(true));
        assert_eq!(
            body_of(cx),
            "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b--\r\n"
        );
        assert!(built(cx).contains("Content-Type: multipart/mixed;boundary=\"b\"\r\nMime-Version: 1.0\r\n"));
        assert_eq!(
            set_multipart(&Textops, cx, "x".into(), "text/x".into(), None),
            Ok(true)
        );
        assert!(body_of(cx).starts_with("--unique-boundary-1\r\n"));
        assert!(set_multipart(&Textops, cx, "x".into(), "text/x".into(), Some("a\r\nb".into())).is_err());
    }
}
