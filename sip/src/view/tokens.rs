//! Lists of tokens: Supported (RFC 3261 20.37), Require (20.32), Proxy-Require (20.29), Allow (20.5), Allow-Events.

use super::scan::{self, Nesting};

/// The elements of a comma separated list, without blanks around them; empty ones are passed over.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The elements of `text`.
    pub const fn new(text: &'a [u8]) -> Tokens<'a> {
        Tokens { text, at: 0 }
    }

    /// An element equals `token` in any case, as option tags compare (RFC 3261 7.3.1).
    pub fn contains(&self, token: impl AsRef<[u8]>) -> bool {
        self.clone()
            .any(|element| element.eq_ignore_ascii_case(token.as_ref()))
    }

    /// An element equals `token` letter by letter, as methods compare (RFC 3261 7.1).
    pub fn contains_exactly(&self, token: impl AsRef<[u8]>) -> bool {
        self.clone().any(|element| element == token.as_ref())
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (_, piece) = scan::next_element(self.text, &mut self.at, Nesting::Flat)?.ok()?;
        Some(scan::trim(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_and_compares() {
        let list = Tokens::new(b" 100rel ,,\r\n timer, Path,");
        assert_eq!(
            list.clone().collect::<Vec<_>>(),
            [&b"100rel"[..], b"timer", b"Path"]
        );
        assert!(list.contains("path") && !list.contains_exactly("path") && list.contains_exactly("Path"));
        assert!(!list.contains("100") && !list.contains(""));
        assert_eq!(Tokens::new(b" , ").next(), None);
    }
}
