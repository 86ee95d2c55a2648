//! `@authorization["realm"].username` and `@proxy_authorization[…]`.

use std::sync::Arc;

use kahea_module::{Cx, Str};
use kahea_sip::{HeaderId, view::Params};

use super::{Read, Word, name};
use crate::pv::identity::digest_params;

/// The select of that name.
pub fn root(first: &str, rest: &[Word]) -> Option<Read> {
    let id = match first {
        "authorization" => HeaderId::Authorization,
        "proxy_authorization" => HeaderId::ProxyAuthorization,
        _ => return None,
    };
    let (realm, rest) = rest.split_first()?;
    let realm = name(realm)?.as_bytes().to_vec();
    let value: Read = Arc::new(move |cx| find(cx, id, &realm));
    match rest {
        [] => Some(value),
        [word] => {
            let param = param(name(word)?)?;
            Some(Arc::new(move |cx| attribute(&value(cx)?, param)))
        }
        [word, part] if name(word)? == "username" => {
            let part: fn(&[u8]) -> Option<&[u8]> = match name(part)? {
                "user" => |name| name.split(|b| *b == b'@').next(),
                "domain" => |name| name.splitn(2, |b| *b == b'@').nth(1),
                _ => return None,
            };
            Some(Arc::new(move |cx| {
                let username = attribute(&value(cx)?, "username")?;
                Some(username.share(part(&username)?))
            }))
        }
        _ => None,
    }
}

fn param(name: &str) -> Option<&'static str> {
    [
        "algorithm",
        "cnonce",
        "nc",
        "nonce",
        "opaque",
        "qop",
        "realm",
        "response",
        "uri",
        "username",
    ]
    .into_iter()
    .find(|known| *known == name)
}

/// The credentials for a realm.
fn find(cx: &Cx, id: HeaderId, realm: &[u8]) -> Option<Str> {
    let header = cx.msg.all(id).find(|header| {
        let params = digest_params(cx.msg.value(header));
        params
            .and_then(|params| params.get("realm"))
            .is_some_and(|own| *own.unquoted() == *realm)
    })?;
    Some(cx.msg.text(header.value))
}

fn attribute(credentials: &Str, name: &str) -> Option<Str> {
    let params: Params<'_> = digest_params(credentials)?;
    let value = params.get(name)?;
    Some(credentials.share(&value.unquoted()))
}
