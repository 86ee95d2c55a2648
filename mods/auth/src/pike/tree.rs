//! Requests counted by source: the prefixes of addresses grow byte by byte where there is traffic, and only whole
//! addresses are blocked.
//!
//! An unknown source costs nothing but a hit on the longest prefix that is known. A prefix that was hit a quarter of the
//! density gets one byte longer with each further hit, until the address is whole. So a flood of made-up sources fills
//! no memory; besides, each shard has a bound.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use foldhash::quality::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;

const SHARDS: usize = 64;
/// Prefixes in a shard, at most.
const SHARD_MOST: usize = 16_384;

/// The leading bytes of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Prefix {
    bytes: [u8; 16],
    len: u8,
    /// 4 or 16.
    whole: u8,
}

impl Prefix {
    fn of(ip: IpAddr) -> Prefix {
        let mut bytes = [0; 16];
        let whole = match ip {
            IpAddr::V4(ip) => {
                let (place, _) = bytes.split_at_mut(4);
                place.copy_from_slice(&ip.octets());
                4
            }
            IpAddr::V6(ip) => {
                bytes = ip.octets();
                16
            }
        };
        Prefix {
            bytes,
            len: whole,
            whole,
        }
    }

    fn cut(self, len: u8) -> Prefix {
        let mut bytes = self.bytes;
        bytes.iter_mut().skip(usize::from(len)).for_each(|byte| *byte = 0);
        Prefix { bytes, len, ..self }
    }

    fn is_whole(self) -> bool {
        self.len == self.whole
    }

    fn ip(self) -> IpAddr {
        let [a, b, c, d, ..] = self.bytes;
        if self.whole == 4 {
            IpAddr::from([a, b, c, d])
        } else {
            IpAddr::from(self.bytes)
        }
    }
}

/// What is known of a prefix.
struct Node {
    /// The unit of the last hit.
    unit: u64,
    /// Hits in the unit before that, and in it.
    hits: [u32; 2],
    last: Instant,
    blocked: bool,
}

impl Node {
    fn new(now: Now, hits: u32) -> Node {
        Node {
            unit: now.unit,
            hits: [0, hits],
            last: now.at,
            blocked: false,
        }
    }

    /// Hits in the unit before this one, and in this one.
    fn hits(&self, unit: u64) -> [u32; 2] {
        let [before, last] = self.hits;
        match unit.saturating_sub(self.unit) {
            0 => [before, last],
            1 => [last, 0],
            _ => [0, 0],
        }
    }

    fn hit(&mut self, now: Now) {
        let [before, current] = self.hits(now.unit);
        self.hits = [before, current.saturating_add(1)];
        self.unit = now.unit;
        self.last = now.at;
    }

    /// In one of two units, or in both on average, there were that many.
    fn is_above(&self, unit: u64, limit: u32) -> bool {
        let [before, current] = self.hits(unit);
        before >= limit || current >= limit || before.midpoint(current) >= limit
    }
}

/// The moment of a look.
#[derive(Clone, Copy)]
pub(super) struct Now {
    pub(super) at: Instant,
    /// The number of the sampling unit.
    pub(super) unit: u64,
}

/// How a request is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passes,
    /// Its source is blocked from now on.
    Blocked,
    /// Its source was blocked before.
    StillBlocked,
}

/// A whole address for lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) ip: IpAddr,
    pub(super) before: u32,
    pub(super) current: u32,
    /// How long it was quiet.
    pub(super) quiet: Duration,
    pub(super) hot: bool,
    pub(super) warm: bool,
}

type Shard = Mutex<HashMap<Prefix, Node, RandomState>>;

/// All prefixes.
pub(super) struct Tree {
    shards: Vec<Shard>,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }
}

impl Tree {
    /// Counts a request.
    pub(super) fn count(&self, ip: IpAddr, now: Now, density: u32) -> Verdict {
        let whole = Prefix::of(ip.to_canonical());
        let [first, ..] = whole.bytes;
        let Some(shard) = self.shards.get(usize::from(first) % SHARDS) else {
            return Verdict::Passes;
        };
        let mut nodes = shard.lock();
        if let Some(node) = nodes.get_mut(&whole) {
            node.hit(now);
            return judge(node, now, density);
        }
        let known = (1..whole.len)
            .take_while(|len| nodes.contains_key(&whole.cut(*len)))
            .last();
        let room = nodes.len() < SHARD_MOST;
        let grown = match known {
            None => Some((whole.cut(1), 1)),
            Some(len) => nodes.get_mut(&whole.cut(len)).and_then(|node| {
                node.hit(now);
                let next = whole.cut(len.saturating_add(1));
                let [_, hits] = node.hits;
                let hits = if next.is_whole() { 0 } else { hits };
                node.is_above(now.unit, density / 4).then_some((next, hits))
            }),
        };
        if let Some((prefix, hits)) = grown.filter(|_| room) {
            nodes.insert(prefix, Node::new(now, hits));
        }
        Verdict::Passes
    }

