//! Functions on headers: adding, removing, looking for.

use kahea_module::{Cx, Fault, Lit, Str};
use kahea_sip::{EditTag, Header, HeaderId, Place, Span, view};

use super::{
    Textops,
    arg::{HeaderName, LineRegex, Which},
    subst::Subst,
};

/// The text as whole header lines: where the script left out the last line end, it is added, for without it the
/// next line of the message would become part of this one.
pub fn lines(text: Str) -> Str {
    match text.ends_with(b"\n") {
        true => text,
        false => Str::from([&*text, b"\r\n"].concat()),
    }
}

/// What a header line is about.
pub fn tag(line: &[u8]) -> EditTag {
    let name = line.split(|b| *b == b':').next().unwrap_or_default();
    EditTag::Header(HeaderId::parse(name.trim_ascii()))
}

/// Adds lines behind all headers.
pub fn append(cx: &mut Cx, text: Str) -> Result<(), Fault> {
    let at = cx.msg.headers_end();
    put(cx, at, Place::After, text)
}

/// Adds lines before all headers.
pub fn insert(cx: &mut Cx, text: Str) -> Result<(), Fault> {
    let at = cx.msg.headers_start();
    put(cx, at, Place::Before, text)
}

fn put(cx: &mut Cx, at: u32, place: Place, text: Str) -> Result<(), Fault> {
    if text.trim_ascii().is_empty() {
        return Err(Fault::script("the header is empty"));
    }
    cx.spend_bytes(text.len())?;
    let text = lines(text);
    let tag = tag(&text);
    cx.edits.insert(at, place, text, tag);
    Ok(())
}

pub(super) fn append_hf(
    _: &Textops,
    cx: &mut Cx,
    text: Str,
    after: Option<Lit<HeaderName>>,
) -> Result<(), Fault> {
    let header = after.and_then(|name| name.of(&cx.msg).next_back().map(|header| header.line.end()));
    match header {
        Some(at) => put(cx, at, Place::After, text),
        None => append(cx, text),
    }
}

pub(super) fn insert_hf(
    _: &Textops,
    cx: &mut Cx,
    text: Str,
    before: Option<Lit<HeaderName>>,
) -> Result<(), Fault> {
    let header = before.and_then(|name| name.of(&cx.msg).next().map(|header| header.line.start()));
    match header {
        Some(at) => put(cx, at, Place::Before, text),
        None => insert(cx, text),
    }
}

pub(super) fn append_urihf(_: &Textops, cx: &mut Cx, prefix: Str, suffix: Str) -> Result<(), Fault> {
    let uri = cx.msg.uri().unwrap_or_default();
    let text = Str::from([&*prefix, uri, &*suffix].concat());
    append(cx, text)
}

/// Takes the headers that `wanted` picks out of the message; whether there were any.
pub fn remove_where(cx: &mut Cx, wanted: impl Fn(&Cx, &Header) -> bool) -> bool {
    let found: Vec<Header> = cx
        .msg
        .headers()
        .iter()
        .filter(|header| wanted(cx, header))
        .copied()
        .collect();
    for header in &found {
        remove_header(cx, header);
    }
    !found.is_empty()
}

/// Takes one header out, unless it is out already.
pub fn remove_header(cx: &mut Cx, header: &Header) {
    if !cx.edits.is_removed(header.line) {
        cx.edits.remove(header.line, EditTag::Header(header.id));
    }
}

fn remove_named(cx: &mut Cx, name: &HeaderName) -> bool {
    let found: Vec<Header> = name.of(&cx.msg).copied().collect();
    found.iter().for_each(|header| remove_header(cx, header));
    !found.is_empty()
}

pub(super) fn remove_hf(_: &Textops, cx: &mut Cx, name: Lit<HeaderName>) -> bool {
    remove_named(cx, &name)
}

pub(super) fn remove_hf_pv(_: &Textops, cx: &mut Cx, name: Str) -> bool {
    remove_named(cx, &HeaderName::new(&name))
}

pub(super) fn remove_hf_re(_: &Textops, cx: &mut Cx, name: Lit<LineRegex>) -> bool {
    remove_where(cx, |cx, header| name.is_match(cx.msg.bytes(header.name)))
}

pub(super) fn remove_hf_re_pv(_: &Textops, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let name = cx.regex(&name)?;
    Ok(remove_where(cx, |cx, header| {
        name.is_match(cx.msg.bytes(header.name))
    }))
}

pub(super) fn remove_hf_exp(_: &Textops, cx: &mut Cx, name: Lit<LineRegex>, keep: Lit<LineRegex>) -> bool {
    remove_where(cx, |cx, header| {
        let text = cx.msg.bytes(header.name);
        name.is_match(text) && !keep.is_match(text)
    })
}

pub(super) fn remove_hf_exp_pv(_: &Textops, cx: &mut Cx, name: Str, keep: Str) -> Result<bool, Fault> {
    let (name, keep) = (cx.regex(&name)?, cx.regex(&keep)?);
    Ok(remove_where(cx, |cx, header| {
        let text = cx.msg.bytes(header.name);
        name.is_match(text) && !keep.is_match(text)
    }))
}

