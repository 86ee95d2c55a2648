//! [`Net`]: the network layer as all threads share it.

use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use kahea_sip::{ConnectionId, Destination, ListenerId, Str, Transport};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    BindError, CloseReason, ListenerInfo, NetConfig, NetStats, SendError, SendOutcome, Worker, bind,
    dns::{Blocklist, Resolver},
    listener::{Listener, Listeners},
    tcp::{
        connection::{self, Connection},
        table::{Dialled, Table},
    },
    udp::MAX_DATAGRAM,
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
    config: ArcSwap<NetConfig>,
    listeners: ArcSwap<Listeners>,
    workers: usize,
    table: Table,
    stats: Arc<NetStats>,
    resolver: Resolver,
    blocklist: Blocklist,
    dials: Vec<mpsc::UnboundedSender<Dial>>,
    pending_dials: Mutex<Vec<Option<mpsc::UnboundedReceiver<Dial>>>>,
    changed: watch::Sender<Change>,
    next_worker: AtomicUsize,
    routes: Mutex<HashMap<IpAddr, (IpAddr, Instant)>>,
    reloading: Mutex<()>,
}

/// A connection that a worker is asked to open.
#[derive(Debug)]
pub(crate) struct Dial {
    pub connection: Arc<Connection>,
    pub source: Option<SocketAddr>,
}

/// What workers watch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Counts changes of the listeners.
    pub listeners: u64,
    /// The server stops.
    pub stopping: bool,
}

/// A connection as the RPC and scripts see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Its transport.
    pub transport: Transport,
    /// The other side.
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
    /// Addresses that it is also known under.
    pub aliases: Vec<SocketAddr>,
    /// Seconds since it came up.
    pub age: u64,
    /// Seconds until it is closed when nothing happens; `None` for never.
    pub expires_in: Option<u64>,
}

/// How long an answer of the routing table is believed (`mhomed`).
const ROUTE_LIFE: Duration = Duration::from_secs(5);

/// Destinations whose route is remembered.
const ROUTES: usize = 4096;

impl Net {
    /// Opens every listener of `config` for `workers` threads, or says for each one that failed why.
    ///
    /// Must be called before privileges are dropped; needs no runtime.
    pub fn bind(config: NetConfig, workers: usize, inherited: Inherited) -> Result<Arc<Net>, Vec<BindError>> {
        let stats = Arc::new(NetStats::default());
        let resolver = Resolver::new(&config.dns, stats.clone(), random_seed());
        Net::bind_with(config, workers, inherited, stats, resolver)
    }

    /// [`Net::bind`] with a resolver that was made elsewhere.
    pub fn bind_with(
        config: NetConfig,
        workers: usize,
        inherited: Inherited,
        stats: Arc<NetStats>,
        resolver: Resolver,
    ) -> Result<Arc<Net>, Vec<BindError>> {
        let workers = workers.max(1);
        let mut sockets = inherited.sockets;
        let listeners = Listeners::default().with(&config, workers, &mut sockets)?;
        let (dials, pending): (Vec<_>, Vec<_>) = (0..workers)
            .map(|_| {
                let (sender, receiver) = mpsc::unbounded_channel();
                (sender, Some(receiver))
            })
            .unzip();
        Ok(Arc::new(Net {
            blocklist: Blocklist::new(&config.blocklist),
            config: ArcSwap::from_pointee(config),
            listeners: ArcSwap::from_pointee(listeners),
            workers,
            table: Table::new(),
            stats,
            resolver,
            dials,
            pending_dials: Mutex::new(pending),
            changed: watch::Sender::new(Change::default()),
            next_worker: AtomicUsize::new(0),
            routes: Mutex::default(),
            reloading: Mutex::new(()),
        }))
    }

    /// The part of worker `index`; call it on that worker's thread, once.
    pub fn worker(self: &Arc<Net>, index: usize) -> Worker {
        Worker::new(self.clone(), index)
    }

