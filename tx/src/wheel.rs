//! A timer wheel: the deadlines of very many transactions at little cost each.

use std::collections::VecDeque;

use crate::time::Time;

/// Milliseconds of one slot of the innermost ring.
const GRAIN: u64 = 8;
/// Slots of each ring, a power of two.
const SLOTS: u64 = 256;
/// Rings: 2 s, 8 min 44 s, 37 h; anything later waits in the outermost.
const RINGS: u32 = 3;

/// Deadlines with something at each.
///
/// A deadline is never taken out early: whoever is woken looks whether there is still something to do. Items come out
/// up to [`Wheel::grain`] late and never early.
#[derive(Debug)]
pub struct Wheel<T> {
    rings: Vec<Vec<VecDeque<(Time, T)>>>,
    /// All items before this slot of the innermost ring are out.
    at: u64,
    /// Items in each ring.
    counts: [usize; RINGS as usize],
}

impl<T> Wheel<T> {
    /// An empty wheel that begins at `now`.
    pub fn new(now: Time) -> Wheel<T> {
        let ring = || (0..SLOTS).map(|_| VecDeque::new()).collect();
        Wheel {
            rings: (0..RINGS).map(|_| ring()).collect(),
            at: now.0.div_euclid(GRAIN),
            counts: [0; RINGS as usize],
        }
    }

    /// How late an item may come out, in milliseconds.
    pub const fn grain() -> u64 {
        GRAIN
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// There is nothing to wait for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has `item` come out at `deadline`.
    pub fn push(&mut self, deadline: Time, item: T) {
        self.place(deadline, item);
    }

    fn place(&mut self, deadline: Time, item: T) {
        // The slot that ends at or after the deadline, so that nothing comes early.
        let slot = deadline.0.div_ceil(GRAIN).max(self.at);
        let (ring, slot) = self.ring_of(slot);
        if let Some(items) = self.slot(ring, slot) {
            items.push_back((deadline, item));
            self.count(ring, |count| count.saturating_add(1));
        }
    }

    /// The innermost ring that reaches as far as `slot`, and the slot's place in it.
    fn ring_of(&self, slot: u64) -> (u32, u64) {
        let mut width = 1_u64;
        for ring in 0..RINGS {
            let (here, there) = (self.at.div_euclid(width), slot.div_euclid(width));
            if there.saturating_sub(here) < SLOTS {
                return (ring, there);
            }
            width = width.saturating_mul(SLOTS);
        }
        let width = SLOTS.saturating_pow(RINGS.saturating_sub(1));
        let last = self.at.div_euclid(width).saturating_add(SLOTS.saturating_sub(1));
        (RINGS.saturating_sub(1), last)
    }

    fn slot(&mut self, ring: u32, slot: u64) -> Option<&mut VecDeque<(Time, T)>> {
        let place = usize::try_from(slot.rem_euclid(SLOTS)).ok()?;
        self.rings.get_mut(usize::try_from(ring).ok()?)?.get_mut(place)
    }

    /// Takes out every item whose deadline lies at or before `now`, in the order of their deadlines up to the grain.
    pub fn take_due(&mut self, now: Time, mut take: impl FnMut(T)) {
        let (end, before) = (now.0.div_euclid(GRAIN), self.at);
        while self.at <= end {
            self.at = self.next_stop();
            if self.at > end {
                break;
            }
            self.turn_outer_rings();
            let at = self.at;
            while let Some((_, item)) = self.slot(0, at).and_then(VecDeque::pop_front) {
                self.count(0, |count| count.saturating_sub(1));
                take(item);
            }
            self.at = at.saturating_add(1);
        }
        self.at = end.saturating_add(1).max(before);
    }

    /// The first slot from here on where something may come out or be spread: with empty inner rings that is where the
    /// first ring that is not empty turns.
    fn next_stop(&self) -> u64 {
        let mut width = 1_u64;
        for count in self.counts {
            if count > 0 {
                return self.at.div_ceil(width).saturating_mul(width);
            }
            width = width.saturating_mul(SLOTS);
        }
        u64::MAX
    }

    fn count(&mut self, ring: u32, change: impl FnOnce(usize) -> usize) {
        if let Some(count) = usize::try_from(ring)
            .ok()
            .and_then(|ring| self.counts.get_mut(ring))
        {
            *count = change(*count);
        }
    }

    /// Where the innermost ring begins a new round, the next slot of the outer one is spread over it.
    fn turn_outer_rings(&mut self) {
        let mut width = SLOTS;
        for ring in 1..RINGS {
            if self.at.rem_euclid(width) != 0 {
                return;
            }
            let slot = self.at.div_euclid(width);
            let items = self.slot(ring, slot).map(std::mem::take).unwrap_or_default();
            self.count(ring, |count| count.saturating_sub(items.len()));
            for (deadline, item) in items {
                self.place(deadline, item);
            }
            width = width.saturating_mul(SLOTS);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn items_come_out_in_time_from_every_ring() {
        let mut wheel = Wheel::new(Time(1_000));
        let deadlines = [1_001, 1_500, 3_100, 31_000, 700_000, 200_000_000];
        for deadline in deadlines {
            wheel.push(Time(deadline), deadline);
        }
        let mut now = 1_000;
        while !wheel.is_empty() {
            now += 1_000;
            wheel.take_due(Time(now), |deadline| {
                assert!(deadline <= now && now <= deadline + 1_000 + Wheel::<u64>::grain());
            });
        }
    }

    /// Distances of every size: within a slot, within each ring, and beyond.
    fn distance() -> impl Strategy<Value = u64> {
        (0_u32..31, any::<u64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
    }

    proptest! {
        #[test]
        fn nothing_is_early_lost_or_late(
            steps in proptest::collection::vec((distance(), proptest::collection::vec(distance(), 0..5)), 1..60),
            start in distance(),
        ) {
            let grain = Wheel::<u64>::grain();
            let mut wheel = Wheel::new(Time(start));
            let (mut now, mut waiting) = (start, Vec::new());
            let last = (1 << 32, Vec::new());
            for (step, pushed) in steps.into_iter().chain([last]) {
                for distance in pushed {
                    wheel.push(Time(now + distance), now + distance);
                    waiting.push(now + distance);
                }
                now += step;
                let mut out = Vec::new();
                wheel.take_due(Time(now), |deadline| out.push(deadline));
                for deadline in out {
                    prop_assert!(deadline <= now, "early");
                    let at = waiting.iter().position(|known| *known == deadline);
                    prop_assert!(at.is_some(), "never pushed, or out twice");
                    waiting.swap_remove(at.unwrap_or_default());
                }
                prop_assert!(waiting.iter().all(|deadline| deadline + grain > now), "late");
                prop_assert_eq!(wheel.len(), waiting.len());
            }
            prop_assert!(wheel.is_empty());
        }
    }
}
