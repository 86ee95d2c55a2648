//! Tables in parts, each under a lock of its own, found by the hash of a text.

use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use parking_lot::Mutex;

/// The parts.
pub(crate) struct Shards<T> {
    all: Box<[Mutex<T>]>,
    seed: RandomState,
}

impl<T: Default> Shards<T> {
    /// 2^`bits` of them, 2^16 at most.
    pub fn new(bits: u32) -> Shards<T> {
        let count = 1usize.checked_shl(bits.min(16)).unwrap_or(1);
        Shards {
            all: (0..count).map(|_| Mutex::default()).collect(),
            seed: RandomState::default(),
        }
    }
}

impl<T> Shards<T> {
    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The hash of a text; another one after a restart.
    pub fn hash(&self, text: &[u8]) -> u32 {
        (self.seed.hash_one(text) >> 32) as u32
    }

    /// The part of what has this hash.
    #[expect(
        clippy::indexing_slicing,
        reason = "the mask is less than the number of shards, which is a power of 2"
    )]
    pub fn of(&self, hash: u32) -> &Mutex<T> {
        let mask = self.all.len().wrapping_sub(1);
        &self.all[usize::try_from(hash).unwrap_or(0) & mask]
    }

    /// The part of this number.
    pub fn get(&self, at: usize) -> Option<&Mutex<T>> {
        self.all.get(at)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mutex<T>> {
        self.all.iter()
    }
}

/// The place of a hash in the table of one part: its low bits chose the part, so others must count.
pub(crate) fn spread(hash: u32) -> u64 {
    let wide = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    wide ^ (wide >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_spread_over_all_parts() {
        let shards = Shards::<usize>::new(3);
        for n in 0..800 {
            *shards.of(shards.hash(format!("alice-{n}").as_bytes())).lock() += 1;
        }
        assert_eq!(shards.len(), 8);
        assert!(shards.iter().all(|part| (50..200).contains(&*part.lock())));
        assert!(shards.get(7).is_some() && shards.get(8).is_none());
    }
}
