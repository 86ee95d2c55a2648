//! [`Net`], shared by all threads, and [`Worker`], the part of one thread.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    rc::Rc,
    sync::Arc,
};

use kahea_sip::{ConnectionId, Destination, ListenerId, Str, Transport};

use crate::{
    BindError, CloseReason, ListenerInfo, NetConfig, NetStats, SendError, SendOutcome, Sink,
    dns::{Blocklist, Resolver},
};

/// Sockets that were opened before this process, as in systemd's socket activation.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Bound sockets; matched to listeners by type, address and port.
    pub sockets: Vec<OwnedFd>,
}

/// The network layer of the server, shared by all its threads.
#[derive(Debug)]
pub struct Net {
    stats: Arc<NetStats>,
    resolver: Resolver,
    blocklist: Blocklist,
}

/// A connection as the RPC and scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Its transport.
    pub transport: Transport,
    /// The other side (after a PROXY header: the real peer).
    pub peer: SocketAddr,
    /// This side.
    pub local: SocketAddr,
    /// The listener that accepted it.
    pub accepted_by: Option<ListenerId>,
    /// The worker that owns it.
    pub worker: usize,
    /// It is being opened.
    pub connecting: bool,
    /// Bytes waiting to be sent.
    pub queued: usize,
    /// Ports and addresses it is also known under.
    pub aliases: Vec<SocketAddr>,
    /// Seconds since it came up.
    pub age: u64,
    /// Seconds until it is closed when nothing happens; `None` for never.
    pub expires_in: Option<u64>,
}

impl Net {
    /// Opens every listener of `config` for `workers` threads, or says for each one that failed why.
    ///
    /// Must be called before privileges are dropped; needs no runtime.
    pub fn bind(config: NetConfig, workers: usize, inherited: Inherited) -> Result<Arc<Net>, Vec<BindError>> {
        let _ = (workers, inherited);
        let stats = Arc::new(NetStats::default());
        let resolver = Resolver::new(&config.dns, stats.clone(), 1);
        let blocklist = Blocklist::new(&config.blocklist);
        Ok(Arc::new(Net {
            stats,
            resolver,
            blocklist,
        }))
    }

    /// The part of worker `index`; call it on that worker's thread, once.
    pub fn worker(self: &Arc<Net>, index: usize) -> Worker {
        Worker {
            net: self.clone(),
            index,
        }
    }

    /// Takes another configuration: opens listeners that are new, and stops the ones that are gone (their connections
    /// live on). Nothing is changed where one fails.
    pub fn replace(&self, config: NetConfig) -> Result<(), Vec<BindError>> {
        let _ = config;
        Ok(())
    }

    /// Ends [`Worker::run`] on every worker, after what is queued was sent or `tcp_send_timeout` has passed.
    pub fn shutdown(&self) {}

    /// Sends from any thread. Never waits; what comes of it later is a [`crate::NetEvent`] on a worker.
    pub fn send(&self, destination: &Destination, data: Str) -> Result<SendOutcome, SendError> {
        let _ = (destination, data);
        Err(SendError::Shutdown)
    }

    /// The listener to send to `to` from: Kamailio's `get_send_socket`. `mhomed` asks the kernel's routes, otherwise
    /// the first listener of the transport and family.
    pub fn choose_listener(&self, transport: Transport, to: SocketAddr) -> Option<ListenerId> {
        let _ = (transport, to);
        None
    }

    /// The listener with this number, also after it was closed.
    pub fn listener(&self, id: ListenerId) -> Option<Arc<ListenerInfo>> {
        let _ = id;
        None
    }

    /// Every open listener, in the order of the configuration.
    pub fn listeners(&self) -> Vec<Arc<ListenerInfo>> {
        Vec::new()
    }

    /// The listener with this address; `Transport::None` and port 0 match any.
    pub fn find_listener(
        &self,
        transport: Transport,
        address: IpAddr,
        port: u16,
    ) -> Option<Arc<ListenerInfo>> {
        self.listeners().into_iter().find(|l| {
            (transport == Transport::None || l.transport == transport)
                && l.address == address
                && (port == 0 || l.port == port)
        })
    }

    /// The listener with this name.
    pub fn find_listener_by_name(&self, name: &str) -> Option<Arc<ListenerInfo>> {
        self.listeners()
            .into_iter()
            .find(|l| l.name.as_deref() == Some(name))
    }

    /// One connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        let _ = id;
        None
    }

    /// Every connection, for `core.tcp_list`.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        Vec::new()
    }

    /// An open connection to `peer`, by its address or an alias.
    pub fn find_connection(&self, transport: Transport, peer: SocketAddr) -> Option<ConnectionId> {
        let _ = (transport, peer);
        None
    }

    /// Makes a connection reachable under another port of its peer (`force_tcp_alias`, `add_tcp_alias`, RFC 5923).
    /// False where it is gone, or the address belongs to another connection.
    pub fn add_alias(&self, id: ConnectionId, port: u16) -> bool {
        let _ = (id, port);
        false
    }

    /// Changes the idle lifetime of one connection, in seconds (`tcp_set_connection_lifetime`); negative is never.
    pub fn set_lifetime(&self, id: ConnectionId, seconds: i64) -> bool {
        let _ = (id, seconds);
        false
    }

    /// Closes a connection after what is queued was sent.
    pub fn close(&self, id: ConnectionId, reason: CloseReason) -> bool {
        let _ = (id, reason);
        false
    }

    /// DNS.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// The destination blocklist.
    pub fn blocklist(&self) -> &Blocklist {
        &self.blocklist
    }

    /// Counters.
    pub fn stats(&self) -> &Arc<NetStats> {
        &self.stats
    }
}

/// The network layer of one worker thread. Cheap to clone; stays on its thread.
#[derive(Clone, Debug)]
pub struct Worker {
    net: Arc<Net>,
    index: usize,
}

impl Worker {
    /// Receives until [`Net::shutdown`], handing everything to `sink`. Await it inside a `LocalSet` (or a local
    /// runtime) of a current-thread runtime with I/O and time enabled.
    pub async fn run(&self, sink: Rc<dyn Sink>) -> io::Result<()> {
        let _ = sink;
        Ok(())
    }

    /// Sends. Datagrams sent from inside [`Sink::message`] leave together when the receive batch is done; at other times
    /// they leave at once. Never waits.
    pub fn send(&self, destination: &Destination, data: Str) -> Result<SendOutcome, SendError> {
        self.net.send(destination, data)
    }

    /// Which worker this is.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The shared part.
    pub fn net(&self) -> &Arc<Net> {
        &self.net
    }
}
