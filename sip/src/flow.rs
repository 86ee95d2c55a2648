//! Where messages come from and go to: transports, addresses, connections. Data only, no sockets.

use std::{fmt, net::SocketAddr, str::FromStr, time::SystemTime};

/// A SIP transport. `None` stands for "not stated" in URIs and destinations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Not stated: chosen by RFC 3263.
    #[default]
    None,
    /// RFC 3261.
    Udp,
    /// RFC 3261.
    Tcp,
    /// RFC 3261 with RFC 5630.
    Tls,
    /// RFC 4168.
    Sctp,
    /// RFC 7118.
    Ws,
    /// RFC 7118 over TLS.
    Wss,
}

impl Transport {
    /// The lower-case name as in `;transport=`; empty for [`Transport::None`].
    pub const fn name(self) -> &'static str {
        match self {
            Transport::None => "",
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Sctp => "sctp",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// The name as in `;transport=` of a URI that goes out: WebSocket over TLS is `ws` there too (RFC 7118 section 5.2).
    pub const fn uri_name(self) -> &'static str {
        match self {
            Transport::Wss => Transport::Ws.name(),
            other => other.name(),
        }
    }

    /// The upper-case name as in Via.
    pub const fn via_name(self) -> &'static str {
        match self {
            Transport::None => "NONE",
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Sctp => "SCTP",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// 5061 for TLS, 80 and 443 for WebSocket URIs are not assumed: RFC 7118 connections are reused; else 5060.
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
            _ => 5060,
        }
    }

    /// Runs over a connection.
    pub const fn is_stream(self) -> bool {
        matches!(
            self,
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss
        )
    }

    /// Kamailio's number for it (`$pr` as an int, `PROTO_*`): none 0, UDP 1, TCP 2, TLS 3, SCTP 4, WS 5, WSS 6.
    pub const fn number(self) -> i64 {
        self as i64
    }

    /// By name in any case.
    pub fn parse(name: &[u8]) -> Option<Transport> {
        use Transport::*;
        [Udp, Tcp, Tls, Sctp, Ws, Wss]
            .into_iter()
            .find(|t| name.eq_ignore_ascii_case(t.name().as_bytes()))
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Transport {
    type Err = ();
    fn from_str(name: &str) -> Result<Transport, ()> {
        Transport::parse(name.as_bytes()).ok_or(())
    }
}

/// A listener (a bound socket) by its index in the server's table of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// A connection of a stream transport. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// How a message reached this server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Received {
    /// The peer's address; may be changed by `set_source_address()` and HAProxy headers.
    pub source: SocketAddr,
    /// The local address that it came to.
    pub local: SocketAddr,
    /// Over which transport.
    pub transport: Transport,
    /// At which listener.
    pub listener: ListenerId,
    /// Over which connection, for stream transports.
    pub connection: Option<ConnectionId>,
    /// When it was read from the socket.
    pub at: SystemTime,
}

/// Where one message goes: one resolved address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Destination {
    /// The next hop.
    pub to: SocketAddr,
    /// Over which transport; never `None` once resolved.
    pub transport: Transport,
    /// The listener to send from; chosen by the network layer where `None`.
    pub listener: Option<ListenerId>,
    /// A connection to prefer, where it is still open.
    pub connection: Option<ConnectionId>,
    /// What may be done with connections.
    pub flags: SendFlags,
}

/// Kamailio's send flags (`set_forward_close()` and the like).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// Close the connection after the message was sent.
    pub close: bool,
    /// Only an existing connection may be used.
    pub no_connect: bool,
    /// Errors that do not put the destination on the blocklist (`blst_set_ignore()`), as Kamailio's bits.
    pub ignored_errors: u8,
}
