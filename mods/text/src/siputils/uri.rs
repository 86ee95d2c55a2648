//! URIs in variables and arguments.

use kahea_module::{Cx, Fault, Str, Value, VarRef};
use kahea_sip::view::{Scheme, Uri};

use super::SipUtils;

pub(super) fn is_uri(_: &SipUtils, _: &mut Cx, text: Str) -> bool {
    Uri::parse(&text).is_ok_and(|uri| uri.scheme != Scheme::Other)
}

pub(super) fn is_gruu(_: &SipUtils, cx: &mut Cx, uri: Option<Str>) -> i64 {
    let text = uri.unwrap_or_else(|| cx.ruri());
    match Uri::parse(&text).ok().and_then(|uri| uri.gr()) {
        None => -1,
        Some([]) => 2,
        Some(_) => 1,
    }
}

/// A URI cut where its user and host stand; it need not be one that can be parsed.
struct Cut<'a> {
    scheme: &'a [u8],
    user: Option<&'a [u8]>,
    place: &'a [u8],
}

fn cut(text: &[u8]) -> Option<Cut<'_>> {
    let colon = text.iter().position(|b| *b == b':')?;
    let (scheme, rest) = text.split_at_checked(colon.checked_add(1)?)?;
    let at = rest.iter().position(|b| *b == b'@');
    let (user, place) = match at.and_then(|at| rest.split_at_checked(at)) {
        Some((user, place)) => (Some(user), place.strip_prefix(b"@").unwrap_or(place)),
        None => (None, rest),
    };
    Some(Cut { scheme, user, place })
}

pub(super) fn set_user(_: &SipUtils, cx: &mut Cx, uri: VarRef, user: Str) -> Result<bool, Fault> {
    let text = uri.get(cx).str_or_empty();
    let Some(Cut { scheme, place, .. }) = cut(&text) else {
        return Ok(false);
    };
    let at: &[u8] = if user.is_empty() { b"" } else { b"@" };
    let new = [scheme, &user, at, place].concat();
    uri.set(cx, Value::from(new))?;
    Ok(true)
}

pub(super) fn set_host(_: &SipUtils, cx: &mut Cx, uri: VarRef, host: Str) -> Result<bool, Fault> {
    let text = uri.get(cx).str_or_empty();
    let Some(Cut { scheme, user, place }) = cut(&text).filter(|_| !host.is_empty()) else {
        return Ok(false);
    };
    let bracket = place
        .strip_prefix(b"[")
        .and_then(|_| place.iter().position(|b| *b == b']'));
    let from = bracket.unwrap_or(0);
    let behind = place
        .iter()
        .skip(from)
        .position(|b| matches!(b, b':' | b';' | b'?'));
    let end = behind.map_or(place.len(), |at| at.saturating_add(from));
    let tail = place.get(end..).unwrap_or_default();
    let at: &[u8] = if user.is_some() { b"@" } else { b"" };
    let new = [scheme, user.unwrap_or_default(), at, &host, tail].concat();
    uri.set(cx, Value::from(new))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::started, *};

    #[test]
    fn uris_and_gruus() {
        let (m, cx) = (&started(), &mut Server::default().invite());
        for (text, wanted) in [
            ("sip:a@b", true),
            ("tel:+1", true),
            ("urn:service:sos", true),
            ("http://x", false),
            ("sip:", false),
            ("", false),
            ("sip:a@b:99999", false),
        ] {
            assert_eq!(is_uri(m, cx, Str::from(text)), wanted, "{text}");
        }
        for (text, wanted) in [
            ("sip:a@b;gr", 2),
            ("sip:a@b;gr=x", 1),
            ("sip:a@b", -1),
            ("junk", -1),
        ] {
            assert_eq!(is_gruu(m, cx, Some(Str::from(text))), wanted, "{text}");
        }
        assert_eq!(is_gruu(m, cx, None), -1);
    }

    #[test]
    fn user_and_host_are_replaced() {
        type Change = fn(&SipUtils, &mut Cx, VarRef, Str) -> Result<bool, Fault>;
        let (m, cx) = (&started(), &mut Server::default().invite());
        let var = cx.bind().var("$var(u)").unwrap();
        let rows: [(Change, &str, &str, Option<&str>); 10] = [
            (set_user, "sip:user@host", "new", Some("sip:new@host")),
            (set_user, "sip:host", "new", Some("sip:new@host")),
            (
                set_user,
                "sip:user:pw@host:5070;a=b",
                "new",
                Some("sip:new@host:5070;a=b"),
            ),
            (set_user, "sip:user@host:5070;a=b", "", Some("sip:host:5070;a=b")),
            (set_user, "junk", "n", None),
            (
                set_host,
                "sip:user@host:5070;a=b",
                "nh",
                Some("sip:user@nh:5070;a=b"),
            ),
            (set_host, "sip:host;a=b", "nh", Some("sip:nh;a=b")),
            (set_host, "sip:a@[::1]:5?x=y", "nh", Some("sip:a@nh:5?x=y")),
            (set_host, "sip:a@host", "", None),
            (set_host, "junk", "h", None),
        ];
        for (change, uri, value, wanted) in rows {
            var.set(cx, Value::from(Str::from(uri))).unwrap();
            assert_eq!(change(m, cx, var.clone(), Str::from(value)), Ok(wanted.is_some()));
            assert_eq!(var.get(cx).str_or_empty(), wanted.unwrap_or(uri));
        }
    }
}
