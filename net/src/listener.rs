//! Listeners: what is bound, under which number, and how others find it.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use kahea_sip::{ListenerId, Transport};

/// What a script, an RPC or the sending side may know of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerInfo {
    /// Its number, as in [`kahea_sip::Received::listener`].
    pub id: ListenerId,
    /// Its transport.
    pub transport: Transport,
    /// Its address (`$Ri`); unspecified where all are bound.
    pub address: IpAddr,
    /// Its port (`$Rp`), also where the kernel picked it.
    pub port: u16,
    /// What others are told (`$RAi`, `$RAp`).
    pub advertise: Option<(String, u16)>,
    /// Its name (`$Rn`, `$fsn`).
    pub name: Option<String>,
    /// Its action group.
    pub agname: Option<String>,
    /// The host or interface as the configuration has it, for listings.
    pub written: String,
    /// Bound whether or not the host has the address.
    pub r#virtual: bool,
    /// A multicast group.
    pub mcast: bool,
    /// The host has other addresses of the transport that it may have to send from.
    pub mhomed: bool,
    /// `workers` as written.
    pub workers: Option<u32>,
}

impl ListenerInfo {
    /// Address and port.
    pub fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl fmt::Display for ListenerInfo {
    /// As in `listen=`: `udp:127.0.0.1:5060`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport, self.socket_addr())
    }
}

/// Why a listener is not there: which, why, and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The listener as written: `udp:eth7:5060`.
    pub listener: String,
    /// Its place in [`crate::NetConfig::listen`], for the span of the configuration line.
    pub index: Option<usize>,
    /// What is wrong.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot listen on {}: {}; {}",
            self.listener, self.cause, self.remedy
        )
    }
}

impl std::error::Error for BindError {}
