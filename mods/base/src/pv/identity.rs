//! Who it claims to be: P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID, Diversion, Refer-To, credentials.

use std::borrow::Cow;

use kahea_module::{Cx, Decl, Index, Str, Value};
use kahea_sip::{
    HeaderId, Method,
    view::{Addrs, NameAddr, Params},
};

use super::{
    Pv,
    headers::{addr_param, addr_uri},
    parties::Party,
    text::{filled, first_header, piece},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    d.var(
        "ai",
        |_, cx, index| uri(cx, HeaderId::PAssertedIdentity, index),
        "The URI in P-Asserted-Identity (RFC 3325); an index picks one of several.",
    );
    d.var(
        "pu",
        |_, cx, index| uri(cx, HeaderId::PPreferredIdentity, index),
        "The URI in P-Preferred-Identity (RFC 3325); an index picks one of several.",
    );
    d.var(
        "pU",
        |_, cx, index| {
            preferred(cx, index, |cx, addr| {
                addr.parse_uri().map_or(Value::Null, |uri| filled(cx, uri.user))
            })
        },
        "The user in P-Preferred-Identity.",
    );
    d.var(
        "pd",
        |_, cx, index| {
            preferred(cx, index, |cx, addr| {
                addr.parse_uri().map_or(Value::Null, |uri| filled(cx, uri.host))
            })
        },
        "The host in P-Preferred-Identity.",
    );
    d.var(
        "pn",
        |_, cx, index| preferred(cx, index, |cx, addr| filled(cx, addr.display)),
        "The display name in P-Preferred-Identity as it is written.",
    );
    d.var(
        "re",
        |_, cx, _| addr_uri(cx, HeaderId::RemotePartyId),
        "The URI in Remote-Party-ID.",
    );
    d.var(
        "rt",
        |_, cx, _| addr_uri(cx, HeaderId::ReferTo),
        "The URI in Refer-To.",
    );
    d.var(
        "di",
        |_, cx, _| addr_uri(cx, HeaderId::Diversion),
        "The URI in Diversion (RFC 5806).",
    );
    d.var(
        "dir",
        |_, cx, _| addr_param(cx, HeaderId::Diversion, "reason"),
        "The parameter `reason` of Diversion.",
    );
    d.var(
        "dip",
        |_, cx, _| addr_param(cx, HeaderId::Diversion, "privacy"),
        "The parameter `privacy` of Diversion.",
    );
    d.var(
        "dic",
        |_, cx, _| addr_param(cx, HeaderId::Diversion, "counter"),
        "The parameter `counter` of Diversion.",
    );
    credentials(d);
}

fn credentials(d: &mut Decl<Pv>) {
    d.var(
        "au",
        |_, cx, _| username(cx, |name| name.split(|b| *b == b'@').next().unwrap_or_default()),
        "The user part of the username in the credentials.",
    );
    d.var(
        "ad",
        |_, cx, _| username(cx, domain),
        "The domain part of the username in the credentials.",
    );
    d.var(
        "aU",
        |_, cx, _| username(cx, |name| name),
        "The username in the credentials.",
    );
    d.var(
        "ar",
        |_, cx, _| credential(cx, "realm"),
        "The realm of the credentials.",
    );
    d.var(
        "aa",
        |_, cx, _| credential(cx, "algorithm"),
        "The algorithm of the credentials.",
    );
    d.var(
        "adu",
        |_, cx, _| credential(cx, "uri"),
        "The URI of the credentials.",
    );
    d.var(
        "adn",
        |_, cx, _| credential(cx, "nonce"),
        "The nonce of the credentials.",
    );
    d.var(
        "adc",
        |_, cx, _| credential(cx, "cnonce"),
        "The client's nonce of the credentials.",
    );
    d.var(
        "adr",
        |_, cx, _| credential(cx, "response"),
        "The response of the credentials.",
    );
    d.var(
        "ado",
        |_, cx, _| credential(cx, "opaque"),
        "The opaque of the credentials.",
    );
    d.var(
        "AU",
        |_, cx, _| account_user(cx),
        "The authenticated user, or the user in From.",
    );
    d.var(
        "Au",
        |_, cx, _| account(cx),
        "The authenticated user and its realm, or user and host in From.",
    );
}

/// The user that an authentication has confirmed; modules that authenticate leave it with the message.
#[derive(Clone, Debug, Default)]
pub struct AuthorizedUser(pub Option<(Str, Str)>);

fn nth(cx: &Cx, id: HeaderId, index: Index) -> Option<NameAddr<'_>> {
    let mut all = cx
        .msg
        .all(id)
        .flat_map(|header| Addrs::new(cx.msg.value(header)).flatten());
    match index {
        Index::None | Index::All => all.next(),
        index => {
            let all: Vec<NameAddr<'_>> = all.collect();
            index.pick(all.len()).and_then(|at| all.get(at).copied())
        }
    }
}

fn uri(cx: &Cx, id: HeaderId, index: Index) -> Value {
    nth(cx, id, index).map_or(Value::Null, |addr| piece(cx, addr.uri))
}

