//! The variables `$x_hdr(name)`, `$x_fu` and their kin.

use kahea_module::{Bind, BindError, Cx, Fault, Index, Named, Str, Value};
use kahea_sip::view::{NameAddr, Uri, range_in};

use super::{PvHeaders, functions, store::Status};

/// `$x_hdr(name)`.
pub(super) fn header() -> Named<PvHeaders, Str> {
    fn parse(name: &str, _: &dyn Bind) -> Result<Str, BindError> {
        let name = Str::from(name.trim());
        functions::checked(&name)?;
        Ok(name)
    }
    Named {
        parse,
        get,
        set: Some(set),
        raw: false,
    }
}

fn get(m: &PvHeaders, cx: &mut Cx, name: &Str, index: Index) -> Value {
    let values = m.values(cx, name).unwrap_or_default();
    let at = match index {
        Index::All => Some(0),
        index => index.pick(values.len()),
    };
    at.and_then(|at| values.get(at).cloned()).unwrap_or_default()
}

/// Without an index a value is added, and `$null` takes the first out; `[*]` sets all.
fn set(m: &PvHeaders, cx: &mut Cx, name: &Str, index: Index, value: Value) -> Result<(), Fault> {
    let count = m.values(cx, name).map_or(0, |values| values.len());
    match index {
        Index::None if value.is_null() => drop(m.set_at(cx, name, 0, Value::Null)),
        Index::None => drop(functions::append(m, cx, name.clone(), value)?),
        Index::All if value.is_null() => drop(functions::remove(m, cx, name.clone(), None)),
        Index::All => {
            let mut values = vec![Value::Null; count.max(1)];
            if let Some(first) = values.first_mut() {
                *first = value;
            }
            m.set(cx, name, values);
        }
        index => {
            if let Some(at) = index.pick(count) {
                m.set_at(cx, name, at, value);
            }
        }
    }
    Ok(())
}

/// From or To as it stands now: collected and perhaps changed, or else as received.
fn text(m: &PvHeaders, cx: &Cx, name: &str) -> Option<Str> {
    let collected = m
        .values(cx, name.as_bytes())
        .and_then(|values| values.first().and_then(Value::str));
    collected.or_else(|| {
        cx.msg
            .named(name.as_bytes())
            .next()
            .map(|header| cx.msg.value_text(header))
    })
}

fn read(m: &PvHeaders, cx: &Cx, name: &str, part: fn(&NameAddr<'_>) -> Option<Str>) -> Value {
    let text = text(m, cx, name).unwrap_or_default();
    NameAddr::parse(&text).ok().and_then(|addr| part(&addr)).into()
}

fn uri(addr: &NameAddr<'_>) -> Option<Str> {
    Some(Str::copy(addr.uri))
}

fn user(addr: &NameAddr<'_>) -> Option<Str> {
    Uri::parse(addr.uri)
        .ok()
        .filter(|uri| uri.has_userinfo())
        .map(|uri| Str::copy(uri.user))
}

fn host(addr: &NameAddr<'_>) -> Option<Str> {
    Uri::parse(addr.uri).ok().map(|uri| Str::copy(uri.host))
}

fn display(addr: &NameAddr<'_>) -> Option<Str> {
    let name = addr.display.trim_ascii();
    (!name.is_empty()).then(|| Str::copy(name))
}

fn tag(addr: &NameAddr<'_>) -> Option<Str> {
    addr.tag().map(Str::copy)
}

/// Writes From or To anew with another display name or URI.
fn write(
    m: &PvHeaders,
    cx: &mut Cx,
    name: &str,
    change: impl FnOnce(&NameAddr<'_>) -> Result<(Str, Str), Fault>,
) -> Result<(), Fault> {
    let old = text(m, cx, name).ok_or_else(|| Fault::script(format!("the message has no {name} header")))?;
    let addr = NameAddr::parse(&old)
        .map_err(|error| Fault::peer(format!("the {name} header cannot be read: {error}")))?;
    let (display, uri) = change(&addr)?;
    if let Err(error) = Uri::parse(&uri) {
        return Err(Fault::script(format!(
            "'{uri}' cannot be the URI of {name}: {error}"
        )));
    }
    let space: &[u8] = if display.is_empty() { b"" } else { b" " };
    let params = match addr.params.raw.trim_ascii() {
        b"" => Vec::new(),
        params => [b";", params].concat(),
    };
    let new = [&*display, space, b"<", &uri, b">", &params].concat();
    m.set(cx, name.as_bytes(), vec![Value::from(new)]);
    Ok(())
}

fn needed(value: Value) -> Result<Str, Fault> {
    value
        .str()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Fault::script("a value is needed, not $null"))
}

/// The URI with another piece in it.
fn with_piece(uri: &[u8], old: &[u8], new: &[u8], behind: &[u8]) -> Result<Str, Fault> {
    let place = range_in(uri, old).ok_or_else(|| Fault::script("the URI has no such part"))?;
    let before = uri.get(..place.start).unwrap_or_default();
    let after = uri.get(place.end..).unwrap_or_default();
    Ok(Str::from([before, new, behind, after].concat()))
}

fn set_uri(m: &PvHeaders, cx: &mut Cx, name: &str, value: Value) -> Result<(), Fault> {
    let new = needed(value)?;
    write(m, cx, name, |addr| {
        Ok((Str::copy(addr.display.trim_ascii()), new))
    })
}

fn set_display(m: &PvHeaders, cx: &mut Cx, name: &str, value: Value) -> Result<(), Fault> {
    let new = value.str_or_empty();
    write(m, cx, name, |addr| Ok((new, Str::copy(addr.uri))))
}

fn set_user(m: &PvHeaders, cx: &mut Cx, name: &str, value: Value) -> Result<(), Fault> {
    let new = needed(value)?;
    write(m, cx, name, |addr| {
        let uri = parsed(addr)?;
        let behind: &[u8] = if uri.has_userinfo() { b"" } else { b"@" };
        Ok((
            Str::copy(addr.display.trim_ascii()),
            with_piece(addr.uri, uri.user, &new, behind)?,
        ))
    })
}

fn set_host(m: &PvHeaders, cx: &mut Cx, name: &str, value: Value) -> Result<(), Fault> {
    let new = needed(value)?;
    write(m, cx, name, |addr| {
        let uri = parsed(addr)?;
        Ok((
            Str::copy(addr.display.trim_ascii()),
            with_piece(addr.uri, uri.host, &new, b"")?,
        ))
    })
}

fn parsed<'a>(addr: &NameAddr<'a>) -> Result<Uri<'a>, Fault> {
    Uri::parse(addr.uri).map_err(|error| Fault::peer(format!("the URI cannot be read: {error}")))
}

