//! Searching and replacing in the text of the message.

use kahea_module::{Cx, Fault, Lit, Str, VarRef};
use kahea_sip::{EditTag, Place, Span};

use super::{
    Textops,
    arg::{LineRegex, Which},
    strings,
    subst::Subst,
};

/// A part of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// First line, headers and body.
    Whole,
    /// Headers and body: the first line is left alone.
    AfterFirstLine,
    /// The headers.
    Headers,
    /// The body.
    Body,
}

impl Area {
    fn span(self, cx: &Cx) -> Span {
        let msg = &cx.msg;
        match self {
            Area::Whole => msg.span(),
            Area::AfterFirstLine => Span::new(msg.headers_start(), msg.span().end()),
            Area::Headers => Span::new(msg.headers_start(), msg.headers_end()),
            Area::Body => msg.body_span(),
        }
    }
}

/// What an edit at this place is about.
fn tag_at(cx: &Cx, span: Span) -> EditTag {
    if cx.msg.body_span().contains(span) && !cx.msg.body_span().is_empty() {
        return EditTag::Body;
    }
    let header = cx.msg.headers().iter().find(|header| header.line.contains(span));
    header.map_or(EditTag::Other, |header| EditTag::Header(header.id))
}

/// `start..end` of the text at `base`, in the message.
fn span_in(base: Span, start: usize, end: usize) -> Span {
    let at = |offset: usize| {
        base.start()
            .saturating_add(u32::try_from(offset).unwrap_or(u32::MAX))
    };
    Span::new(at(start), at(end))
}

/// Whether the area matches; an empty one never does.
fn found(cx: &Cx, area: Area, regex: &LineRegex) -> bool {
    let text = cx.msg.bytes(area.span(cx));
    !text.is_empty() && regex.is_match(text)
}

pub(super) fn search(_: &Textops, cx: &mut Cx, regex: Lit<LineRegex>) -> bool {
    found(cx, Area::Whole, &regex)
}

pub(super) fn search_body(_: &Textops, cx: &mut Cx, regex: Lit<LineRegex>) -> bool {
    found(cx, Area::Body, &regex)
}

fn append_at(cx: &mut Cx, area: Area, regex: &LineRegex, text: &Str) -> Result<bool, Fault> {
    let base = area.span(cx);
    let Some((_, end)) = regex
        .captures(cx.msg.bytes(base))
        .and_then(|groups| groups.first().copied().flatten())
    else {
        return Ok(false);
    };
    cx.spend_bytes(text.len())?;
    let at = span_in(base, end, end);
    let tag = tag_at(cx, at);
    cx.edits.insert(at.start(), Place::After, text.clone(), tag);
    Ok(true)
}

pub(super) fn search_append(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    append_at(cx, Area::AfterFirstLine, &regex, &text)
}

pub(super) fn search_append_body(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    append_at(cx, Area::Body, &regex, &text)
}

/// Puts `text` in the place of these ranges of `base`; whether there were any.
fn replace_ranges(cx: &mut Cx, base: Span, ranges: Vec<(usize, usize)>, text: &Str) -> Result<bool, Fault> {
    let any = !ranges.is_empty();
    for (start, end) in ranges {
        cx.spend_bytes(text.len())?;
        let span = span_in(base, start, end);
        let tag = tag_at(cx, span);
        cx.edits.replace(span, text.clone(), tag);
    }
    Ok(any)
}

fn replace_in(cx: &mut Cx, area: Area, regex: &LineRegex, text: &Str, which: Which) -> Result<bool, Fault> {
    let base = area.span(cx);
    let matches = regex
        .find_all(cx.msg.bytes(base))
        .filter_map(|groups| groups.first().copied().flatten());
    let ranges = match which {
        Which::First => matches.take(1).collect(),
        _ => matches.collect(),
    };
    replace_ranges(cx, base, ranges, text)
}

pub(super) fn replace(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    replace_in(cx, Area::AfterFirstLine, &regex, &text, Which::First)
}