fn preferred(cx: &Cx, index: Index, read: fn(&Cx, &NameAddr<'_>) -> Value) -> Value {
    nth(cx, HeaderId::PPreferredIdentity, index).map_or(Value::Null, |addr| read(cx, &addr))
}

/// The parameters of the digest credentials; ACK and CANCEL cannot be challenged, so theirs do not count.
fn digest(cx: &Cx) -> Option<Params<'_>> {
    if matches!(cx.msg.method(), Method::Ack | Method::Cancel) {
        return None;
    }
    let value = first_header(cx, HeaderId::ProxyAuthorization)
        .or_else(|| first_header(cx, HeaderId::Authorization))?;
    digest_params(value)
}

/// The parameters after `Digest`.
pub fn digest_params(value: &[u8]) -> Option<Params<'_>> {
    let value = value.trim_ascii();
    let (scheme, params) = value.split_at(value.iter().position(u8::is_ascii_whitespace)?);
    scheme
        .eq_ignore_ascii_case(b"digest")
        .then(|| Params::auth(params))
}

/// An attribute of the credentials; empty where they have no such attribute, `$null` where there are none.
fn credential(cx: &Cx, name: &str) -> Value {
    match digest(cx) {
        Some(params) => params
            .get(name)
            .map_or(Value::EMPTY, |param| unquoted(cx, param.unquoted())),
        None => Value::Null,
    }
}

fn unquoted(cx: &Cx, text: Cow<'_, [u8]>) -> Value {
    match text {
        Cow::Borrowed(bytes) => piece(cx, bytes),
        Cow::Owned(bytes) => Value::from(bytes),
    }
}

fn username(cx: &Cx, part: fn(&[u8]) -> &[u8]) -> Value {
    let Some(params) = digest(cx) else {
        return Value::Null;
    };
    let name = params
        .get("username")
        .map(|param| param.unquoted())
        .unwrap_or_default();
    piece(cx, part(&name))
}

fn domain(name: &[u8]) -> &[u8] {
    let at = name.iter().position(|b| *b == b'@');
    at.and_then(|at| name.get(at.saturating_add(1)..))
        .unwrap_or_default()
}

fn authorized(cx: &Cx) -> Option<&(Str, Str)> {
    cx.extra_ref::<AuthorizedUser>()?.0.as_ref()
}

fn account_user(cx: &Cx) -> Value {
    if let Some((user, _)) = authorized(cx) {
        return Value::Str(user.clone());
    }
    from_parts(cx).map_or(Value::Null, |(user, _)| filled(cx, user))
}

fn account(cx: &Cx) -> Value {
    if let Some((user, realm)) = authorized(cx) {
        return Value::from([user, &b"@"[..], realm].concat());
    }
    let Some((user, host)) = from_parts(cx) else {
        return Value::Null;
    };
    Value::from([user, b"@", host].concat())
}

fn from_parts(cx: &Cx) -> Option<(&[u8], &[u8])> {
    let uri = Party::From.read(cx)?.parse_uri().ok()?;
    Some((uri.user, uri.host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn cx(headers: &str) -> Cx {
        Server::default().message(&format!(
            "INVITE sip:h SIP/2.0\nFrom: <sip:alice@a.org>;tag=1\nCSeq: 1 INVITE\n{headers}\n\n"
        ))
    }

    #[test]
    fn credentials_are_taken_apart() {
        let cx = cx(
            "Authorization: Digest username=\"joe@dom.org\", realm=\"r\", nonce=\"n\", uri=\"sip:u\", response=\"x\"",
        );
        assert_eq!(username(&cx, domain), Value::from("dom.org"));
        assert_eq!(username(&cx, |name| name), Value::from("joe@dom.org"));
        assert_eq!(credential(&cx, "realm"), Value::from("r"));
        assert_eq!(credential(&cx, "opaque"), Value::EMPTY);
        assert_eq!(account(&cx), Value::from("alice@a.org"));
        assert_eq!(account_user(&cx), Value::from("alice"));
        let none = self::cx("Authorization: Basic abc");
        assert_eq!(credential(&none, "realm"), Value::Null);
    }

    #[test]
    fn a_confirmed_user_goes_first() {
        let mut cx = cx("X: y");
        cx.extra::<AuthorizedUser>().0 = Some((Str::from("joe"), Str::from("realm")));
        assert_eq!(account(&cx), Value::from("joe@realm"));
        assert_eq!(account_user(&cx), Value::from("joe"));
    }

    #[test]
    fn identities_have_places() {
        let cx = cx(
            "P-Asserted-Identity: \"Pai\" <sip:pai@x.org>, <tel:+123>\nP-Preferred-Identity: \"Ppi\" <sip:ppi@y.org>",
        );
        assert_eq!(
            uri(&cx, HeaderId::PAssertedIdentity, Index::None),
            Value::from("sip:pai@x.org")
        );
        assert_eq!(
            uri(&cx, HeaderId::PAssertedIdentity, Index::At(1)),
            Value::from("tel:+123")
        );
        assert_eq!(uri(&cx, HeaderId::PAssertedIdentity, Index::At(2)), Value::Null);
        assert_eq!(
            preferred(&cx, Index::None, |cx, addr| filled(cx, addr.display)),
            Value::from("\"Ppi\"")
        );
    }
}
