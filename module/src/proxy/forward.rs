//! Requests sent on without a transaction.

use std::net::SocketAddr;

use kahea_sip::{
    Destination, Transport,
    build::{RequestParts, request},
};

use super::{next_hop::next_hop, reply::via_fix, send::deliver, via::own_via_text};
use crate::{Cx, Fault, Hop, Outgoing, Ret, Str, Targets};

/// Forwards the request to `hop`, or to where `$du` or `$ru` points.
pub fn forward(cx: &mut Cx, hop: Option<Hop>) -> Ret {
    forward_with(cx, hop, None)
}

/// The same from a stated listener (`forward_uac`, `force_send_socket` go before this).
pub fn forward_with(cx: &mut Cx, hop: Option<Hop>, listener: Option<kahea_sip::ListenerId>) -> Ret {
    let hop = match hop.map_or_else(|| next_hop(cx), Ok) {
        Ok(hop) => hop,
        Err(fault) => return Ret::Fault(fault),
    };
    resolve_then(cx, hop, move |cx, targets| {
        forward_to(cx, &targets, listener).map(|()| true).into()
    })
}

/// Goes on with the hop's addresses: at once where they are known, else when DNS has answered.
pub fn resolve_then(cx: &mut Cx, hop: Hop, then: impl FnOnce(&mut Cx, Targets) -> Ret + 'static) -> Ret {
    match cx.worker.net.resolve_now(&hop) {
        Some(Ok(targets)) => then(cx, targets),
        Some(Err(fault)) => Ret::Fault(fault),
        None => Ret::wait(move |cx| {
            Box::pin(async move {
                let answer = cx.worker.net.resolve(hop).await;
                match answer {
                    Ok(targets) => then(cx, targets),
                    Err(fault) => Ret::Fault(fault),
                }
            })
        }),
    }
}