pub(super) fn replace_all(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    replace_in(cx, Area::AfterFirstLine, &regex, &text, Which::All)
}

pub(super) fn replace_hdrs(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    replace_in(cx, Area::Headers, &regex, &text, Which::First)
}

pub(super) fn replace_body(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    replace_in(cx, Area::Body, &regex, &text, Which::First)
}

pub(super) fn replace_body_all(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<LineRegex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    replace_in(cx, Area::Body, &regex, &text, Which::All)
}

/// `^` and `$` match at the ends of the body only, and `.` matches line ends.
pub(super) fn replace_body_atonce(
    _: &Textops,
    cx: &mut Cx,
    regex: Lit<kahea_module::Regex>,
    text: Lit<Str>,
) -> Result<bool, Fault> {
    let base = Area::Body.span(cx);
    if base.is_empty() {
        return Ok(false);
    }
    let matches = regex
        .find_all(cx.msg.bytes(base))
        .filter_map(|groups| groups.first().copied().flatten());
    let ranges: Vec<_> = matches.filter(|(start, end)| start < end).collect();
    replace_ranges(cx, base, ranges, &text)
}

fn replace_text(cx: &mut Cx, area: Area, old: &[u8], new: &Str, mode: &[u8]) -> Result<bool, Fault> {
    if old.is_empty() {
        return Err(Fault::script("the text to be replaced is empty"));
    }
    let which = Which::of(mode)?;
    let base = area.span(cx);
    let text = cx.msg.bytes(base);
    let mut ranges = Vec::new();
    let mut at = 0usize;
    while let Some(start) = text.get(at..).and_then(|rest| strings::find(rest, old)) {
        let start = at.saturating_add(start);
        at = start.saturating_add(old.len());
        ranges.push((start, at));
        if which == Which::First {
            break;
        }
    }
    // Kamailio answers true whether or not there was anything to replace.
    replace_ranges(cx, base, ranges, new).map(|_| true)
}

pub(super) fn replace_str(_: &Textops, cx: &mut Cx, old: Str, new: Str, mode: Str) -> Result<bool, Fault> {
    replace_text(cx, Area::AfterFirstLine, &old, &new, &mode)
}

pub(super) fn replace_hdrs_str(
    _: &Textops,
    cx: &mut Cx,
    old: Str,
    new: Str,
    mode: Str,
) -> Result<bool, Fault> {
    replace_text(cx, Area::Headers, &old, &new, &mode)
}

pub(super) fn replace_body_str(
    _: &Textops,
    cx: &mut Cx,
    old: Str,
    new: Str,
    mode: Str,
) -> Result<bool, Fault> {
    replace_text(cx, Area::Body, &old, &new, &mode)
}

/// Substitutes in a range of the message; whether anything matched.
pub(super) fn substitute(cx: &mut Cx, base: Span, subst: &Subst, tag: EditTag) -> Result<bool, Fault> {
    let text = cx.msg.text(base);
    let found = subst.replacements(cx, &text)?;
    let any = !found.is_empty();
    for (range, new) in found {
        let span = span_in(base, range.start, range.end);
        let tag = if tag == EditTag::Other {
            tag_at(cx, span)
        } else {
            tag
        };
        cx.edits.replace(span, new, tag);
    }
    Ok(any)
}

pub(super) fn subst(_: &Textops, cx: &mut Cx, subst: Lit<Subst>) -> Result<bool, Fault> {
    let base = Area::AfterFirstLine.span(cx);
    substitute(cx, base, &subst, EditTag::Other)
}

pub(super) fn subst_body(_: &Textops, cx: &mut Cx, subst: Lit<Subst>) -> Result<bool, Fault> {
    let base = Area::Body.span(cx);
    substitute(cx, base, &subst, EditTag::Body)
}

pub(super) fn subst_uri(_: &Textops, cx: &mut Cx, subst: Lit<Subst>) -> Result<bool, Fault> {
    let uri = cx.ruri();
    match subst.run(cx, &uri)? {
        Some(new) => cx.set_ruri(new).map(|()| true),
        None => Ok(false),
    }
}