    /// How many workers the listeners were opened for.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Takes another configuration: opens listeners that are new, and stops the ones that are gone (their connections
    /// live on). Nothing is changed where one fails.
    pub fn replace(&self, config: NetConfig) -> Result<(), Vec<BindError>> {
        let _one_at_a_time = self.reloading.lock();
        let listeners = self
            .listeners
            .load()
            .with(&config, self.workers, &mut Vec::new())?;
        self.resolver.configure(&config.dns);
        self.blocklist.configure(&config.blocklist);
        self.listeners.store(Arc::new(listeners));
        self.config.store(Arc::new(config));
        self.routes.lock().clear();
        self.changed
            .send_modify(|change| change.listeners = change.listeners.wrapping_add(1));
        Ok(())
    }

    /// Ends [`Worker::run`] on every worker, after what is queued was sent or `tcp_send_timeout` has passed.
    pub fn shutdown(&self) {
        self.changed.send_modify(|change| change.stopping = true);
        for connection in self.table.all() {
            connection.close(CloseReason::Shutdown, true);
        }
    }

    /// Sends from any thread. Never waits; what comes of it later is a [`crate::NetEvent`] on a worker.
    pub fn send(&self, destination: &Destination, data: Str) -> Result<SendOutcome, SendError> {
        let worker = self.next_worker.fetch_add(1, Ordering::Relaxed) % self.workers;
        if destination.transport == Transport::Udp {
            let listener = self.udp_listener(destination, &data)?;
            let end = listener
                .udp(worker)
                .ok_or(SendError::Unsupported(Transport::Udp))?;
            return end.send(destination.to, data, &self.stats);
        }
        self.send_stream(destination, data, worker)
    }

    /// The open listener that a datagram leaves from.
    pub(crate) fn udp_listener(
        &self,
        destination: &Destination,
        data: &Str,
    ) -> Result<Arc<Listener>, SendError> {
        if data.len() > MAX_DATAGRAM {
            return Err(SendError::TooLong(data.len()));
        }
        self.sending_listener(destination)
            .ok_or(SendError::NoListener(Transport::Udp, destination.to))
    }

    /// Queues a message at a connection, opening one on `worker` where there is none.
    pub(crate) fn send_stream(
        &self,
        destination: &Destination,
        data: Str,
        worker: usize,
    ) -> Result<SendOutcome, SendError> {
        if destination.transport != Transport::Tcp {
            return Err(SendError::Unsupported(destination.transport));
        }
        let config = self.config.load();
        let named = destination.connection.and_then(|id| self.table.get(id));
        if let Some(named) = named
            && let Ok(outcome) = self.queue(&named, destination, data.clone(), &config)
        {
            return Ok(outcome);
        }
        let source = self.wanted_source(destination);
        let fits = |candidate: &Connection| usable(candidate, source, config.tcp.connection_match == 1);
        let (transport, to) = (destination.transport, destination.to);
        if destination.flags.no_connect || config.tcp.no_connect {
            let found = self
                .table
                .find(transport, to, fits)
                .ok_or(SendError::NoConnection(to))?;
            return self.queue(&found, destination, data, &config);
        }
        if self.changed.borrow().stopping {
            return Err(SendError::Shutdown);
        }
        let listener = self
            .sending_listener(destination)
            .ok_or(SendError::NoListener(transport, to))?;
        let local = self.dial_source(&listener, destination, &config);
        let ends = (to, local.unwrap_or(listener.info.socket_addr()));
        let make = |id| Connection::new(id, transport, worker, listener.info.id, false, ends, &config.tcp);
        match self
            .table
            .dial(transport, to, config.tcp.max_connections, fits, make)
        {
            Dialled::Existing(found) => self.queue(&found, destination, data, &config),
            Dialled::New(connection) => {
                let outcome = self.queue(&connection, destination, data, &config);
                self.dial(connection, local);
                outcome
            }
            Dialled::Full => {
                self.stats.local_reject.increment();
                Err(SendError::TooManyConnections)
            }
        }
    }

    fn dial(&self, connection: Arc<Connection>, source: Option<SocketAddr>) {
        let Some(worker) = self.dials.get(connection.worker) else {
            return;
        };
        if let Err(mpsc::error::SendError(dial)) = worker.send(Dial { connection, source }) {
            self.table.remove(&dial.connection);
        }
    }

