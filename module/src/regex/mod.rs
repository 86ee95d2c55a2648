//! Regular expressions of the script: POSIX extended, leftmost-longest, on bytes, as `regcomp(3)` gives.

mod posix;

use std::{fmt, sync::Arc};

use self::posix::Posix;

/// The whole match and up to nine groups.
pub const GROUPS: usize = 10;

/// The ranges of a match; place 0 is the whole.
pub type Captures = [Option<(usize, usize)>; GROUPS];

/// A compiled expression; cheap to clone.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    pattern: Box<[u8]>,
    posix: Posix,
}

/// An expression that does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexError {
    pattern: String,
    reason: String,
}

impl RegexError {
    fn new(pattern: &[u8], reason: &str) -> RegexError {
        RegexError {
            pattern: String::from_utf8_lossy(pattern).into_owned(),
            reason: reason.to_owned(),
        }
    }
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' is no regular expression: {}", self.pattern, self.reason)
    }
}

impl std::error::Error for RegexError {}

impl Regex {
    /// Extended, ignoring case, as Kamailio compiles the right side of `=~`.
    ///
    /// # Errors
    /// It is no valid expression.
    pub fn new(pattern: &[u8]) -> Result<Regex, RegexError> {
        Regex::with(pattern, true, false)
    }

    /// Extended; `newline`: `.` and `[^…]` do not match line ends, `^` and `$` match at them (`REG_NEWLINE`).
    ///
    /// # Errors
    /// It is no valid expression.
    pub fn with(pattern: &[u8], ignore_case: bool, newline: bool) -> Result<Regex, RegexError> {
        let posix = Posix::new(pattern, ignore_case, newline)?;
        Ok(Regex(Arc::new(Inner {
            pattern: pattern.into(),
            posix,
        })))
    }

    /// Matches somewhere.
    pub fn is_match(&self, text: &[u8]) -> bool {
        self.captures(text).is_some()
    }

    /// The first match and its groups.
    pub fn captures(&self, text: &[u8]) -> Option<Captures> {
        self.captures_at(text, 0)
    }

    /// The first match that begins at or after `from`; `^` matches only at 0.
    pub fn captures_at(&self, text: &[u8], from: usize) -> Option<Captures> {
        if from > text.len() {
            return None;
        }
        let mut groups = [None; GROUPS];
        self.0.posix.exec(text, from, &mut groups).then_some(groups)
    }

    /// All matches that do not overlap.
    pub fn find_all<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = Captures> + 'a {
        let mut from = 0;
        std::iter::from_fn(move || {
            let groups = self.captures_at(text, from)?;
            let (start, end) = groups.first().copied().flatten()?;
            from = if end > start { end } else { end.saturating_add(1) };
            Some(groups)
        })
    }

    /// As it was written.
    pub fn pattern(&self) -> &[u8] {
        &self.0.pattern
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0.pattern.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_the_leftmost_matches_wins() {
        let regex = Regex::new(b"a|ab").unwrap();
        assert_eq!(regex.captures(b"xab").unwrap()[0], Some((1, 3)));
    }

    #[test]
    fn case_is_ignored_and_nul_bytes_are_text() {
        let regex = Regex::new(b"^sip:([^@]*)@").unwrap();
        let groups = regex.captures(b"SIP:a\0b@c").unwrap();
        assert_eq!(groups[1], Some((4, 7)));
    }

    #[test]
    fn matches_go_on_behind_each_other_even_when_empty() {
        let regex = Regex::new(b"x*").unwrap();
        let found: Vec<_> = regex.find_all(b"xxa").map(|g| g[0].unwrap()).collect();
        assert_eq!(found, [(0, 2), (2, 2), (3, 3)]);
        assert!(Regex::new(b"^a").unwrap().captures_at(b"aa", 1).is_none());
    }

    #[test]
    fn an_invalid_expression_is_named() {
        let error = Regex::new(b"(a").unwrap_err().to_string();
        assert!(error.contains("'(a'") && error.contains("Unmatched"), "{error}");
    }
}
