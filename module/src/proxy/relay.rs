//! Replies sent back by their Vias (RFC 3261 section 16.7 and 18.2.2).

use kahea_sip::{
    Destination, Transport,
    build::reply_forward,
    view::{Rport, Via},
};

use super::{
    forward::{resolve_then, same_kind},
    send::deliver,
    via::connection_of,
};
use crate::{Cx, Fault, Hop, Outgoing, Ret, Str};

/// Sends the reply on to where its second Via points.
pub fn forward_reply(cx: &mut Cx) -> Ret {
    let back = match way_back(cx) {
        Ok(back) => back,
        Err(fault) => return Ret::Fault(fault),
    };
    resolve_then(cx, back.hop, move |cx, targets| {
        let Some((to, transport)) = targets.first().copied() else {
            return Ret::Fault(Fault::peer("the second Via has no address"));
        };
        let preferred = cx.target.send_socket.or_else(|| same_kind(cx, to, transport));
        let listener = cx.worker.net.listener_for(to, transport, preferred);
        let flags = cx.reply_flags;
        let to = Destination {
            to,
            transport,
            listener,
            connection: back.connection,
            flags,
        };
        send(cx, to).map(|()| true).into()
    })
}

struct Back {
    hop: Hop,
    connection: Option<kahea_sip::ConnectionId>,
}

fn way_back(cx: &Cx) -> Result<Back, Fault> {
    let mut hops = cx.msg.vias();
    let bad = |error| Fault::peer(format!("a Via of the reply cannot be read: {error}"));
    let first = hops.next().ok_or_else(|| Fault::peer("the reply has no Via"))?;
    let first = Via::parse(cx.msg.bytes(first.span)).map_err(bad)?;
    if cx.config().globals.check_via && !ours(cx, &first) {
        return Err(Fault::peer(
            "the reply's first Via is not of this server (check_via)",
        ));
    }
    let second = hops
        .next()
        .ok_or_else(|| Fault::peer("the reply has no second Via: it was sent to this server itself"))?;
    let via = Via::parse(cx.msg.bytes(second.span)).map_err(bad)?;
    let transport = if via.transport == Transport::None {
        Transport::Udp
    } else {
        via.transport
    };
    // No `maddr`: whoever writes a Via must not choose whom this server sends replies to.
    let host = via.received().unwrap_or(via.host);
    let port = match via.rport() {
        Some(Rport::Port(port)) => Some(port),
        _ => via.port,
    };
    let hop = Hop {
        host: cx.msg.buffer().share(host),
        port: Some(port.unwrap_or(transport.default_port())),
        transport,
        secure: transport == Transport::Tls,
    };
    Ok(Back {
        hop,
        connection: connection_of(&first),
    })
}

fn ours(cx: &Cx, via: &Via<'_>) -> bool {
    cx.config()
        .identity
        .is_myself(via.host, via.port.unwrap_or(5060), via.transport)
}

fn send(cx: &mut Cx, to: Destination) -> Result<(), Fault> {
    let data = build_relayed(cx, &to);
    let through_route = cx.config().globals.onsend_route_reply != 0;
    deliver(cx, to, data, through_route)
}

/// The reply as it leaves for the next hop down: edits applied, our Via taken off.
pub fn build_relayed(cx: &Cx, to: &Destination) -> Str {
    let mut out = Vec::new();
    let identity = &cx.config().identity;
    let listener = to
        .listener
        .and_then(|id| identity.listener(id))
        .or_else(|| identity.listener(cx.received.listener));
    let way = listener.map(|listener| Outgoing::new(cx, listener, to.transport, to.to));
    let late = &mut |id, out: &mut Vec<u8>| {
        if let Some(way) = &way {
            cx.late.resolve(id, way, out);
        }
    };
    reply_forward(&cx.msg, &cx.edits, to.transport.is_stream(), late, &mut out);
    Str::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Server;

    const REPLY: &str = "SIP/2.0 180 Ringing
Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKx.0
Via: SIP/2.0/UDP host.invalid:5080;received=127.0.0.7;branch=z9hG4bKy;rport=5099
From: <sip:a@b>;tag=1
To: <sip:b@c>;tag=2
Call-ID: 1
CSeq: 1 INVITE
Content-Length: 0
";

    #[test]
    fn received_and_rport_lead_back() {
        let server = Server::default();
        let mut cx = server.message(REPLY);
        assert!(matches!(forward_reply(&mut cx), Ret::Code(1)));
        let sent = server.net.sent.borrow();
        assert_eq!(sent[0].0.to.to_string(), "127.0.0.7:5099");
        assert!(
            sent[0]
                .1
                .text()
                .starts_with("SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP host.invalid:5080")
        );
    }

    #[test]
    fn late_texts_know_the_way_back() {
        let server = Server::default();
        let mut cx = server.message(REPLY);
        let text = |way: &Outgoing<'_>, out: &mut Vec<u8>| {
            out.extend_from_slice(format!("X-To: {}\r\n", way.to).as_bytes());
        };
        let id = cx.late.add(std::sync::Arc::new(text)).unwrap();
        let at = cx.msg.headers_end();
        cx.edits
            .insert(at, kahea_sip::Place::After, id, kahea_sip::EditTag::Other);
        assert!(matches!(forward_reply(&mut cx), Ret::Code(1)));
        assert!(
            server.net.sent.borrow()[0]
                .1
                .text()
                .contains("\r\nX-To: 127.0.0.7:5099\r\n")
        );
    }

    #[test]
    fn a_reply_without_a_second_via_goes_nowhere() {
        let server = Server::default();
        let text: String = REPLY
            .lines()
            .filter(|l| !l.contains("invalid"))
            .map(|l| format!("{l}\n"))
            .collect();
        let mut cx = server.message(&text);
        assert!(matches!(forward_reply(&mut cx), Ret::Fault(_)) && server.net.sent.borrow().is_empty());
    }
}
