//! Attributes into the Request-URI and the destination.

use kahea_module::{Bind, BindError, Cx, Decl, FAILURE, Fault, Lit, REQUEST, Str, arg::Literal};
use kahea_sip::view::NameAddr;

use super::{Attribute, Avp, xl::Xl};
use crate::uri_edit::{self, Part};

/// Declares the functions.
pub fn declare(d: &mut Decl<Avp>) {
    d.func(
        "attr2uri",
        ["attribute", "part"],
        attr2uri,
        "Writes an attribute to the Request-URI or a part of it: uri, user, userpass, domain, domainport, port, prefix, strip, strip_tail.",
    )
    .routes(REQUEST | FAILURE)
    .example("attr2uri(\"$saved_uri\", \"user\");");
    d.func(
        "attr_destination",
        ["attribute"],
        attr_destination,
        "Sends the request to the URI in an attribute, alone or with a name and angle brackets.",
    )
    .routes(REQUEST | FAILURE);
    d.func(
        "xlset_destination",
        ["text"],
        xlset_destination,
        "Sends the request to the URI that a text with %-variables gives.",
    )
    .routes(REQUEST);
}

struct UriPart(Part);

impl Literal for UriPart {
    const WHAT: &'static str = "a part of a URI";

    fn parse(text: &str, _: &dyn Bind) -> Result<UriPart, BindError> {
        Ok(UriPart(match text.trim() {
            "uri" => Part::Uri,
            "username" | "user" => Part::User,
            "usernamepassword" | "userpass" => Part::UserInfo,
            "domain" | "host" => Part::Host,
            "domainport" | "hostport" => Part::HostPort,
            "port" => Part::Port,
            "prefix" => Part::Prefix,
            "strip" => Part::Strip,
            "strip_tail" => Part::StripTail,
            other => {
                return Err(BindError::new(format!("a URI has no part '{other}'")).help(
                    "write uri, user, userpass, domain, domainport, port, prefix, strip or strip_tail",
                ));
            }
        }))
    }
}

fn attr2uri(
    _: &Avp,
    cx: &mut Cx,
    attribute: Lit<Attribute>,
    part: Option<Lit<UriPart>>,
) -> Result<bool, Fault> {
    let value = attribute.text(cx)?;
    let part = part.map_or(Part::Uri, |part| part.0);
    uri_edit::set(cx, part, &value)?;
    Ok(true)
}

fn attr_destination(_: &Avp, cx: &mut Cx, attribute: Lit<Attribute>) -> Result<bool, Fault> {
    let value = attribute.text(cx)?;
    set_destination(cx, &value)
}

fn xlset_destination(m: &Avp, cx: &mut Cx, text: Lit<Xl>) -> Result<bool, Fault> {
    let value = text.text(m, cx)?;
    set_destination(cx, &value)
}

fn set_destination(cx: &mut Cx, value: &Str) -> Result<bool, Fault> {
    let uri = match value.contains(&b'<') {
        true => NameAddr::parse(value).map(|address| value.share(address.uri)),
        false => Ok(value.clone()),
    };
    let uri = uri.map_err(|error| Fault::script(format!("'{value}' names no destination: {error}")))?;
    cx.target.dst_uri = Some(uri);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avp::tests::{AVP, lit, with};

    #[test]
    fn parts_of_the_uri_come_from_attributes() {
        let mut cx = with(&[("u", "carol"), ("n", "1"), ("whole", "sip:x@y")]);
        let (u, part) = (lit(&mut cx, "$u"), lit(&mut cx, "username"));
        assert_eq!(attr2uri(&AVP, &mut cx, u, Some(part)), Ok(true));
        let (n, part) = (lit(&mut cx, "$n"), lit(&mut cx, "strip"));
        assert_eq!(attr2uri(&AVP, &mut cx, n, Some(part)), Ok(true));
        assert_eq!(cx.ruri(), "sip:arol@example.com:5070;transport=udp");
        let whole = lit(&mut cx, "$whole");
        assert_eq!(attr2uri(&AVP, &mut cx, whole, None), Ok(true));
        assert_eq!(cx.ruri(), "sip:x@y");
        let none = lit(&mut cx, "$none");
        assert!(attr2uri(&AVP, &mut cx, none, None).is_err());
    }

    #[test]
    fn destinations_may_have_a_name() {
        let mut cx = with(&[("d", "\"Foo\" <sip:d@127.0.0.9;lr>")]);
        let d = lit(&mut cx, "$d");
        assert_eq!(attr_destination(&AVP, &mut cx, d), Ok(true));
        assert_eq!(cx.target.dst_uri, Some(Str::from("sip:d@127.0.0.9;lr")));
        let text = lit(&mut cx, "sip:e@127.0.0.8");
        assert_eq!(xlset_destination(&AVP, &mut cx, text), Ok(true));
        assert_eq!(cx.target.dst_uri, Some(Str::from("sip:e@127.0.0.8")));
    }
}
