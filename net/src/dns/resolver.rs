//! [`Resolver`]: look-ups with a cache, sharing of what is under way, and RFC 3263.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use kahea_sip::Transport;
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    Record, RecordData, RecordKind,
    cache::{Answer, Cache, Key, normal},
    hosts::Hosts,
    locate::{Located, locate},
    random::Random,
    wire::Wire,
};
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
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    config: ArcSwap<DnsConfig>,
    wire: ArcSwap<Result<Wire, String>>,
    servers: Option<Vec<SocketAddr>>,
    hosts: ArcSwap<Hosts>,
    cache: Cache,
    /// Look-ups that somebody waits for: whoever asks the same joins.
    flights: Mutex<HashMap<Key, watch::Receiver<Option<Answer>>>>,
    random: Mutex<Random>,
    stats: Arc<NetStats>,
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver")
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}

/// Different look-ups under way; more are refused, so that a flood of names cannot fill the memory.
const FLIGHTS: usize = 4096;

/// Rounds of questions that one name may take: NAPTR, SRV, addresses of each family, and one to spare.
const ROUNDS: usize = 5;

impl Resolver {
    /// A resolver with the servers of `/etc/resolv.conf` and the names of `/etc/hosts`; `seed` starts the choice by
    /// weight. Where `/etc/resolv.conf` cannot be read, only literals, hosts and added records resolve.
    pub fn new(config: &DnsConfig, stats: Arc<NetStats>, seed: u64) -> Resolver {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        Resolver::with_servers(config, None, &hosts, stats, seed)
    }

    /// A resolver with the given servers (`None`: those of the system) and text of a hosts file.
    pub fn with_servers(
        config: &DnsConfig,
        servers: Option<Vec<SocketAddr>>,
        hosts: &str,
        stats: Arc<NetStats>,
        seed: u64,
    ) -> Resolver {
        let shared = Shared {
            config: ArcSwap::from_pointee(config.clone()),
            wire: ArcSwap::from_pointee(Wire::new(config, servers.as_deref())),
            servers,
            hosts: ArcSwap::from_pointee(Hosts::parse(hosts)),
            cache: Cache::default(),
            flights: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
            stats,
        };
        Resolver {
            shared: Arc::new(shared),
        }
    }

    /// Takes other settings and reads the system's files again. The cache stays.
    pub fn configure(&self, config: &DnsConfig) {
        let shared = &self.shared;
        if shared.servers.is_none() {
            let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
            shared.hosts.store(Arc::new(Hosts::parse(&hosts)));
        }
        shared
            .wire
            .store(Arc::new(Wire::new(config, shared.servers.as_deref())));
        shared.config.store(Arc::new(config.clone()));
    }

    /// RFC 3263 at once: an answer where `query` is an address or everything needed is in the cache; `None` where
    /// [`Resolver::resolve`] must be awaited.
    pub fn try_resolve(&self, query: Query<'_>) -> Option<Result<Targets, ResolveError>> {
        match self.locate(query, &|name, kind| self.known(name, kind)) {
            Located::Found(list) => Some(Ok(Targets(list.into()))),
            Located::Failed(error) => Some(Err(error)),
            Located::Need(_) => None,
        }
    }

    /// RFC 3263: where to send to for this URI, best first.
    pub async fn resolve(&self, query: Query<'_>) -> Result<Targets, ResolveError> {
        // What was learnt in this call counts even where the cache does not keep it (TTL 0, cache off).
        let mut learnt: HashMap<(String, RecordKind), Answer> = HashMap::new();
        for _ in 0..ROUNDS {
            let known = |name: &str, kind| {
                let own = learnt.get(&(name.to_owned(), kind)).cloned();
                own.or_else(|| self.known(name, kind))
            };
            let needs = match self.locate(query, &known) {
                Located::Found(list) => return Ok(Targets(list.into())),
                Located::Failed(error) => return Err(error),
                Located::Need(needs) => needs,
            };
            // All of them start before the first is awaited.
            let flights: Vec<_> = needs.iter().map(|(name, kind)| self.start(name, *kind)).collect();
            for (need, flight) in needs.into_iter().zip(flights) {
                let answer = self.arrive(&need.0, flight).await;
                learnt.insert(need, answer);
            }
        }
        Err(ResolveError::NotFound(query.host.into()))
    }

    fn locate(&self, query: Query<'_>, known: &dyn Fn(&str, RecordKind) -> Option<Answer>) -> Located {
        let config = self.shared.config.load();
        // Drawn under the lock, used outside: the work of one look-up does not hold up others.
        let seed = self.shared.random.lock().up_to(u32::MAX);
        locate(query, &config, &mut Random::new(seed.into()), known)
    }

    /// The records of a name at once, where the cache or the hosts file has them.
    pub fn try_lookup(&self, name: &str, kind: RecordKind) -> Option<Result<Arc<[Record]>, ResolveError>> {
        self.known(&normal(name), kind)
    }