    fn queue(
        &self,
        connection: &Connection,
        destination: &Destination,
        data: Str,
        config: &NetConfig,
    ) -> Result<SendOutcome, SendError> {
        connection.queue(data, Some(*destination), &config.tcp, &self.stats)?;
        self.stats.sent.increment();
        Ok(SendOutcome::Queued(connection.id))
    }

    /// The local address that a connection must have, where the sender named a listener.
    fn wanted_source(&self, destination: &Destination) -> Option<SocketAddr> {
        let info = self.listener(destination.listener?)?;
        (!info.address.is_unspecified()).then(|| info.socket_addr())
    }

    /// Where a new connection is bound to: the listener that was named, else `tcp_source_*`, else the kernel's choice.
    fn dial_source(
        &self,
        listener: &Listener,
        destination: &Destination,
        config: &NetConfig,
    ) -> Option<SocketAddr> {
        let info = &listener.info;
        let named = destination.listener.is_some() || config.tcp.reuse_port;
        if named && !info.address.is_unspecified() && info.address.is_ipv4() == destination.to.is_ipv4() {
            let port = if config.tcp.reuse_port { info.port } else { 0 };
            return Some(SocketAddr::new(info.address, port));
        }
        let ip = match destination.to {
            SocketAddr::V4(_) => config.tcp.source_ipv4.map(IpAddr::from),
            SocketAddr::V6(_) => config.tcp.source_ipv6.map(IpAddr::from),
        };
        ip.map(|ip| SocketAddr::new(ip, 0))
    }

    /// The listener that `destination` names where it can serve, its sibling of the right transport, or the default.
    fn sending_listener(&self, destination: &Destination) -> Option<Arc<Listener>> {
        let listeners = self.listeners.load();
        let (transport, to) = (destination.transport, destination.to);
        let serves = |l: &Listener| l.info.transport == transport && l.info.address.is_ipv4() == to.is_ipv4();
        if let Some(named) = destination.listener.and_then(|id| listeners.info(id)) {
            let exact = listeners.open(named.id).filter(|l| serves(l));
            let sibling = || {
                listeners
                    .iter()
                    .find(|l| serves(l) && l.info.socket_addr() == named.socket_addr())
            };
            if let Some(found) = exact.or_else(sibling) {
                return Some(found.clone());
            }
        }
        self.default_listener(&listeners, transport, to)
    }

    fn default_listener(
        &self,
        listeners: &Listeners,
        transport: Transport,
        to: SocketAddr,
    ) -> Option<Arc<Listener>> {
        let serves =
            |l: &&Arc<Listener>| l.info.transport == transport && l.info.address.is_ipv4() == to.is_ipv4();
        if self.config.load().mhomed
            && let Some(source) = self.route(to)
        {
            let on_route = |l: &&Arc<Listener>| l.info.address == source || l.info.address.is_unspecified();
            if let Some(found) = listeners.iter().filter(serves).find(on_route) {
                return Some(found.clone());
            }
        }
        let ordinary = |l: &&Arc<Listener>| !l.info.address.is_loopback() && !l.info.mcast;
        let found = listeners.iter().filter(serves).find(ordinary);
        found.or_else(|| listeners.iter().find(serves)).cloned()
    }

    /// The local address of the kernel's route to `to`, remembered for a few seconds.
    fn route(&self, to: SocketAddr) -> Option<IpAddr> {
        let now = Instant::now();
        let known = self.routes.lock().get(&to.ip()).copied();
        if let Some((source, until)) = known
            && until > now
        {
            return Some(source);
        }
        let source = bind::route_source(to)?;
        let mut routes = self.routes.lock();
        if routes.len() >= ROUTES {
            routes.retain(|_, (_, until)| *until > now);
            if routes.len() >= ROUTES {
                routes.clear();
            }
        }
        routes.insert(to.ip(), (source, now + ROUTE_LIFE));
        Some(source)
    }

    /// The listener to send to `to` from: Kamailio's `get_send_socket`. `mhomed` asks the kernel's routes, otherwise the
    /// first listener of the transport and family that is neither loopback nor multicast, else the first.
    pub fn choose_listener(&self, transport: Transport, to: SocketAddr) -> Option<ListenerId> {
        self.default_listener(&self.listeners.load(), transport, to)
            .map(|l| l.info.id)
    }

