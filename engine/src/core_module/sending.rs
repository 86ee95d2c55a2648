//! Actions on how and where a message leaves: Via, sockets, connections, stateless forwarding.

use kahea_module::{
    Bind, BindError, Cx, Decl, Fault, Hop, Lit, Ret, RouteKind, Str,
    arg::Literal,
    proxy::{forward as proxy_forward, hop_of_uri},
    warning,
};
use kahea_sip::{SendFlags, Transport, view::Via};

use super::Core;

/// Declares them.
pub fn declare(d: &mut Decl<Core>) {
    declare_via(d);
    declare_flags(d);
    declare_forward(d);
}

fn declare_via(d: &mut Decl<Core>) {
    let doc = "Lets the reply go back to the port that the request came from (RFC 3581).";
    d.func("force_rport", [], force_rport, doc)
        .kemi_as(0, "", "force_rport");
    d.func("add_rport", [], force_rport, doc);
    let doc = "Adds `rport` to the Via that this server adds.";
    d.func("add_local_rport", [], add_local_rport, doc)
        .kemi_as(0, "", "add_local_rport");
    let doc = "Lets requests to a port of the peer use the connection that this message came over; without an argument the port of its Via.";
    d.func("force_tcp_alias", ["port"], force_tcp_alias, doc)
        .kemi_as(1, "", "add_tcp_alias")
        .kemi_as(0, "", "add_tcp_alias_via");
    d.func("add_tcp_alias", ["port"], force_tcp_alias, doc);
    let doc = "Sets the host that Via shows in place of the listener's, for this message.";
    d.func("set_advertised_address", ["address"], set_advertised_address, doc)
        .kemi_as(1, "", "set_advertised_address");
    let doc = "Sets the port that Via shows in place of the listener's, for this message.";
    d.func("set_advertised_port", ["port"], set_advertised_port, doc)
        .kemi_as(1, "", "set_advertised_port");
    let doc = "Sends the message from this listener, `udp:10.0.0.1:5060`.";
    d.func("force_send_socket", ["socket"], force_send_socket, doc);
}

fn declare_flags(d: &mut Decl<Core>) {
    let doc = "Closes the connection once the message is forwarded.";
    d.func("set_forward_close", [], set_forward_close, doc)
        .kemi_as(0, "", "set_forward_close");
    let doc = "Forwards the message only over a connection that is open.";
    d.func("set_forward_no_connect", [], set_forward_no_connect, doc)
        .kemi_as(0, "", "set_forward_no_connect");
    let doc = "Closes the connection once the reply is sent.";
    d.func("set_reply_close", [], set_reply_close, doc)
        .kemi_as(0, "", "set_reply_close");
    let doc = "Sends the reply only over a connection that is open.";
    d.func("set_reply_no_connect", [], set_reply_no_connect, doc)
        .kemi_as(0, "", "set_reply_no_connect");
    let doc = "Sends this request over another transport where it is longer than udp_mtu; UDP keeps it where it is.";
    d.func("udp_mtu_try_proto", ["transport"], udp_mtu_try_proto, doc)
        .example("udp_mtu_try_proto(TCP);");
}

fn declare_forward(d: &mut Decl<Core>) {
    let doc = "Forwards the request without a transaction: to the host and port given, else to where `$du` or `$ru` points.";
    d.func("forward", ["host", "port"], forward, doc)
        .kemi_as(0, "", "forward")
        .waits()
        .example(r#"forward("10.0.0.1", 5060);"#);
    let over = ["host", "port"];
    d.func(
        "forward_udp",
        over,
        forward_udp,
        "Forwards the request without a transaction over UDP.",
    )
    .waits();
    d.func(
        "forward_tcp",
        over,
        forward_tcp,
        "Forwards the request without a transaction over TCP.",
    )
    .waits();
    d.func(
        "forward_tls",
        over,
        forward_tls,
        "Forwards the request without a transaction over TLS.",
    )
    .waits();
    d.func(
        "forward_sctp",
        over,
        forward_sctp,
        "Forwards the request without a transaction over SCTP.",
    )
    .waits();
    d.kemi_func(
        "",
        "forward_uri",
        ["uri"],
        forward_uri,
        "Forwards the request without a transaction to a SIP URI.",
    )
    .waits();
}

fn force_rport(_: &Core, cx: &mut Cx) {
    cx.force_rport = true;
}

fn add_local_rport(_: &Core, cx: &mut Cx) {
    cx.local_rport = true;
}

/// True and without effect over UDP.
fn force_tcp_alias(_: &Core, cx: &mut Cx, port: Option<i64>) -> Result<(), Fault> {
    let Some(connection) = cx.received.connection else {
        return Ok(());
    };
    let port = match port {
        Some(port) => u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| Fault::script(format!("{port} is no port")))?,
        None => via_port(cx),
    };
    if !cx.worker.net.add_alias(connection, port) {
        warning!("core", "The connection takes no alias for port {port}.");
        return Err(Fault::limit(format!("port {port} cannot be an alias")));
    }
    Ok(())
}