    /// The records of a name, from the cache, the hosts file (A, AAAA) or a server. Never an empty list.
    pub async fn lookup(&self, name: &str, kind: RecordKind) -> Result<Arc<[Record]>, ResolveError> {
        let name = normal(name);
        if let Some(answer) = self.known(&name, kind) {
            return answer;
        }
        let flight = self.start(&name, kind);
        self.arrive(&name, flight).await
    }

    fn known(&self, name: &str, kind: RecordKind) -> Option<Answer> {
        let found = self.shared.cache.find(name, kind);
        if found.is_some() {
            self.shared.stats.dns_cache_hits.increment();
            return found;
        }
        self.in_hosts(name, kind).map(Ok)
    }

    fn in_hosts(&self, name: &str, kind: RecordKind) -> Option<Arc<[Record]>> {
        let hosts = self.shared.hosts.load();
        let fits = |ip: &IpAddr| match (ip, kind) {
            (IpAddr::V4(ip), RecordKind::A) => Some(RecordData::A(*ip)),
            (IpAddr::V6(ip), RecordKind::Aaaa) => Some(RecordData::Aaaa(*ip)),
            _ => None,
        };
        let records: Vec<Record> = hosts
            .find(name)?
            .iter()
            .filter_map(fits)
            .map(|data| Record { ttl: 0, data })
            .collect();
        (!records.is_empty()).then(|| records.into())
    }

    /// Joins a look-up that is under way, or starts one in a task of its own: it goes on when whoever asked gives up.
    fn start(&self, name: &str, kind: RecordKind) -> Option<watch::Receiver<Option<Answer>>> {
        let key = Key {
            name: name.into(),
            kind,
        };
        let mut flights = self.shared.flights.lock();
        if let Some(flight) = flights.get(&key) {
            return Some(flight.clone());
        }
        if flights.len() >= FLIGHTS {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(key.clone(), receiver.clone());
        drop(flights);
        let landing = Landing {
            shared: self.shared.clone(),
            key,
        };
        tokio::spawn(async move {
            let answer = landing.shared.ask(&landing.key).await;
            drop(landing);
            sender.send_replace(Some(answer));
        });
        Some(receiver)
    }

    async fn arrive(&self, name: &str, flight: Option<watch::Receiver<Option<Answer>>>) -> Answer {
        let server = |cause: &str| Err(ResolveError::Server(name.into(), cause.into()));
        let Some(mut flight) = flight else {
            return server("too many look-ups are under way");
        };
        match flight.wait_for(Option::is_some).await {
            Ok(answer) => answer.clone().unwrap_or_else(|| server("no answer")),
            Err(_) => server("the look-up was given up"),
        }
    }

    /// Adds records by hand (`dns.add_a` and the like); `ttl` of `None` is for good.
    pub fn add(&self, name: &str, kind: RecordKind, records: Vec<Record>, ttl: Option<u32>) {
        let name: Arc<str> = normal(name).into();
        let answer = if records.is_empty() {
            Err(ResolveError::NotFound(name.clone()))
        } else {
            Ok(records.into())
        };
        self.shared.cache.add(Key { name, kind }, answer, ttl);
    }

    /// Deletes an entry (`dns.delete_a` and the like); false where there is none.
    pub fn delete(&self, name: &str, kind: RecordKind) -> bool {
        self.shared.cache.remove(&normal(name), kind)
    }

    /// Empties the cache; `permanent` also deletes what was added for good (`dns.delete_all_force`).
    pub fn clear(&self, permanent: bool) {
        self.shared.cache.clear(permanent);
    }

    /// Everything in the cache.
    pub fn entries(&self) -> Vec<CacheEntry> {
        self.shared.cache.list()
    }
}

/// Takes the look-up off the list of those under way, also where its task is dropped.
struct Landing {
    shared: Arc<Shared>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.flights.lock().remove(&self.key);
    }
}

impl Shared {
    async fn ask(&self, key: &Key) -> Answer {
        let config = self.config.load_full();
        let wire = self.wire.load_full();
        let began = Instant::now();
        self.stats.dns_requests.increment();
        let answer = match &*wire {
            Ok(wire) => wire.ask(&key.name, key.kind, config.use_search_list).await,
            Err(cause) => Err(ResolveError::Server(key.name.clone(), cause.as_str().into())),
        };
        let slow = u128::try_from(config.slow_query_ms).unwrap_or(0);
        if slow > 0 && began.elapsed().as_millis() > slow {
            self.stats.slow_dns_request.increment();
        }
        if answer.is_err() {
            self.stats.failed_dns_request.increment();
        }
        if config.use_dns_cache {
            self.cache.insert(key.clone(), answer.clone(), &config);
        }
        answer
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResolveError::NotFound(name) => write!(f, "`{name}` has no usable DNS record"),
            ResolveError::Timeout(name) => write!(f, "no name server answered for `{name}` in time"),
            ResolveError::Server(name, cause) => write!(f, "the look-up of `{name}` failed: {cause}"),
            ResolveError::BadName(name) => write!(f, "`{}` is not a host name", name.escape_debug()),
        }
    }
}

impl std::error::Error for ResolveError {}
