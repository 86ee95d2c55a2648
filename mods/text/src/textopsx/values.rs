//! Functions on one value of a header: `Contact[2].expires` is a parameter of the second value of all Contact headers.

use std::ops::Range;

use kahea_module::{Bind, BindError, Cx, Fault, Lit, Literal, Str};
use kahea_sip::{EditTag, Header, Place, Span};

use super::{
    Textopsx,
    list::{elements, params},
};
use crate::textops::{arg::HeaderName, headers};

/// Which value is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    /// None was said.
    Unsaid,
    /// From 1; negative from the last; 0 is the last too.
    At(i64),
    /// `[*]`.
    All,
}

/// `NAME[INDEX].PARAM`.
#[derive(Debug)]
pub(super) struct ValueSpec {
    name: HeaderName,
    which: Which,
    param: Option<Str>,
}

impl Literal for ValueSpec {
    const WHAT: &'static str = "a header with index and parameter: Name[1].param";

    fn parse(text: &str, _: &dyn Bind) -> Result<ValueSpec, BindError> {
        let wrong = || {
            BindError::new(format!("'{text}' names no header value"))
                .help("write Name, Name[2], Name[-1], Name[*] or Name[2].param")
        };
        let (head, param) = match text.rsplit_once('.') {
            Some((head, param)) if !param.contains(']') => (head, Some(param.trim())),
            _ => (text, None),
        };
        let (name, which) = match head.split_once('[') {
            None => (head, Which::Unsaid),
            Some((name, index)) => match index.trim_end().strip_suffix(']').ok_or_else(wrong)?.trim() {
                "*" => (name, Which::All),
                index => (name, Which::At(index.parse().map_err(|_| wrong())?)),
            },
        };
        if name.trim().is_empty() || param.is_some_and(str::is_empty) {
            return Err(wrong());
        }
        Ok(ValueSpec {
            name: HeaderName::new(&Str::from(name)),
            which,
            param: param.map(Str::from),
        })
    }
}

/// One value in the message.
#[derive(Clone, Debug)]
struct Found {
    header: Header,
    value: Span,
    whole: Span,
    /// Values of its header.
    siblings: usize,
}

fn at(header: &Header, range: &Range<usize>) -> Span {
    let place = |offset: usize| {
        header
            .value
            .start()
            .saturating_add(u32::try_from(offset).unwrap_or(u32::MAX))
    };
    Span::new(place(range.start), place(range.end))
}

/// All values of the headers of this name; `whole`: commas do not divide them.
fn values(cx: &Cx, name: &HeaderName, whole: bool) -> Vec<Found> {
    let mut out = Vec::new();
    for header in name.of(&cx.msg) {
        if whole {
            out.push(Found {
                header: *header,
                value: header.value,
                whole: header.value,
                siblings: 1,
            });
            continue;
        }
        let list = elements(cx.msg.value(header), b',');
        let siblings = list.len();
        out.extend(list.into_iter().map(|element| Found {
            header: *header,
            value: at(header, &element.value),
            whole: at(header, &element.whole),
            siblings,
        }));
    }
    out
}

fn pick(mut found: Vec<Found>, which: Which) -> Vec<Found> {
    let index = match which {
        Which::All => return found,
        Which::Unsaid | Which::At(0) => 0,
        Which::At(n) if n > 0 => n.saturating_sub(1),
        Which::At(n) => n,
    };
    match kahea_module::Index::At(index).pick(found.len()) {
        Some(at) => vec![found.swap_remove(at)],
        None => Vec::new(),
    }
}

fn line(name: &HeaderName, value: &[u8]) -> Str {
    Str::from([name.text(), &b": "[..], value, b"\r\n"].concat())
}

