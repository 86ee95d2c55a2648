//! tel URIs as SIP URIs (RFC 3261 section 19.1.6).

use kahea_module::{Cx, Fault, Str, Value, VarRef};
use kahea_sip::view::{Param, Scheme, Uri};

use super::SipUtils;

pub(super) fn tel2sip(_: &SipUtils, cx: &mut Cx, uri: Str, host: Str, result: VarRef) -> Result<i64, Fault> {
    convert(cx, &uri, &host, &result, |uri| {
        uri.params
            .iter()
            .flat_map(|param| [b";", &*param.raw.to_ascii_lowercase()].concat())
            .collect()
    })
}

pub(super) fn tel2sip2(_: &SipUtils, cx: &mut Cx, uri: Str, host: Str, result: VarRef) -> Result<i64, Fault> {
    convert(cx, &uri, &host, &result, sorted)
}

fn convert(
    cx: &mut Cx,
    uri: &[u8],
    host: &[u8],
    result: &VarRef,
    params: fn(&Uri<'_>) -> Vec<u8>,
) -> Result<i64, Fault> {
    let uri = match Uri::parse(uri) {
        Ok(uri) if uri.scheme == Scheme::Tel => uri,
        _ => return Ok(2),
    };
    let user = [plain(uri.user), params(&uri)].concat();
    let sip = [b"sip:", &*user, b"@", host, b";user=phone"].concat();
    if Uri::parse(&sip).is_err() {
        return Err(Fault::script(format!(
            "'{}' cannot be the host of a SIP URI",
            String::from_utf8_lossy(host)
        )));
    }
    result.set(cx, Value::from(sip))?;
    Ok(1)
}

/// Without visual separators.
fn plain(number: &[u8]) -> Vec<u8> {
    let kept = number.iter().filter(|b| !matches!(b, b'-' | b'.' | b'(' | b')'));
    kept.copied().collect()
}

/// In lower case; `isub` and `postd` first, the others by name. A `phone-context` that is a domain is left out, one
/// that is a number loses its visual separators.
fn sorted(uri: &Uri<'_>) -> Vec<u8> {
    let mut params: Vec<(u8, Vec<u8>)> = uri.params.iter().filter_map(|param| ranked(&param)).collect();
    params.sort();
    params
        .into_iter()
        .flat_map(|(_, text)| [b";", &*text].concat())
        .collect()
}

fn ranked(param: &Param<'_>) -> Option<(u8, Vec<u8>)> {
    let lower = param.raw.to_ascii_lowercase();
    if !param.name.eq_ignore_ascii_case(b"phone-context") {
        let rank = match &*param.name.to_ascii_lowercase() {
            b"isub" => 0,
            b"postd" => 1,
            _ => 2,
        };
        return Some((rank, lower));
    }
    let context = param.value.filter(|value| value.starts_with(b"+"))?;
    Some((2, [b"phone-context=", &*plain(context)].concat()))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    type Convert = fn(&SipUtils, &mut Cx, Str, Str, VarRef) -> Result<i64, Fault>;

    fn run(convert: Convert, uri: &str) -> (i64, Str) {
        let mut cx = Server::default().invite();
        let var = cx.bind().var("$var(r)").unwrap();
        var.set(&mut cx, Value::EMPTY).unwrap();
        let code = convert(
            &started(),
            &mut cx,
            Str::from(uri),
            Str::from("foo.com"),
            var.clone(),
        )
        .unwrap();
        (code, var.get(&mut cx).str_or_empty())
    }

    #[test]
    fn numbers_lose_their_separators() {
        let rows = [
            ("tel:+(34)-999-888-777", 1, "sip:+34999888777@foo.com;user=phone"),
            (
                "tel:+12-(34)-56-78;Ext=200;ISUB=+123-456",
                1,
                "sip:+12345678;ext=200;isub=+123-456@foo.com;user=phone",
            ),
            ("TEL:+1.2.3", 1, "sip:+123@foo.com;user=phone"),
            ("sip:a@b", 2, ""),
            ("junk", 2, ""),
        ];
        for (uri, code, wanted) in rows {
            assert_eq!(run(tel2sip, uri), (code, Str::from(wanted)));
        }
    }

    #[test]
    fn the_strict_form_sorts_parameters() {
        assert_eq!(
            run(tel2sip2, "tel:1-2;Ext=200;a=B;isub=7;phone-context=example.com").1,
            "sip:12;isub=7;a=b;ext=200@foo.com;user=phone"
        );
        assert_eq!(
            run(tel2sip2, "tel:12;phone-context=+3-4").1,
            "sip:12;phone-context=+34@foo.com;user=phone"
        );
    }
}
