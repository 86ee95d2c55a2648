//! What the commands of the core see of the network layer, and where the server attaches it.

use std::{net::SocketAddr, sync::Arc};

use kahea_module::rpc::RpcFault;
use kahea_net::{
    ConnectionInfo, Net,
    dns::{BlockEntry, BlockReason, CacheEntry, Record, RecordKind},
};
use kahea_sip::Transport;
use parking_lot::RwLock;

/// The network layer, for commands.
pub trait NetControl: Send + Sync {
    /// Worker threads.
    fn workers(&self) -> usize;
    /// Open connections.
    fn connections(&self) -> Vec<ConnectionInfo>;
    /// What the DNS cache holds.
    fn cache(&self) -> Vec<CacheEntry>;
    /// Adds records for `ttl` seconds, or for good.
    fn add_records(&self, name: &str, kind: RecordKind, records: Vec<Record>, ttl: Option<u32>);
    /// Takes records out of the cache; false where there were none.
    fn delete_records(&self, name: &str, kind: RecordKind) -> bool;
    /// Empties the cache, `permanent` entries included or not.
    fn clear_cache(&self, permanent: bool);
    /// Destinations that are avoided.
    fn blocklist(&self) -> Vec<BlockEntry>;
    /// Avoids a destination from now on; false where the list is full.
    fn block(&self, address: SocketAddr, transport: Transport) -> bool;
    /// Avoids nothing any more.
    fn clear_blocklist(&self);
}

impl NetControl for Arc<Net> {
    fn workers(&self) -> usize {
        Net::workers(self)
    }

    fn connections(&self) -> Vec<ConnectionInfo> {
        Net::connections(self)
    }

    fn cache(&self) -> Vec<CacheEntry> {
        self.resolver().entries()
    }

    fn add_records(&self, name: &str, kind: RecordKind, records: Vec<Record>, ttl: Option<u32>) {
        self.resolver().add(name, kind, records, ttl);
    }

    fn delete_records(&self, name: &str, kind: RecordKind) -> bool {
        self.resolver().delete(name, kind)
    }

    fn clear_cache(&self, permanent: bool) {
        self.resolver().clear(permanent);
    }

    fn blocklist(&self) -> Vec<BlockEntry> {
        Net::blocklist(self).list()
    }

    fn block(&self, address: SocketAddr, transport: Transport) -> bool {
        Net::blocklist(self).add(address, transport, BlockReason::Admin, None)
    }

    fn clear_blocklist(&self) {
        Net::blocklist(self).clear();
    }
}

/// Where the server puts its network layer for the commands of the core: `shared.keep(NetSlot::default).attach(…)`.
///
/// It may be attached before or after modules start, and stays over reloads.
#[derive(Default)]
pub struct NetSlot(RwLock<Option<Arc<dyn NetControl>>>);

impl NetSlot {
    /// Attaches it.
    pub fn attach(&self, control: impl NetControl + 'static) {
        *self.0.write() = Some(Arc::new(control));
    }

    /// What is attached.
    ///
    /// # Errors
    /// 500 before the network is there.
    pub fn get(&self) -> Result<Arc<dyn NetControl>, RpcFault> {
        let attached = self.0.read().clone();
        attached.ok_or_else(|| RpcFault::new(500, "The network is not started"))
    }
}

#[cfg(test)]
pub mod fake {
    //! A network layer of lists.

    use kahea_net::dns::ResolveError;
    use parking_lot::Mutex;

    use super::*;

    /// Keeps what it is told.
    #[derive(Default)]
    pub struct FakeControl {
        /// The cache.
        pub cache: Mutex<Vec<CacheEntry>>,
        /// The list.
        pub blocked: Mutex<Vec<BlockEntry>>,
        /// Connections.
        pub connections: Vec<ConnectionInfo>,
    }

    impl FakeControl {
        /// Remembers that a name does not exist.
        pub fn negative(&self, name: &str) {
            self.cache.lock().push(CacheEntry {
                name: name.into(),
                kind: RecordKind::A,
                answer: Err(ResolveError::NotFound(name.into())),
                expires_in: Some(60),
            });
        }
    }

    impl NetControl for Arc<FakeControl> {
        fn workers(&self) -> usize {
            2
        }

        fn connections(&self) -> Vec<ConnectionInfo> {
            self.connections.clone()
        }

        fn cache(&self) -> Vec<CacheEntry> {
            self.cache.lock().clone()
        }

        fn add_records(&self, name: &str, kind: RecordKind, records: Vec<Record>, ttl: Option<u32>) {
            self.cache.lock().push(CacheEntry {
                name: name.into(),
                kind,
                answer: Ok(records.into()),
                expires_in: ttl.map(u64::from),
            });
        }

        fn delete_records(&self, name: &str, kind: RecordKind) -> bool {
            let mut cache = self.cache.lock();
            let before = cache.len();
            cache.retain(|entry| &*entry.name != name || entry.kind != kind);
            cache.len() < before
        }

        fn clear_cache(&self, permanent: bool) {
            self.cache
                .lock()
                .retain(|entry| !permanent && entry.expires_in.is_none());
        }

        fn blocklist(&self) -> Vec<BlockEntry> {
            self.blocked.lock().clone()
        }

        fn block(&self, address: SocketAddr, transport: Transport) -> bool {
            self.blocked.lock().push(BlockEntry {
                address,
                transport,
                reason: BlockReason::Admin,
                remaining: std::time::Duration::from_secs(60),
            });
            true
        }

        fn clear_blocklist(&self) {
            self.blocked.lock().clear();
        }
    }
}
