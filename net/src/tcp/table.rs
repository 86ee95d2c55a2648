//! The connection table: by number, by the peer's address, by its aliases. Shared by all workers, in shards.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use kahea_sip::{ConnectionId, Transport};
use parking_lot::Mutex;

use super::connection::Connection;

const SHARDS: usize = 16;

type Map<K, V> = Mutex<HashMap<K, V, foldhash::fast::RandomState>>;
type Peer = (Transport, SocketAddr);

/// Every connection of the server.
#[derive(Debug)]
pub struct Table {
    by_id: [Map<ConnectionId, Arc<Connection>>; SHARDS],
    by_peer: [Map<Peer, Vec<Arc<Connection>>>; SHARDS],
    accepted_from: Map<IpAddr, usize>,
    open: AtomicUsize,
    next: AtomicU64,
}

/// What [`Table::dial`] found.
pub enum Dialled {
    /// An open connection, or one being opened.
    Existing(Arc<Connection>),
    /// A new one that the caller must have opened.
    New(Arc<Connection>),
    /// There is no room.
    Full,
}

impl Table {
    /// An empty table.
    pub fn new() -> Table {
        Table {
            by_id: std::array::from_fn(|_| Mutex::default()),
            by_peer: std::array::from_fn(|_| Mutex::default()),
            accepted_from: Mutex::default(),
            open: AtomicUsize::new(0),
            next: AtomicU64::new(1),
        }
    }

    /// A number that was never used.
    pub fn next_id(&self) -> ConnectionId {
        ConnectionId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes a place for one more connection; false at the limit. Given back by [`Table::remove`] or
    /// [`Table::release`].
    pub fn reserve(&self, limit: usize) -> bool {
        let one_more = |open: usize| (open < limit).then_some(open.saturating_add(1));
        self.open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }

    /// Gives a place back that no connection took.
    pub fn release(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts one more accepted connection from `ip`; false at the limit (0 is none).
    pub fn admit(&self, ip: IpAddr, limit: usize) -> bool {
        let mut counts = self.accepted_from.lock();
        let count = counts.entry(ip).or_insert(0);
        if limit > 0 && *count >= limit {
            return false;
        }
        *count = count.saturating_add(1);
        true
    }

    /// Takes back [`Table::admit`].
    pub fn dismiss(&self, ip: IpAddr) {
        let mut counts = self.accepted_from.lock();
        if let Some(count) = counts.get_mut(&ip) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&ip);
            }
        }
    }

    /// Enters a connection whose place was reserved.
    pub fn insert(&self, connection: &Arc<Connection>) {
        let peer = connection.state.lock().peer;
        self.id_shard(connection.id)
            .lock()
            .insert(connection.id, connection.clone());
        let key = (connection.transport, peer);
        self.peer_shard(&key)
            .lock()
            .entry(key)
            .or_insert_with(|| Vec::with_capacity(1))
            .push(connection.clone());
    }

    /// By number.
    pub fn get(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.id_shard(id).lock().get(&id).cloned()
    }

    /// By the peer's address or an alias; `fits` chooses among several, the newest first.
    pub fn find(
        &self,
        transport: Transport,
        peer: SocketAddr,
        fits: impl Fn(&Connection) -> bool,
    ) -> Option<Arc<Connection>> {
        let key = (transport, peer);
        let shard = self.peer_shard(&key).lock();
        shard.get(&key)?.iter().rev().find(|c| fits(c)).cloned()
    }

    /// Finds a connection or enters the one that `make` gives, as one step: two senders never open two.
    pub fn dial(
        &self,
        transport: Transport,
        peer: SocketAddr,
        limit: usize,
        fits: impl Fn(&Connection) -> bool,
        make: impl FnOnce(ConnectionId) -> Connection,
    ) -> Dialled {
        let key = (transport, peer);
        let mut shard = self.peer_shard(&key).lock();
        if let Some(found) = shard
            .get(&key)
            .and_then(|list| list.iter().rev().find(|c| fits(c)))
        {
            return Dialled::Existing(found.clone());
        }
        if !self.reserve(limit) {
            return Dialled::Full;
        }
        let connection = Arc::new(make(self.next_id()));
        shard
            .entry(key)
            .or_insert_with(|| Vec::with_capacity(1))
            .push(connection.clone());
        drop(shard);
        self.id_shard(connection.id)
            .lock()
            .insert(connection.id, connection.clone());
        Dialled::New(connection)
    }

    /// Makes a connection reachable by another port of its peer. False where the address is another's already.
    pub fn add_alias(&self, connection: &Arc<Connection>, port: u16) -> bool {
        let mut address = connection.state.lock().peer;
        address.set_port(port);
        let key = (connection.transport, address);
        let mut shard = self.peer_shard(&key).lock();
        let list = shard.entry(key).or_insert_with(|| Vec::with_capacity(1));
        if let Some(holder) = list.first() {
            return holder.id == connection.id;
        }
        let mut state = connection.state.lock();
        if state.dead || state.aliases.len() >= MAX_ALIASES {
            shard.remove(&key);
            return false;
        }
        state.aliases.push(address);
        list.push(connection.clone());
        true
    }

    /// It is found by its address: its peer has not ended it.
    pub fn is_shown(&self, connection: &Connection) -> bool {
        let peer = connection.state.lock().peer;
        self.find(connection.transport, peer, |known| known.id == connection.id)
            .is_some()
    }

    /// Takes a connection out of the addresses: it goes on, but nobody finds it by address.
    pub fn hide(&self, connection: &Connection) {
        let mut addresses = {
            let mut state = connection.state.lock();
            std::mem::take(&mut state.aliases)
        };
        addresses.push(connection.state.lock().peer);
        for address in addresses {
            let key = (connection.transport, address);
            let mut shard = self.peer_shard(&key).lock();
            if let Some(list) = shard.get_mut(&key) {
                list.retain(|c| c.id != connection.id);
                if list.is_empty() {
                    shard.remove(&key);
                }
            }
        }
    }

    /// Takes a connection out and gives its place back.
    pub fn remove(&self, connection: &Connection) {
        self.hide(connection);
        if self
            .id_shard(connection.id)
            .lock()
            .remove(&connection.id)
            .is_some()
        {
            self.release();
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<Connection>> {
        self.by_id
            .iter()
            .flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>())
            .collect()
    }

    fn id_shard(&self, id: ConnectionId) -> &Map<ConnectionId, Arc<Connection>> {
        let [first, ..] = &self.by_id;
        self.by_id.get(id.0 as usize % SHARDS).unwrap_or(first)
    }

    fn peer_shard(&self, key: &Peer) -> &Map<Peer, Vec<Arc<Connection>>> {
        use std::hash::BuildHasher;
        let [first, ..] = &self.by_peer;
        // Another hasher than the maps': otherwise the keys of one shard would share their low bits.
        let hash = FixedState::with_seed(7).hash_one(key);
        self.by_peer.get((hash >> 40) as usize % SHARDS).unwrap_or(first)
    }
}

