//! Contacts of the form `sip:prefix*user*password*host*port*transport*ip*port*transport@address`.

use kahea_module::{Cx, Fault, Str};
use kahea_sip::{
    EditTag, HeaderId, Span, Transport,
    view::{Contacts, NameAddr, Uri},
};

use super::Mangler;

/// The code that Kamailio answers where a URI is not encoded.
const NOT_ENCODED: i64 = -26;

/// The URIs of all contacts, as places of the message; none for `Contact: *`.
fn contacts(cx: &Cx) -> Result<Vec<Span>, Fault> {
    let mut out = Vec::new();
    for header in cx.msg.all(HeaderId::Contact) {
        let Contacts::List(list) = Contacts::parse(cx.msg.value(header)) else {
            continue;
        };
        for contact in list {
            let contact: NameAddr<'_> =
                contact.map_err(|error| Fault::peer(format!("a Contact cannot be read: {error}")))?;
            out.extend(Span::within(cx.msg.buffer(), contact.uri));
        }
    }
    Ok(out)
}

/// Puts a URI in the place of another; a later one replaces an earlier one.
fn replace(cx: &mut Cx, place: Span, uri: Str) {
    let tag = EditTag::Header(HeaderId::Contact);
    let earlier = cx
        .edits
        .iter()
        .find(|(_, edit)| edit.removed == place && edit.tag == tag);
    if let Some(id) = earlier.map(|(id, _)| id) {
        cx.edits.undo(id);
    }
    cx.edits.replace(place, uri, tag);
}

fn parse(uri: &[u8]) -> Result<Uri<'_>, Fault> {
    Uri::parse(uri).map_err(|error| Fault::peer(format!("the URI of a Contact cannot be read: {error}")))
}

/// The parameters of a URI but for its transport, with the headers behind them.
fn rest(uri: &Uri<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for param in uri
        .params
        .iter()
        .filter(|param| !param.name.eq_ignore_ascii_case(b"transport"))
    {
        out.push(b';');
        out.extend_from_slice(param.raw);
    }
    if let Some(headers) = uri.headers {
        out.push(b'?');
        out.extend_from_slice(headers);
    }
    out
}

pub(super) fn encode_contact(m: &Mangler, cx: &mut Cx, prefix: Str, address: Str) -> Result<bool, Fault> {
    let source = cx.received.source;
    let protocol = match cx.received.transport {
        Transport::Udp | Transport::None => "",
        other => other.name(),
    };
    for place in contacts(cx)? {
        let text = cx.msg.text(place);
        let uri = parse(&text)?;
        let ip = source.ip().to_string();
        let port = source.port().to_string();
        let fields: [&[u8]; 9] = [
            &prefix,
            uri.user,
            uri.password.unwrap_or_default(),
            uri.host,
            uri.port_text,
            uri.transport_text().unwrap_or_default(),
            ip.as_bytes(),
            port.as_bytes(),
            protocol.as_bytes(),
        ];
        if fields.iter().any(|field| field.contains(&m.separator)) {
            return Err(Fault::script(format!(
                "the contact '{text}' holds the separator '{}': set contact_flds_separator to another character",
                char::from(m.separator)
            )));
        }
        let user = fields.join(&[m.separator][..]);
        let new = [uri.scheme_text, b":", &user, b"@", &address, &rest(&uri)].concat();
        cx.spend_bytes(new.len())?;
        replace(cx, place, Str::from(new));
    }
    Ok(true)
}

/// The original URI, and where its contact came from.
struct Decoded {
    uri: Str,
    source: Option<Str>,
}

