//! `;alias=ip~port~protocol`: the real address of a contact inside of its URI, which stays valid (no RFC).

use std::net::IpAddr;

use kahea_module::{Cx, Fault, Str, Value, VarRef, value::parse_int};
use kahea_sip::{
    Edit, Insert, Place, Received, Span, Transport,
    view::{Params, Scheme, Uri},
};

use super::{
    NatHelper,
    contact::{self, TAG, chosen, port_of, sip_uri},
};

/// By Kamailio's number for it.
fn transport_of(number: i64) -> Option<Transport> {
    use Transport::*;
    [Udp, Tcp, Tls, Sctp, Ws, Wss]
        .into_iter()
        .find(|transport| transport.number() == number)
}

/// The value of an alias, as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Alias<'a> {
    host: &'a str,
    port: u16,
    transport: Transport,
}

impl<'a> Alias<'a> {
    /// Reads `host~port~protocol`; `None` where it is none or names no place to send to.
    fn parse(value: &'a [u8]) -> Option<Alias<'a>> {
        let text = std::str::from_utf8(value).ok()?;
        let mut parts = text.splitn(3, '~');
        let (host, port, number) = (parts.next()?, parts.next()?, parts.next()?);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = || {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        };
        let valid = match bare {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => named(),
        };
        Some(Alias {
            host,
            port: port.parse().ok()?,
            transport: transport_of(parse_int(number.as_bytes())?)?,
        })
        .filter(|_| valid)
    }

    fn value(address: &str, port: u16, transport: Transport) -> String {
        format!("{address}~{port}~{}", transport.number())
    }

    fn of(received: &Received) -> String {
        let address = match received.source.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Alias::value(&address, received.source.port(), received.transport)
    }
}

pub(super) fn set_contact_alias(m: &NatHelper, cx: &mut Cx, trim: Option<Str>) -> Result<bool, Fault> {
    let trim = trim.is_some_and(|trim| *trim == *b"1");
    set(m, cx, trim)
}

pub(super) fn set_contact_alias_trim(m: &NatHelper, cx: &mut Cx) -> Result<bool, Fault> {
    set(m, cx, true)
}

/// Replaces the URI by one with the alias behind its parameters; a bare URI gets brackets.
fn set(m: &NatHelper, cx: &mut Cx, trim: bool) -> Result<bool, Fault> {
    let contact = chosen(cx)?;
    let uri = sip_uri(&contact)?;
    let whole = contact::place(cx, uri.raw)?;
    if cx.edits.is_removed(whole) {
        return Err(Fault::script("the Contact was rewritten already"));
    }
    let (head, headers) = match uri.headers {
        Some(headers) => {
            let length = uri.raw.len().saturating_sub(headers.len()).saturating_sub(1);
            (uri.raw.get(..length).unwrap_or_default(), Some(headers))
        }
        None => (uri.raw, None),
    };
    let mut out = Vec::with_capacity(uri.raw.len().saturating_add(40));
    if !contact.bracketed {
        out.push(b'<');
    }
    match uri
        .params
        .get(&m.alias_name)
        .filter(|_| trim)
        .and_then(|param| uri.params.removal(head, &param))
    {
        Some(gone) => {
            out.extend_from_slice(head.get(..gone.start).unwrap_or_default());
            out.extend_from_slice(head.get(gone.end..).unwrap_or_default());
        }
        None => out.extend_from_slice(head),
    }
    out.push(b';');
    out.extend_from_slice(&m.alias_name);
    out.push(b'=');
    out.extend_from_slice(Alias::of(&cx.received).as_bytes());
    if let Some(headers) = headers {
        out.push(b'?');
        out.extend_from_slice(headers);
    }
    if !contact.bracketed {
        out.push(b'>');
    }
    cx.edits.replace(whole, Str::from(out), TAG);
    Ok(true)
}

pub(super) fn add_contact_alias(m: &NatHelper, cx: &mut Cx) -> Result<i64, Fault> {
    if cx.msg.first(kahea_sip::HeaderId::Contact).is_none() {
        return Ok(2);
    }
    let contact = chosen(cx)?;
    let uri = sip_uri(&contact)?;
    let received = &cx.received;
    let same = uri.host_ip() == Some(received.source.ip())
        && port_of(&uri) == received.source.port()
        && uri.transport() == received.transport;
    if same {
        return Ok(2);
    }
    let value = Alias::of(received);
    insert(m, cx, &value)
}

pub(super) fn add_contact_alias_of(
    m: &NatHelper,
    cx: &mut Cx,
    address: Str,
    port: Str,
    protocol: Str,
) -> Result<i64, Fault> {
    let bare = address
        .strip_prefix(b"[")
        .and_then(|inner| inner.strip_suffix(b"]"))
        .unwrap_or(&address);
    let is_ip = std::str::from_utf8(bare).is_ok_and(|text| text.parse::<IpAddr>().is_ok());
    if !is_ip {
        return Err(Fault::script(format!("'{address}' is no address for an alias")));
    }
    let port: u16 = parse_int(&port)
        .and_then(|port| port.try_into().ok())
        .ok_or_else(|| Fault::script(format!("'{port}' is no port for an alias")))?;
    let transport = Transport::parse(&protocol)
        .ok_or_else(|| Fault::script(format!("'{protocol}' is no protocol for an alias")))?;
    if cx.msg.first(kahea_sip::HeaderId::Contact).is_none() {
        return Ok(2);
    }
    insert(m, cx, &Alias::value(&address.text(), port, transport))
}

/// Puts the alias right behind host and port.
fn insert(m: &NatHelper, cx: &mut Cx, value: &str) -> Result<i64, Fault> {
    let contact = chosen(cx)?;
    let uri = sip_uri(&contact)?;
    let at = contact::place(cx, uri.hostport())?.end();
    let text = format!(";{}={value}", m.alias_name);
    if contact.bracketed {
        cx.edits.insert(at, Place::After, Str::from(text), TAG);
        return Ok(1);
    }
    let whole = contact::place(cx, uri.raw)?;
    let end = Insert::Text(Str::from(format!("{text}>")));
    cx.edits
        .insert(whole.start(), Place::Before, Str::from_static("<"), TAG);
    cx.edits.push(Edit {
        removed: Span::new(at, at),
        insert: Some(end),
        place: Place::After,
        tag: TAG,
    });
    Ok(1)
}

pub(super) fn handle_ruri_alias(m: &NatHelper, cx: &mut Cx, mode: Option<i64>) -> Result<i64, Fault> {
    let text = cx.ruri();
    let uri =
        Uri::parse(&text).map_err(|error| Fault::peer(format!("the Request-URI cannot be read: {error}")))?;
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Ok(2);
    }
    // The name is compared as it is written, as Kamailio does: a peer cannot spell around a filter on "alias".
    let mut all = uri
        .params
        .iter()
        .filter(|param| *param.name == *m.alias_name && param.value.is_some_and(|value| !value.is_empty()));
    let found = match mode.unwrap_or(0) {
        0 => all.next(),
        _ => all.last(),
    };
    let Some(param) = found else { return Ok(2) };
    let value = param.value.unwrap_or_default();
    let alias = Alias::parse(value).ok_or_else(|| {
        Fault::peer(format!(
            "the alias '{}' of the Request-URI names no address",
            String::from_utf8_lossy(value)
        ))
    })?;
    refuse_own(cx, &alias)?;
    let gone = uri
        .params
        .removal(&text, &param)
        .ok_or_else(|| Fault::new(kahea_module::Blame::Ours, "a parameter lies outside of its URI"))?;
    let before = text.get(..gone.start).unwrap_or_default();
    let after = text.get(gone.end..).unwrap_or_default();
    let shortened = Str::from([before, after].concat());
    let destination = match alias.transport {
        Transport::Udp => format!("sip:{}:{}", alias.host, alias.port),
        other => format!("sip:{}:{};transport={}", alias.host, alias.port, other.uri_name()),
    };
    cx.set_ruri(shortened)?;
    cx.target.dst_uri = Some(Str::from(destination));
    Ok(1)
}

