//! Sockets: addresses in the form `proto:host:port`, and the functions that choose among listeners.

use std::net::{IpAddr, SocketAddr};

use kahea_module::{Cx, Decl, Fault, Index, Listener, Named, Naming, Str, Value};
use kahea_sip::{ListenerId, Transport};

use super::Corex;

/// An address as sockets are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Address<'a> {
    /// [`Transport::None`] where not stated.
    pub transport: Transport,
    /// A name, an IPv4 address, or an IPv6 reference with its brackets.
    pub host: &'a [u8],
    /// Where stated.
    pub port: Option<u16>,
}

impl<'a> Address<'a> {
    /// Reads `[proto:]host[:port]`.
    pub fn parse(text: &'a [u8]) -> Option<Address<'a>> {
        let (transport, rest) = match text.iter().position(|byte| *byte == b':') {
            Some(at) => match text.get(..at).and_then(Transport::parse) {
                Some(transport) => (transport, text.get(at.checked_add(1)?..)?),
                None => (Transport::None, text),
            },
            None => (Transport::None, text),
        };
        let end = match rest.first()? {
            b'[' => rest.iter().position(|byte| *byte == b']')?.checked_add(1)?,
            _ => rest.iter().position(|byte| *byte == b':').unwrap_or(rest.len()),
        };
        let (host, port) = rest.split_at_checked(end)?;
        let port = match port {
            [] => None,
            [b':', digits @ ..] => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
            _ => return None,
        };
        (!host.is_empty()).then_some(Address {
            transport,
            host,
            port,
        })
    }

    /// The address where the host is one.
    pub fn ip(&self) -> Option<IpAddr> {
        let bare = self
            .host
            .strip_prefix(b"[")
            .and_then(|host| host.strip_suffix(b"]"))
            .unwrap_or(self.host);
        std::str::from_utf8(bare).ok()?.parse().ok()
    }

    /// The listener that it names.
    pub fn listener<'c>(&self, cx: &'c Cx) -> Option<&'c Listener> {
        cx.config()
            .identity
            .listener_of(self.host, self.port.unwrap_or(0), self.transport)
    }
}

/// Declares functions, `$lsock` and the transformations.
pub fn declare(d: &mut Decl<Corex>) {
    declare_functions(d);
    d.var_named(
        "lsock",
        Naming::Required,
        Named {
            parse: |text, _| Ok(Str::from(text)),
            get: lsock,
            set: None,
            raw: false,
        },
        "Of a listener: `n/name/field` finds it by name, `l/proto:host:port/field` by address; the field is listen, name, advertise, agname, index, proto or port.",
    );
    crate::transforms::declare_sock(d);
}

fn declare_functions(d: &mut Decl<Corex>) {
    d.func(
        "set_send_socket",
        ["address"],
        set_send_socket,
        "Sends from this listener, given as `proto:host:port`; one that is not there changes nothing.",
    )
    .kemi(1, "set_send_socket")
    .example("set_send_socket(\"udp:127.0.0.1:5060\");");
    d.func(
        "set_send_socket_name",
        ["name"],
        set_send_socket_name,
        "Sends from the listener of this name; one that is not there changes nothing.",
    )
    .kemi(1, "set_send_socket_name");
    d.func(
        "set_recv_socket",
        ["address"],
        set_recv_socket,
        "Takes the message as if it had come to this listener, given as `proto:host:port`.",
    )
    .kemi(1, "set_recv_socket");
    d.func(
        "set_recv_socket_name",
        ["name"],
        set_recv_socket_name,
        "Takes the message as if it had come to the listener of this name.",
    )
    .kemi(1, "set_recv_socket_name");
    d.func(
        "set_source_address",
        ["address"],
        set_source_address,
        "Takes the message as if it had come from this address, `proto:ip:port`; the transport stays.",
    )
    .kemi(1, "set_source_address");
    d.func(
        "is_socket_name",
        ["name"],
        is_socket_name,
        "True where a listener has this name.",
    )
    .kemi(1, "is_socket_name");
    d.func(
        "add_tcp_alias",
        ["port"],
        add_tcp_alias,
        "Lets requests to this port of the peer use the connection that the message came over (RFC 5923).",
    );
}

