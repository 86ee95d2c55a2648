//! The hash that numbers Kamailio's slots: iterators, dumps and locks follow it.

/// Kamailio's hash of a text without regard to case: big-endian words of four bytes, the rest as a shorter word.
pub(super) fn core_case_hash(text: &[u8]) -> u32 {
    let mut hash = 0_u32;
    for word in text.chunks(4) {
        let v = word.iter().fold(0_u32, |v, b| (v << 8) | u32::from(*b | 0x20));
        hash = hash.wrapping_add(v ^ (v >> 3));
    }
    hash.wrapping_add(hash >> 11)
        .wrapping_add((hash >> 13).wrapping_add(hash >> 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_kamailio() {
        // From dumps of Kamailio 5.6.3: a table of 16 slots, and one of 4.
        for (key, slot) in [
            ("arr[0]", 1),
            ("arr[1]", 1),
            ("arr::size", 2),
            ("num", 4),
            ("plain", 15),
        ] {
            assert_eq!(core_case_hash(key.as_bytes()) & 15, slot, "{key}");
        }
        for (key, slot) in [
            ("s4", 0),
            ("s5", 1),
            ("s1", 1),
            ("y", 2),
            ("s2", 2),
            ("n", 3),
            ("x", 3),
        ] {
            assert_eq!(core_case_hash(key.as_bytes()) & 3, slot, "{key}");
        }
        assert_eq!(core_case_hash(b"Alice"), core_case_hash(b"alice"));
    }
}
