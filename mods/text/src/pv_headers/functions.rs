//! The functions that change the collected headers.

use kahea_module::{Cx, Fault, Index, Str, Value};
use kahea_sip::HeaderId;

use super::{PvHeaders, store::Status};

pub(super) fn collect(m: &PvHeaders, cx: &mut Cx) {
    m.collect(cx);
}

pub(super) fn reset(m: &PvHeaders, cx: &mut Cx) {
    cx.xavis.remove_all(&m.xavi);
    *cx.extra::<Status>() = Status::default();
}

pub(super) fn check(m: &PvHeaders, cx: &mut Cx, name: Str) -> bool {
    m.values(cx, &name).is_some()
}

/// A header name that can stand in a message.
pub(super) fn checked(name: &Str) -> Result<(), Fault> {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(b);
    match !name.is_empty() && name.iter().all(token) {
        true => Ok(()),
        false => Err(Fault::script(format!("'{name}' cannot be the name of a header"))),
    }
}

pub(super) fn append(m: &PvHeaders, cx: &mut Cx, name: Str, value: Value) -> Result<bool, Fault> {
    checked(&name)?;
    let mut values = m.values(cx, &name).unwrap_or_default();
    values.push(value);
    m.set(cx, &name, values);
    Ok(true)
}

pub(super) fn modify(
    m: &PvHeaders,
    cx: &mut Cx,
    name: Str,
    value: Value,
    index: Option<i64>,
) -> Result<bool, Fault> {
    let count = m.values(cx, &name).map_or(0, |values| values.len());
    if count == 0 {
        return append(m, cx, name, value);
    }
    let at = Index::At(index.unwrap_or(0)).pick(count);
    Ok(at.is_some_and(|at| m.set_at(cx, &name, at, value)))
}

/// A removed value stays known as `$null`, so that it is taken out of the message.
pub(super) fn remove(m: &PvHeaders, cx: &mut Cx, name: Str, index: Option<i64>) -> bool {
    let count = m.values(cx, &name).map_or(0, |values| values.len());
    match index.filter(|index| *index != -1 || count > 0) {
        None => {
            for at in 0..count {
                m.set_at(cx, &name, at, Value::Null);
            }
            true
        }
        Some(index) => Index::At(index)
            .pick(count)
            .is_some_and(|at| m.set_at(cx, &name, at, Value::Null)),
    }
}

/// Headers without which a message is none.
fn must_stay(m: &PvHeaders, name: &[u8]) -> bool {
    let id = HeaderId::parse(name);
    m.skips(name)
        || matches!(
            id,
            HeaderId::Via
                | HeaderId::From
                | HeaderId::To
                | HeaderId::CallId
                | HeaderId::CSeq
                | HeaderId::Contact
                | HeaderId::ContentType
                | HeaderId::ContentLength
        )
}

pub(super) fn remove_all(m: &PvHeaders, cx: &mut Cx) -> bool {
    let Some(fields) = m.fields(cx) else { return false };
    let names: Vec<Str> = fields.iter().map(|field| field.name.clone()).collect();
    for name in names {
        if !must_stay(m, &name) {
            remove(m, cx, name, None);
        }
    }
    true
}

/// The elements of a value that is a list: divided by commas or semicolons.
fn list(value: &[u8]) -> (u8, Vec<&[u8]>) {
    let separator = if value.contains(&b',') { b',' } else { b';' };
    (
        separator,
        value.split(|b| *b == separator).map(<[u8]>::trim_ascii).collect(),
    )
}

fn is_param(element: &[u8], param: &[u8]) -> bool {
    let name = element
        .split(|b| *b == b'=')
        .next()
        .unwrap_or_default()
        .trim_ascii_end();
    element.eq_ignore_ascii_case(param) || name.eq_ignore_ascii_case(param)
}

pub(super) fn param_exists(m: &PvHeaders, cx: &mut Cx, name: Str, param: Str) -> bool {
    let values = m.values(cx, &name).unwrap_or_default();
    values.iter().any(|value| {
        list(&value.str_or_empty())
            .1
            .iter()
            .any(|element| is_param(element, &param))
    })
}

pub(super) fn remove_param(m: &PvHeaders, cx: &mut Cx, name: Str, param: Str) -> bool {
    let values = m.values(cx, &name).unwrap_or_default();
    for (at, value) in values.into_iter().enumerate() {
        let Some(value) = value.str() else { continue };
        let (separator, all) = list(&value);
        let kept: Vec<&[u8]> = all
            .iter()
            .copied()
            .filter(|element| !is_param(element, &param))
            .collect();
        if kept.len() == all.len() {
            continue;
        }
        let new = match kept.is_empty() {
            true => Value::Null,
            false => Value::from(kept.join(&[separator][..])),
        };
        m.set_at(cx, &name, at, new);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::module;
    use super::*;
    use crate::textops::tests::request;

    #[test]
    fn values_are_added_changed_and_removed() {
        let (m, cx) = (module(), &mut request("X-A: 1\nX-A: 2\nCall-ID: c\n"));
        collect(&m, cx);
        assert_eq!(append(&m, cx, "X-A".into(), "3".into()), Ok(true));
        assert_eq!(modify(&m, cx, "X-A".into(), "one".into(), None), Ok(true));
        assert_eq!(modify(&m, cx, "X-A".into(), "two".into(), Some(1)), Ok(true));
        assert_eq!(modify(&m, cx, "X-A".into(), "x".into(), Some(9)), Ok(false));
        assert_eq!(modify(&m, cx, "X-Z".into(), "z".into(), None), Ok(true));
        assert_eq!(
            m.values(cx, b"X-A"),
            Some(vec!["one".into(), "two".into(), "3".into()])
        );
        assert!(remove(&m, cx, "X-A".into(), Some(-1)) && remove(&m, cx, "X-None".into(), None));
        assert!(remove_all(&m, cx) && check(&m, cx, "X-A".into()) && check(&m, cx, "i".into()));
        assert_eq!(m.values(cx, b"X-Z"), Some(vec![Value::Null]));
        assert_eq!(m.values(cx, b"Call-ID"), Some(vec!["c".into()]));
        assert!(append(&m, cx, "X A:".into(), "1".into()).is_err());
        reset(&m, cx);
        assert!(!check(&m, cx, "X-A".into()) && !remove_all(&m, cx));
    }

    #[test]
    fn elements_of_lists() {
        let (m, cx) = (module(), &mut request("Supported: path, 100rel\nX-A: only\n"));
        collect(&m, cx);
        assert!(
            param_exists(&m, cx, "k".into(), "PATH".into())
                && !param_exists(&m, cx, "k".into(), "pat".into())
        );
        assert!(remove_param(&m, cx, "Supported".into(), "path".into()));
        assert!(remove_param(&m, cx, "X-A".into(), "only".into()));
        assert_eq!(m.values(cx, b"Supported"), Some(vec!["100rel".into()]));
        assert_eq!(m.values(cx, b"X-A"), Some(vec![Value::Null]));
    }
}