    /// Forgets what was quiet for so long, in one shard; tells the sources there that are blocked no longer.
    pub(super) fn clean(&self, shard: usize, now: Now, density: u32, latency: Duration) -> Vec<IpAddr> {
        let Some(shard) = self.shards.get(shard % SHARDS) else {
            return Vec::new();
        };
        let mut free = Vec::new();
        shard.lock().retain(|prefix, node| {
            if node.blocked && !node.is_above(now.unit, density) {
                node.blocked = false;
                free.push(prefix.ip());
            }
            now.at.saturating_duration_since(node.last) <= latency
        });
        free
    }

    /// How often to clean a shard so that each has its turn once in that time.
    pub(super) const fn shards() -> usize {
        SHARDS
    }

    /// Every whole address.
    pub(super) fn sources(&self, now: Now, density: u32) -> Vec<Source> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let nodes = shard.lock();
            all.extend(
                nodes
                    .iter()
                    .filter(|(prefix, _)| prefix.is_whole())
                    .map(|(prefix, node)| {
                        let [before, current] = node.hits(now.unit);
                        Source {
                            ip: prefix.ip(),
                            before,
                            current,
                            quiet: now.at.saturating_duration_since(node.last),
                            hot: node.is_above(now.unit, density),
                            warm: current >= density / 4,
                        }
                    }),
            );
        }
        all.sort_by_key(|source| {
            (
                std::cmp::Reverse(source.before.saturating_add(source.current)),
                source.ip,
            )
        });
        all
    }
}

fn judge(node: &mut Node, now: Now, density: u32) -> Verdict {
    let hot = node.is_above(now.unit, density);
    let was = std::mem::replace(&mut node.blocked, hot);
    match (hot, was) {
        (false, _) => Verdict::Passes,
        (true, false) => Verdict::Blocked,
        (true, true) => Verdict::StillBlocked,
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    fn now(unit: u64) -> Now {
        let server = Server::default();
        let at = kahea_module::Engine::now(&*server.engine);
        Now { at, unit }
    }

    /// How many requests of a source pass before it is blocked.
    fn passing(tree: &Tree, ip: &str, density: u32, now: Now) -> usize {
        let ip = ip.parse().unwrap();
        (0..)
            .find(|_| tree.count(ip, now, density) != Verdict::Passes)
            .unwrap()
    }

    #[test]
    fn as_many_pass_as_in_kamailio() {
        let now = now(0);
        let tree = Tree::default();
        for (ip, count) in [
            ("127.0.0.1", 11),
            ("127.0.0.2", 8),
            ("10.1.2.3", 11),
            ("10.1.2.4", 8),
            ("::1", 23),
        ] {
            assert_eq!(passing(&tree, ip, 8, now), count, "{ip}");
        }
        let tree = Tree::default();
        for (ip, count) in [
            ("127.0.0.1", 42),
            ("127.0.0.2", 33),
            ("127.0.1.1", 34),
            ("127.1.1.1", 35),
        ] {
            assert_eq!(passing(&tree, ip, 33, now), count, "{ip}");
        }
        assert_eq!(passing(&Tree::default(), "2001:db8::1", 20, now), 38);
    }

    #[test]
    fn a_blocked_source_is_free_after_two_quiet_units() {
        let tree = Tree::default();
        let ip = "10.0.0.1".parse().unwrap();
        passing(&tree, "10.0.0.1", 4, now(0));
        assert_eq!(tree.count(ip, now(0), 4), Verdict::StillBlocked);
        assert_eq!(
            tree.count(ip, now(1), 4),
            Verdict::StillBlocked,
            "the unit before counts"
        );
        assert_eq!(tree.count(ip, now(3), 4), Verdict::Passes);
        assert_eq!(tree.sources(now(3), 4).len(), 1);
    }

    #[test]
    fn cleaning_forgets_and_tells_who_is_free() {
        let tree = Tree::default();
        let start = now(0);
        passing(&tree, "10.0.0.1", 4, start);
        let later = Now {
            at: start.at + Duration::from_secs(10),
            unit: 5,
        };
        let all = |at: Now, latency| -> Vec<IpAddr> {
            (0..Tree::shards())
                .flat_map(|shard| tree.clean(shard, at, 4, Duration::from_secs(latency)))
                .collect()
        };
        assert_eq!(all(start, 120), Vec::<IpAddr>::new());
        assert_eq!(all(later, 120), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(tree.sources(later, 4).len(), 1);
        all(later, 5);
        assert_eq!(tree.sources(later, 4), []);
        assert_eq!(passing(&tree, "10.0.0.1", 4, later), 7, "from the start again");
    }

    #[test]
    fn made_up_sources_fill_no_memory() {
        let (tree, now) = (Tree::default(), now(0));
        for n in 0u32..200_000 {
            tree.count(IpAddr::from(n.wrapping_mul(2_654_435_761).to_be_bytes()), now, 2);
        }
        let nodes: usize = tree.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(nodes <= SHARDS * SHARD_MOST, "{nodes}");
    }
}