fn via_port(cx: &Cx) -> u16 {
    let stated = cx
        .msg
        .vias()
        .next()
        .and_then(|hop| Via::parse(cx.msg.bytes(hop.span)).ok()?.port);
    stated.unwrap_or(match cx.received.transport {
        Transport::Tls | Transport::Wss => 5061,
        _ => 5060,
    })
}

fn set_advertised_address(_: &Core, cx: &mut Cx, address: Lit<Str>) -> Result<(), Fault> {
    if address.is_empty() {
        return Err(Fault::script("an empty address cannot be advertised"));
    }
    cx.advertised_host = Some(Str::clone(&address));
    Ok(())
}

fn set_advertised_port(_: &Core, cx: &mut Cx, port: i64) -> Result<(), Fault> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    cx.advertised_port = Some(port.ok_or_else(|| Fault::script("a port is a number from 1 to 65535"))?);
    Ok(())
}

/// `[proto:]host[:port]`, as read by the parser of the language.
#[derive(Debug, PartialEq)]
struct Socket {
    transport: Transport,
    host: Str,
    /// 0 where not stated.
    port: u16,
}

impl Literal for Socket {
    const WHAT: &'static str = "a listener such as udp:10.0.0.1:5060";
    fn parse(text: &str, _: &dyn Bind) -> Result<Socket, BindError> {
        let wrong = || {
            BindError::new(format!("'{text}' is no listener")).help("write udp:10.0.0.1:5060, as in listen")
        };
        let text = text.trim();
        let (transport, rest) = match text.split_once(':') {
            Some((name, rest)) => match Transport::parse(name.as_bytes()) {
                Some(transport) => (transport, rest),
                None => (Transport::None, text),
            },
            None => (Transport::None, text),
        };
        let in_brackets = rest.find(']').map_or(0, |end| end.saturating_add(1));
        let colon = rest
            .get(in_brackets..)
            .and_then(|tail| tail.rfind(':'))
            .map(|at| at.saturating_add(in_brackets));
        let (host, port) = match colon {
            Some(at) => {
                let port = rest.get(at.saturating_add(1)..).unwrap_or_default();
                let port = match port {
                    "*" => 0,
                    port => port.parse::<u16>().map_err(|_| wrong())?,
                };
                (rest.get(..at).unwrap_or_default(), port)
            }
            None => (rest, 0),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Socket {
            transport,
            host: Str::from(host),
            port,
        })
    }
}

fn force_send_socket(_: &Core, cx: &mut Cx, socket: Lit<Socket>) -> Result<(), Fault> {
    let identity = &cx.worker.config.identity;
    let found = identity
        .listener_of(&socket.host, socket.port, socket.transport)
        .or_else(|| identity.listener_named(&socket.host));
    let id = found.map(|listener| listener.id).ok_or_else(|| {
        let Socket { host, port, .. } = &*socket;
        Fault::script(format!(
            "this server does not listen on {host}:{port}; add a listen line or use another address"
        ))
    })?;
    cx.target.send_socket = Some(id);
    Ok(())
}

/// In a stateless reply route the message to be forwarded is the reply.
fn forward_flags(cx: &mut Cx) -> &mut SendFlags {
    match cx.route {
        RouteKind::CoreReply => &mut cx.reply_flags,
        _ => &mut cx.forward_flags,
    }
}

fn set_forward_close(_: &Core, cx: &mut Cx) {
    forward_flags(cx).close = true;
}

fn set_forward_no_connect(_: &Core, cx: &mut Cx) {
    forward_flags(cx).no_connect = true;
}

fn set_reply_close(_: &Core, cx: &mut Cx) {
    cx.reply_flags.close = true;
}

fn set_reply_no_connect(_: &Core, cx: &mut Cx) {
    cx.reply_flags.no_connect = true;
}

#[derive(Debug)]
struct Proto(Transport);