pub(super) fn subst_user(_: &Textops, cx: &mut Cx, subst: Lit<Subst>) -> Result<bool, Fault> {
    let uri = cx.ruri();
    let view = kahea_sip::view::Uri::parse(&uri)
        .map_err(|error| Fault::peer(format!("the Request-URI cannot be read: {error}")))?;
    let Some(new) = subst.run(cx, view.user)? else {
        return Ok(false);
    };
    let at = kahea_sip::view::range_in(&uri, view.user).unwrap_or(0..0);
    let mut out = uri.get(..at.start).unwrap_or_default().to_vec();
    out.extend_from_slice(&new);
    if !view.has_userinfo() {
        out.push(b'@');
    }
    out.extend_from_slice(uri.get(at.end..).unwrap_or_default());
    cx.set_ruri(Str::from(out)).map(|()| true)
}

pub(super) fn subst_v(
    _: &Textops,
    cx: &mut Cx,
    text: Str,
    subst: Lit<Subst>,
    to: VarRef,
) -> Result<bool, Fault> {
    match subst.run(cx, &text)? {
        Some(new) => to.set(cx, new.into()).map(|()| true),
        None => Ok(false),
    }
}

pub(super) fn search_str(_: &Textops, cx: &mut Cx, text: Str, regex: Str) -> Result<bool, Fault> {
    Ok(cx.regex(&regex)?.is_match(&text))
}

