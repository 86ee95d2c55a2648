//! The Request-URI, the original one, the destination and the next hop: `$ru`, `$ou`, `$du`, `$nh()` and their parts.

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Index, Named, Naming, Str, Value};
use kahea_sip::{
    Transport,
    view::{Scheme, Uri},
};

use super::{
    Pv,
    text::{self, filled_of, text_only},
    via,
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    ruri(d);
    original(d);
    destination(d);
    d.var_named(
        "nh",
        Naming::Required,
        Named {
            parse: NextHop::parse,
            get: next_hop,
            set: None,
            raw: false,
        },
        "The next hop: of a request `$du` or `$ru`, of a reply the second Via; `u`, `U`, `d`, `p`, `P` or `i` names the part.",
    );
}

fn ruri(d: &mut Decl<Pv>) {
    for name in ["ru", "ruri"] {
        d.var_rw(
            name,
            |_, cx, _| current(cx),
            set_ruri,
            "The Request-URI; `$null` in replies.",
        );
    }
    for name in ["rU", "ruri.user"] {
        d.var_rw(
            name,
            |_, cx, _| user(cx, &ruri_text(cx)),
            set_user,
            "The user of the Request-URI; `$null` takes it away.",
        );
    }
    for name in ["rd", "ruri.domain"] {
        d.var_rw(
            name,
            |_, cx, _| part(&ruri_text(cx), host),
            set_host,
            "The host of the Request-URI.",
        );
    }
    d.var_rw(
        "rp",
        |_, cx, _| part(&ruri_text(cx), port),
        set_port,
        "The port of the Request-URI, 5060 (TLS: 5061) where none is stated; `$null` takes it away.",
    );
    d.var(
        "rP",
        |_, cx, _| part(&ruri_text(cx), transport),
        "The transport of the Request-URI, `UDP` where none is stated.",
    );
    d.var(
        "rz",
        |_, cx, _| scheme(cx, &ruri_text(cx)),
        "The scheme of the Request-URI.",
    );
    d.var(
        "rUl",
        |_, cx, _| user_length(cx, &ruri_text(cx)),
        "The length of the Request-URI's user.",
    );
    d.var(
        "rul",
        |_, cx, _| text_length(&ruri_text(cx)),
        "The length of the Request-URI.",
    );
}

fn original(d: &mut Decl<Pv>) {
    for name in ["ou", "ouri"] {
        d.var(
            name,
            |_, cx, _| original_text(cx).map_or(Value::Null, Value::Str),
            "The Request-URI as it was received.",
        );
    }
    d.var(
        "oU",
        |_, cx, _| user(cx, &original_text(cx)),
        "The user of the original Request-URI.",
    );
    d.var(
        "od",
        |_, cx, _| part(&original_text(cx), host),
        "The host of the original Request-URI.",
    );
    d.var(
        "op",
        |_, cx, _| part(&original_text(cx), port),
        "The port of the original Request-URI, 5060 where none is stated.",
    );
    d.var(
        "oP",
        |_, cx, _| part(&original_text(cx), transport),
        "The transport of the original Request-URI, `UDP` where none is stated.",
    );
    d.var(
        "oUl",
        |_, cx, _| user_length(cx, &original_text(cx)),
        "The length of the original Request-URI's user.",
    );
}

fn destination(d: &mut Decl<Pv>) {
    for name in ["du", "duri"] {
        d.var_rw(name, |_, cx, _| cx.target.dst_uri.clone().into(), set_destination, "The destination URI: where the request goes instead of the Request-URI's host; `$null` takes it away.");
    }
    d.var(
        "dd",
        |_, cx, _| part(&cx.target.dst_uri, host),
        "The host of the destination URI.",
    );
    d.var(
        "dp",
        |_, cx, _| part(&cx.target.dst_uri, port),
        "The port of the destination URI, 5060 where none is stated.",
    );
    d.var(
        "dP",
        |_, cx, _| part(&cx.target.dst_uri, transport),
        "The transport of the destination URI, `UDP` where none is stated.",
    );
}

/// The Request-URI of a request.
fn ruri_text(cx: &Cx) -> Option<Str> {
    cx.msg.is_request().then(|| cx.ruri())
}

fn current(cx: &mut Cx) -> Value {
    ruri_text(cx).map_or(Value::Null, Value::Str)
}

fn original_text(cx: &Cx) -> Option<Str> {
    cx.msg.uri().map(|uri| cx.msg.buffer().share(uri))
}

fn text_length(uri: &Option<Str>) -> Value {
    uri.as_ref()
        .map_or(Value::Null, |uri| Value::Int(text::length(uri)))
}