/// Forwards to the first of the addresses that takes it.
///
/// # Errors
/// None does, or there is no listener to send from.
pub fn forward_to(
    cx: &mut Cx,
    targets: &Targets,
    listener: Option<kahea_sip::ListenerId>,
) -> Result<(), Fault> {
    let mut last = Fault::backend("the destination has no address");
    for (to, transport) in targets {
        match forward_once(cx, *to, *transport, listener) {
            Ok(()) => return Ok(()),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

fn forward_once(
    cx: &mut Cx,
    to: SocketAddr,
    transport: Transport,
    listener: Option<kahea_sip::ListenerId>,
) -> Result<(), Fault> {
    let mut branch = super::via::branch(cx).to_vec();
    branch.extend_from_slice(b".0");
    let (destination, data) = build_request(cx, to, transport, listener, &branch)?;
    deliver(cx, destination, data, true)?;
    crate::state::Settled::note(cx);
    cx.config().counts.fwd_requests.inc();
    Ok(())
}

/// The request as it leaves for one address: edits applied, Request-URI of `cx.target`, our Via with `branch` behind
/// the cookie. One that is too long for UDP (`udp_mtu`) gets the transport that stands in for it.
///
/// # Errors
/// There is no listener to send it from.
pub fn build_request(
    cx: &mut Cx,
    to: SocketAddr,
    transport: Transport,
    listener: Option<kahea_sip::ListenerId>,
    branch: &[u8],
) -> Result<(Destination, Str), Fault> {
    let preferred = listener
        .or(cx.target.send_socket)
        .or_else(|| same_kind(cx, to, transport));
    let (id, transport, data) = match build(cx, to, transport, preferred, branch)? {
        (_, data) if too_long(cx, transport, data.len()) => {
            let instead = longer_transport(cx);
            let (id, data) = build(cx, to, instead, None, branch)?;
            (id, instead, data)
        }
        (id, data) => (id, transport, data),
    };
    let destination = Destination {
        to,
        transport,
        listener: Some(id),
        connection: cx.target.connection.filter(|_| transport.is_stream()),
        flags: cx.forward_flags,
    };
    Ok((destination, data))
}

/// The listener that the message came to, where it can send there too and `mhomed` does not leave the choice to the
/// kernel's routes.
pub(super) fn same_kind(cx: &Cx, to: SocketAddr, transport: Transport) -> Option<kahea_sip::ListenerId> {
    let received = &cx.received;
    if cx.config().globals.mhomed {
        return None;
    }
    (received.transport == transport && received.local.is_ipv4() == to.is_ipv4()).then_some(received.listener)
}

fn build(
    cx: &mut Cx,
    to: SocketAddr,
    transport: Transport,
    preferred: Option<kahea_sip::ListenerId>,
    branch: &[u8],
) -> Result<(kahea_sip::ListenerId, Str), Fault> {
    let none = || {
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        Fault::script(format!(
            "there is no {transport} listener for {family}: add listen={transport}:…"
        ))
    };
    let id = cx
        .worker
        .net
        .listener_for(to, transport, preferred)
        .ok_or_else(none)?;
    let config = cx.worker.config.clone();
    let listener = config.identity.listener(id).ok_or_else(none)?;
    let mut via = Vec::with_capacity(96);
    own_via_text(cx, listener, transport, branch, &mut via);
    let parts = RequestParts {
        ruri: cx.target.ruri.as_deref(),
        new_via: Some(&via),
        via_fix: Some(via_fix(cx)),
        stream: transport.is_stream(),
    };
    let mut out = Vec::new();
    let way = Outgoing::new(cx, listener, transport, to);
    let late = &mut |id, out: &mut Vec<u8>| cx.late.resolve(id, &way, out);
    request(&cx.msg, &cx.edits, &parts, late, &mut out);
    Ok((id, Str::from(out)))
}

fn too_long(cx: &Cx, transport: Transport, len: usize) -> bool {
    let limit = usize::try_from(cx.config().globals.udp_mtu).unwrap_or(0);
    transport == Transport::Udp && limit > 0 && len > limit && longer_transport(cx) != Transport::Udp
}

fn longer_transport(cx: &Cx) -> Transport {
    cx.udp_mtu_try
        .or(cx.config().globals.udp_mtu_try_proto)
        .unwrap_or(Transport::Udp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{proxy::hop_of_parts, testing::Server};

    #[test]
    fn a_request_goes_on_with_our_via_in_front() {
        let server = Server::default();
        let mut cx = server.invite();
        let hop = hop_of_parts(Str::from("127.0.0.9"), Some(5071), Transport::None);
        assert!(matches!(forward(&mut cx, Some(hop)), Ret::Code(1)));
        let sent = server.net.sent.borrow();
        assert_eq!(sent[0].0.to.to_string(), "127.0.0.9:5071");
        let text = sent[0].1.text();
        assert!(text.starts_with(
            "INVITE sip:bob@example.com:5070;transport=udp SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;"
        ));
        assert!(text.contains(
            "\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;received=127.0.0.1;branch=z9hG4bK776asdhds;rport=5061"
        ));
    }

    #[test]
    fn late_texts_know_the_way_out() {
        let server = Server::default();
        let mut cx = server.invite();
        let text = |way: &Outgoing<'_>, out: &mut Vec<u8>| {
            let line = format!("X-To: {} from {}\r\n", way.to, way.listener.text);
            out.extend_from_slice(line.as_bytes());
        };
        let id = cx.late.add(std::sync::Arc::new(text)).unwrap();
        let at = cx.msg.headers_end();
        cx.edits
            .insert(at, kahea_sip::Place::After, id, kahea_sip::EditTag::Other);
        let hop = hop_of_parts(Str::from("127.0.0.9"), Some(5071), Transport::None);
        assert!(matches!(forward(&mut cx, Some(hop)), Ret::Code(1)));
        let sent = server.net.sent.borrow();
        assert!(
            sent[0]
                .1
                .text()
                .contains("\r\nX-To: 127.0.0.9:5071 from udp:127.0.0.1:5060\r\n")
        );
    }

    #[test]
    fn a_name_that_does_not_resolve_is_a_fault() {
        let server = Server::default();
        let mut cx = server.invite();
        let hop = hop_of_parts(Str::from("nowhere.invalid"), None, Transport::Udp);
        assert!(matches!(forward(&mut cx, Some(hop)), Ret::Fault(_)));
    }
}