/// -2 where the text does not match, -1 where it has no such group.
pub(super) fn regex_substring(
    _: &Textops,
    cx: &mut Cx,
    text: Str,
    regex: Str,
    index: i64,
    count: i64,
    to: VarRef,
) -> Result<i64, Fault> {
    let regex = cx.regex(&regex)?;
    let Some(groups) = regex.captures(&text) else {
        return Ok(-2);
    };
    if index > count {
        return Err(Fault::script(format!(
            "group {index} is beyond the {count} that are expected"
        )));
    }
    let group = usize::try_from(index)
        .ok()
        .and_then(|index| groups.get(index).copied().flatten());
    let Some(piece) = group.and_then(|(start, end)| text.get(start..end)) else {
        return Ok(-1);
    };
    to.set(cx, text.share(piece).into()).map(|()| 1)
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::tests::{built, lit, request, with_body};
    use super::*;

    const SDP: &str = "v=0\r\no=alice 1 1 IN IP4 127.0.0.1\r\ns=-\r\n";

    #[test]
    fn searches_ignore_case_and_know_lines() {
        let cx = &mut with_body("Content-Type: application/sdp\n", SDP);
        assert!(search(&Textops, cx, lit("^invite sip")));
        assert!(search_body(&Textops, cx, lit("^O=Alice")));
        assert!(!search_body(&Textops, cx, lit("INVITE")));
        assert!(!search_body(&Textops, &mut request("X: 1\n"), lit(".*")));
    }

    #[test]
    fn replacements_keep_to_their_area() {
        let cx = &mut with_body("X-A: alice\n", SDP);
        assert_eq!(replace(&Textops, cx, lit("alice"), lit("bob")), Ok(true));
        assert_eq!(replace_body(&Textops, cx, lit("alice"), lit("carol")), Ok(true));
        assert_eq!(replace_hdrs(&Textops, cx, lit("carol"), lit("x")), Ok(false));
        assert_eq!(replace_all(&Textops, cx, lit("zzz"), lit("x")), Ok(false));
        let text = built(cx);
        assert!(
            text.contains("X-A: bob\r\n") && text.contains("o=carol 1"),
            "{text}"
        );
    }

    #[test]
    fn all_lines_or_the_body_at_once() {
        let cx = &mut with_body("X: 1\n", SDP);
        assert_eq!(
            replace_body_all(&Textops, cx, lit("^[a-z]="), lit("Q=")),
            Ok(true)
        );
        assert!(built(cx).ends_with("Q=0\r\nQ=alice 1 1 IN IP4 127.0.0.1\r\nQ=-\r\n"));
        let cx = &mut with_body("X: 1\n", SDP);
        assert_eq!(replace_body_atonce(&Textops, cx, lit("^.+$"), lit("")), Ok(true));
        assert!(built(cx).ends_with("\r\n\r\n"));
    }

    #[test]
    fn plain_texts_are_replaced_first_or_all() {
        let cx = &mut with_body("X: 127.0.0.1\n", SDP);
        assert_eq!(
            replace_str(&Textops, cx, "127.0.0.1".into(), "h".into(), "a".into()),
            Ok(true)
        );
        assert_eq!(
            replace_str(&Textops, cx, "absent".into(), "h".into(), "f".into()),
            Ok(true)
        );
        assert!(replace_str(&Textops, cx, "".into(), "h".into(), "f".into()).is_err());
        assert!(replace_body_str(&Textops, cx, "v".into(), "h".into(), "x".into()).is_err());
        assert!(!built(cx).contains("127.0.0.1"));
    }

    #[test]
    fn text_is_added_behind_a_match() {
        let cx = &mut with_body("X-A: one\n", SDP);
        assert_eq!(search_append(&Textops, cx, lit("X-A: one"), lit("ONE")), Ok(true));
        assert_eq!(
            search_append_body(&Textops, cx, lit("^s=-"), lit("dash")),
            Ok(true)
        );
        assert_eq!(search_append_body(&Textops, cx, lit("X-A"), lit("no")), Ok(false));
        let text = built(cx);
        assert!(
            text.contains("X-A: oneONE\r\n") && text.ends_with("s=-dash\r\n"),
            "{text}"
        );
    }

    #[test]
    fn substitutions_in_message_uri_and_user() {
        let cx = &mut with_body("X-A: one\n", SDP);
        assert_eq!(subst(&Textops, cx, lit("/^(X-A:).*one/\\1 ONE/")), Ok(true));
        assert_eq!(subst_body(&Textops, cx, lit("/IN (IP.)/\\1 OUT/g")), Ok(true));
        assert_eq!(
            subst_uri(&Textops, cx, lit("/^sip:([^@]+)@(.*)$/sip:9\\1@\\2;o=1/")),
            Ok(true)
        );
        assert_eq!(cx.ruri(), "sip:9bob@b.org;o=1");
        assert_eq!(subst_user(&Textops, cx, lit("/^9/8/")), Ok(true));
        assert_eq!(cx.ruri(), "sip:8bob@b.org;o=1");
        assert_eq!(subst_user(&Textops, cx, lit("/zz/8/")), Ok(false));
        assert!(subst_uri(&Textops, cx, lit("/.*/nonsense/")).is_err());
        let text = built(cx);
        assert!(
            text.contains("X-A: ONE\r\n") && text.contains("IP4 OUT 127"),
            "{text}"
        );
    }

    #[test]
    fn pieces_of_texts_go_to_variables() {
        let cx = &mut request("X: 1\n");
        let to = cx.bind().var("$var(x)").unwrap();
        let re = || Str::from("([a-z]*)([0-9]+)([a-z]*)");
        assert_eq!(
            regex_substring(&Textops, cx, "_abc12d".into(), re(), 1, 3, to.clone()),
            Ok(1)
        );
        assert_eq!(to.get(cx), Value::from("abc"));
        assert_eq!(
            regex_substring(&Textops, cx, "none".into(), re(), 1, 3, to.clone()),
            Ok(-2)
        );
        assert!(regex_substring(&Textops, cx, "a1b".into(), re(), 5, 3, to.clone()).is_err());
        assert_eq!(
            subst_v(&Textops, cx, "abc".into(), lit("/b/-/"), to.clone()),
            Ok(true)
        );
        assert_eq!(to.get(cx), Value::from("a-c"));
        assert_eq!(search_str(&Textops, cx, "abc".into(), "B".into()), Ok(true));
    }
}