fn decode(m: &Mangler, text: &[u8]) -> Result<Decoded, Fault> {
    let uri = parse(text)?;
    let fields: Vec<&[u8]> = uri.user.split(|b| *b == m.separator).collect();
    let [
        _,
        user,
        password,
        host,
        port,
        transport,
        ip,
        source_port,
        protocol,
    ] = *fields
    else {
        return Err(Fault::script(format!(
            "'{}' is no URI that encode_contact() made: it has {} fields, not 9",
            String::from_utf8_lossy(text),
            fields.len()
        ))
        .code(NOT_ENCODED));
    };
    let mut out = [uri.scheme_text, b":"].concat();
    if !user.is_empty() {
        out.extend_from_slice(user);
        push(&mut out, b":", password);
        out.push(b'@');
    }
    out.extend_from_slice(host);
    push(&mut out, b":", port);
    push(&mut out, b";transport=", transport);
    out.extend_from_slice(&rest(&uri));
    let source = (!ip.is_empty()).then(|| {
        let mut source = b"sip:".to_vec();
        match ip.contains(&b':') && !ip.starts_with(b"[") {
            true => source.extend_from_slice(&[b"[", ip, b"]"].concat()),
            false => source.extend_from_slice(ip),
        }
        push(&mut source, b":", source_port);
        push(&mut source, b";transport=", protocol);
        Str::from(source)
    });
    let checked = |uri: Str| match Uri::parse(&uri) {
        Ok(_) => Ok(uri),
        Err(error) => Err(Fault::peer(format!("'{uri}', as decoded, is no URI: {error}")).code(NOT_ENCODED)),
    };
    Ok(Decoded {
        uri: checked(Str::from(out))?,
        source: source.map(checked).transpose()?,
    })
}

/// Adds a piece and what introduces it, unless it is empty.
fn push(out: &mut Vec<u8>, before: &[u8], piece: &[u8]) {
    if !piece.is_empty() {
        out.extend_from_slice(before);
        out.extend_from_slice(piece);
    }
}

pub(super) fn decode_contact(m: &Mangler, cx: &mut Cx) -> Result<bool, Fault> {
    let decoded = decode(m, &cx.ruri())?;
    cx.set_ruri(decoded.uri)?;
    if decoded.source.is_some() {
        cx.target.dst_uri = decoded.source;
    }
    Ok(true)
}

pub(super) fn decode_contact_header(m: &Mangler, cx: &mut Cx) -> Result<bool, Fault> {
    for place in contacts(cx)? {
        let decoded = decode(m, &cx.msg.text(place))?;
        replace(cx, place, decoded.uri);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::textops::tests::{built, request};

    const M: Mangler = Mangler { separator: b'*' };

    fn contact(cx: &Cx) -> String {
        built(cx)
            .lines()
            .find(|line| line.starts_with("Contact"))
            .unwrap_or_default()
            .to_owned()
    }

    #[test]
    fn a_contact_goes_there_and_back() {
        let cx = &mut request("Contact: \"A\" <sip:alice@10.0.0.1:5070;transport=tcp;ob>;q=1\n");
        assert_eq!(encode_contact(&M, cx, "enc".into(), "1.2.3.4".into()), Ok(true));
        assert_eq!(encode_contact(&M, cx, "enc".into(), "1.2.3.4".into()), Ok(true));
        let encoded = contact(cx);
        assert_eq!(
            encoded,
            "Contact: \"A\" <sip:enc*alice**10.0.0.1*5070*tcp*127.0.0.1*5061*@1.2.3.4;ob>;q=1"
        );
        let cx = &mut request(&format!("{encoded}\n"));
        assert_eq!(decode_contact_header(&M, cx), Ok(true));
        assert_eq!(
            contact(cx),
            "Contact: \"A\" <sip:alice@10.0.0.1:5070;transport=tcp;ob>;q=1"
        );
    }

    #[test]
    fn a_request_uri_is_decoded_with_its_way_back() {
        let cx = &mut request("X: 1\n");
        cx.set_ruri("sip:enc*alice*pw*1.2.3.4*5061*tcp*127.0.0.1*5061*udp@h".into())
            .unwrap();
        assert_eq!(decode_contact(&M, cx), Ok(true));
        assert_eq!(cx.ruri(), "sip:alice:pw@1.2.3.4:5061;transport=tcp");
        assert_eq!(cx.target.dst_uri, Some("sip:127.0.0.1:5061;transport=udp".into()));
        assert_eq!(decode_contact(&M, cx).unwrap_err().code, -26);
    }

    #[test]
    fn a_star_is_no_contact_and_the_separator_none_of_its_parts() {
        assert_eq!(
            encode_contact(&M, &mut request("Contact: *\n"), "e".into(), "h".into()),
            Ok(true)
        );
        let cx = &mut request("Contact: <sip:a*b@h>\n");
        assert!(encode_contact(&M, cx, "e".into(), "h".into()).is_err());
    }
}
