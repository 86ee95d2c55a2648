//! Which engine has a call: remembered from its first command to its deletion, and how new calls are spread.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use kahea_module::Str;
use parking_lot::Mutex;
use sha1::{Digest, Sha1};

/// A call, or the part of it that a Via branch names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// The Call-ID.
    pub call_id: Str,
    /// The Via branch; empty for the whole call.
    pub via_branch: Str,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    node: usize,
    until: Instant,
}

#[derive(Debug)]
struct Shard {
    entries: HashMap<CallKey, Entry>,
    /// When ended entries are looked for again.
    sweep: Instant,
}

/// The table of calls. Survives reloads.
#[derive(Debug)]
pub struct Calls {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
}

/// Between two searches of a shard for ended entries.
const SWEEP: Duration = Duration::from_secs(10);

impl Calls {
    /// With so many shards (`hash_table_size`); at least one.
    pub fn new(shards: usize, now: Instant) -> Calls {
        let shard = || {
            Mutex::new(Shard {
                entries: HashMap::new(),
                sweep: now,
            })
        };
        Calls {
            shards: (0..shards.clamp(1, 65_536)).map(|_| shard()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The engine of a call, by its place among the nodes.
    pub fn node_of(&self, key: &CallKey, now: Instant) -> Option<usize> {
        let shard = self.shard(key)?.lock();
        shard
            .entries
            .get(key)
            .filter(|entry| entry.until > now)
            .map(|entry| entry.node)
    }

    /// Remembers the engine of a call for that long.
    pub fn insert(&self, key: &CallKey, node: usize, now: Instant, life: Duration) {
        let Some(shard) = self.shard(key) else { return };
        let mut shard = shard.lock();
        if shard.sweep <= now {
            shard.entries.retain(|_, entry| entry.until > now);
            shard.sweep = now.checked_add(SWEEP).unwrap_or(now);
        }
        let until = now.checked_add(life).unwrap_or(now);
        // The texts are parts of a message, whose whole buffer they would keep.
        let key = CallKey {
            call_id: key.call_id.detach(),
            via_branch: key.via_branch.detach(),
        };
        shard.entries.insert(key, Entry { node, until });
    }

    /// Forgets a call.
    pub fn remove(&self, key: &CallKey) {
        if let Some(shard) = self.shard(key) {
            shard.lock().entries.remove(key);
        }
    }

    /// How many calls are known; ended ones that were not swept yet count.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }

    fn shard(&self, key: &CallKey) -> Option<&Mutex<Shard>> {
        let count = u64::try_from(self.shards.len()).ok()?;
        let at = self.hasher.hash_one(key).checked_rem(count)?;
        self.shards.get(usize::try_from(at).ok()?)
    }
}

/// How a Call-ID becomes the number that chooses an engine (`hash_algo`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// The sum of its bytes.
    #[default]
    Legacy,
    /// The sum of the bytes of its SHA-1.
    Sha1,
    /// Its CRC-32.
    Crc32,
}

impl HashAlgorithm {
    /// By its number; `None` for one that there is not.
    pub fn of_number(number: i64) -> Option<HashAlgorithm> {
        match number {
            0 => Some(HashAlgorithm::Legacy),
            1 => Some(HashAlgorithm::Sha1),
            2 => Some(HashAlgorithm::Crc32),
            _ => None,
        }
    }

    /// The number of a Call-ID, as Kamailio works it out, so that servers of both kinds choose the same engine.
    pub fn hash(self, call_id: &[u8]) -> u32 {
        match self {
            HashAlgorithm::Legacy => call_id
                .iter()
                .fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)) & 0xff),
            // Kamailio's bytes are signed.
            HashAlgorithm::Sha1 => Sha1::digest(call_id).iter().fold(0_u32, |sum, byte| {
                sum.wrapping_add_signed(i32::from(byte.cast_signed()))
            }),
            HashAlgorithm::Crc32 => crc32(call_id),
        }
    }
}

/// ISO 3309.
fn crc32(data: &[u8]) -> u32 {
    let bits = |mut crc: u32| {
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    };
    !data
        .iter()
        .fold(u32::MAX, |crc, byte| bits(crc ^ u32::from(*byte)))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "an origin for the test's clock")]
mod tests {
    use super::*;

    fn key(call_id: &str, branch: &str) -> CallKey {
        CallKey {
            call_id: call_id.into(),
            via_branch: branch.into(),
        }
    }

    #[test]
    fn calls_are_known_until_they_end() {
        let now = Instant::now();
        let calls = Calls::new(0, now);
        calls.insert(&key("a", ""), 3, now, Duration::from_secs(60));
        calls.insert(&key("a", "b"), 4, now, Duration::from_secs(5));
        assert_eq!(calls.node_of(&key("a", ""), now), Some(3));
        assert_eq!(calls.node_of(&key("a", "b"), now), Some(4));
        let later = now + Duration::from_secs(20);
        assert_eq!(calls.node_of(&key("a", "b"), later), None);
        calls.insert(&key("c", ""), 1, later, Duration::from_secs(60));
        assert_eq!(calls.len(), 2, "the ended one is swept");
        calls.remove(&key("a", ""));
        assert_eq!(calls.node_of(&key("a", ""), now), None);
    }

    #[test]
    fn hashes_are_kamailios() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(HashAlgorithm::Legacy.hash(b"f6"), 156);
        // Recorded: with weights 2 and 1 these go to the first and the second engine.
        let share = |call_id: &str| HashAlgorithm::Sha1.hash(call_id.as_bytes()) % 3;
        assert!(share("2call74@h2.example") < 2 && share("0call0@h0.example") == 2);
        assert_eq!(HashAlgorithm::of_number(3), None);
    }
}
