//! The Contact that these functions are about, and `fix_nated_contact()`.

use std::net::SocketAddr;

use kahea_module::{Cx, Fault, Str};
use kahea_sip::{
    EditTag, HeaderId, Span, Transport,
    view::{Addrs, Contacts, NameAddr, Scheme, Uri},
};

use super::NatHelper;

/// The tag of edits to Contacts.
pub(super) const TAG: EditTag = EditTag::Header(HeaderId::Contact);

/// The contact that Kamailio's functions work on: the last value of the first Contact header.
///
/// # Errors
/// There is none, it is `*` or cannot be read.
pub(super) fn chosen(cx: &Cx) -> Result<NameAddr<'_>, Fault> {
    let header = cx
        .msg
        .first(HeaderId::Contact)
        .ok_or_else(|| Fault::peer("the message has no Contact"))?;
    let Contacts::List(list) = Contacts::parse(cx.msg.value(header)) else {
        return Err(Fault::peer("the Contact is *, which names no address"));
    };
    last(list)?.ok_or_else(|| Fault::peer("the Contact header is empty"))
}

fn last<'a>(list: Addrs<'a>) -> Result<Option<NameAddr<'a>>, Fault> {
    let mut found = None;
    for contact in list {
        found = Some(contact.map_err(|error| Fault::peer(format!("the Contact cannot be read: {error}")))?);
    }
    Ok(found)
}

/// The URI of a contact, which must name a SIP host.
///
/// # Errors
/// It cannot be read or is of another scheme.
pub(super) fn sip_uri<'a>(contact: &NameAddr<'a>) -> Result<Uri<'a>, Fault> {
    let uri = contact
        .parse_uri()
        .map_err(|error| Fault::peer(format!("the URI of the Contact cannot be read: {error}")))?;
    match uri.scheme {
        Scheme::Sip | Scheme::Sips if !uri.host.is_empty() => Ok(uri),
        _ => Err(Fault::peer(format!(
            "the Contact '{}' is no SIP address",
            String::from_utf8_lossy(uri.raw)
        ))),
    }
}

/// Where a piece of the message stands in it.
pub(super) fn place(cx: &Cx, piece: &[u8]) -> Result<Span, Fault> {
    Span::within(cx.msg.buffer(), piece)
        .ok_or_else(|| Fault::new(kahea_module::Blame::Ours, "a Contact lies outside of its message"))
}

/// `host:port` of an address, an IPv6 one in brackets.
pub(super) fn host_port(address: SocketAddr) -> String {
    address.to_string()
}

/// The port of a URI; 5060 where it states none, whatever its transport, as Kamailio has it.
pub(super) fn port_of(uri: &Uri<'_>) -> u16 {
    uri.port.unwrap_or(Transport::Udp.default_port())
}

pub(super) fn fix_nated_contact(_: &NatHelper, cx: &mut Cx) -> Result<bool, Fault> {
    let contact = chosen(cx)?;
    let uri = sip_uri(&contact)?;
    let whole = place(cx, uri.raw)?;
    if cx.edits.is_removed(whole) {
        return Err(Fault::script("the Contact was rewritten already"));
    }
    let text = fixed(&uri, cx.received.source);
    cx.edits.replace(whole, Str::from(text), TAG);
    Ok(true)
}

/// The URI with another address; `maddr` goes, as it would override that.
fn fixed(uri: &Uri<'_>, address: SocketAddr) -> Vec<u8> {
    let mut out = Vec::with_capacity(uri.raw.len().saturating_add(24));
    out.extend_from_slice(uri.scheme_text);
    out.push(b':');
    if uri.has_userinfo() {
        out.extend_from_slice(uri.user);
        if let Some(password) = uri.password {
            out.push(b':');
            out.extend_from_slice(password);
        }
        out.push(b'@');
    }
    out.extend_from_slice(host_port(address).as_bytes());
    for param in uri.params.iter() {
        if !param.name.eq_ignore_ascii_case(b"maddr") {
            out.push(b';');
            out.extend_from_slice(param.raw);
        }
    }
    if let Some(headers) = uri.headers {
        out.push(b'?');
        out.extend_from_slice(headers);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, address: &str) -> String {
        let text = fixed(&Uri::parse(uri.as_bytes()).unwrap(), address.parse().unwrap());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_address_changes_and_the_rest_stays() {
        assert_eq!(
            of("sips:a:pw@10.0.0.1:5070;p=1;transport=tcp?x=y", "192.0.2.1:5555"),
            "sips:a:pw@192.0.2.1:5555;p=1;transport=tcp?x=y"
        );
        assert_eq!(
            of("sip:[2001:db8::1];maddr=10.0.0.1;q", "[2001:db8::2]:6000"),
            "sip:[2001:db8::2]:6000;q"
        );
    }
}
