//! Addresses: where a message came from and came to, where it is sent, and by which socket.

use std::net::{IpAddr, SocketAddr};

use kahea_module::{Bind, BindError, Cx, Decl, Fault, Index, Listener, Named, Naming, RouteKind, Str, Value};
use kahea_sip::{ListenerId, Transport};

use super::{
    Pv,
    text::{count, piece, text_only},
};

/// Declares the variables.
pub fn declare(d: &mut Decl<Pv>) {
    source(d);
    received(d);
    send_socket(d);
    sent(d);
    for name in ["rcv", "recv"] {
        d.var_named(name, Naming::Required, Named { parse: Wire::parse, get: wire, set: Some(set_wire), raw: false }, "What came from the network, in `event_route[core:msg-received]`: `buf`, `len`, `srcip`, `srcport`, `rcvip`, `rcvport`, `proto`, `sproto`, `af` and others.");
    }
}

fn source(d: &mut Decl<Pv>) {
    for name in ["si", "src_ip"] {
        d.var(
            name,
            |_, cx, _| ip(cx.received.source.ip()),
            "The source address.",
        );
    }
    d.var(
        "siz",
        |_, cx, _| ip_reference(cx.received.source.ip()).into(),
        "The source address, IPv6 in brackets.",
    );
    d.var(
        "sp",
        |_, cx, _| cx.received.source.port().into(),
        "The source port.",
    );
    d.var(
        "sas",
        |_, cx, _| {
            socket_text(
                cx.received.transport,
                &ip_reference(cx.received.source.ip()),
                cx.received.source.port(),
            )
            .into()
        },
        "The source as `proto:address:port`.",
    );
    d.var(
        "su",
        |_, cx, _| {
            uri(
                cx.received.transport,
                &ip_reference(cx.received.source.ip()),
                cx.received.source.port(),
                false,
            )
            .into()
        },
        "The source as a SIP URI, the transport left out for UDP.",
    );
    d.var(
        "sut",
        |_, cx, _| {
            uri(
                cx.received.transport,
                &ip_reference(cx.received.source.ip()),
                cx.received.source.port(),
                true,
            )
            .into()
        },
        "The source as a SIP URI with its transport.",
    );
    for name in ["pr", "proto"] {
        d.var(
            name,
            |_, cx, _| Value::from(cx.received.transport.name()),
            "The transport that the message came over.",
        );
    }
    d.var(
        "prid",
        |_, cx, _| Value::Int(cx.received.transport.number()),
        "The number of that transport: UDP 1, TCP 2, TLS 3, SCTP 4, WS 5, WSS 6.",
    );
    d.var(
        "conid",
        |_, cx, _| {
            cx.received
                .connection
                .and_then(|id| i64::try_from(id.0).ok())
                .into()
        },
        "The number of the connection that the message came over; `$null` for UDP.",
    );
    d.var_named(
        "af",
        Naming::Required,
        Named {
            parse: family_part,
            get: family,
            set: None,
            raw: false,
        },
        "The address family of the source: `id` (2 or 10) or `name` (`IPv4` or `IPv6`).",
    );
}

fn received(d: &mut Decl<Pv>) {
    d.var(
        "Ri",
        |_, cx, _| ip(cx.received.local.ip()),
        "The local address that the message came to.",
    );
    d.var(
        "Rp",
        |_, cx, _| cx.received.local.port().into(),
        "The local port that the message came to.",
    );
    d.var(
        "Ru",
        |_, cx, _| local_uri(cx, false).into(),
        "The local socket as a SIP URI, the transport left out for UDP.",
    );
    d.var(
        "Rut",
        |_, cx, _| local_uri(cx, true).into(),
        "The local socket as a SIP URI with its transport.",
    );
    d.var(
        "Rn",
        |_, cx, _| listener(cx).and_then(|l| l.name.clone()).into(),
        "The name of the socket that the message came to.",
    );
    d.var(
        "Ras",
        |_, cx, _| socket_text(cx.received.transport, &advertised(cx).0, advertised(cx).1).into(),
        "The local socket as `proto:address:port`, with its advertised address where there is one.",
    );
    d.var(
        "RAi",
        |_, cx, _| advertised_ip(cx),
        "The advertised address of the local socket, or its own.",
    );
    d.var(
        "RAp",
        |_, cx, _| advertised(cx).1.into(),
        "The advertised port of the local socket, or its own.",
    );
    d.var(
        "RAu",
        |_, cx, _| advertised_uri(cx, false).into(),
        "The local socket as a SIP URI with its advertised address, the transport left out for UDP.",
    );
    d.var(
        "RAut",
        |_, cx, _| advertised_uri(cx, true).into(),
        "The local socket as a SIP URI with its advertised address and its transport.",
    );
}

