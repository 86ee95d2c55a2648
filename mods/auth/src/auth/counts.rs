//! What is remembered of nonces: the highest count of each, or whether it was used, in arrays of atomics.
//!
//! A nonce that needs state has a number, drawn from its pool's counter. Its place in the array is the number's
//! remainder; a number so old that its place was given to another is refused. The arrays outlive reloads.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// log2 of the number of nonces with a count; `None` without `nonce_count`.
    pub(super) counts: Option<u32>,
    /// log2 of the number of one-time nonces; `None` without `one_time_nonce`.
    pub(super) once: Option<u32>,
    /// log2 of the number of pools, at most 6.
    pub(super) pools: u32,
}

/// A nonce's number and the pool that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) pool: u8,
    pub(super) id: u32,
}

/// What a look at a nonce's state tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It may be used.
    Fresh,
    /// The same count, or the nonce itself, was used before.
    Used,
    /// Its state is gone, or it cannot be kept.
    Unknown,
}

/// The state of all nonces under way.
pub(super) struct Counts {
    sizes: Sizes,
    /// Enters the hash of numbered nonces: those of another process, or of arrays of other sizes, are unknown here.
    pub(super) salt: [u8; 16],
    next: Vec<AtomicU32>,
    counts: Vec<AtomicU8>,
    used: Vec<AtomicU64>,
}

/// The place of a number, and the mask of its bit.
struct Place<'a> {
    word: &'a AtomicU64,
    bit: u64,
}

impl Counts {
    pub(super) fn new(sizes: Sizes) -> Counts {
        let len = |order: Option<u32>| order.map_or(0, |order| 1usize.checked_shl(order).unwrap_or(0));
        Counts {
            sizes,
            salt: *uuid::Uuid::new_v4().as_bytes(),
            next: (0..1usize << sizes.pools).map(|_| AtomicU32::new(0)).collect(),
            counts: (0..len(sizes.counts)).map(|_| AtomicU8::new(0)).collect(),
            used: (0..len(sizes.once).div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// A number for a new nonce of that worker; its places are cleared.
    pub(super) fn draw(&self, worker: usize) -> Option<Number> {
        let pool = u8::try_from(worker.checked_rem(self.next.len())?).ok()?;
        let id = self.next.get(usize::from(pool))?.fetch_add(1, Relaxed);
        let number = Number { pool, id };
        if let Some(count) = self.count(number) {
            count.store(0, Relaxed);
        }
        if let Some(Place { word, bit }) = self.once(number) {
            word.fetch_and(!bit, Relaxed);
        }
        Some(number)
    }

    /// Takes note of a count: it must be above those seen before, and at most 255.
    pub(super) fn take(&self, number: Number, count: u32) -> Seen {
        self.with_count(number, count, |place, count| {
            let above = |seen: u8| (count > seen).then_some(count);
            place.fetch_update(Relaxed, Relaxed, above).is_ok()
        })
    }

    /// The same without taking note.
    pub(super) fn look(&self, number: Number, count: u32) -> Seen {
        self.with_count(number, count, |place, count| count > place.load(Relaxed))
    }

    fn with_count(&self, number: Number, count: u32, above: impl Fn(&AtomicU8, u8) -> bool) -> Seen {
        let place = self
            .count(number)
            .filter(|_| self.is_current(number, self.sizes.counts));
        match (place, u8::try_from(count)) {
            (Some(place), Ok(count)) if above(place, count) => Seen::Fresh,
            (Some(_), Ok(_)) => Seen::Used,
            _ => Seen::Unknown,
        }
    }

    /// Takes note that the nonce is used; it may be used once.
    pub(super) fn take_once(&self, number: Number) -> Seen {
        match self
            .once(number)
            .filter(|_| self.is_current(number, self.sizes.once))
        {
            Some(Place { word, bit }) if word.fetch_or(bit, Relaxed) & bit == 0 => Seen::Fresh,
            Some(_) => Seen::Used,
            None => Seen::Unknown,
        }
    }

    /// The number was given out, and its place to no other since.
    fn is_current(&self, number: Number, order: Option<u32>) -> bool {
        let Some((next, order)) = self.next.get(usize::from(number.pool)).zip(order) else {
            return false;
        };
        let age = next.load(Relaxed).wrapping_sub(number.id);
        let share = 1u32
            .checked_shl(order.saturating_sub(self.sizes.pools))
            .unwrap_or(u32::MAX);
        (1..=share).contains(&age)
    }

    /// The place of a number in an array of 2^order: each pool has a share of it.
    fn at(&self, number: Number, order: u32) -> usize {
        let share = order.saturating_sub(self.sizes.pools);
        let within = u64::from(number.id) & (1u64 << share).wrapping_sub(1);
        usize::try_from(u64::from(number.pool) << share | within).unwrap_or(usize::MAX)
    }

    fn count(&self, number: Number) -> Option<&AtomicU8> {
        self.counts.get(self.at(number, self.sizes.counts?))
    }

    fn once(&self, number: Number) -> Option<Place<'_>> {
        let at = self.at(number, self.sizes.once?);
        let bit = 1u64.checked_shl(u32::try_from(at % 64).ok()?)?;
        self.used.get(at / 64).map(|word| Place { word, bit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(order: u32, pools: u32) -> Counts {
        Counts::new(Sizes {
            counts: Some(order),
            once: Some(order),
            pools,
        })
    }

    #[test]
    fn counts_must_grow() {
        let all = counts(10, 0);
        let number = all.draw(0).unwrap();
        assert_eq!(all.take(number, 1), Seen::Fresh);
        assert_eq!(all.take(number, 1), Seen::Used);
        assert_eq!(all.look(number, 5), Seen::Fresh);
        assert_eq!(all.take(number, 5), Seen::Fresh);
        assert_eq!(
            (all.take(number, 4), all.look(number, 5)),
            (Seen::Used, Seen::Used)
        );
        assert_eq!(
            (all.take(number, 255), all.take(number, 256)),
            (Seen::Fresh, Seen::Unknown)
        );
        assert_eq!(all.take(number, 0), Seen::Used);
        assert_ne!(all.salt, counts(10, 0).salt);
    }

    #[test]
    fn one_time_nonces_are_taken_once_by_one_of_many_threads() {
        let all = counts(10, 2);
        let number = all.draw(3).unwrap();
        assert_eq!(number.pool, 3);
        let fresh = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| all.take_once(number))).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .filter(|seen| *seen == Seen::Fresh)
                .count()
        });
        assert_eq!(fresh, 1);
    }

    #[test]
    fn numbers_whose_place_was_given_away_or_that_were_never_given_are_unknown() {
        let all = counts(6, 1);
        let first = all.draw(0).unwrap();
        let other = all.draw(1).unwrap();
        for _ in 0..31 {
            all.draw(0).unwrap();
        }
        assert_eq!(all.look(first, 1), Seen::Fresh, "the pool has room for 32");
        all.draw(0).unwrap();
        assert_eq!(
            (all.look(first, 1), all.take_once(first)),
            (Seen::Unknown, Seen::Unknown)
        );
        assert_eq!(all.take_once(other), Seen::Fresh, "the other pool is not touched");
        let ahead = Number { pool: 0, id: 900 };
        assert_eq!(all.take_once(ahead), Seen::Unknown);
        assert_eq!(all.take_once(Number { pool: 9, id: 0 }), Seen::Unknown);
    }
}
