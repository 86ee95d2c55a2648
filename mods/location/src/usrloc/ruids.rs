//! From the identifier of a contact to the hash of its address of record.

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::shards::{Shards, spread};

/// Hash of the identifier, hash of the address.
type Entry = (u32, u32);

/// The index; it holds no texts, so that what it finds is a hint to be checked.
pub(crate) struct Ruids {
    shards: Shards<HashTable<Entry>>,
}

impl Ruids {
    /// With 2^`bits` shards.
    pub fn new(bits: u32) -> Ruids {
        Ruids {
            shards: Shards::new(bits),
        }
    }

    /// A contact is new.
    pub fn insert(&self, ruid: &[u8], aor: u32) {
        let own = self.shards.hash(ruid);
        let mut shard = self.shards.of(own).lock();
        shard.insert_unique(spread(own), (own, aor), |(own, _)| spread(*own));
    }

    /// A contact is gone.
    pub fn remove(&self, ruid: &[u8], aor: u32) {
        let own = self.shards.hash(ruid);
        let mut shard = self.shards.of(own).lock();
        if let Ok(found) = shard.find_entry(spread(own), |entry| *entry == (own, aor)) {
            found.remove();
        }
    }

    /// Hashes of the addresses that may have this contact.
    pub fn find(&self, ruid: &[u8]) -> SmallVec<[u32; 2]> {
        let own = self.shards.hash(ruid);
        let shard = self.shards.of(own).lock();
        let same = shard.iter_hash(spread(own)).filter(|(known, _)| *known == own);
        same.map(|(_, aor)| *aor).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        let ruids = Ruids::new(2);
        for n in 0..1000u32 {
            ruids.insert(format!("uloc-1-2-{n}").as_bytes(), n);
        }
        assert_eq!(ruids.find(b"uloc-1-2-77").as_slice(), [77]);
        ruids.remove(b"uloc-1-2-77", 77);
        assert!(ruids.find(b"uloc-1-2-77").is_empty());
        assert_eq!(ruids.find(b"uloc-1-2-78").as_slice(), [78]);
    }
}
