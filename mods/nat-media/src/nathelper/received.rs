//! Where a registration came from: `fix_nated_register()` and `add_rcv_param()`.

use kahea_module::{Cx, Fault, Str, Value};
use kahea_sip::{
    HeaderId, Place, Received, Span, Transport,
    view::{Contacts, NameAddr},
};

use super::{
    NatHelper,
    contact::{TAG, host_port},
};

/// The source of the message as a URI.
fn source_uri(received: &Received) -> String {
    let address = host_port(received.source);
    match received.transport {
        Transport::Udp | Transport::None => format!("sip:{address}"),
        other => format!("sip:{address};transport={}", other.uri_name()),
    }
}

pub(super) fn fix_nated_register(m: &NatHelper, cx: &mut Cx) -> Result<bool, Fault> {
    let var = m.received_avp.as_ref().ok_or_else(|| {
        Fault::script("fix_nated_register() needs received_avp: modparam(\"nathelper\", \"received_avp\", \"$avp(RECEIVED)\"), and the same for registrar")
    })?;
    let uri = source_uri(&cx.received);
    var.set(cx, Value::from(uri))?;
    Ok(true)
}

pub(super) fn add_rcv_param(_: &NatHelper, cx: &mut Cx, into_uri: Option<i64>) -> Result<bool, Fault> {
    let into_uri = into_uri.unwrap_or(0) != 0;
    let uri = source_uri(&cx.received);
    let text = match into_uri {
        // A `;` of the value would end the parameter.
        true => Str::from(format!(
            ";received={}",
            uri.replace(';', "%3B").replace('=', "%3D")
        )),
        false => Str::from(format!(";received=\"{uri}\"")),
    };
    for at in places(cx, into_uri)? {
        cx.edits.insert(at, Place::After, text.clone(), TAG);
    }
    Ok(true)
}

/// Behind the URI, or behind the whole value, of every contact.
fn places(cx: &Cx, into_uri: bool) -> Result<Vec<u32>, Fault> {
    let mut out = Vec::new();
    for header in cx.msg.all(HeaderId::Contact) {
        let Contacts::List(list) = Contacts::parse(cx.msg.value(header)) else {
            continue;
        };
        for contact in list {
            let contact: NameAddr<'_> =
                contact.map_err(|error| Fault::peer(format!("a Contact cannot be read: {error}")))?;
            let piece = if into_uri { contact.uri } else { contact.raw };
            out.extend(Span::within(cx.msg.buffer(), piece).map(Span::end));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::Insert;

    use super::{super::tests::module, *};

    #[test]
    fn a_source_is_a_uri_with_its_transport() {
        let server = Server::default();
        let mut cx = server.invite();
        assert_eq!(source_uri(&cx.received), "sip:127.0.0.1:5061");
        cx.received.transport = Transport::Wss;
        assert_eq!(source_uri(&cx.received), "sip:127.0.0.1:5061;transport=ws");
        add_rcv_param(&module(), &mut cx, Some(1)).unwrap();
        let edit = cx.edits.iter().next().unwrap().1.insert.clone();
        let expected = Str::from(";received=sip:127.0.0.1:5061%3Btransport%3Dws");
        assert_eq!(edit, Some(Insert::Text(expected)));
    }

    #[test]
    fn without_an_avp_registrations_cannot_be_fixed() {
        let server = Server::default();
        assert!(fix_nated_register(&module(), &mut server.invite()).is_err());
    }
}
