//! `{uri.…}`: parts of a URI.

use kahea_module::{Decl, Module, Str, TransformKind, Value};
use kahea_sip::{
    Transport,
    view::{Scheme, Uri},
};

use super::{args, on_text, with_text};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    d.transform(
        "uri",
        "user",
        &[],
        TransformKind::Args(0, 0, |cx, value, _| {
            let phone2tel = cx.config().globals.phone2tel;
            with_text(&value, |text| part(text, |uri| Some(uri.script_user(phone2tel))))
        }),
        "The user; where phone2tel takes it for a telephone number, without the number's parameters.",
    );
    on_text!(d, "uri",
        "host", "The host.", |text| part(text, |uri| Some(uri.host));
        "domain", "The host.", |text| part(text, |uri| Some(uri.host));
        "passwd", "The password.", |text| part(text, |uri| uri.password);
        "port", "The port as it is written.", |text| part(text, |uri| Some(uri.port_text));
        "params", "The parameters of a SIP URI.", |text| part(text, sip_params);
        "headers", "The headers.", |text| part(text, |uri| uri.headers);
        "transport", "The value of the parameter transport.", |text| part(text, |uri| uri.transport_text());
        "ttl", "The value of the parameter ttl.", |text| part(text, |uri| uri.param("ttl"));
        "uparam", "The value of the parameter user.", |text| part(text, |uri| uri.user_param());
        "maddr", "The value of the parameter maddr.", |text| part(text, |uri| uri.maddr());
        "method", "The value of the parameter method.", |text| part(text, |uri| uri.method());
        "lr", "The value of the parameter lr.", |text| part(text, |uri| uri.param("lr"));
        "r2", "The value of the parameter r2.", |text| part(text, |uri| uri.r2());
        "scheme", "The scheme as it is written.", |text| part(text, |uri| Some(uri.scheme_text));
        "saor", "Scheme, user and host.", |text| made(text, |uri| uri.scheme_aor());
        "suri", "Scheme, user, host, port and transport.", |text| made(text, |uri| routing(uri, &userinfo(uri)));
        "duri", "Scheme, host, port and transport.", |text| made(text, |uri| routing(uri, b""));
        "tosocket", "As a socket, transport:host:port; empty without a known transport.", |text| made(text, socket);
    );
    d.transform(
        "uri",
        "param",
        &["name"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, param)),
        "The value of a parameter; empty where it is absent or has none.",
    );
    d.transform(
        "uri",
        "rmparam",
        &["name"],
        TransformKind::Raw(|raw, bind| args::by_text(raw, bind, without_param)),
        "The URI without a parameter.",
    );
}

/// Null where the text is no SIP, tel or URN URI; empty where the part is absent.
fn part(text: &Str, read: impl for<'a> FnOnce(&Uri<'a>) -> Option<&'a [u8]>) -> Value {
    match parse(text) {
        Some(uri) => Value::Str(text.share(read(&uri).unwrap_or_default())),
        None => Value::Null,
    }
}

fn made(text: &Str, make: impl FnOnce(&Uri<'_>) -> Vec<u8>) -> Value {
    parse(text).map(|uri| make(&uri)).into()
}

pub(super) fn parse(text: &[u8]) -> Option<Uri<'_>> {
    Uri::parse(text).ok().filter(|uri| uri.scheme != Scheme::Other)
}

/// Parameters of a telephone number belong to the number, not to the URI.
fn sip_params<'a>(uri: &Uri<'a>) -> Option<&'a [u8]> {
    let raw = uri.params.raw;
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips | Scheme::Urn).then_some(raw)
}

fn userinfo(uri: &Uri<'_>) -> Vec<u8> {
    match uri.user {
        b"" => Vec::new(),
        user if uri.host.is_empty() => user.to_vec(),
        user => [user, b"@"].concat(),
    }
}

