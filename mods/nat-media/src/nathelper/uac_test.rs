//! `nat_uac_test()`: does the client sit behind a NAT?

use std::net::IpAddr;

use kahea_module::{Cx, Format};
use kahea_sip::{
    Transport,
    view::{Rport, Uri, Via},
};

use super::{
    NatHelper,
    contact::{chosen, port_of, sip_uri},
};
use crate::{address::Ranges, body};

/// A test and the flag that asks for it, as Kamailio numbers them.
type Test = (i64, fn(Ranges, &Cx) -> bool);

const TESTS: [Test; 10] = [
    (1, contact_is_private),
    (2, |_, cx| via_is_elsewhere(cx)),
    (4, via_is_private),
    (8, sdp_is_private),
    (16, |_, cx| via_port_differs(cx)),
    (32, |ranges, cx| ranges.has(cx.received.source.ip())),
    (64, |_, cx| is_websocket(cx.received.transport)),
    (128, |_, cx| contact_port_differs(cx)),
    (256, |_, cx| sdp_is_elsewhere(cx)),
    (512, |_, cx| targets_differ(cx)),
];

pub(super) fn nat_uac_test(m: &NatHelper, cx: &mut Cx, flags: i64) -> bool {
    TESTS
        .iter()
        .any(|(flag, test)| flags & flag != 0 && test(m.ranges, cx))
}

/// A variable without a value is no address.
pub(super) fn is_rfc1918(m: &NatHelper, cx: &mut Cx, address: Format) -> i64 {
    let text = address.text(cx);
    match m.ranges.has_text(&text) {
        true => 1,
        false if text.is_empty() => -2,
        false => -1,
    }
}

fn is_websocket(transport: Transport) -> bool {
    matches!(transport, Transport::Ws | Transport::Wss)
}

fn with_contact(cx: &Cx, test: impl FnOnce(&Uri<'_>) -> bool) -> bool {
    chosen(cx)
        .and_then(|contact| sip_uri(&contact))
        .is_ok_and(|uri| test(&uri))
}

fn contact_is_private(ranges: Ranges, cx: &Cx) -> bool {
    with_contact(cx, |uri| ranges.has_text(uri.host))
}

fn contact_port_differs(cx: &Cx) -> bool {
    with_contact(cx, |uri| port_of(uri) != cx.received.source.port())
}

fn with_via(cx: &Cx, number: usize, test: impl FnOnce(&Via<'_>) -> bool) -> bool {
    cx.msg
        .vias()
        .nth(number)
        .and_then(|hop| Via::parse(cx.msg.bytes(hop.span)).ok())
        .is_some_and(|via| test(&via))
}

fn via_is_elsewhere(cx: &Cx) -> bool {
    with_via(cx, 0, |via| via.host_ip() != Some(cx.received.source.ip()))
}

fn via_is_private(ranges: Ranges, cx: &Cx) -> bool {
    with_via(cx, 0, |via| ranges.has_text(via.host))
}

fn via_port_differs(cx: &Cx) -> bool {
    with_via(cx, 0, |via| {
        via.port.unwrap_or(Transport::Udp.default_port()) != cx.received.source.port()
    })
}

/// The address of any stream, its own or the session's.
fn sdp_is_private(ranges: Ranges, cx: &Cx) -> bool {
    body::find(&cx.msg)
        .and_then(|place| body::read(&cx.msg, place))
        .is_some_and(|sdp| {
            sdp.media()
                .filter_map(|media| media.connection())
                .any(|connection| ranges.has_text(connection.address))
        })
}

/// The session's address is another one of the source's family.
fn sdp_is_elsewhere(cx: &Cx) -> bool {
    let source = cx.received.source.ip();
    let same_family = |ip: &IpAddr| ip.is_ipv4() == source.is_ipv4();
    body::find(&cx.msg)
        .and_then(|place| body::read(&cx.msg, place))
        .and_then(|sdp| sdp.connection()?.ip())
        .filter(same_family)
        .is_some_and(|ip| ip != source)
}

/// A request does not go where its URI says; a reply came from a client that is not where its Via says.
fn targets_differ(cx: &Cx) -> bool {
    if cx.msg.is_reply() {
        return with_via(cx, 1, via_was_elsewhere);
    }
    let ruri = cx.ruri();
    let Ok(uri) = Uri::parse(&ruri) else { return false };
    if is_websocket(uri.transport()) {
        return true;
    }
    let Some(Ok(destination)) = cx.target.dst_uri.as_deref().map(Uri::parse) else {
        return false;
    };
    is_websocket(destination.transport())
        || !destination.host.eq_ignore_ascii_case(uri.host)
        || destination.port != uri.port
}

fn via_was_elsewhere(via: &Via<'_>) -> bool {
    let moved = via.received().is_some_and(|received| received != via.host);
    let port = via.port.unwrap_or(Transport::Udp.default_port());
    let shifted = matches!(via.rport(), Some(Rport::Port(rport)) if rport != port);
    is_websocket(via.transport) || moved || shifted
}