fn send_socket(d: &mut Decl<Pv>) {
    d.var_rw(
        "fs",
        |_, cx, _| forced(cx).map(|l| l.text.clone()).into(),
        set_socket,
        "The socket that requests leave from, `proto:address:port`; `$null` leaves the choice to the server.",
    );
    d.var_rw(
        "fsn",
        |_, cx, _| forced(cx).and_then(|l| l.name.clone()).into(),
        set_socket_name,
        "The name of the socket that requests leave from.",
    );
    d.var(
        "fsp",
        |_, cx, _| Value::Int(forced(cx).map_or(0, |l| l.address.port().into())),
        "The port of the socket that requests leave from; 0 where none is forced.",
    );
}

fn sent(d: &mut Decl<Pv>) {
    for name in ["snd", "sndfrom"] {
        d.var_named(name, Naming::Required, Named { parse: Sent::parse, get: sent_from, set: None, raw: false }, "The local side of what is being sent, in `onsend_route`: `ip`, `port`, `af`, `proto`, `sproto`, `buf` or `len`.");
    }
    d.var_named("sndto", Naming::Required, Named { parse: Sent::parse, get: sent_to, set: None, raw: false }, "The remote side of what is being sent, in `onsend_route`: `ip`, `port`, `af`, `proto`, `sproto`, `buf` or `len`.");
}

/// An address without brackets.
pub fn ip(ip: IpAddr) -> Value {
    Value::from(ip.to_string())
}

/// An address as hosts of URIs are written.
fn ip_reference(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn socket_text(transport: Transport, host: &str, port: u16) -> String {
    format!("{transport}:{host}:{port}")
}

/// `sip:host:port[;transport=…]`.
pub fn uri(transport: Transport, host: &str, port: u16, always: bool) -> String {
    if transport == Transport::Udp && !always {
        format!("sip:{host}:{port}")
    } else {
        format!("sip:{host}:{port};transport={}", transport.uri_name())
    }
}

fn listener(cx: &Cx) -> Option<&Listener> {
    cx.config().identity.listener(cx.received.listener)
}

fn local_uri(cx: &Cx, always: bool) -> String {
    let local = cx.received.local;
    uri(
        cx.received.transport,
        &ip_reference(local.ip()),
        local.port(),
        always,
    )
}

/// Host and port that the local socket advertises, or its own.
fn advertised(cx: &Cx) -> (String, u16) {
    let local = cx.received.local;
    match listener(cx).and_then(|l| l.advertised.as_ref()) {
        Some((host, 0)) => (host.to_string(), local.port()),
        Some((host, port)) => (host.to_string(), *port),
        None => (ip_reference(local.ip()), local.port()),
    }
}

fn advertised_ip(cx: &Cx) -> Value {
    match listener(cx).and_then(|l| l.advertised.as_ref()) {
        Some((host, _)) => Value::Str(host.clone()),
        None => ip(cx.received.local.ip()),
    }
}

fn advertised_uri(cx: &Cx, always: bool) -> String {
    let (host, port) = advertised(cx);
    uri(cx.received.transport, &host, port, always)
}

fn forced(cx: &Cx) -> Option<&Listener> {
    cx.config().identity.listener(cx.target.send_socket?)
}

fn set_socket(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    cx.target.send_socket = match value {
        Value::Null => None,
        value => Some(find_socket(cx, &text_only(value, "$fs")?)?),
    };
    Ok(())
}

/// The listener of `[proto:]address[:port]`.
///
/// # Errors
/// There is none.
pub fn find_socket(cx: &Cx, text: &Str) -> Result<ListenerId, Fault> {
    let none = || Fault::script(format!("there is no listener '{text}'"));
    let whole = text.text();
    let (transport, rest) = match whole.split_once(':') {
        Some((proto, rest)) => match Transport::parse(proto.as_bytes()) {
            Some(transport) => (transport, rest),
            None => (Transport::None, &*whole),
        },
        None => (Transport::None, &*whole),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse::<u16>().map_err(|_| none())?)
        }
        _ => (rest, 0),
    };
    let found = cx.config().identity.listener_of(host.as_bytes(), port, transport);
    found.map(|listener| listener.id).ok_or_else(none)
}