/// 1 where the header was there, else 2, as Kamailio answers.
pub(super) fn remove_hf_idx(_: &Textops, cx: &mut Cx, name: Str, index: i64) -> i64 {
    let found: Vec<Header> = HeaderName::new(&name).of(&cx.msg).copied().collect();
    let at = kahea_module::Index::At(index).pick(found.len());
    match at.and_then(|at| found.get(at)) {
        Some(header) => {
            remove_header(cx, header);
            1
        }
        None => 2,
    }
}

/// -2 where no header matches, as Kamailio answers.
pub(super) fn remove_hf_match(_: &Textops, cx: &mut Cx, name: Str, op: Str, text: Str) -> Result<i64, Fault> {
    enum Test {
        Equal,
        Differs,
        Contains,
        Matches(kahea_module::Regex),
    }
    let test = match op.to_ascii_lowercase().as_slice() {
        b"eq" => Test::Equal,
        b"ne" => Test::Differs,
        b"in" => Test::Contains,
        b"re" => Test::Matches(cx.regex(&text)?),
        _ => {
            return Err(Fault::script(format!(
                "'{op}' is no comparison: write eq, ne, in or re"
            )));
        }
    };
    let name = HeaderName::new(&name);
    let found: Vec<Header> = name
        .of(&cx.msg)
        .filter(|header| {
            let value = cx.msg.value(header);
            match &test {
                Test::Equal => value == &*text,
                Test::Differs => value != &*text,
                Test::Contains => super::strings::find(value, &text).is_some(),
                Test::Matches(regex) => regex.is_match(value),
            }
        })
        .copied()
        .collect();
    found.iter().for_each(|header| remove_header(cx, header));
    Ok(if found.is_empty() { -2 } else { 1 })
}

pub(super) fn is_present_hf(_: &Textops, cx: &mut Cx, name: Lit<HeaderName>) -> bool {
    name.of(&cx.msg).next().is_some()
}

pub(super) fn is_present_hf_pv(_: &Textops, cx: &mut Cx, name: Str) -> bool {
    HeaderName::new(&name).of(&cx.msg).next().is_some()
}

pub(super) fn is_present_hf_re(_: &Textops, cx: &mut Cx, name: Lit<LineRegex>) -> bool {
    cx.msg
        .headers()
        .iter()
        .any(|header| name.is_match(cx.msg.bytes(header.name)))
}

pub(super) fn is_present_hf_re_pv(_: &Textops, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let name = cx.regex(&name)?;
    Ok(cx
        .msg
        .headers()
        .iter()
        .any(|header| name.is_match(cx.msg.bytes(header.name))))
}

fn picked(cx: &Cx, name: &HeaderName, which: Which) -> Vec<Header> {
    which.pick(name.of(&cx.msg).copied().collect())
}

pub(super) fn search_hf(
    _: &Textops,
    cx: &mut Cx,
    name: Lit<HeaderName>,
    regex: Lit<LineRegex>,
    which: Lit<Which>,
) -> bool {
    picked(cx, &name, *which)
        .iter()
        .any(|header| regex.is_match(cx.msg.value(header)))
}

pub(super) fn subst_hf(
    _: &Textops,
    cx: &mut Cx,
    name: Lit<HeaderName>,
    subst: Lit<Subst>,
    which: Lit<Which>,
) -> Result<bool, Fault> {
    let mut changed = false;
    for header in picked(cx, &name, *which) {
        changed |= super::replace::substitute(cx, header.value, &subst, EditTag::Header(header.id))?;
    }
    Ok(changed)
}

pub(super) fn is_privacy(_: &Textops, cx: &mut Cx, kind: Str) -> bool {
    cx.msg.all(HeaderId::Privacy).any(|header| {
        let values = cx.msg.value(header).split(|b| matches!(b, b';' | b','));
        values
            .map(<[u8]>::trim_ascii)
            .any(|value| value.eq_ignore_ascii_case(&kind))
    })
}

