//! [`closest`]: the name that was probably meant.

/// The candidate nearest to `name`, where it is near enough to be what was meant.
///
/// Near enough: at most one edit (insertion, deletion, change, swap of neighbours) for every three characters, and at
/// least one, case aside. Among equals the first one wins.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name
        .chars()
        .flat_map(char::to_lowercase)
        .take(MAX_LENGTH + 1)
        .collect();
    if wanted.is_empty() || wanted.len() > MAX_LENGTH {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let given: Vec<char> = candidate
            .chars()
            .flat_map(char::to_lowercase)
            .take(MAX_LENGTH + 1)
            .collect();
        let limit = wanted.len().max(given.len()).div_ceil(3).min(4);
        if given.len() > MAX_LENGTH || given.len().abs_diff(wanted.len()) > limit {
            continue;
        }
        let distance = distance(&wanted, &given);
        // A word of one or two letters is not "near" another one when every letter differs.
        if distance <= limit
            && distance < wanted.len().max(given.len())
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Longer names are not compared.
const MAX_LENGTH: usize = 64;

/// The Damerau-Levenshtein distance in which no part is edited twice (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous_char = None;
    for (row, a) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(last.len());
        current.push(row.saturating_add(1));
        let mut previous_other = None;
        for (column, b) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let next = column.saturating_add(1);
            let change = at(&last, column).saturating_add(usize::from(a != b));
            let insert = at(&current, column).saturating_add(1);
            let delete = at(&last, next).saturating_add(1);
            let mut cost = change.min(insert).min(delete);
            if previous_char == Some(b) && previous_other == Some(a) {
                cost = cost.min(at(&before_last, column.saturating_sub(1)).saturating_add(1));
            }
            current.push(cost);
            previous_other = Some(b);
        }
        before_last = std::mem::replace(&mut last, current);
        previous_char = Some(a);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["t_relay", "t_reply", "sl_send_reply", "xlog", "route", "if"];
        assert_eq!(closest("t_realy", names), Some("t_relay"));
        assert_eq!(closest("T_RELAY", names), Some("t_relay"));
        assert_eq!(closest("xlgo", names), Some("xlog"));
        assert_eq!(closest("sl_sendreply", names), Some("sl_send_reply"));
        assert_eq!(closest("dispatch", names), None);
        assert_eq!(closest("ab", names), None);
        assert_eq!(closest("", names), None);
        assert_eq!(closest(&"x".repeat(1_000), names), None);
    }

    #[test]
    fn counts_edits() {
        let count =
            |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(count("", "abc"), 3);
        assert_eq!(count("abc", ""), 3);
        assert_eq!(count("abcd", "abdc"), 1);
        assert_eq!(count("kitten", "sitting"), 3);
        assert_eq!(count("ab", "ba"), 1);
    }
}
