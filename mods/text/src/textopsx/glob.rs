//! Shell patterns as `fnmatch(3)` matches them without flags: `*` and `?` match any byte, `/` and a leading `.` too.

/// The text matches as a whole. The time grows with the product of the lengths at most.
pub(super) fn matches(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut t) = (0usize, 0usize);
    // Where to go on when the latest `*` takes one byte more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        let rest = pattern.get(p..).unwrap_or_default();
        match (rest.first(), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p = p.saturating_add(1);
                star = Some((p, t));
                continue;
            }
            (Some(_), Some(byte)) => {
                if let Some(len) = one(rest, *byte, ignore_case) {
                    p = p.saturating_add(len);
                    t = t.saturating_add(1);
                    continue;
                }
            }
            _ => {}
        }
        match star {
            Some((after, from)) if from < text.len() => {
                star = Some((after, from.saturating_add(1)));
                (p, t) = (after, from.saturating_add(1));
            }
            _ => return false,
        }
    }
}

/// The length of the pattern's first element where it matches the byte.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let same = |a: u8| {
        if ignore_case {
            a.eq_ignore_ascii_case(&byte)
        } else {
            a == byte
        }
    };
    match *pattern {
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => same(escaped).then_some(2),
        [b'[', ..] => match set(pattern, byte, ignore_case) {
            Some((len, found)) => found.then_some(len),
            None => same(b'[').then_some(1),
        },
        [literal, ..] => same(literal).then_some(1),
        [] => None,
    }
}

/// The length of a bracket expression and whether the byte is in it; `None` where it does not close.
fn set(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<(usize, bool)> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let mut at = if negated { 2usize } else { 1 };
    let first = at;
    let mut found = false;
    loop {
        let rest = pattern.get(at..)?;
        match *rest {
            [b']', ..] if at > first => return Some((at.checked_add(1)?, found != negated)),
            [b'[', b':', ..] => {
                let len = rest.windows(2).position(|pair| pair == b":]")?;
                found |= class(rest.get(2..len)?, byte, ignore_case);
                at = at.checked_add(len)?.checked_add(2)?;
            }
            [low, b'-', high, ..] if high != b']' => {
                found |= in_range(low, high, byte, ignore_case);
                at = at.checked_add(3)?;
            }
            [b'\\', literal, ..] | [literal, ..] => {
                found |= in_range(literal, literal, byte, ignore_case);
                at = at.checked_add(if rest.first() == Some(&b'\\') && rest.len() > 1 {
                    2
                } else {
                    1
                })?;
            }
            [] => return None,
        }
    }
}

fn in_range(low: u8, high: u8, byte: u8, ignore_case: bool) -> bool {
    let has = |b: u8| (low..=high).contains(&b);
    has(byte) || ignore_case && (has(byte.to_ascii_lowercase()) || has(byte.to_ascii_uppercase()))
}

fn class(name: &[u8], byte: u8, ignore_case: bool) -> bool {
    match name {
        b"alpha" => byte.is_ascii_alphabetic(),
        b"digit" => byte.is_ascii_digit(),
        b"alnum" => byte.is_ascii_alphanumeric(),
        b"upper" => byte.is_ascii_uppercase() || ignore_case && byte.is_ascii_lowercase(),
        b"lower" => byte.is_ascii_lowercase() || ignore_case && byte.is_ascii_uppercase(),
        b"space" => byte.is_ascii_whitespace() || byte == 0x0b,
        b"blank" => matches!(byte, b' ' | b'\t'),
        b"punct" => byte.is_ascii_punctuation(),
        b"print" => (b' '..=b'~').contains(&byte),
        b"graph" => byte.is_ascii_graphic(),
        b"cntrl" => byte.is_ascii_control(),
        b"xdigit" => byte.is_ascii_hexdigit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes(), false)
    }

    #[test]
    fn as_the_shell_matches() {
        assert!(is("sip:*@x", "sip:alice@x") && !is("sip:*@x", "sip:alice@xy"));
        assert!(is("*", "") && is("**a*", "bab") && is("?*", ".a") && !is("?", ""));
        assert!(is("/*", "/a/b") && is("[a-b].[!x]", "a.c") && !is("[a-b].[!x]", "a.x"));
        assert!(is("[]x]", "]") && is("[[:digit:]+]*", "+49") && is("[a", "[a") && is("\\*", "*"));
        assert!(!is("a?c", "ABC") && matches(b"a?[b-d]", b"ABC", true));
    }

    #[test]
    fn many_stars_do_not_cost_the_earth() {
        assert!(!is(&"*a".repeat(50), &"a".repeat(49)));
        assert!(!is(&format!("{}b", "*a".repeat(30)), &"a".repeat(5000)));
    }
}