macro_rules! readers {
    ($($name:ident $header:literal $part:ident),* $(,)?) => {
        $(pub(super) fn $name(m: &PvHeaders, cx: &mut Cx, _: Index) -> Value {
            read(m, cx, $header, $part)
        })*
    };
}

readers! {
    from_uri "From" uri, from_user "From" user, from_host "From" host, from_name "From" display, from_tag "From" tag,
    to_uri "To" uri, to_user "To" user, to_host "To" host, to_name "To" display, to_tag "To" tag,
}

macro_rules! writers {
    ($($name:ident $header:literal $write:ident),* $(,)?) => {
        $(pub(super) fn $name(m: &PvHeaders, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
            $write(m, cx, $header, value)
        })*
    };
}

writers! {
    set_from_uri "From" set_uri, set_from_user "From" set_user, set_from_host "From" set_host,
    set_from_name "From" set_display, set_to_uri "To" set_uri, set_to_user "To" set_user,
    set_to_host "To" set_host, set_to_name "To" set_display,
}

pub(super) fn status(_: &PvHeaders, cx: &mut Cx, _: Index) -> Value {
    let changed = cx.extra_ref::<Status>().and_then(|status| status.code);
    changed.or(cx.msg.status()).into()
}

pub(super) fn set_status(_: &PvHeaders, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    let code = value
        .int()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (100..700).contains(code));
    let code =
        code.ok_or_else(|| Fault::script(format!("'{value}' is no status code: give one from 100 to 699")))?;
    cx.extra::<Status>().code = Some(code);
    Ok(())
}

pub(super) fn reason(_: &PvHeaders, cx: &mut Cx, _: Index) -> Value {
    let changed = cx.extra_ref::<Status>().and_then(|status| status.reason.clone());
    changed
        .or_else(|| cx.msg.reason().map(|reason| cx.msg.buffer().share(reason)))
        .into()
}

pub(super) fn set_reason(_: &PvHeaders, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    cx.extra::<Status>().reason = Some(needed(value)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::module;
    use super::*;
    use crate::textops::tests::request;

    #[test]
    fn values_by_index() {
        let (m, cx) = (module(), &mut request("X-A: one\nX-A: two\n"));
        m.collect(cx);
        let name = &Str::from("X-A");
        set(&m, cx, name, Index::None, "three".into()).unwrap();
        assert_eq!(get(&m, cx, name, Index::None), "one".into());
        assert_eq!(get(&m, cx, name, Index::At(-1)), "three".into());
        set(&m, cx, name, Index::At(1), "2".into()).unwrap();
        set(&m, cx, name, Index::At(7), "7".into()).unwrap();
        set(&m, cx, name, Index::None, Value::Null).unwrap();
        assert_eq!(
            m.values(cx, name),
            Some(vec![Value::Null, "2".into(), "three".into()])
        );
        set(&m, cx, name, Index::All, "all".into()).unwrap();
        assert_eq!(
            (get(&m, cx, name, Index::All), get(&m, cx, name, Index::At(1))),
            ("all".into(), Value::Null)
        );
    }

    #[test]
    fn parts_of_from_and_to() {
        let (m, cx) = (
            module(),
            &mut request("From: \"A\" <sip:a@b.org:5070>;tag=1\nt: sip:bob@c\n"),
        );
        m.collect(cx);
        let none = Index::None;
        assert_eq!(from_uri(&m, cx, none), "sip:a@b.org:5070".into());
        assert_eq!(
            (from_name(&m, cx, none), from_tag(&m, cx, none)),
            ("\"A\"".into(), "1".into())
        );
        assert_eq!(
            (to_name(&m, cx, none), to_tag(&m, cx, none)),
            (Value::Null, Value::Null)
        );
        set_from_user(&m, cx, none, "new".into()).unwrap();
        set_from_host(&m, cx, none, "h".into()).unwrap();
        set_from_name(&m, cx, none, "New Name".into()).unwrap();
        set_to_uri(&m, cx, none, "sip:x@y".into()).unwrap();
        assert_eq!(
            m.values(cx, b"From"),
            Some(vec!["New Name <sip:new@h:5070>;tag=1".into()])
        );
        assert_eq!(to_user(&m, cx, none), "x".into());
        assert!(set_to_uri(&m, cx, none, "nonsense".into()).is_err());
        assert_eq!(status(&m, cx, none), Value::Null);
    }
}
