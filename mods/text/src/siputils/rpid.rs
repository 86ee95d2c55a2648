//! Remote-Party-ID, from an AVP that authentication fills.

use kahea_module::{Cx, Fault, Str, Value, Var};
use kahea_sip::{EditTag, HeaderId, Place, view::NameAddr};

use super::SipUtils;

/// Where the identity is and what stands around it.
pub(super) struct Rpid {
    pub(super) avp: Option<Var>,
    pub(super) prefix: Str,
    pub(super) suffix: Str,
}

impl Rpid {
    fn value(&self, cx: &mut Cx) -> Result<Option<Str>, Fault> {
        let avp = self
            .avp
            .as_ref()
            .ok_or_else(|| Fault::script("rpid_avp of siputils is empty: name an AVP"))?;
        Ok(match avp.get(cx) {
            Value::Str(text) if !text.is_empty() => Some(text),
            _ => None,
        })
    }
}

pub(super) fn append(m: &SipUtils, cx: &mut Cx) -> Result<bool, Fault> {
    append_with(m, cx, m.rpid.prefix.clone(), m.rpid.suffix.clone())
}

pub(super) fn append_with(m: &SipUtils, cx: &mut Cx, prefix: Str, suffix: Str) -> Result<bool, Fault> {
    let Some(value) = m.rpid.value(cx)? else {
        return Ok(false);
    };
    let line = [b"Remote-Party-ID: ", &*prefix, &value, &suffix, b"\r\n"].concat();
    let id = EditTag::Header(HeaderId::RemotePartyId);
    cx.edits
        .insert(cx.msg.headers_end(), Place::After, Str::from(line), id);
    Ok(true)
}

pub(super) fn is_e164(m: &SipUtils, cx: &mut Cx) -> Result<bool, Fault> {
    let Some(value) = m.rpid.value(cx)? else {
        return Ok(false);
    };
    let uri = NameAddr::parse(&value).and_then(|address| address.parse_uri());
    Ok(uri.is_ok_and(|uri| m.has_e164_user(&uri)))
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::build::edited;

    use super::{super::tests::started, *};

    #[test]
    fn the_identity_becomes_a_header() {
        let (m, mut cx) = (started(), Server::default().invite());
        assert_eq!(
            (append(&m, &mut cx), is_e164(&m, &mut cx)),
            (Ok(false), Ok(false))
        );
        for (value, number) in [
            ("sip:+123@x", true),
            ("Joe <sip:+123@x>", true),
            ("sip:joe@x", false),
            ("+123", false),
        ] {
            m.rpid
                .avp
                .as_ref()
                .unwrap()
                .set(&mut cx, Value::from(Str::from(value)))
                .unwrap();
            assert_eq!(is_e164(&m, &mut cx), Ok(number), "{value}");
        }
        assert_eq!(
            append_with(&m, &mut cx, Str::from("<"), Str::from(">;x")),
            Ok(true)
        );
        assert_eq!(append(&m, &mut cx), Ok(true));
        let mut out = Vec::new();
        edited(&cx.msg, &cx.edits, &mut |_, _| {}, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(
            "\r\nRemote-Party-ID: <+123>;x\r\nRemote-Party-ID: +123;party=calling;id-type=subscriber;screen=yes\r\n\r\n"
        ));
    }
}
