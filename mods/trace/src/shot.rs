//! A message on the wire: its bytes, and where it came from and went to.

use std::{net::SocketAddr, time::SystemTime};

use kahea_module::{Cx, Str, Value, Worker};
use kahea_sip::{Destination, HeaderId, Limits, ListenerId, Message, Received, Transport, view::NameAddr};

use crate::hep;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To this server.
    In,
    /// From this server.
    Out,
}

impl Direction {
    /// As tables and variables name it.
    pub const fn name(self) -> &'static str {
        match self {
            Direction::In => "in",
            Direction::Out => "out",
        }
    }
}

/// A message that is seen.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Its bytes.
    pub data: Str,
    /// From where.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
    /// Which way.
    pub direction: Direction,
    /// When.
    pub at: SystemTime,
}

impl Shot {
    /// The addresses as an event route sees them: the peer is the source, whichever way the message goes.
    pub fn received(&self) -> Received {
        let (source, local) = match self.direction {
            Direction::In => (self.from, self.to),
            Direction::Out => (self.to, self.from),
        };
        Received {
            source,
            local,
            transport: self.transport,
            listener: ListenerId(0),
            connection: None,
            at: self.at,
        }
    }

    /// As it was received.
    pub fn incoming(data: Str, received: &Received) -> Shot {
        Shot {
            data,
            from: received.source,
            to: received.local,
            transport: received.transport,
            direction: Direction::In,
            at: received.at,
        }
    }

    /// As it leaves.
    pub fn outgoing(worker: &Worker, to: &Destination, data: Str) -> Shot {
        let identity = &worker.config.identity;
        let of_transport = || {
            identity
                .listeners
                .iter()
                .find(|own| own.transport == to.transport)
        };
        let listener = to
            .listener
            .and_then(|id| identity.listener(id))
            .or_else(of_transport);
        Shot {
            data,
            from: listener.map_or(to.to, |own| own.address),
            to: to.to,
            transport: to.transport,
            direction: Direction::Out,
            at: worker.engine.time(),
        }
    }

    /// The message in work: as it was received, or as it leaves in `onsend_route`.
    pub fn of(cx: &Cx) -> Shot {
        match &cx.sending {
            Some(sending) => Shot {
                data: sending.data.clone(),
                from: sending.from,
                to: sending.to.to,
                transport: sending.to.transport,
                direction: Direction::Out,
                at: cx.time(),
            },
            None => Shot::incoming(cx.msg.buffer().clone(), &cx.received),
        }
    }

    /// The bytes begin as a SIP message does; keepalives, STUN and HEP do not.
    pub fn is_sip(&self) -> bool {
        let line = self.data.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.starts_with(b"SIP/2.0 ") || line.trim_ascii_end().ends_with(b" SIP/2.0")
    }

    /// Its index of ranges.
    pub fn message(&self) -> Option<Message> {
        Message::parse(self.data.clone(), &Limits::default()).ok()
    }

    /// As a packet of HEP.
    pub fn packet(&self) -> hep::Packet {
        hep::Packet::new(self.from, self.to, protocol(self.transport), self.data.clone()).at(self.at)
    }
}

/// The IP protocol below a transport.
pub fn protocol(transport: Transport) -> u8 {
    match transport {
        Transport::None | Transport::Udp => hep::UDP,
        Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => hep::TCP,
        Transport::Sctp => hep::SCTP,
    }
}

/// `proto:address:port`, IPv6 in brackets.
pub fn end_text(transport: Transport, address: SocketAddr) -> String {
    let name = match transport {
        Transport::None => "udp",
        other => other.name(),
    };
    format!(
        "{name}:{}",
        SocketAddr::new(address.ip().to_canonical(), address.port())
    )
}

/// Reads `proto:address:port`.
pub fn read_end(text: &[u8]) -> Option<(Transport, SocketAddr)> {
    let (name, address) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some((Transport::parse(name.as_bytes())?, address.parse().ok()?))
}

/// The tag of From or To; empty without one.
pub fn tag(message: &Message, id: HeaderId) -> Str {
    let value = message.first(id).map(|header| message.value(header));
    let addr = value.and_then(|value| NameAddr::parse(value).ok());
    addr.and_then(|addr| addr.tag().map(Str::copy))
        .unwrap_or(Str::EMPTY)
}

/// The method of a message: of a reply that of its CSeq.
pub fn method(message: &Message) -> Str {
    match message.cseq() {
        _ if message.is_request() => Str::copy(message.method_text()),
        Some((_, method)) => message.text(method),
        None => Str::EMPTY,
    }
}

/// What variables of an event say of a shot: `src_addr` (or `srcaddr`) and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An end whole: `proto:address:port`.
    Address(End),
    /// Its transport.
    Protocol,
    /// Its IP address.
    Host(End),
    /// Its port.
    Port(End),
    /// `in` or `out`.
    Direction,
}

/// An end of a shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes to.
    Destination,
}

impl Part {
    /// Its value.
    pub fn of(self, shot: &Shot) -> Value {
        let address = |end| match end {
            End::Source => shot.from,
            End::Destination => shot.to,
        };
        match self {
            Part::Address(end) => Value::Str(Str::from(end_text(shot.transport, address(end)))),
            Part::Protocol => Value::from(shot.transport.name()),
            Part::Host(end) => Value::Str(Str::from(address(end).ip().to_canonical().to_string())),
            Part::Port(end) => Value::Int(address(end).port().into()),
            Part::Direction => Value::from(shot.direction.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn ends_are_printed_and_read() {
        for text in ["udp:10.0.0.1:5060", "tls:[2001:db8::1]:5061"] {
            let (transport, address) = read_end(text.as_bytes()).unwrap();
            assert_eq!(end_text(transport, address), text);
        }
        for text in [
            "",
            "udp",
            "udp:x:1",
            "10.0.0.1:5060",
            "udp:10.0.0.1",
            "dccp:10.0.0.1:5",
        ] {
            assert_eq!(read_end(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_sip_is_known() {
        let server = Server::default();
        let cx = server.invite();
        let shot = Shot::of(&cx);
        assert!(shot.is_sip());
        assert_eq!((shot.direction, shot.from.port()), (Direction::In, 5061));
        for text in ["\r\n\r\n", "HEP3", "", "GET / HTTP/1.1\r\n"] {
            assert!(
                !Shot {
                    data: Str::from(text),
                    ..shot.clone()
                }
                .is_sip()
            );
        }
        assert!(
            Shot {
                data: Str::from("SIP/2.0 200 OK\r\n"),
                ..shot
            }
            .is_sip()
        );
    }
}