pub(super) fn append_hf_value(
    _: &Textopsx,
    cx: &mut Cx,
    spec: Lit<ValueSpec>,
    value: Str,
) -> Result<bool, Fault> {
    let found = match spec.which {
        Which::Unsaid => None,
        which => pick(values(cx, &spec.name, false), which).pop(),
    };
    let Some(found) = found else {
        return headers::append(cx, line(&spec.name, &value)).map(|()| true);
    };
    cx.spend_bytes(value.len())?;
    let text = Str::from([b",", &*value].concat());
    cx.edits.insert(
        found.value.end(),
        Place::After,
        text,
        EditTag::Header(found.header.id),
    );
    Ok(true)
}

pub(super) fn insert_hf_value(
    _: &Textopsx,
    cx: &mut Cx,
    spec: Lit<ValueSpec>,
    value: Str,
) -> Result<bool, Fault> {
    let Some(found) = pick(values(cx, &spec.name, false), spec.which).into_iter().next() else {
        return headers::append(cx, line(&spec.name, &value)).map(|()| true);
    };
    cx.spend_bytes(value.len())?;
    let (place, text) = match spec.which {
        Which::Unsaid => (found.header.line.start(), line(&spec.name, &value)),
        _ => (found.value.start(), Str::from([&*value, b","].concat())),
    };
    cx.edits
        .insert(place, Place::Before, text, EditTag::Header(found.header.id));
    Ok(true)
}

/// Takes the value out with its comma; the whole header where nothing would be left of it.
fn remove(cx: &mut Cx, found: &Found, all: &[Found]) {
    let gone = |cx: &Cx, other: &Found| cx.edits.is_removed(other.value) || other.value == found.value;
    let last = found.siblings == 1
        || all
            .iter()
            .filter(|other| other.header.line == found.header.line)
            .all(|other| gone(cx, other));
    match last {
        true => headers::remove_header(cx, &found.header),
        false if !cx.edits.is_removed(found.value) => {
            cx.edits.remove(found.whole, EditTag::Header(found.header.id));
        }
        false => {}
    }
}

fn remove_values(cx: &mut Cx, spec: &ValueSpec, whole: bool) -> bool {
    let all = values(cx, &spec.name, whole);
    let found = pick(all.clone(), spec.which);
    let mut any = false;
    for value in &found {
        match &spec.param {
            None => {
                remove(cx, value, &all);
                any = true;
            }
            Some(param) => any |= remove_param(cx, value, param, whole),
        }
    }
    any
}

fn param_of(cx: &Cx, found: &Found, name: &[u8], credentials: bool) -> Option<super::list::Param> {
    let text = cx.msg.buffer();
    let range = found.value.range();
    params(text, &range, credentials).into_iter().find(|param| {
        text.get(param.name.clone())
            .is_some_and(|own| own.eq_ignore_ascii_case(name))
    })
}

fn span(range: &Range<usize>) -> Span {
    let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
    Span::new(place(range.start), place(range.end))
}

fn remove_param(cx: &mut Cx, found: &Found, name: &[u8], credentials: bool) -> bool {
    let Some(param) = param_of(cx, found, name, credentials) else {
        return false;
    };
    let gone = span(&param.whole);
    if !cx.edits.is_removed(gone) {
        cx.edits.remove(gone, EditTag::Header(found.header.id));
    }
    true
}

pub(super) fn remove_hf_value(_: &Textopsx, cx: &mut Cx, spec: Lit<ValueSpec>) -> bool {
    remove_values(cx, &spec, false)
}

pub(super) fn remove_hf_value2(_: &Textopsx, cx: &mut Cx, spec: Lit<ValueSpec>) -> bool {
    remove_values(cx, &spec, true)
}

pub(super) fn remove_hf_value2_kemi(_: &Textopsx, cx: &mut Cx, spec: Lit<ValueSpec>, _: Str) -> bool {
    remove_values(cx, &spec, true)
}

/// Puts text in the place of these bytes; a later text replaces an earlier one.
fn replace(cx: &mut Cx, place: Span, text: Str, tag: EditTag) {
    let earlier = cx
        .edits
        .iter()
        .find(|(_, edit)| edit.removed == place && !place.is_empty() && edit.tag == tag);
    if let Some(id) = earlier.map(|(id, _)| id) {
        cx.edits.undo(id);
    }
    cx.edits.replace(place, text, tag);
}