enum Found {
    Listener(ListenerId, SocketAddr),
    Nothing,
}

fn by_address(cx: &Cx, text: &Str) -> Result<Found, Fault> {
    let address = Address::parse(text)
        .ok_or_else(|| Fault::script(format!("'{text}' is no socket: write proto:host:port")))?;
    Ok(found(address.listener(cx), text))
}

/// A listener that is not there is no error to the script, but worth a line in the log.
fn found(listener: Option<&Listener>, text: &Str) -> Found {
    match listener {
        Some(listener) => Found::Listener(listener.id, listener.address),
        None => {
            kahea_module::warning!("corex", "No listener is {text}: nothing changes.");
            Found::Nothing
        }
    }
}

fn by_name(cx: &Cx, name: &Str) -> Found {
    found(cx.config().identity.listener_named(name), name)
}

fn set_send(cx: &mut Cx, found: Found) -> bool {
    if let Found::Listener(id, _) = found {
        cx.target.send_socket = Some(id);
    }
    true
}

fn set_recv(cx: &mut Cx, found: Found) -> bool {
    if let Found::Listener(id, address) = found {
        cx.received.listener = id;
        cx.received.local = address;
    }
    true
}

fn set_send_socket(_: &Corex, cx: &mut Cx, address: Str) -> Result<bool, Fault> {
    let found = by_address(cx, &address)?;
    Ok(set_send(cx, found))
}

fn set_send_socket_name(_: &Corex, cx: &mut Cx, name: Str) -> bool {
    let found = by_name(cx, &name);
    set_send(cx, found)
}

fn set_recv_socket(_: &Corex, cx: &mut Cx, address: Str) -> Result<bool, Fault> {
    let found = by_address(cx, &address)?;
    Ok(set_recv(cx, found))
}

fn set_recv_socket_name(_: &Corex, cx: &mut Cx, name: Str) -> bool {
    let found = by_name(cx, &name);
    set_recv(cx, found)
}

fn set_source_address(_: &Corex, cx: &mut Cx, address: Str) -> Result<bool, Fault> {
    let wrong = || {
        Fault::script(format!(
            "'{address}' is no address: write proto:ip:port with an IP address"
        ))
    };
    let parsed = Address::parse(&address).ok_or_else(wrong)?;
    let ip = parsed.ip().ok_or_else(wrong)?;
    cx.received.source = SocketAddr::new(ip, parsed.port.unwrap_or(0));
    Ok(true)
}

fn is_socket_name(_: &Corex, cx: &mut Cx, name: Str) -> bool {
    cx.config().identity.listener_named(&name).is_some()
}

fn add_tcp_alias(_: &Corex, cx: &mut Cx, port: i64) -> Result<bool, Fault> {
    let port = u16::try_from(port)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Fault::script(format!("{port} is no port")))?;
    // Over UDP there is nothing to alias, which Kamailio takes for done.
    Ok(match cx.received.connection {
        Some(connection) => cx.worker.net.add_alias(connection, port),
        None => true,
    })
}

fn lsock(_: &Corex, cx: &mut Cx, expression: &Str, _: Index) -> Value {
    read_lsock(cx, expression).unwrap_or_else(|| {
        kahea_module::error!(
            "corex",
            "$lsock({expression}) cannot be read: write n/NAME/FIELD or l/PROTO:HOST:PORT/FIELD."
        );
        Value::EMPTY
    })
}

/// `None` where the expression has no meaning; `$null` where no listener matches.
fn read_lsock(cx: &Cx, expression: &Str) -> Option<Value> {
    let first = expression.iter().position(|byte| *byte == b'/')?;
    let last = expression.iter().rposition(|byte| *byte == b'/')?;
    let (how, what) = (
        expression.get(..first)?,
        expression.get(first.checked_add(1)?..last)?,
    );
    let field = expression.get(last.checked_add(1)?..)?;
    let identity = &cx.config().identity;
    let listener = match how {
        [b'n' | b'N', ..] => identity.listener_named(what),
        [b'l' | b'L', ..] => Address::parse(what)?.listener(cx),
        _ => return None,
    };
    let Some(listener) = listener else {
        return Some(Value::Null);
    };
    Some(match field {
        b"agname" => listener.group.clone().unwrap_or_default().into(),
        b"proto" => listener.transport.name().into(),
        b"port" => listener.address.port().into(),
        b"ip" | b"addr" => listener.address.ip().to_string().into(),
        [b'a', ..] => advertised(listener),
        [b'i', ..] => Value::Int(place(identity.listeners.as_slice(), listener)),
        [b'l', ..] => listener.text.clone().into(),
        [b'n', ..] => listener.name.clone().unwrap_or_default().into(),
        _ => return None,
    })
}