/// An alias that points at this server would make the request come back.
fn refuse_own(cx: &Cx, alias: &Alias<'_>) -> Result<(), Fault> {
    let own = cx
        .config()
        .identity
        .listener_of(alias.host.as_bytes(), alias.port, alias.transport);
    match own {
        Some(_) => Err(Fault::peer(format!(
            "the alias {}:{} of the Request-URI is an address of this server",
            alias.host, alias.port
        ))),
        None => Ok(()),
    }
}

pub(super) fn set_alias_to_pv(m: &NatHelper, cx: &mut Cx, target: VarRef) -> Result<bool, Fault> {
    let contact = chosen(cx)?;
    let uri = sip_uri(&contact)?;
    // A bare URI has its parameters in the header's (RFC 3261 section 20.10).
    let params: [Params<'_>; 2] = [uri.params, contact.params];
    let value = params.iter().find_map(|params| params.value(&m.alias_name));
    let alias = value
        .and_then(Alias::parse)
        .ok_or_else(|| Fault::peer("the Contact has no alias that names an address"))?;
    let text = format!(
        "sip:{}:{};transport={}",
        alias.host,
        alias.port,
        alias.transport.uri_name()
    );
    target.set(cx, Value::from(text))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::{super::tests::module, *};

    #[test]
    fn aliases_are_read_strictly() {
        let ok = |text: &str| Alias::parse(text.as_bytes()).is_some();
        assert!(ok("1.2.3.4~5060~1") && ok("[2001:db8::1]~5060~6") && ok("host.example~1~2"));
        for bad in [
            "",
            "1.2.3.4",
            "1.2.3.4~5060",
            "1.2.3.4~5060~0",
            "1.2.3.4~5060~7",
            "1.2.3.4~99999~1",
            "2001:db8::1~1~1",
            "a b~1~1",
            "1.2.3.4~5060~1~9",
            "~1~1",
            "[x]~1~1",
        ] {
            assert!(!ok(bad), "{bad}");
        }
    }

    #[test]
    fn the_request_goes_to_the_alias_but_not_to_this_server() {
        let server = Server::default();
        let m = module();
        let run = |uri: &str, mode| {
            let mut cx = server.invite();
            cx.set_ruri(uri.into()).unwrap();
            let code = handle_ruri_alias(&m, &mut cx, mode);
            let du = cx.target.dst_uri.clone().map(|uri| uri.to_string());
            (code.map_err(|fault| fault.code), cx.ruri().to_string(), du)
        };
        assert_eq!(
            run("sip:b@10.0.0.1;alias=1.2.3.4~5060~2;x?h=1", Some(1)),
            (
                Ok(1),
                "sip:b@10.0.0.1;x?h=1".into(),
                Some("sip:1.2.3.4:5060;transport=tcp".into())
            )
        );
        let own = "sip:b@10.0.0.1;alias=127.0.0.1~5060~1";
        assert_eq!(run(own, None), (Err(-1), own.into(), None));
        assert_eq!(run("sip:b@10.0.0.1;alias=", None).0, Ok(2));
    }

    #[test]
    fn an_alias_goes_behind_the_parameters_and_before_the_headers() {
        let server = Server::default();
        let m = module();
        let mut cx = server.message("INVITE sip:b@h SIP/2.0\nContact: <sip:a@10.0.0.1;alias=x;p?h=1>\n\n");
        set(&m, &mut cx, true).unwrap();
        let edit = cx.edits.iter().next().unwrap().1.insert.clone();
        let expected = Str::from("sip:a@10.0.0.1;p;alias=127.0.0.1~5061~1?h=1");
        assert_eq!(edit, Some(Insert::Text(expected)));
        assert!(set(&m, &mut cx, true).is_err(), "only once");
    }
}