fn assign_param(cx: &mut Cx, found: &Found, name: &[u8], value: &Str, credentials: bool) {
    let tag = EditTag::Header(found.header.id);
    let new = match value.is_empty() {
        true => Str::copy(name),
        false => Str::from([name, b"=", value].concat()),
    };
    match param_of(cx, found, name, credentials) {
        Some(param) => replace(cx, span(&(param.name.start..param.value.end)), new, tag),
        None => {
            let separator: &[u8] = if credentials { b", " } else { b";" };
            let text = Str::from([separator, &*new].concat());
            cx.edits.insert(found.value.end(), Place::After, text, tag);
        }
    }
}

fn assign(cx: &mut Cx, spec: &ValueSpec, value: &Str, whole: bool) -> Result<bool, Fault> {
    let found = pick(values(cx, &spec.name, whole), spec.which);
    for place in &found {
        cx.spend_bytes(value.len())?;
        match &spec.param {
            Some(param) => assign_param(cx, place, param, value, whole),
            None => replace(cx, place.value, value.clone(), EditTag::Header(place.header.id)),
        }
    }
    Ok(!found.is_empty())
}

pub(super) fn assign_hf_value(
    _: &Textopsx,
    cx: &mut Cx,
    spec: Lit<ValueSpec>,
    value: Str,
) -> Result<bool, Fault> {
    assign(cx, &spec, &value, false)
}

pub(super) fn assign_hf_value2(
    _: &Textopsx,
    cx: &mut Cx,
    spec: Lit<ValueSpec>,
    value: Str,
) -> Result<bool, Fault> {
    assign(cx, &spec, &value, true)
}

/// The values of the set that are this one, in any case.
fn same(cx: &Cx, all: &[Found], value: &[u8]) -> Vec<Found> {
    let value = value.trim_ascii();
    all.iter()
        .filter(|found| cx.msg.bytes(found.value).eq_ignore_ascii_case(value))
        .cloned()
        .collect()
}

pub(super) fn include_hf_value(
    _: &Textopsx,
    cx: &mut Cx,
    name: Lit<HeaderName>,
    value: Str,
) -> Result<bool, Fault> {
    let all = values(cx, &name, false);
    if !same(cx, &all, &value).is_empty() {
        return Ok(true);
    }
    cx.spend_bytes(value.len())?;
    match all.last() {
        Some(last) => {
            let text = Str::from([b",", &*value].concat());
            cx.edits.insert(
                last.value.end(),
                Place::After,
                text,
                EditTag::Header(last.header.id),
            );
            Ok(true)
        }
        None => headers::append(cx, line(&name, &value)).map(|()| true),
    }
}

pub(super) fn exclude_hf_value(_: &Textopsx, cx: &mut Cx, name: Lit<HeaderName>, value: Str) -> bool {
    let all = values(cx, &name, false);
    for found in same(cx, &all, &value) {
        remove(cx, &found, &all);
    }
    true
}

