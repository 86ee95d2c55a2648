//! `{urialias.…}` of module `pv` and `{sock.…}` of module `corex`: sockets as text.

use kahea_module::{Decl, Module, Str, Value};
use kahea_sip::Transport;

use super::{on_text, uri};

pub(super) fn declare<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "urialias",
        "encode", "The host, port and transport number of a URI, host~port~number; empty where it is no URI.",
            |text| unless_empty(text, encode);
        "decode", "The URI of host~port~number; empty where it is none.", |text| unless_empty(text, decode);
    );
}

/// Declares class `sock`, which belongs to module `corex`.
pub fn declare_sock<M: Module>(d: &mut Decl<M>) {
    on_text!(d, "sock",
        "host", "The host of a socket, [transport:]host[:port].", |text| sock(text, |s| s.host.into());
        "port", "The port of a socket.", |text| sock(text, |s| s.port.into());
        "proto", "The transport of a socket.", |text| sock(text, |s| s.transport.name().into());
        "touri", "The socket as a SIP URI.", |text| sock(text, |s| s.uri());
    );
}

fn unless_empty(text: &Str, run: fn(&[u8]) -> Vec<u8>) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        run(text).into()
    }
}

/// Kamailio's transport numbers, from 1.
const NUMBERED: [Transport; 6] = [
    Transport::Udp,
    Transport::Tcp,
    Transport::Tls,
    Transport::Sctp,
    Transport::Ws,
    Transport::Wss,
];

fn encode(text: &[u8]) -> Vec<u8> {
    let Some(uri) = uri::parse(text) else {
        return Vec::new();
    };
    let transport = uri.transport();
    let number = NUMBERED
        .iter()
        .position(|known| *known == transport)
        .unwrap_or(0)
        .saturating_add(1);
    let port = if uri.port_text.is_empty() {
        b"5060"
    } else {
        uri.port_text
    };
    [uri.host, b"~", port, b"~", number.to_string().as_bytes()].concat()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut parts = text.split(|b| *b == b'~');
    let (Some(host), Some(port), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
        return Vec::new();
    };
    let transport = match number {
        [digit @ b'1'..=b'9', ..] => NUMBERED.get(usize::from(digit.wrapping_sub(b'1'))),
        _ => None,
    };
    match transport {
        Some(Transport::Udp) => [b"sip:", host, b":", port].concat(),
        Some(other) => [b"sip:", host, b":", port, b";transport=", other.name().as_bytes()].concat(),
        None => Vec::new(),
    }
}

struct Sock<'a> {
    transport: Transport,
    host: &'a str,
    port: &'a str,
}

impl<'a> Sock<'a> {
    fn parse(text: &'a str) -> Option<Sock<'a>> {
        let (transport, rest) = match text.split_once(':') {
            Some((head, rest)) => match Transport::parse(head.as_bytes()) {
                Some(transport) => (transport, rest),
                None => (Transport::None, text),
            },
            None => (Transport::None, text),
        };
        let behind_host = match rest.strip_prefix('[') {
            Some(inner) => inner.find(']')?.checked_add(2)?,
            None => rest.find(':').unwrap_or(rest.len()),
        };
        let (host, port) = rest.split_at_checked(behind_host)?;
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse::<u16>().is_ok().then_some(port)?,
            None => port.is_empty().then_some(port)?,
        };
        (!host.is_empty()).then_some(Sock {
            transport,
            host,
            port,
        })
    }

    fn uri(&self) -> String {
        let colon = if self.port.is_empty() { "" } else { ":" };
        let mut out = format!("sip:{}{colon}{}", self.host, self.port);
        if self.transport != Transport::None {
            out.push_str(";transport=");
            out.push_str(self.transport.name());
        }
        out
    }
}

fn sock(text: &Str, read: impl FnOnce(&Sock<'_>) -> String) -> Value {
    match text.as_utf8().and_then(Sock::parse) {
        Some(sock) => read(&sock).into(),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::Value;

    use super::super::testing::{apply, text};

    #[test]
    fn aliases_go_both_ways() {
        assert_eq!(
            text("sip:bob@example.org;transport=udp", "urialias.encode"),
            "example.org~5060~1"
        );
        assert_eq!(
            text("sip:bob@h.com:5080;transport=ws", "urialias.encode"),
            "h.com~5080~5"
        );
        assert_eq!(text("h.com~5070~1", "urialias.decode"), "sip:h.com:5070");
        assert_eq!(
            text("[::1]~5070~3", "urialias.decode"),
            "sip:[::1]:5070;transport=tls"
        );
        assert_eq!(text("h.com~5070~9", "urialias.decode"), "");
        assert_eq!(text("h.com", "urialias.decode"), "");
        assert_eq!(apply("", "urialias.decode"), Value::Null);
    }

    #[test]
    fn sockets_are_split() {
        assert_eq!(text("udp:[::1]:5060", "sock.host"), "[::1]");
        assert_eq!(
            text("udp:[::1]:5060", "sock.touri"),
            "sip:[::1]:5060;transport=udp"
        );
        assert_eq!(text("1.2.3.4:5060", "sock.touri"), "sip:1.2.3.4:5060");
        assert_eq!(text("udp:example.com", "sock.port"), "");
        assert_eq!(text("127.0.0.1", "sock.proto"), "");
        for broken in ["", "bad:1:2:3:4", "udp:[::1", "udp:h:x"] {
            assert_eq!(apply(broken.to_owned(), "sock.host"), Value::Null, "{broken}");
        }
    }
}
