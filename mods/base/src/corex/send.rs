//! Sending the received message, or any bytes, as they are.

use kahea_module::{Cx, Decl, FAILURE, Fault, Hop, REQUEST, Ret, Str, Targets, proxy};
use kahea_sip::{Destination, ListenerId, SendFlags, Transport};

use super::{Corex, sockets::Address};

/// Declares the functions.
pub fn declare(d: &mut Decl<Corex>) {
    for name in ["send_udp", "send"] {
        d.func(
            name,
            ["address"],
            send_udp,
            "Sends the message as it came, without a Via, over UDP to `host[:port]`, else to where $du or $ru points.",
        )
        .routes(REQUEST | FAILURE)
        .waits()
        .example("send_udp(\"127.0.0.1:5070\");");
    }
    d.func(
        "send_tcp",
        ["address"],
        send_tcp,
        "Sends the message as it came, without a Via, over TCP to `host[:port]`, else to where $du or $ru points.",
    )
    .routes(REQUEST | FAILURE)
    .waits();
    d.func(
        "send_data",
        ["uri", "data"],
        send_data,
        "Sends any bytes to where a SIP URI points.",
    )
    .kemi(2, "send_data")
    .waits();
    d.func(
        "sendx",
        ["uri", "socket", "data"],
        sendx,
        "Sends any bytes to where a SIP URI points, from the listener `proto:host:port` where it is one.",
    )
    .kemi(3, "sendx")
    .waits();
}

fn send_udp(_: &Corex, cx: &mut Cx, address: Option<Str>) -> Ret {
    send_message(cx, address, Transport::Udp)
}

fn send_tcp(_: &Corex, cx: &mut Cx, address: Option<Str>) -> Ret {
    send_message(cx, address, Transport::Tcp)
}

fn send_message(cx: &mut Cx, address: Option<Str>, transport: Transport) -> Ret {
    let hop = match address.filter(|text| !text.is_empty()) {
        Some(text) => hop_of(&text, transport),
        None => proxy::next_hop(cx).map(|hop| Hop {
            transport,
            secure: false,
            ..hop
        }),
    };
    match hop {
        Ok(hop) => {
            let data = cx.msg.buffer().clone();
            send_to(cx, hop, None, data)
        }
        Err(fault) => Ret::Fault(fault),
    }
}

/// `host[:port]`, with port 5060 where none is stated.
fn hop_of(text: &Str, transport: Transport) -> Result<Hop, Fault> {
    let address = Address::parse(text)
        .filter(|address| address.transport == Transport::None)
        .ok_or_else(|| Fault::script(format!("'{text}' is no destination: write host or host:port")))?;
    Ok(Hop {
        host: text.share(address.host),
        port: Some(address.port.unwrap_or(5060)),
        transport,
        secure: false,
    })
}

fn send_data(_: &Corex, cx: &mut Cx, uri: Str, data: Str) -> Ret {
    match proxy::hop_of_uri(&uri) {
        Ok(hop) => send_to(cx, hop, None, data),
        Err(fault) => Ret::Fault(fault.code(-1)),
    }
}

fn sendx(_: &Corex, cx: &mut Cx, uri: Str, socket: Str, data: Str) -> Ret {
    let listener = Address::parse(&socket)
        .and_then(|address| address.listener(cx))
        .map(|listener| listener.id);
    if listener.is_none() && !socket.is_empty() {
        kahea_module::warning!("corex", "No listener is {socket}: the data leaves from another.");
    }
    match proxy::hop_of_uri(&uri) {
        Ok(hop) => send_to(cx, hop, listener, data),
        Err(fault) => Ret::Fault(fault.code(-1)),
    }
}

fn send_to(cx: &mut Cx, hop: Hop, listener: Option<ListenerId>, data: Str) -> Ret {
    proxy::resolve_then(cx, hop, move |cx, targets| {
        deliver(cx, &targets, listener, &data).into()
    })
}

/// To the first address that takes it.
fn deliver(cx: &mut Cx, targets: &Targets, listener: Option<ListenerId>, data: &Str) -> Result<bool, Fault> {
    let mut last = Fault::backend("the destination has no address");
    for (to, transport) in targets {
        let preferred = listener
            .or(cx.target.send_socket)
            .or((cx.received.transport == *transport).then_some(cx.received.listener));
        let Some(from) = cx.worker.net.listener_for(*to, *transport, preferred) else {
            last = Fault::script(format!("there is no {transport} listener to reach {to} from"));
            continue;
        };
        let destination = Destination {
            to: *to,
            transport: *transport,
            listener: Some(from),
            connection: None,
            flags: SendFlags::default(),
        };
        match proxy::send_raw(&cx.worker, &destination, data.clone()) {
            Ok(()) => return Ok(true),
            Err(fault) => last = fault,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn sent(server: &Server) -> (String, Transport, Str) {
        let (to, data) = server.net.sent.borrow().last().cloned().unwrap();
        (to.to.to_string(), to.transport, data)
    }

    #[test]
    fn the_message_goes_out_as_it_came() {
        let server = Server::default();
        let mut cx = server.invite();
        cx.target.dst_uri = Some(Str::from("sip:127.0.0.9:5072;transport=udp"));
        assert!(matches!(send_tcp(&Corex, &mut cx, None), Ret::Code(1)));
        let (to, transport, data) = sent(&server);
        assert_eq!((to.as_str(), transport), ("127.0.0.9:5072", Transport::Tcp));
        assert_eq!(data, *cx.msg.buffer());
        assert!(matches!(
            send_udp(&Corex, &mut cx, Some(Str::from("127.0.0.2"))),
            Ret::Code(1)
        ));
        assert_eq!(sent(&server).0, "127.0.0.2:5060");
    }

    #[test]
    fn destinations_must_be_host_and_port() {
        let mut cx = Server::default().invite();
        for bad in ["127.0.0.1:99999", "127.0.0.1:x", "udp:127.0.0.1"] {
            assert!(matches!(
                send_udp(&Corex, &mut cx, Some(Str::from(bad))),
                Ret::Fault(_)
            ));
        }
    }

    #[test]
    fn data_goes_where_the_uri_points() {
        let server = Server::default();
        let mut cx = server.invite();
        let uri = Str::from("sip:127.0.0.9:5072;transport=tcp");
        assert!(matches!(
            send_data(&Corex, &mut cx, uri, Str::from("\0binary")),
            Ret::Code(1)
        ));
        assert_eq!(
            sent(&server),
            ("127.0.0.9:5072".to_owned(), Transport::Tcp, Str::from("\0binary"))
        );
        let none = Str::from("udp:127.0.0.1:5999");
        let uri = Str::from("sip:127.0.0.9");
        assert!(matches!(
            sendx(&Corex, &mut cx, uri, none, Str::from("x")),
            Ret::Code(1)
        ));
        assert!(matches!(
            send_data(&Corex, &mut cx, Str::from("tel:1"), Str::from("x")),
            Ret::Fault(_)
        ));
    }
}