pub(super) fn hf_value_exists(_: &Textopsx, cx: &mut Cx, name: Lit<HeaderName>, value: Str) -> bool {
    !same(cx, &values(cx, &name, false), &value).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textops::tests::{built, lit, request};

    const HEADERS: &str = "From: \"A\" <sip:a@b>;tag=1\nX-A: one\nx-a : two\nX-B: a,\n b\n";

    fn header(cx: &Cx, name: &str) -> String {
        let text = built(cx);
        let lines = text.split("\r\n").filter(|line| line.starts_with(name));
        lines.collect::<Vec<_>>().join("|")
    }

    #[test]
    fn values_are_added_in_place_or_as_headers() {
        let (m, cx) = (&Textopsx, &mut request(HEADERS));
        append_hf_value(m, cx, lit("X-B"), "v2".into()).unwrap();
        insert_hf_value(m, cx, lit("X-B"), "v0".into()).unwrap();
        append_hf_value(m, cx, lit("X-A[-1]"), "app".into()).unwrap();
        insert_hf_value(m, cx, lit("X-A[1]"), "ins".into()).unwrap();
        insert_hf_value(m, cx, lit("X-D[1]"), "dd".into()).unwrap();
        assert_eq!(header(cx, "X-B"), "X-B: v0|X-B: a,|X-B: v2");
        assert_eq!(
            header(cx, "X-A") + &header(cx, "x-a"),
            "X-A: ins,onex-a : two,app"
        );
        assert!(built(cx).ends_with("X-B: v2\r\nX-D: dd\r\n\r\n"));
    }

    #[test]
    fn values_and_parameters_are_removed() {
        let (m, cx) = (&Textopsx, &mut request(HEADERS));
        assert!(remove_hf_value(m, cx, lit("X-B")) && remove_hf_value(m, cx, lit("X-A[-1]")));
        assert!(!remove_hf_value(m, cx, lit("X-None")) && remove_hf_value(m, cx, lit("From.tag")));
        assert!(!remove_hf_value(m, cx, lit("From.lr")));
        assert!(
            built(cx).contains("From: \"A\" <sip:a@b>\r\nX-A: one\r\nX-B: \r\n b\r\n\r\n"),
            "{}",
            built(cx)
        );
        assert!(remove_hf_value(m, cx, lit("X-B[2]")));
        assert!(!built(cx).contains("X-B"));
    }

    #[test]
    fn values_and_parameters_are_assigned() {
        let (m, cx) = (&Textopsx, &mut request(HEADERS));
        for (spec, value) in [
            ("X-B", "old"),
            ("X-B", "zz"),
            ("From.tag", "77"),
            ("From.lr", ""),
            ("X-A[*].p", "1"),
        ] {
            assert_eq!(
                assign_hf_value(m, cx, lit(spec), value.into()),
                Ok(true),
                "{spec}"
            );
        }
        assert_eq!(assign_hf_value(m, cx, lit("X-E"), "x".into()), Ok(false));
        assert_eq!(header(cx, "From"), "From: \"A\" <sip:a@b>;tag=77;lr");
        assert_eq!(
            (header(cx, "X-A"), header(cx, "X-B")),
            ("X-A: one;p=1".into(), "X-B: zz,".into())
        );
        let cx = &mut request("Authorization: Digest realm=\"a,b\", nonce=x\n");
        assign_hf_value2(m, cx, lit("Authorization.nonce"), "\"y\"".into()).unwrap();
        assign_hf_value2(m, cx, lit("Authorization.integrity"), "\"yes\"".into()).unwrap();
        assert!(remove_hf_value2(m, cx, lit("Authorization.realm")));
        assert_eq!(
            header(cx, "Auth"),
            "Authorization: Digest  nonce=\"y\", integrity=\"yes\""
        );
    }

    #[test]
    fn headers_as_sets() {
        let (m, cx) = (&Textopsx, &mut request("X-B: a,\n b\n"));
        include_hf_value(m, cx, lit("X-B"), "c".into()).unwrap();
        include_hf_value(m, cx, lit("X-B"), "A".into()).unwrap();
        include_hf_value(m, cx, lit("X-N"), "n".into()).unwrap();
        assert!(
            exclude_hf_value(m, cx, lit("X-B"), "b".into())
                && exclude_hf_value(m, cx, lit("X-B"), "q".into())
        );
        assert!(
            hf_value_exists(m, cx, lit("X-B"), "a".into()) && !hf_value_exists(m, cx, lit("X-B"), "q".into())
        );
        assert!(built(cx).ends_with("X-B: a,c\r\nX-N: n\r\n\r\n"), "{}", built(cx));
    }

    #[test]
    fn what_names_no_value() {
        for bad in ["", "X[", "X[a]", "X[1].", "[1]"] {
            assert!(
                ValueSpec::parse(bad, &kahea_module::testing::FakeBind::default()).is_err(),
                "{bad}"
            );
        }
    }
}