impl Literal for Proto {
    const WHAT: &'static str = "a transport: UDP, TCP, TLS or SCTP";
    fn parse(text: &str, _: &dyn Bind) -> Result<Proto, BindError> {
        match Transport::parse(text.trim().as_bytes()) {
            Some(Transport::Ws | Transport::Wss) | None => {
                let error = BindError::new(format!("'{text}' is no transport for requests"));
                Err(error.help("write UDP, TCP, TLS or SCTP"))
            }
            Some(transport) => Ok(Proto(transport)),
        }
    }
}

fn udp_mtu_try_proto(_: &Core, cx: &mut Cx, transport: Lit<Proto>) {
    cx.udp_mtu_try = Some(transport.0);
}

/// The host of `forward("host", port)`: a name, an address, or `uri:host`.
#[derive(Debug)]
enum HostArg {
    OfRuri,
    Named(Str),
}

impl Literal for HostArg {
    const WHAT: &'static str = "a host or uri:host";
    fn parse(text: &str, _: &dyn Bind) -> Result<HostArg, BindError> {
        match text.trim() {
            "" => Err(BindError::new("a host is needed here")),
            "uri:host" => Ok(HostArg::OfRuri),
            host => Ok(HostArg::Named(Str::from(host))),
        }
    }
}

/// The port of `forward("host", port)`: a number or `uri:port`.
#[derive(Debug)]
enum PortArg {
    OfRuri,
    Number(u16),
}

impl Literal for PortArg {
    const WHAT: &'static str = "a port or uri:port";
    fn parse(text: &str, _: &dyn Bind) -> Result<PortArg, BindError> {
        match text.trim() {
            "uri:port" => Ok(PortArg::OfRuri),
            number => number.parse().map(PortArg::Number).map_err(|_| {
                BindError::new(format!("'{number}' is no port"))
                    .help("write a number from 1 to 65535, or uri:port")
            }),
        }
    }
}

type Host = Option<Lit<HostArg>>;
type Port = Option<Lit<PortArg>>;

fn forward(_: &Core, cx: &mut Cx, host: Host, port: Port) -> Ret {
    forward_over(cx, host, port, Transport::None)
}

fn forward_udp(_: &Core, cx: &mut Cx, host: Host, port: Port) -> Ret {
    forward_over(cx, host, port, Transport::Udp)
}

fn forward_tcp(_: &Core, cx: &mut Cx, host: Host, port: Port) -> Ret {
    forward_over(cx, host, port, Transport::Tcp)
}

fn forward_tls(_: &Core, cx: &mut Cx, host: Host, port: Port) -> Ret {
    forward_over(cx, host, port, Transport::Tls)
}

fn forward_sctp(_: &Core, cx: &mut Cx, host: Host, port: Port) -> Ret {
    forward_over(cx, host, port, Transport::Sctp)
}

fn forward_over(cx: &mut Cx, host: Host, port: Port, transport: Transport) -> Ret {
    let Some(host) = host else {
        let hop = (transport != Transport::None).then(|| own_hop(cx, transport));
        return match hop.transpose() {
            Ok(hop) => proxy_forward(cx, hop),
            Err(fault) => Ret::Fault(fault),
        };
    };
    match stated_hop(cx, &host, port, transport) {
        Ok(hop) => proxy_forward(cx, Some(hop)),
        Err(fault) => Ret::Fault(fault),
    }
}

/// Where the request goes anyway, over a transport of the script's choice.
fn own_hop(cx: &Cx, transport: Transport) -> Result<Hop, Fault> {
    let hop = match &cx.target.dst_uri {
        Some(uri) => hop_of_uri(uri)?,
        None => hop_of_uri(&cx.ruri())?,
    };
    Ok(Hop { transport, ..hop })
}

fn stated_hop(cx: &Cx, host: &HostArg, port: Port, transport: Transport) -> Result<Hop, Fault> {
    let ruri = || hop_of_uri(&cx.ruri());
    let transport = match (transport, host) {
        (Transport::None, HostArg::OfRuri) => ruri()?.transport,
        (Transport::None, HostArg::Named(_)) => Transport::Udp,
        (stated, _) => stated,
    };
    let host = match host {
        HostArg::Named(host) => host.clone(),
        HostArg::OfRuri => ruri()?.host,
    };
    let port = match port.as_deref() {
        None | Some(PortArg::Number(0)) => None,
        Some(PortArg::Number(port)) => Some(*port),
        Some(PortArg::OfRuri) => ruri()?.port,
    };
    Ok(Hop {
        host,
        port,
        transport,
        secure: transport == Transport::Tls,
    })
}