/// Aliases of one connection; more are refused.
const MAX_ALIASES: usize = 8;

#[cfg(test)]
mod tests {
    use kahea_sip::ListenerId;

    use super::*;
    use crate::TcpConfig;

    fn peer(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn enter(table: &Table, port: u16) -> Arc<Connection> {
        let make = |id| {
            Connection::new(
                id,
                Transport::Tcp,
                0,
                ListenerId(0),
                false,
                (peer(port), peer(1)),
                &TcpConfig::default(),
            )
        };
        match table.dial(Transport::Tcp, peer(port), 2, |_| true, make) {
            Dialled::New(connection) | Dialled::Existing(connection) => connection,
            Dialled::Full => panic!("full"),
        }
    }

    #[tokio::test]
    async fn one_peer_gets_one_connection_and_the_limit_holds() {
        let table = Table::new();
        let first = enter(&table, 5060);
        assert_eq!(enter(&table, 5060).id, first.id);
        enter(&table, 5061);
        let make = |_| unreachable!("there is no room");
        assert!(matches!(
            table.dial(Transport::Tcp, peer(5062), 2, |_| true, make),
            Dialled::Full
        ));
        table.remove(&first);
        assert_eq!(table.len(), 1);
        assert!(table.find(Transport::Tcp, peer(5060), |_| true).is_none());
        assert!(table.get(first.id).is_none());
    }

    #[tokio::test]
    async fn an_alias_cannot_take_the_address_of_another() {
        let table = Table::new();
        let (first, second) = (enter(&table, 40_000), enter(&table, 5060));
        assert!(
            !table.add_alias(&first, 5060),
            "that is the second one's own address"
        );
        assert!(table.add_alias(&first, 5070));
        assert!(table.add_alias(&first, 5070), "twice is no harm");
        assert!(!table.add_alias(&second, 5070));
        assert_eq!(
            table.find(Transport::Tcp, peer(5070), |_| true).unwrap().id,
            first.id
        );
        table.remove(&first);
        assert!(table.find(Transport::Tcp, peer(5070), |_| true).is_none());
    }

    #[test]
    fn connections_from_one_address_are_counted() {
        let (table, ip) = (Table::new(), peer(0).ip());
        assert!(table.admit(ip, 1));
        assert!(!table.admit(ip, 1));
        table.dismiss(ip);
        assert!(table.admit(ip, 1));
        assert!(table.accepted_from.lock().len() == 1);
    }
}