type Part = fn(&Str, &Uri<'_>) -> Value;

/// A part of a URI; `$null` where there is none or it cannot be read.
fn part(uri: &Option<Str>, part: Part) -> Value {
    let Some(uri) = uri else { return Value::Null };
    Uri::parse(uri).map_or(Value::Null, |parsed| part(uri, &parsed))
}

fn parsed(uri: &Option<Str>) -> Option<(&Str, Uri<'_>)> {
    let whole = uri.as_ref()?;
    Uri::parse(whole).ok().map(|uri| (whole, uri))
}

/// The user; `$null` where there is none.
fn user(cx: &Cx, uri: &Option<Str>) -> Value {
    parsed(uri).map_or(Value::Null, |(whole, uri)| {
        filled_of(whole, uri.script_user(cx.config().globals.phone2tel))
    })
}

/// The host.
pub fn host(whole: &Str, uri: &Uri<'_>) -> Value {
    filled_of(whole, uri.host)
}

/// The port as it is written, or the default.
pub fn port(whole: &Str, uri: &Uri<'_>) -> Value {
    if !uri.port_text.is_empty() {
        return Value::Str(whole.share(uri.port_text));
    }
    Value::from(if uri.transport() == Transport::Tls {
        "5061"
    } else {
        "5060"
    })
}

/// The transport as it is written, or `UDP`.
pub fn transport(whole: &Str, uri: &Uri<'_>) -> Value {
    match uri.transport_text() {
        Some(text) if !text.is_empty() => Value::Str(whole.share(text)),
        _ => Value::from("UDP"),
    }
}

fn user_length(cx: &Cx, uri: &Option<Str>) -> Value {
    parsed(uri).map_or(Value::Null, |(_, uri)| {
        Value::Int(text::length(uri.script_user(cx.config().globals.phone2tel)))
    })
}

fn scheme(cx: &Cx, uri: &Option<Str>) -> Value {
    let Some((_, uri)) = parsed(uri) else {
        return Value::Null;
    };
    // As in Kamailio a SIP URI with user=phone counts as a telephone number.
    let is_phone = cx.config().globals.phone2tel && uri.has_user_param_phone();
    Value::from(match uri.scheme {
        Scheme::Sip if is_phone => "tel",
        Scheme::Sips if is_phone => "tels",
        Scheme::Sip => "sip",
        Scheme::Sips => "sips",
        Scheme::Tel => "tel",
        Scheme::Tels => "tels",
        Scheme::Urn => "urn",
        Scheme::Other => "none",
    })
}

fn set_ruri(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    cx.set_ruri(text_only(value, "$ru")?)
}

fn set_user(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    let user = match value {
        Value::Null => Str::EMPTY,
        value => text_only(value, "$rU")?,
    };
    let phone2tel = cx.config().globals.phone2tel;
    change(cx, |uri| match uri.user_params().raw {
        // The parameters of a number stay where they are.
        params if phone2tel && uri.has_user_param_phone() && !params.is_empty() && !user.is_empty() => {
            with_user(uri, &[&*user, b";", params].concat())
        }
        _ => with_user(uri, &user),
    })
}

fn set_host(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    let host = text_only(value, "$rd")?;
    change(cx, |uri| with_host(uri, &host))
}

fn set_port(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    let port = value.str_or_empty();
    change(cx, |uri| with_port(uri, &port))
}

/// Rewrites the Request-URI.
pub fn change(cx: &mut Cx, rewrite: impl FnOnce(&Uri<'_>) -> Vec<u8>) -> Result<(), Fault> {
    let old = cx.ruri();
    let changed = match Uri::parse(&old) {
        Ok(uri) => rewrite(&uri),
        Err(error) => {
            return Err(Fault::script(format!(
                "the Request-URI '{old}' cannot be read: {error}"
            )));
        }
    };
    cx.set_ruri(Str::from(changed))
}

/// The bytes of `uri` before `piece` and behind it.
fn around<'a>(uri: &Uri<'a>, piece: &[u8]) -> (&'a [u8], &'a [u8]) {
    let range = kahea_sip::view::range_in(uri.raw, piece).unwrap_or(uri.raw.len()..uri.raw.len());
    (
        uri.raw.get(..range.start).unwrap_or_default(),
        uri.raw.get(range.end..).unwrap_or_default(),
    )
}

/// The URI with another user; without one where it is empty. A password stays with a user.
fn with_user(uri: &Uri<'_>, user: &[u8]) -> Vec<u8> {
    if matches!(uri.scheme, Scheme::Tel | Scheme::Tels) {
        let (before, after) = around(uri, uri.user);
        return [before, user, after].concat();
    }
    let (_, tail) = around(uri, uri.scheme_text);
    let head = uri.scheme_text;
    let rest = tail.strip_prefix(b":").unwrap_or(tail);
    let place = match (uri.has_userinfo(), rest.iter().position(|b| *b == b'@')) {
        (true, Some(at)) => rest.get(at.saturating_add(1)..).unwrap_or_default(),
        _ => rest,
    };
    match (user.is_empty(), uri.password) {
        (true, _) => [head, b":", place].concat(),
        (false, Some(password)) => [head, b":", user, b":", password, b"@", place].concat(),
        (false, None) => [head, b":", user, b"@", place].concat(),
    }
}

/// The URI with another host; a telephone number becomes the user of a SIP URI.
fn with_host(uri: &Uri<'_>, host: &[u8]) -> Vec<u8> {
    if matches!(uri.scheme, Scheme::Tel | Scheme::Tels) {
        let scheme: &[u8] = if uri.scheme == Scheme::Tel {
            b"sip:"
        } else {
            b"sips:"
        };
        let params: &[u8] = if uri.params.raw.is_empty() { b"" } else { b";" };
        return [
            scheme,
            uri.user,
            b"@",
            host,
            params,
            uri.params.raw,
            b";user=phone",
        ]
        .concat();
    }
    let (before, after) = around(uri, uri.host);
    [before, host, after].concat()
}

/// The URI with another port; without one where it is empty.
fn with_port(uri: &Uri<'_>, port: &[u8]) -> Vec<u8> {
    let (before, _) = around(uri, uri.host);
    let behind = if uri.port_text.is_empty() {
        uri.host
    } else {
        uri.port_text
    };
    let (_, after) = around(uri, behind);
    let colon: &[u8] = if port.is_empty() { b"" } else { b":" };
    let after = if uri.port_text.is_empty() {
        after.strip_prefix(b":").unwrap_or(after)
    } else {
        after
    };
    [before, uri.host, colon, port, after].concat()
}

fn set_destination(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    cx.target.dst_uri = match value {
        Value::Null => None,
        value => Some(text_only(value, "$du")?).filter(|uri| !uri.is_empty()),
    };
    Ok(())
}

/// The part of the next hop that `$nh()` names.
#[derive(Clone, Copy, Debug)]
enum NextHop {
    Uri,
    User,
    Host,
    Port,
    Transport,
    Source,
}

impl NextHop {
    fn parse(name: &str, _: &dyn Bind) -> Result<NextHop, BindError> {
        Ok(match name {
            "u" => NextHop::Uri,
            "U" => NextHop::User,
            "d" => NextHop::Host,
            "p" => NextHop::Port,
            "P" => NextHop::Transport,
            "i" => NextHop::Source,
            _ => {
                return Err(BindError::new(format!("$nh() has no part '{name}'")).help(
                    "use u (URI), U (user), d (host), p (port), P (transport) or i (source of the URI)",
                ));
            }
        })
    }
}

fn next_hop(_: &Pv, cx: &mut Cx, part_name: &NextHop, _: Index) -> Value {
    if cx.msg.is_reply() {
        return reply_hop(cx, *part_name);
    }
    let is_destination = cx.target.dst_uri.is_some();
    let uri = cx.target.dst_uri.clone().or_else(|| ruri_text(cx));
    match part_name {
        NextHop::Uri => uri.map_or(Value::Null, Value::Str),
        NextHop::User => user(cx, &uri),
        NextHop::Host => part(&uri, host),
        NextHop::Port => part(&uri, port),
        NextHop::Transport => part(&uri, transport),
        NextHop::Source => Value::Int(is_destination.into()),
    }
}

/// Of a reply: the address in the second Via.
fn reply_hop(cx: &mut Cx, part: NextHop) -> Value {
    let Some(hop) = via::reply_destination(cx) else {
        return Value::Null;
    };
    match part {
        NextHop::Uri => hop.uri().into(),
        NextHop::User => Value::Null,
        NextHop::Host => hop.host.into(),
        NextHop::Port => hop.port.into(),
        NextHop::Transport => Value::from(hop.transport.name()),
        NextHop::Source => Value::Int(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(uri: &str, rewrite: impl Fn(&Uri<'_>) -> Vec<u8>) -> String {
        let uri = Uri::parse(uri.as_bytes()).expect("a URI");
        String::from_utf8(rewrite(&uri)).expect("text")
    }

    #[test]
    fn a_user_is_replaced_added_and_taken_away() {
        let full = "sip:u:p@host:99;lr?x=y";
        assert_eq!(
            changed(full, |u| with_user(u, b"new")),
            "sip:new:p@host:99;lr?x=y"
        );
        assert_eq!(changed(full, |u| with_user(u, b"")), "sip:host:99;lr?x=y");
        assert_eq!(changed("sip:host", |u| with_user(u, b"zz")), "sip:zz@host");
        assert_eq!(
            changed("tel:123;ext=1", |u| with_user(u, b"456")),
            "tel:456;ext=1"
        );
    }

    #[test]
    fn host_and_port_are_replaced() {
        assert_eq!(
            changed("sip:zz@h:5;lr", |u| with_host(u, b"dom")),
            "sip:zz@dom:5;lr"
        );
        assert_eq!(changed("tel:456", |u| with_host(u, b"d")), "sip:456@d;user=phone");
        assert_eq!(
            changed("sip:zz@h:5;lr", |u| with_port(u, b"77")),
            "sip:zz@h:77;lr"
        );
        assert_eq!(changed("sip:zz@h:5;lr", |u| with_port(u, b"")), "sip:zz@h;lr");
        assert_eq!(changed("sip:h;lr", |u| with_port(u, b"77")), "sip:h:77;lr");
        assert_eq!(changed("sip:[::1]", |u| with_port(u, b"77")), "sip:[::1]:77");
    }
}
