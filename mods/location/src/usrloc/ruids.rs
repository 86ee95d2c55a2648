//! From the identifier of a contact to the hash of its address of record.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use smallvec::SmallVec;

/// Hash of the identifier, hash of the address.
type Entry = (u32, u32);

/// The index; it holds no texts, so that what it finds is a hint to be checked.
pub(crate) struct Ruids {
    shards: Box<[Mutex<HashTable<Entry>>]>,
    seed: RandomState,
}

fn spread(hash: u32) -> u64 {
    let wide = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    wide ^ (wide >> 32)
}

impl Ruids {
    /// With so many shards, a power of 2.
    pub fn new(shards: usize) -> Ruids {
        Ruids {
            shards: (0..shards.max(1)).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
        }
    }

    fn hash(&self, ruid: &[u8]) -> u32 {
        (self.seed.hash_one(ruid) >> 32) as u32
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "the mask is less than the number of shards, which is a power of 2"
    )]
    fn shard(&self, hash: u32) -> &Mutex<HashTable<Entry>> {
        let mask = self.shards.len().wrapping_sub(1);
        &self.shards[usize::try_from(hash).unwrap_or(0) & mask]
    }

    /// A contact is new.
    pub fn insert(&self, ruid: &[u8], aor: u32) {
        let own = self.hash(ruid);
        let mut shard = self.shard(own).lock();
        shard.insert_unique(spread(own), (own, aor), |(own, _)| spread(*own));
    }

    /// A contact is gone.
    pub fn remove(&self, ruid: &[u8], aor: u32) {
        let own = self.hash(ruid);
        let mut shard = self.shard(own).lock();
        if let Ok(found) = shard.find_entry(spread(own), |entry| *entry == (own, aor)) {
            found.remove();
        }
    }

    /// Hashes of the addresses that may have this contact.
    pub fn find(&self, ruid: &[u8]) -> SmallVec<[u32; 2]> {
        let own = self.hash(ruid);
        let shard = self.shard(own).lock();
        let same = shard.iter_hash(spread(own)).filter(|(known, _)| *known == own);
        same.map(|(_, aor)| *aor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let ruids = Ruids::new(4);
        for n in 0..1000u32 {
            ruids.insert(format!("uloc-1-2-{n}").as_bytes(), n);
        }
        assert_eq!(ruids.find(b"uloc-1-2-77").as_slice(), [77]);
        ruids.remove(b"uloc-1-2-77", 77);
        assert!(ruids.find(b"uloc-1-2-77").is_empty());
        assert_eq!(ruids.find(b"uloc-1-2-78").as_slice(), [78]);
    }
}
