//! Sockets, connections and DNS: UDP and TCP on IPv4 and IPv6, the connection table, RFC 3263.
//!
//! [`Net::bind`] opens the listeners; every worker thread takes its [`Worker`] and awaits [`Worker::run`], which hands
//! messages to the worker's [`Sink`]. [`Worker::send`] and [`Net::send`] never wait. [`dns::Resolver`] turns host
//! names into [`dns::Targets`].

pub mod config;
pub mod dns;
mod event;
mod listener;
mod net;
mod stats;

pub use self::{
    config::{BlocklistConfig, DnsConfig, ListenAddress, ListenSpec, NetConfig, TcpConfig},
    event::{BAD_FRAME_HEAD, CloseReason, NetEvent, SendError, SendOutcome, Sink},
    listener::{BindError, ListenerInfo},
    net::{ConnectionInfo, Inherited, Net, Worker},
    stats::{Counter, NetStats, StatRow},
};
