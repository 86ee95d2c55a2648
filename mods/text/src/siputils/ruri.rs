//! Parameters of the Request-URI. Names count in any case (RFC 3261 section 7.3.1), values as they are written.

use kahea_module::{Cx, Fault, Str, Value, VarRef};
use kahea_sip::view::{Params, Uri, range_in};

use super::SipUtils;

fn with_params<R>(cx: &Cx, read: impl FnOnce(Params<'_>) -> Option<R>) -> Option<R> {
    cx.with_ruri(|uri| read(uri.ok()?.params))
}

pub(super) fn has_flag(_: &SipUtils, cx: &mut Cx, name: Str) -> bool {
    has_value_of(cx, &name, b"")
}

fn has_value_of(cx: &Cx, name: &[u8], value: &[u8]) -> bool {
    with_params(cx, |params| {
        Some(params.get(name)?.value.unwrap_or_default() == value)
    })
    .unwrap_or(false)
}

pub(super) fn has_value(_: &SipUtils, cx: &mut Cx, name: Str, value: Str) -> bool {
    has_value_of(cx, &name, &value)
}

pub(super) fn has_any(_: &SipUtils, cx: &mut Cx, name: Str) -> bool {
    with_params(cx, |params| Some(params.has(&name))).unwrap_or(false)
}

pub(super) fn get(_: &SipUtils, cx: &mut Cx, name: Str, var: VarRef) -> Result<bool, Fault> {
    let ruri = cx.ruri();
    let found = with_params(cx, |params| {
        Some(ruri.share(params.get(&name)?.value.unwrap_or_default()))
    });
    let Some(value) = found else {
        return Ok(false);
    };
    var.set(cx, Value::Str(value))?;
    Ok(true)
}

pub(super) fn remove(_: &SipUtils, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    let text = cx.ruri();
    let Ok(uri) = Uri::parse(&text) else {
        return Ok(false);
    };
    let changed = without_param(&uri, &name);
    if let Some(changed) = changed {
        cx.set_ruri(Str::from(changed))?;
    }
    Ok(true)
}

/// The URI without every parameter of that name; `None` where it has none.
pub(super) fn without_param(uri: &Uri<'_>, name: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(uri.raw.len());
    let mut at = 0usize;
    for param in uri
        .params
        .iter()
        .filter(|param| param.name.eq_ignore_ascii_case(name))
    {
        let gone = uri.params.removal(uri.raw, &param)?;
        out.extend_from_slice(uri.raw.get(at..gone.start)?);
        at = gone.end;
    }
    if at == 0 {
        return None;
    }
    out.extend_from_slice(uri.raw.get(at..)?);
    Some(out)
}

pub(super) fn add(_: &SipUtils, cx: &mut Cx, param: Str) -> Result<bool, Fault> {
    if param.is_empty() {
        return Ok(true);
    }
    let text = cx.ruri();
    let Ok(uri) = Uri::parse(&text) else {
        return Ok(false);
    };
    cx.set_ruri(Str::from(with_param(&uri, &param)))?;
    Ok(true)
}

/// The URI with one more parameter, in front of its headers.
pub(super) fn with_param(uri: &Uri<'_>, param: &[u8]) -> Vec<u8> {
    let headers = uri.headers.and_then(|headers| range_in(uri.raw, headers));
    let end = headers.map_or(uri.raw.len(), |range| range.start.saturating_sub(1));
    let (head, tail) = uri.raw.split_at_checked(end).unwrap_or((uri.raw, b""));
    [head, b";", param, tail].concat()
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    fn request(uri: &str) -> Cx {
        let mut cx = Server::default().invite();
        cx.target.ruri = Some(Str::from(uri));
        cx
    }

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    #[test]
    fn parameters_are_found() {
        let (m, cx) = (&started(), &mut request("sip:x@h;a;b=1;d=x"));
        assert!(has_flag(m, cx, text("a")) && !has_flag(m, cx, text("b")) && !has_flag(m, cx, text("z")));
        assert!(has_value(m, cx, text("b"), text("1")) && !has_value(m, cx, text("b"), text("2")));
        assert!(!has_value(m, cx, text("d"), text("X")) && has_value(m, cx, text("a"), text("")));
        assert!(has_any(m, cx, text("B")) && has_any(m, cx, text("a")) && !has_any(m, cx, text("z")));
        let var = cx.bind().var("$var(x)").unwrap();
        assert_eq!(get(m, cx, text("b"), var.clone()), Ok(true));
        assert_eq!(var.get(cx), "1".into());
        assert_eq!(get(m, cx, text("z"), var.clone()), Ok(false));
        assert_eq!(var.get(cx), "1".into());
    }

    #[test]
    fn parameters_come_and_go() {
        let (m, cx) = (&started(), &mut request("sip:y@h;a;b=1?h=1"));
        assert_eq!(add(m, cx, text("nat=yes")), Ok(true));
        assert_eq!(cx.ruri(), "sip:y@h;a;b=1;nat=yes?h=1");
        assert_eq!(remove(m, cx, text("a")), Ok(true));
        assert_eq!(remove(m, cx, text("NAT")), Ok(true));
        assert_eq!(remove(m, cx, text("z")), Ok(true));
        assert_eq!(cx.ruri(), "sip:y@h;b=1?h=1");
        let broken = &mut request("junk");
        assert_eq!(add(m, broken, text("x")), Ok(false));
        assert!(
            add(m, cx, text("x\r\ny")).is_err(),
            "a line end cannot be smuggled in"
        );
    }
}