fn set_socket_name(_: &Pv, cx: &mut Cx, _: Index, value: Value) -> Result<(), Fault> {
    cx.target.send_socket = match value {
        Value::Null => None,
        value => {
            let name = text_only(value, "$fsn")?;
            let found = cx.config().identity.listener_named(&name).map(|l| l.id);
            Some(found.ok_or_else(|| Fault::script(format!("no listener is named '{name}'")))?)
        }
    };
    Ok(())
}

fn family_part(name: &str, _: &dyn Bind) -> Result<bool, BindError> {
    match name {
        "id" => Ok(false),
        "name" => Ok(true),
        _ => Err(BindError::new(format!("$af() has no part '{name}'")).help("use id or name")),
    }
}

fn family(_: &Pv, cx: &mut Cx, by_name: &bool, _: Index) -> Value {
    let v4 = cx.received.source.is_ipv4();
    match (by_name, v4) {
        (true, true) => Value::from("IPv4"),
        (true, false) => Value::from("IPv6"),
        (false, _) => Value::Int(family_number(cx.received.source)),
    }
}

/// `AF_INET` and `AF_INET6` of Linux, which Kamailio shows.
fn family_number(address: SocketAddr) -> i64 {
    if address.is_ipv4() { 2 } else { 10 }
}

/// The parts of `$snd()` and `$sndto()`.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Ip,
    Port,
    Family,
    Proto,
    ProtoName,
    Buffer,
    Length,
}

impl Sent {
    fn parse(name: &str, _: &dyn Bind) -> Result<Sent, BindError> {
        Ok(match name {
            "ip" => Sent::Ip,
            "port" => Sent::Port,
            "af" => Sent::Family,
            "proto" => Sent::Proto,
            "sproto" => Sent::ProtoName,
            "buf" => Sent::Buffer,
            "len" => Sent::Length,
            _ => {
                return Err(
                    BindError::new(format!("there is no attribute '{name}' of what is sent"))
                        .help("use ip, port, af, proto, sproto, buf or len"),
                );
            }
        })
    }
}

fn sent_from(_: &Pv, cx: &mut Cx, part: &Sent, _: Index) -> Value {
    let Some(sending) = &cx.sending else {
        return Value::Null;
    };
    sent_part(*part, sending.from, sending.to.transport, &sending.data)
}

fn sent_to(_: &Pv, cx: &mut Cx, part: &Sent, _: Index) -> Value {
    let Some(sending) = &cx.sending else {
        return Value::Null;
    };
    sent_part(*part, sending.to.to, sending.to.transport, &sending.data)
}

fn sent_part(part: Sent, address: SocketAddr, transport: Transport, data: &Str) -> Value {
    match part {
        Sent::Ip => ip(address.ip()),
        Sent::Port => address.port().into(),
        Sent::Family => Value::Int(family_number(address)),
        Sent::Proto => Value::Int(transport.number()),
        Sent::ProtoName => Value::from(transport.name()),
        Sent::Buffer => Value::Str(data.clone()),
        Sent::Length => count(data.len()),
    }
}

/// The parts of `$rcv()`.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Buffer,
    Length,
    Proto,
    ProtoName,
    SourceIp,
    LocalIp,
    SourcePort,
    LocalPort,
    Family,
    EventType,
    /// The text with what is not printable as `.`.
    Safe,
    /// One byte as a character; at the index where the name states no position.
    ByteAt(Option<usize>),
    /// One byte in hexadecimal, likewise.
    HexAt(Option<usize>),
}

impl Wire {
    fn parse(name: &str, _: &dyn Bind) -> Result<Wire, BindError> {
        let unknown = || {
            BindError::new(format!("$rcv() has no attribute '{name}'")).help(
                "use buf, len, proto, sproto, srcip, rcvip, srcport, rcvport, af, evtype, safe, bufat[/N] or hexat[/N]",
            )
        };
        Ok(match name {
            "buf" => Wire::Buffer,
            "len" => Wire::Length,
            "proto" => Wire::Proto,
            "sproto" => Wire::ProtoName,
            "srcip" => Wire::SourceIp,
            "rcvip" => Wire::LocalIp,
            "srcport" => Wire::SourcePort,
            "rcvport" => Wire::LocalPort,
            "af" => Wire::Family,
            "evtype" => Wire::EventType,
            "safe" => Wire::Safe,
            "bufat" => Wire::ByteAt(None),
            "hexat" => Wire::HexAt(None),
            _ => match name.split_once('/') {
                Some(("bufat", at)) => Wire::ByteAt(Some(at.parse().map_err(|_| unknown())?)),
                Some(("hexat", at)) => Wire::HexAt(Some(at.parse().map_err(|_| unknown())?)),
                _ => return Err(unknown()),
            },
        })
    }
}

