//! Contacts hidden in a parameter of a URI of this server.

use kahea_module::{Cx, Fault, Str};
use kahea_sip::view::Uri;

use super::{
    SipUtils, base64url,
    contact::{contact_uris, replace_uri},
    ruri::{with_param, without_param},
};

pub(super) fn encode(_: &SipUtils, cx: &mut Cx, name: Str, address: Str) -> Result<bool, Fault> {
    hide(cx, &name, &address, |_, uri| uri.raw.to_vec())
}

pub(super) fn encode_alias(_: &SipUtils, cx: &mut Cx, name: Str, address: Str) -> Result<bool, Fault> {
    hide(cx, &name, &address, |cx, uri| {
        let source = cx.received.source;
        let ip = match source.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let alias = format!("alias={ip}~{}~{}", source.port(), cx.received.transport.number());
        with_param(uri, alias.as_bytes())
    })
}

fn hide(
    cx: &mut Cx,
    name: &[u8],
    address: &[u8],
    inner: fn(&Cx, &Uri<'_>) -> Vec<u8>,
) -> Result<bool, Fault> {
    let address =
        Uri::parse(address).map_err(|error| Fault::script(format!("the server's URI is none: {error}")))?;
    for span in contact_uris(&cx.msg)? {
        let uri = Uri::parse(cx.msg.bytes(span))
            .map_err(|error| Fault::peer(format!("a URI in Contact cannot be read: {error}")))?;
        let param = [name, b"=", &*base64url::encode(&inner(cx, &uri))].concat();
        let hidden = with_param(&address, &param);
        replace_uri(cx, span, hidden);
    }
    Ok(true)
}

/// The URI in the parameter; `None` where there is no such parameter.
fn restored(uri: &[u8], name: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    let Some(value) = Uri::parse(uri).ok().and_then(|uri| uri.param(name)) else {
        return Ok(None);
    };
    let bytes = base64url::decode(value).filter(|bytes| Uri::parse(bytes).is_ok());
    match bytes {
        Some(bytes) => Ok(Some(bytes)),
        None => Err(Fault::peer("the parameter holds no encoded URI")),
    }
}

pub(super) fn decode(_: &SipUtils, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    for span in contact_uris(&cx.msg)? {
        if let Some(uri) = restored(cx.msg.bytes(span), &name)? {
            replace_uri(cx, span, uri);
        }
    }
    Ok(true)
}

pub(super) fn decode_ruri(_: &SipUtils, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    if let Some(uri) = restored(&cx.ruri(), &name)? {
        cx.set_ruri(Str::from(uri))?;
    }
    Ok(true)
}

pub(super) fn remove(_: &SipUtils, cx: &mut Cx, name: Str) -> Result<bool, Fault> {
    for span in contact_uris(&cx.msg)? {
        let uri = Uri::parse(cx.msg.bytes(span)).ok();
        if let Some(changed) = uri.and_then(|uri| without_param(&uri, &name)) {
            replace_uri(cx, span, changed);
        }
    }
    Ok(true)
}

pub(super) fn check(_: &SipUtils, cx: &mut Cx, name: Str) -> bool {
    contact_uris(&cx.msg).is_ok_and(|spans| {
        let mut uris = spans
            .iter()
            .filter_map(|span| Uri::parse(cx.msg.bytes(*span)).ok());
        uris.any(|uri| uri.has_param(&name))
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            contact::tests::{contact, with_contact},
            tests::started,
        },
        *,
    };

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    const HIDDEN: &str =
        "\"Al\" <sip:127.0.0.1:5060;transport=udp;ksu=c2lwOmFsaWNlQDEuMi4zLjQ6NTA5OTt4PXk>;q=0.5, <sip:b@c>";

    #[test]
    fn contacts_are_hidden_and_restored() {
        let (m, cx) = (
            &started(),
            &mut with_contact("\"Al\" <sip:alice@1.2.3.4:5099;x=y>;q=0.5"),
        );
        assert_eq!(
            encode(m, cx, text("ksu"), text("sip:127.0.0.1:5060;transport=udp")),
            Ok(true)
        );
        assert_eq!(format!("{}, <sip:b@c>", contact(cx)), HIDDEN);
        let cx = &mut with_contact(HIDDEN);
        assert!(check(m, cx, text("KSU")) && !check(m, cx, text("z")));
        assert_eq!(decode(m, cx, text("ksu")), Ok(true));
        assert_eq!(
            contact(cx),
            "\"Al\" <sip:alice@1.2.3.4:5099;x=y>;q=0.5, <sip:b@c>"
        );
        cx.target.ruri = Some(text("sip:x@h;ksu=c2lwOmJAYw"));
        assert_eq!(decode_ruri(m, cx, text("ksu")), Ok(true));
        assert_eq!(cx.ruri(), "sip:b@c");
        cx.target.ruri = Some(text("sip:x@h;ksu=!"));
        assert!(decode_ruri(m, cx, text("ksu")).is_err());
    }

    #[test]
    fn the_source_goes_along_as_alias() {
        let (m, cx) = (&started(), &mut with_contact("<sip:a@b>"));
        assert_eq!(encode_alias(m, cx, text("k"), text("sip:h")), Ok(true));
        let hidden = contact(cx);
        let cx = &mut with_contact(&hidden);
        assert_eq!(decode(m, cx, text("k")), Ok(true));
        assert_eq!(contact(cx), "<sip:a@b;alias=127.0.0.1~5061~1>");
    }

    #[test]
    fn a_parameter_leaves_all_contacts() {
        let (m, cx) = (
            &started(),
            &mut with_contact("\"Al\" <sip:b@c;x=1;y=2>;x=3, <sip:d@e;y;X>, <sip:f@g>"),
        );
        assert_eq!(remove(m, cx, text("x")), Ok(true));
        assert_eq!(contact(cx), "\"Al\" <sip:b@c;y=2>;x=3, <sip:d@e;y>, <sip:f@g>");
        assert!(remove(m, &mut with_contact(""), text("x")).is_err());
    }
}