fn routing(uri: &Uri<'_>, user: &[u8]) -> Vec<u8> {
    let mut out = [uri.scheme_text, b":", user, uri.hostport()].concat();
    if let Some(transport) = uri.transport_text() {
        out.extend_from_slice(b";transport=");
        out.extend_from_slice(transport);
    }
    out
}

fn socket(uri: &Uri<'_>) -> Vec<u8> {
    let transport = uri.transport();
    if transport == Transport::None {
        return Vec::new();
    }
    let port = if uri.port_text.is_empty() {
        b"5060"
    } else {
        uri.port_text
    };
    [transport.name().as_bytes(), b":", uri.host, b":", port].concat()
}

fn param(text: &Str, name: &[u8]) -> Value {
    part(text, |uri| match uri.scheme {
        Scheme::Tel | Scheme::Tels => None,
        _ => uri.param(name),
    })
}

fn without_param(text: &Str, name: &[u8]) -> Value {
    let Some(uri) = parse(text) else {
        return Value::Null;
    };
    let Some(range) = uri
        .params
        .get(name)
        .and_then(|param| uri.params.removal(text, &param))
    else {
        return Value::Str(text.clone());
    };
    let before = text.get(..range.start).unwrap_or_default();
    let after = text.get(range.end..).unwrap_or_default();
    [before, after].concat().into()
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    const FULL: &str = "sip:alice:secret@example.com:5080;transport=tcp;lr;ttl=5;maddr=1.2.3.4;user=phone;x=y;r2=on?Subject=hi&X=1";

    #[test]
    fn parts_are_read() {
        for (step, want) in [
            ("uri.user", "alice"),
            ("uri.host", "example.com"),
            ("uri.passwd", "secret"),
            ("uri.port", "5080"),
            ("uri.headers", "Subject=hi&X=1"),
            ("uri.transport", "tcp"),
            ("uri.lr", ""),
            ("uri.r2", "on"),
            ("uri.uparam", "phone"),
            ("uri.param, X", "y"),
            ("uri.param,none", ""),
            ("uri.scheme", "sip"),
            ("uri.tosocket", "tcp:example.com:5080"),
            ("uri.saor", "sip:alice@example.com"),
            ("uri.duri", "sip:example.com:5080;transport=tcp"),
            ("uri.suri", "sip:alice@example.com:5080;transport=tcp"),
        ] {
            assert_eq!(text(FULL, step), want, "{step}");
        }
    }

    #[test]
    fn absent_parts_are_empty_and_no_uri_is_null() {
        assert_eq!(text("sip:example.com", "uri.user"), "");
        assert_eq!(text("sip:example.com", "uri.suri"), "sip:example.com");
        assert_eq!(text("sip:h:5070", "uri.tosocket"), "");
        assert_eq!(text("sip:h;transport=tls", "uri.tosocket"), "tls:h:5060");
        for broken in ["", "not a uri", "<sip:u@h>", "http://x/y", "sip:u@h:99999"] {
            assert_eq!(apply(broken.to_owned(), "uri.host"), Value::Null, "{broken}");
        }
    }

    #[test]
    fn numbers_keep_their_parameters() {
        assert_eq!(text("tel:+1234;phone-context=x", "uri.user"), "+1234");
        assert_eq!(text("tel:+1234;phone-context=x", "uri.params"), "");
        assert_eq!(text("tel:+1234", "uri.saor"), "tel:+1234");
        assert_eq!(text("sip:u;isub=1@h;user=phone", "uri.user"), "u");
        assert_eq!(text("sip:u;isub=1@h", "uri.user"), "u;isub=1");
    }

    #[test]
    fn parameters_are_removed() {
        assert_eq!(text("sip:a@b;x=1;y?h=1", "uri.rmparam,x"), "sip:a@b;y?h=1");
        assert_eq!(text("sip:a@b;x=1;y", "uri.rmparam,Y"), "sip:a@b;x=1");
        assert_eq!(text("sip:a@b;x=1", "uri.rmparam,none"), "sip:a@b;x=1");
    }
}
