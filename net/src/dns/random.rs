//! Random numbers for choices by weight: seeded, so that a test can repeat them. Not for secrets.

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number from 0 to `limit`, both included.
    pub fn up_to(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let range = u64::from(limit).wrapping_add(1);
        (((mixed >> 32).wrapping_mul(range)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_the_range_comes_and_no_other() {
        let mut random = Random::new(7);
        let mut seen = [0; 4];
        for _ in 0..1000 {
            seen[random.up_to(3) as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 150), "{seen:?}");
        assert_eq!(Random::new(1).up_to(0), 0);
    }
}