    /// The listener with this number, also after it was closed.
    pub fn listener(&self, id: ListenerId) -> Option<Arc<ListenerInfo>> {
        self.listeners.load().info(id).cloned()
    }

    /// Every open listener, in the order of the configuration.
    pub fn listeners(&self) -> Vec<Arc<ListenerInfo>> {
        self.listeners.load().iter().map(|l| l.info.clone()).collect()
    }

    /// The open listener with this address; `Transport::None` and port 0 match any.
    pub fn find_listener(
        &self,
        transport: Transport,
        address: IpAddr,
        port: u16,
    ) -> Option<Arc<ListenerInfo>> {
        let listeners = self.listeners.load();
        let fits = |info: &ListenerInfo| {
            (transport == Transport::None || info.transport == transport)
                && info.address == address
                && (port == 0 || info.port == port)
        };
        listeners.iter().find(|l| fits(&l.info)).map(|l| l.info.clone())
    }

    /// The open listener with this name.
    pub fn find_listener_by_name(&self, name: &str) -> Option<Arc<ListenerInfo>> {
        let listeners = self.listeners.load();
        listeners
            .iter()
            .find(|l| l.info.name.as_deref() == Some(name))
            .map(|l| l.info.clone())
    }

    /// One connection.
    pub fn connection(&self, id: ConnectionId) -> Option<ConnectionInfo> {
        self.table.get(id).map(|c| c.info())
    }

    /// Every connection, for `core.tcp_list`.
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        self.table.all().iter().map(|c| c.info()).collect()
    }

    /// How many connections there are, open or being opened.
    pub fn connection_count(&self) -> usize {
        self.table.len()
    }

    /// An open connection to `peer`, by its address or an alias.
    pub fn find_connection(&self, transport: Transport, peer: SocketAddr) -> Option<ConnectionId> {
        self.table.find(transport, peer, |_| true).map(|c| c.id)
    }

    /// Makes a connection reachable under another port of its peer (`force_tcp_alias`, `add_tcp_alias`, RFC 5923).
    /// False where it is gone, or the address belongs to another connection.
    pub fn add_alias(&self, id: ConnectionId, port: u16) -> bool {
        self.table
            .get(id)
            .is_some_and(|connection| self.table.add_alias(&connection, port))
    }

    /// Changes the idle lifetime of one connection, in seconds (`tcp_set_connection_lifetime`); negative is never.
    pub fn set_lifetime(&self, id: ConnectionId, seconds: i64) -> bool {
        let Some(connection) = self.table.get(id) else {
            return false;
        };
        connection.state.lock().lifetime = connection::lifetime(seconds);
        connection.wake.notify_one();
        true
    }

    /// The connection is there, and neither side has begun to end it.
    pub fn is_open(&self, id: ConnectionId) -> bool {
        let known = self.table.get(id);
        known.is_some_and(|connection| self.table.is_shown(&connection))
    }

    /// Closes a connection after what is queued was sent; false where it is gone.
    pub fn close(&self, id: ConnectionId, reason: CloseReason) -> bool {
        let Some(connection) = self.table.get(id) else {
            return false;
        };
        connection.close(reason, true);
        true
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

    /// The configuration in force.
    pub fn config(&self) -> Arc<NetConfig> {
        self.config.load_full()
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Change> {
        self.changed.subscribe()
    }

    pub(crate) fn take_dials(&self, worker: usize) -> Option<mpsc::UnboundedReceiver<Dial>> {
        self.pending_dials.lock().get_mut(worker)?.take()
    }

    pub(crate) fn open_listeners(&self) -> Arc<Listeners> {
        self.listeners.load_full()
    }
}

/// The connection may carry a message that is to leave from `source`.
fn usable(candidate: &Connection, source: Option<SocketAddr>, match_port: bool) -> bool {
    let state = candidate.state.lock();
    if state.dead || state.closing.is_some() {
        return false;
    }
    let Some(source) = source else { return true };
    state.local.ip() == source.ip() && (!match_port || state.local.port() == source.port())
}

/// A seed that differs between runs: choices by SRV weight need no more.
fn random_seed() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}