/// Takes a parameter off one hop of the Via list: 1 is the topmost, negative numbers count from the last.
pub(super) fn via_param_rm(_: &Textops, cx: &mut Cx, name: Str, index: i64) -> bool {
    let hops: Vec<Span> = cx.msg.vias().map(|hop| hop.span).collect();
    let index = if index > 0 { index.saturating_sub(1) } else { index };
    let at = kahea_module::Index::At(index).pick(hops.len());
    let Some(hop) = at.and_then(|at| hops.get(at)).copied() else {
        return false;
    };
    let Ok(via) = view::Via::parse(cx.msg.bytes(hop)) else {
        return false;
    };
    let whole = via.params.get(&*name).map(|param| param.whole);
    let Some(span) = whole.and_then(|whole| Span::within(cx.msg.buffer(), whole)) else {
        return false;
    };
    // The first parameter of the list is given without its separator.
    let before = span.start().saturating_sub(1);
    let bare = cx.msg.bytes(span).first() != Some(&b';');
    let span = if bare { Span::new(before, span.end()) } else { span };
    cx.edits.remove(span, EditTag::Header(HeaderId::Via));
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{built, lit, request};
    use super::*;

    #[test]
    fn headers_come_in_kamailios_order() {
        let cx = &mut request("X-A: one\nCall-ID: c\nx-a : two\nX-B: b\n");
        for (text, after) in [
            ("P-A: 1\r\n", None),
            ("P-B: 2\r\n", None),
            ("P-E: 5\r\n", Some("Call-ID")),
        ] {
            append_hf(&Textops, cx, text.into(), after.map(lit)).unwrap();
        }
        append_hf(&Textops, cx, "P-K: 1".into(), Some(lit("X-A"))).unwrap();
        append_hf(&Textops, cx, "P-F: 6\r\n".into(), Some(lit("i"))).unwrap();
        for (text, before) in [
            ("P-C: 3\r\n", None),
            ("P-D: 4\r\n", Some("X-None")),
            ("P-G: 7\r\n", Some("call-id")),
        ] {
            insert_hf(&Textops, cx, text.into(), before.map(lit)).unwrap();
        }
        assert_eq!(
            built(cx).lines().skip(1).collect::<Vec<_>>().join("|"),
            "P-C: 3|P-D: 4|X-A: one|P-G: 7|Call-ID: c|P-E: 5|P-F: 6|x-a : two|P-K: 1|X-B: b|P-A: 1|P-B: 2|"
        );
    }

    #[test]
    fn all_spellings_of_a_header_are_removed() {
        let cx = &mut request("t: <sip:a@b>\nX-A: a,\n b\nx-A : c\nX-B: d\n");
        assert!(remove_hf(&Textops, cx, lit("X-A")));
        assert!(remove_hf(&Textops, cx, lit("X-A")));
        assert!(remove_hf_pv(&Textops, cx, "To".into()));
        assert!(!remove_hf(&Textops, cx, lit("X-C")));
        assert!(is_present_hf(&Textops, cx, lit("x-a")), "as received");
        assert_eq!(built(cx).lines().nth(1), Some("X-B: d"));
    }

    #[test]
    fn by_index_expression_and_value() {
        let cx = &mut request("X-A: one\nX-A: two\nX-A: three\nX-Keep: 1\n");
        assert_eq!(remove_hf_idx(&Textops, cx, "X-A".into(), 5), 2);
        assert_eq!(remove_hf_idx(&Textops, cx, "X-A".into(), -1), 1);
        assert_eq!(
            remove_hf_match(&Textops, cx, "X-A".into(), "in".into(), "zz".into()),
            Ok(-2)
        );
        assert_eq!(
            remove_hf_match(&Textops, cx, "X-A".into(), "re".into(), "^ON".into()),
            Ok(1)
        );
        assert!(remove_hf_match(&Textops, cx, "X-A".into(), "like".into(), "x".into()).is_err());
        assert!(remove_hf_exp(&Textops, cx, lit("^X-"), lit("^x-keep$")));
        assert_eq!(built(cx).lines().skip(1).collect::<Vec<_>>(), ["X-Keep: 1", ""]);
    }

    #[test]
    fn values_are_searched_and_substituted() {
        let cx = &mut request("X-A: one\nX-A: two\nPrivacy: id;Header\n");
        assert!(search_hf(&Textops, cx, lit("X-A"), lit("two"), lit("l")));
        assert!(!search_hf(&Textops, cx, lit("X-A"), lit("two"), lit("f")));
        assert_eq!(
            subst_hf(&Textops, cx, lit("X-A"), lit("/[a-z]/Z/g"), lit("a")),
            Ok(true)
        );
        assert_eq!(
            subst_hf(&Textops, cx, lit("X-B"), lit("/a/b/"), lit("f")),
            Ok(false)
        );
        assert!(is_privacy(&Textops, cx, "header".into()) && !is_privacy(&Textops, cx, "user".into()));
        assert!(built(cx).contains("X-A: ZZZ\r\nX-A: ZZZ\r\n"));
    }

    #[test]
    fn a_via_loses_a_parameter() {
        let cx = &mut request("Via: SIP/2.0/UDP a;rport;branch=z1, SIP/2.0/TCP b;branch=z2;x=1\n");
        assert!(via_param_rm(&Textops, cx, "RPORT".into(), 1));
        assert!(via_param_rm(&Textops, cx, "x".into(), -1));
        assert!(!via_param_rm(&Textops, cx, "x".into(), 1));
        assert!(
            built(cx).contains("Via: SIP/2.0/UDP a;branch=z1, SIP/2.0/TCP b;branch=z2\r\n"),
            "{}",
            built(cx)
        );
    }

    #[test]
    fn the_request_uri_as_received_in_a_header() {
        let cx = &mut request("X: 1\n");
        append_urihf(&Textops, cx, "CC: ".into(), "\r\n".into()).unwrap();
        assert!(built(cx).contains("X: 1\r\nCC: sip:bob@b.org\r\n\r\n"));
    }
}