fn place(all: &[Listener], wanted: &Listener) -> i64 {
    all.iter()
        .position(|listener| listener.id == wanted.id)
        .and_then(|at| i64::try_from(at).ok())
        .unwrap_or(-1)
}

fn advertised(listener: &Listener) -> Value {
    match &listener.advertised {
        None => Value::EMPTY,
        Some((host, 0)) => format!("{}:{host}", listener.transport).into(),
        Some((host, port)) => format!("{}:{host}:{port}", listener.transport).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kahea_module::testing::Server;

    fn server() -> Server {
        Server::new(|config| {
            let mut second = config.identity.listeners[0].clone();
            second.id = ListenerId(1);
            second.address = "127.0.0.1:5090".parse().unwrap();
            second.text = Str::from("udp:127.0.0.1:5090");
            second.name = Some(Str::from("second"));
            second.advertised = Some((Str::from("192.0.2.7"), 5070));
            config.identity.listeners.push(second);
        })
    }

    #[test]
    fn addresses_have_optional_parts() {
        let parse = |text: &'static str| Address::parse(text.as_bytes());
        let address = parse("udp:[::1]:5060").unwrap();
        assert_eq!((address.transport, address.port), (Transport::Udp, Some(5060)));
        assert_eq!(address.ip(), Some("::1".parse().unwrap()));
        assert_eq!(parse("example.com").unwrap().port, None);
        for bad in ["", "udp:", "x:y:z", "udp:h:70000", "nonsense:x", "[::1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_unknown_socket_changes_nothing() {
        let mut cx = server().invite();
        assert_eq!(
            set_send_socket(&Corex, &mut cx, Str::from("udp:127.0.0.1:5090")),
            Ok(true)
        );
        assert_eq!(cx.target.send_socket, Some(ListenerId(1)));
        assert_eq!(
            set_send_socket(&Corex, &mut cx, Str::from("udp:127.0.0.1:5999")),
            Ok(true)
        );
        assert!(set_send_socket_name(&Corex, &mut cx, Str::from("none")));
        assert_eq!(cx.target.send_socket, Some(ListenerId(1)));
        assert!(set_send_socket(&Corex, &mut cx, Str::from("nonsense:::")).is_err());
        assert!(set_recv_socket_name(&Corex, &mut cx, Str::from("second")));
        assert_eq!(cx.received.local.port(), 5090);
        assert!(is_socket_name(&Corex, &mut cx, Str::from("second")));
        assert!(!is_socket_name(&Corex, &mut cx, Str::from("udp:127.0.0.1:5060")));
    }

    #[test]
    fn the_source_can_be_another() {
        let mut cx = server().invite();
        assert_eq!(
            set_source_address(&Corex, &mut cx, Str::from("tcp:127.0.0.9:5081")),
            Ok(true)
        );
        assert_eq!(cx.received.source.to_string(), "127.0.0.9:5081");
        assert_eq!(cx.received.transport, Transport::Udp);
        assert!(set_source_address(&Corex, &mut cx, Str::from("udp:example.invalid:5")).is_err());
    }

    #[test]
    fn lsock_finds_listeners_by_name_and_address() {
        let mut cx = server().invite();
        let mut read = |text: &str| lsock(&Corex, &mut cx, &Str::from(text), Index::None);
        assert_eq!(read("n/second/listen"), Value::from("udp:127.0.0.1:5090"));
        assert_eq!(read("n/none/listen"), Value::Null);
        assert_eq!(read("l/udp:127.0.0.1:5090/name"), Value::from("second"));
        assert_eq!(read("n/second/advertise"), Value::from("udp:192.0.2.7:5070"));
        assert_eq!(read("n/second/index"), Value::Int(1));
        assert_eq!(read("nonsense"), Value::EMPTY);
    }
}
