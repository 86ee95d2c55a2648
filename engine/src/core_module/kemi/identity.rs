//! `KSR.is_myself*()`: whether a URI or an address is this server's.

use kahea_module::{Cx, Decl, Str};
use kahea_sip::{Transport, view::Uri};

use crate::core_module::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    d.kemi_func(
        "",
        "is_myself",
        ["uri"],
        is_myself,
        "The host of the URI, or the host, is this server.",
    );
    let none = [];
    d.kemi_func(
        "",
        "is_myself_ruri",
        none,
        is_myself_ruri,
        "The Request-URI points to this server.",
    );
    d.kemi_func(
        "",
        "is_myself_duri",
        none,
        is_myself_duri,
        "The destination URI points to this server.",
    );
    let doc = "The destination URI, or else the Request-URI, points to this server.";
    d.kemi_func("", "is_myself_nhuri", none, is_myself_nhuri, doc);
    d.kemi_func(
        "",
        "is_myself_furi",
        none,
        is_myself_furi,
        "The URI in From is of this server.",
    );
    d.kemi_func(
        "",
        "is_myself_turi",
        none,
        is_myself_turi,
        "The URI in To is of this server.",
    );
    let doc = "Address, port and transport that the message came from are this server's.";
    d.kemi_func("", "is_myself_suri", none, is_myself_suri, doc);
    d.kemi_func(
        "",
        "is_myself_srcip",
        none,
        is_myself_srcip,
        "The address that the message came from is this server's.",
    );
}

/// What the URI does not state is not compared.
fn is_own(cx: &Cx, uri: &[u8]) -> bool {
    let identity = &cx.worker.config.identity;
    match Uri::parse(uri) {
        Ok(uri) if !uri.host.is_empty() => {
            identity.is_myself(uri.host, uri.port.unwrap_or(0), uri.transport())
        }
        _ => false,
    }
}

fn is_myself(_: &Core, cx: &mut Cx, uri: Str) -> bool {
    let has_scheme = |scheme: &[u8]| {
        uri.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if has_scheme(b"sip:") || has_scheme(b"sips:") {
        return is_own(cx, &uri);
    }
    cx.worker.config.identity.is_myself(&uri, 0, Transport::None)
}

fn is_myself_ruri(_: &Core, cx: &mut Cx) -> bool {
    is_own(cx, &cx.ruri())
}

fn is_myself_duri(_: &Core, cx: &mut Cx) -> bool {
    cx.target.dst_uri.as_ref().is_some_and(|uri| is_own(cx, uri))
}

fn is_myself_nhuri(core: &Core, cx: &mut Cx) -> bool {
    match cx.target.dst_uri.is_some() {
        true => is_myself_duri(core, cx),
        false => is_myself_ruri(core, cx),
    }
}

fn is_myself_furi(_: &Core, cx: &mut Cx) -> bool {
    cx.from().is_ok_and(|from| is_own(cx, from.uri))
}

fn is_myself_turi(_: &Core, cx: &mut Cx) -> bool {
    cx.to().is_ok_and(|to| is_own(cx, to.uri))
}

fn is_myself_suri(_: &Core, cx: &mut Cx) -> bool {
    let source = cx.received.source;
    let host = source.ip().to_string();
    let identity = &cx.worker.config.identity;
    identity.is_myself(host.as_bytes(), source.port(), cx.received.transport)
}

fn is_myself_srcip(_: &Core, cx: &mut Cx) -> bool {
    let host = cx.received.source.ip().to_string();
    let identity = &cx.worker.config.identity;
    identity.is_myself(host.as_bytes(), 0, Transport::None)
}

#[cfg(test)]
mod tests {
    use kahea_module::{config::Alias, testing::Server};

    use super::*;

    #[test]
    fn own_names_and_addresses_are_known_in_every_place() {
        let server = Server::new(|config| {
            config.identity.aliases.push(Alias {
                transport: Transport::None,
                host: Str::from_static("example.com"),
                port: 0,
            });
        });
        let (core, mut cx) = (Core::for_tests(), server.invite());
        let own = |cx: &mut Cx, text: &'static str| is_myself(&core, cx, Str::from_static(text));
        assert!(own(&mut cx, "sip:x@127.0.0.1:5060") && own(&mut cx, "127.0.0.1"));
        assert!(!own(&mut cx, "sip:x@127.0.0.1:5061") && !own(&mut cx, "sip:x@example.org"));
        assert!(is_myself_ruri(&core, &mut cx) && is_myself_nhuri(&core, &mut cx));
        assert!(is_myself_turi(&core, &mut cx) && !is_myself_furi(&core, &mut cx));
        assert!(is_myself_srcip(&core, &mut cx) && !is_myself_suri(&core, &mut cx));
        assert!(!is_myself_duri(&core, &mut cx));
        cx.target.dst_uri = Some(Str::from_static("sip:192.0.2.1"));
        assert!(!is_myself_nhuri(&core, &mut cx));
    }
}