fn forward_uri(_: &Core, cx: &mut Cx, uri: Str) -> Ret {
    match hop_of_uri(&uri) {
        Ok(hop) => proxy_forward(cx, Some(hop)),
        Err(fault) => Ret::Fault(fault),
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::{
        Arg, Value,
        testing::{FakeBind, Server},
    };

    use super::*;

    fn lit<T: Literal>(cx: &mut Cx, text: &'static str) -> Lit<T> {
        Lit::from_value(Some(Value::Str(Str::from_static(text))), cx).expect("a literal")
    }

    #[test]
    fn listeners_are_found_by_their_address() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        for text in ["udp:127.0.0.1:5060", "127.0.0.1", "udp:127.0.0.1"] {
            cx.target.send_socket = None;
            let socket = lit(&mut cx, text);
            force_send_socket(&core, &mut cx, socket).expect("a listener");
            assert!(cx.target.send_socket.is_some());
        }
        let socket = lit(&mut cx, "udp:127.0.0.1:5099");
        assert!(force_send_socket(&core, &mut cx, socket).is_err());
    }

    #[test]
    fn sockets_are_read_with_and_without_brackets() {
        let parse = |text| Socket::parse(text, &FakeBind::default());
        let six = parse("tcp:[::1]:5070").expect("a socket");
        assert_eq!((six.transport, six.port), (Transport::Tcp, 5070));
        assert_eq!(&*six.host.text(), "[::1]");
        assert_eq!(parse("[::1]").map(|s| s.port), Ok(0));
        assert!(parse("udp:").is_err() && parse("1.2.3.4:x").is_err());
    }

    #[test]
    fn ports_are_checked() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        assert!(set_advertised_port(&core, &mut cx, 5999).is_ok());
        assert_eq!(cx.advertised_port, Some(5999));
        assert!(set_advertised_port(&core, &mut cx, 65_536).is_err());
        assert!(force_tcp_alias(&core, &mut cx, None).is_ok());
        cx.received.connection = Some(kahea_sip::ConnectionId(1));
        assert_eq!(via_port(&cx), 5061);
        assert!(force_tcp_alias(&core, &mut cx, None).is_ok());
        assert!(force_tcp_alias(&core, &mut cx, Some(0)).is_err());
    }

    #[test]
    fn flags_go_to_the_reply_in_a_stateless_reply_route() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        set_forward_close(&core, &mut cx);
        assert!(cx.forward_flags.close && !cx.reply_flags.close);
        cx.route = RouteKind::CoreReply;
        set_forward_no_connect(&core, &mut cx);
        assert!(cx.reply_flags.no_connect && !cx.forward_flags.no_connect);
    }

    #[test]
    fn hops_come_from_arguments_and_from_the_request_uri() {
        let mut cx = Server::default().invite();
        let (host, port) = (lit(&mut cx, "uri:host"), lit(&mut cx, "uri:port"));
        let hop = stated_hop(&cx, &host, Some(port), Transport::None).expect("a hop");
        assert_eq!((&*hop.host.text(), hop.port), ("example.com", Some(5070)));
        let (host, port) = (lit(&mut cx, "10.0.0.1"), lit(&mut cx, "5080"));
        let hop = stated_hop(&cx, &host, Some(port), Transport::Tcp).expect("a hop");
        assert_eq!((hop.port, hop.transport), (Some(5080), Transport::Tcp));
        assert!(PortArg::parse("70000", &FakeBind::default()).is_err());
        assert!(HostArg::parse("", &FakeBind::default()).is_err());
    }

    #[test]
    fn a_request_is_forwarded_to_an_address() {
        let server = Server::default();
        let (core, mut cx) = (Core::for_tests(), server.invite());
        let (host, port) = (lit(&mut cx, "127.0.0.1"), lit(&mut cx, "5071"));
        let ret = forward(&core, &mut cx, Some(host), Some(port));
        assert!(matches!(ret, Ret::Code(1)), "{ret:?}");
        let sent = server.net.sent.borrow();
        assert_eq!(sent.first().map(|(to, _)| to.to.port()), Some(5071));
    }

    #[test]
    fn udp_mtu_takes_transports_of_requests() {
        let (core, mut cx) = (Core::for_tests(), Server::default().invite());
        let transport = lit(&mut cx, "TCP");
        udp_mtu_try_proto(&core, &mut cx, transport);
        assert_eq!(cx.udp_mtu_try, Some(Transport::Tcp));
        assert!(Proto::parse("ws", &FakeBind::default()).is_err());
    }
}
