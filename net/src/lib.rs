//! Sockets, connections and DNS: UDP and TCP on IPv4 and IPv6, the connection table, RFC 3263.
//!
//! [`Net::bind`] opens the listeners; every worker thread takes its [`Worker`] and awaits [`Worker::run`], which hands
//! messages to the worker's [`Sink`]. [`Worker::send`] and [`Net::send`] never wait. [`dns::Resolver`] turns host
//! names into [`dns::Targets`].

mod bind;
mod clock;
pub mod config;
pub mod dns;
mod event;
mod listener;
mod net;
mod owner;
mod stats;
mod sys;
mod tcp;
mod udp;
mod worker;

pub use self::{
    config::{BlocklistConfig, DnsConfig, ListenAddress, ListenSpec, NetConfig, TcpConfig},
    event::{BAD_FRAME_HEAD, CloseReason, NetEvent, SendError, SendOutcome, Sink},
    listener::{BindError, ListenerInfo},
    net::{ConnectionInfo, Inherited, Net},
    stats::{Counter, NetStats, StatRow},
    worker::Worker,
};