/// The event routes that see raw data.
fn sees_wire(cx: &Cx) -> bool {
    cx.route == RouteKind::Event
        && matches!(
            &*cx.route_name,
            b"core:msg-received" | b"core:pre-routing" | b"core:receive-parse-error" | b"network:msg"
        )
}

fn wire(_: &Pv, cx: &mut Cx, part: &Wire, index: Index) -> Value {
    if !sees_wire(cx) {
        return Value::Null;
    }
    let data = cx.raw.clone().unwrap_or_else(|| cx.msg.buffer().clone());
    let received = &cx.received;
    match part {
        Wire::Buffer => Value::Str(data),
        Wire::Length => count(data.len()),
        Wire::Proto => Value::Int(received.transport.number()),
        Wire::ProtoName => Value::from(received.transport.name()),
        Wire::SourceIp => ip(received.source.ip()),
        Wire::LocalIp => ip(received.local.ip()),
        Wire::SourcePort => received.source.port().into(),
        Wire::LocalPort => received.local.port().into(),
        Wire::Family => Value::Int(family_number(received.source)),
        Wire::EventType => Value::Str(cx.route_name.clone()),
        Wire::Safe => Value::from(
            data.iter()
                .map(|b| {
                    if b.is_ascii_graphic() || *b == b' ' {
                        *b
                    } else {
                        b'.'
                    }
                })
                .collect::<Vec<u8>>(),
        ),
        Wire::ByteAt(at) => match byte_at(&data, *at, index) {
            Some(byte) => piece(cx, std::slice::from_ref(byte)),
            None => Value::Null,
        },
        Wire::HexAt(at) => byte_at(&data, *at, index)
            .map(|byte| format!("{byte:02x}"))
            .into(),
    }
}

fn byte_at(data: &[u8], stated: Option<usize>, index: Index) -> Option<&u8> {
    data.get(stated.or_else(|| index.pick(data.len()))?)
}

fn set_wire(_: &Pv, cx: &mut Cx, part: &Wire, _: Index, value: Value) -> Result<(), Fault> {
    match part {
        Wire::Buffer if sees_wire(cx) => {
            cx.raw = Some(text_only(value, "$rcv(buf)")?);
            Ok(())
        }
        Wire::Buffer => Err(Fault::script(
            "$rcv(buf) can be assigned in event_route[core:msg-received] only",
        )),
        _ => Err(Fault::script("of $rcv() only buf can be assigned")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    #[test]
    fn sockets_are_found_however_they_are_written() {
        let cx = Server::default().invite();
        for good in [
            "udp:127.0.0.1:5060",
            "127.0.0.1:5060",
            "127.0.0.1",
            "UDP:127.0.0.1",
        ] {
            assert_eq!(find_socket(&cx, &Str::from(good)), Ok(ListenerId(0)), "{good}");
        }
        for bad in [
            "tcp:127.0.0.1:5060",
            "127.0.0.1:99",
            "127.0.0.1:x",
            "junk",
            "udp:[::1]:5060",
        ] {
            assert!(find_socket(&cx, &Str::from(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn uris_name_the_transport_where_it_is_not_udp() {
        assert_eq!(uri(Transport::Udp, "1.2.3.4", 5060, false), "sip:1.2.3.4:5060");
        assert_eq!(
            uri(Transport::Wss, "[::1]", 443, false),
            "sip:[::1]:443;transport=ws"
        );
        assert_eq!(
            uri(Transport::Udp, "1.2.3.4", 5060, true),
            "sip:1.2.3.4:5060;transport=udp"
        );
    }

    #[test]
    fn what_is_sent_is_known_in_onsend_route_only() {
        let mut cx = Server::default().invite();
        assert_eq!(
            sent_to(&Pv::default(), &mut cx, &Sent::Ip, Index::None),
            Value::Null
        );
        assert_eq!(
            wire(&Pv::default(), &mut cx, &Wire::Length, Index::None),
            Value::Null
        );
    }
}
