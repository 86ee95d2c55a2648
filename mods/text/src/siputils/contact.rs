//! Contacts hidden in the user part of a URI of this server.

use kahea_module::{Cx, Fault, Str};
use kahea_sip::{
    EditTag, HeaderId, Message, Span,
    view::{Addrs, Contacts, Uri},
};

use super::SipUtils;

/// The text of a Contact URI could not be restored: fields are missing.
const MISSING: i64 = -26;
/// The text of a Contact URI could not be restored: fields do not make a URI.
const SENSELESS: i64 = -24;

/// The addresses in all Contact headers; none for `*`.
///
/// # Errors
/// There is no Contact header, or one that cannot be read.
pub(super) fn contact_uris(msg: &Message) -> Result<Vec<Span>, Fault> {
    let mut found = Vec::new();
    if !msg.has(HeaderId::Contact) {
        return Err(Fault::peer("the message has no Contact header"));
    }
    for header in msg.all(HeaderId::Contact) {
        let value = msg.value(header);
        if matches!(Contacts::parse(value), Contacts::Star) {
            continue;
        }
        for address in Addrs::new(value) {
            let address = address
                .map_err(|error| Fault::peer(format!("the Contact header cannot be read: {error}")))?;
            found.extend(Span::within(msg.buffer(), address.uri));
        }
    }
    Ok(found)
}

/// Puts a new URI in the place of one in Contact; one recorded before by the same means gives way.
pub(super) fn replace_uri(cx: &mut Cx, span: Span, uri: Vec<u8>) {
    cx.edits
        .replace(span, Str::from(uri), EditTag::Header(HeaderId::Contact));
}

pub(super) fn encode(m: &SipUtils, cx: &mut Cx, prefix: Str, host: Str) -> Result<i64, Fault> {
    for span in contact_uris(&cx.msg)? {
        let encoded = match Uri::parse(cx.msg.bytes(span)) {
            Ok(uri) => m.encoded(&uri, &prefix, &host),
            Err(error) => return Err(Fault::peer(format!("a URI in Contact cannot be read: {error}"))),
        };
        replace_uri(cx, span, encoded);
    }
    Ok(1)
}

pub(super) fn decode_ruri(m: &SipUtils, cx: &mut Cx) -> Result<i64, Fault> {
    match m.decoded(&cx.ruri()) {
        Ok(uri) => cx.set_ruri(Str::from(uri)).map(|()| 1),
        Err(code) => Ok(code),
    }
}

pub(super) fn decode_header(m: &SipUtils, cx: &mut Cx) -> Result<i64, Fault> {
    let mut code = 1;
    for span in contact_uris(&cx.msg)? {
        match m.decoded(cx.msg.bytes(span)) {
            Ok(uri) => replace_uri(cx, span, uri),
            Err(error) => code = error,
        }
    }
    Ok(code)
}

impl SipUtils {
    fn encoded(&self, uri: &Uri<'_>, prefix: &[u8], host: &[u8]) -> Vec<u8> {
        let fields = [
            prefix,
            uri.user,
            uri.password.unwrap_or_default(),
            uri.host,
            uri.port_text,
            uri.transport_text().unwrap_or_default(),
        ];
        [b"sip:", &*fields.join(&self.separator), b"@", host].concat()
    }

    fn decoded(&self, text: &[u8]) -> Result<Vec<u8>, i64> {
        let uri = Uri::parse(text).map_err(|_| SENSELESS)?;
        let userinfo = match uri.password {
            Some(password) => [uri.user, b":", password].concat(),
            None => uri.user.to_vec(),
        };
        let fields: Vec<&[u8]> = userinfo.split(|b| *b == self.separator).collect();
        let [_, user, password, host, port, transport] = *fields.as_slice() else {
            return Err(if fields.len() < 6 { MISSING } else { SENSELESS });
        };
        let mut out = b"sip:".to_vec();
        if !user.is_empty() {
            out.extend_from_slice(user);
            if !password.is_empty() {
                out.push(b':');
                out.extend_from_slice(password);
            }
            out.push(b'@');
        }
        out.extend_from_slice(host);
        for (before, piece) in [(&b":"[..], port), (b";transport=", transport)] {
            if !piece.is_empty() {
                out.extend_from_slice(before);
                out.extend_from_slice(piece);
            }
        }
        match Uri::parse(&out) {
            Ok(_) => Ok(out),
            Err(_) => Err(SENSELESS),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kahea_module::testing::{INVITE, Server};
    use kahea_sip::build::edited;

    use super::{super::tests::started, *};

    /// An INVITE with that Contact line.
    pub(crate) fn with_contact(value: &str) -> Cx {
        let line = if value.is_empty() {
            String::new()
        } else {
            format!("Contact: {value}\n")
        };
        Server::default().message(&INVITE.replace("Contact: <sip:alice@127.0.0.1:5061>\n", &line))
    }

    /// The Contact value with the edits applied.
    pub(crate) fn contact(cx: &Cx) -> String {
        let mut out = Vec::new();
        edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix("Contact: "))
            .unwrap_or_default()
            .to_owned()
    }

    fn text(text: &str) -> Str {
        Str::from(text)
    }

    #[test]
    fn contacts_are_hidden_and_restored() {
        let cx = &mut with_contact(
            "\"Al\" <sip:alice:pw@1.2.3.4:5099;transport=tcp;x=y>;q=0.5, <sip:b@c>, sip:host",
        );
        assert_eq!(encode(&started(), cx, text("nat"), text("1.2.3.4")), Ok(1));
        let hidden = contact(cx);
        assert_eq!(
            hidden,
            "\"Al\" <sip:nat*alice*pw*1.2.3.4*5099*tcp@1.2.3.4>;q=0.5, <sip:nat*b**c**@1.2.3.4>, sip:nat***host**@1.2.3.4"
        );
        let cx = &mut with_contact(&hidden);
        assert_eq!(decode_header(&started(), cx), Ok(1));
        assert_eq!(
            contact(cx),
            "\"Al\" <sip:alice:pw@1.2.3.4:5099;transport=tcp>;q=0.5, <sip:b@c>, sip:host"
        );
    }

    #[test]
    fn what_cannot_be_restored_stays() {
        for (user, code) in [("nat*x*y", -26), ("nat****9.8.7.6**", -24), ("nat*x****", -24)] {
            let cx = &mut with_contact(&format!("<sip:{user}@h>, <sip:nat*b**1.1.1.1*5066*@h>"));
            assert_eq!(decode_header(&started(), cx), Ok(code), "{user}");
            assert_eq!(contact(cx), format!("<sip:{user}@h>, <sip:b@1.1.1.1:5066>"));
            cx.target.ruri = Some(Str::from(format!("sip:{user}@h")));
            assert_eq!(decode_ruri(&started(), cx), Ok(code));
        }
        let cx = &mut with_contact("*");
        assert_eq!(encode(&started(), cx, text("n"), text("h")), Ok(1));
        assert_eq!(contact(cx), "*");
        assert!(encode(&started(), &mut with_contact(""), text("n"), text("h")).is_err());
    }

    #[test]
    fn the_request_uri_is_restored() {
        let cx = &mut with_contact("*");
        cx.target.ruri = Some(Str::from("sip:nat*alice*pw*9.8.7.6*5099*tcp@127.0.0.1"));
        assert_eq!(decode_ruri(&started(), cx), Ok(1));
        assert_eq!(cx.ruri(), "sip:alice:pw@9.8.7.6:5099;transport=tcp");
    }
}
