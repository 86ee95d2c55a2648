//! [`Str`]: the byte string of the whole server.

use std::{borrow::Cow, fmt, ops::Deref};

use bytes::Bytes;

/// An immutable byte string that is cheap to clone: a piece of a received message shares its buffer.
///
/// SIP text is mostly UTF-8 but need not be, so this is bytes; [`Str::text`] and `Display` replace what is no text.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    /// The empty string.
    pub const EMPTY: Str = Str(Bytes::new());

    /// Text of the program itself, without an allocation.
    pub const fn from_static(text: &'static str) -> Str {
        Str(Bytes::from_static(text.as_bytes()))
    }

    /// A copy of `bytes`.
    pub fn copy(bytes: &[u8]) -> Str {
        Str(Bytes::copy_from_slice(bytes))
    }

    /// The part `piece` of this string, sharing its buffer; copies where `piece` lies elsewhere.
    pub fn share(&self, piece: &[u8]) -> Str {
        let outer = self.0.as_ptr_range();
        let inner = piece.as_ptr_range();
        if !piece.is_empty() && outer.start <= inner.start && inner.end <= outer.end {
            Str(self.0.slice_ref(piece))
        } else {
            Str::copy(piece)
        }
    }

    /// The same text in an allocation of its own, for values that outlive the message they came from.
    pub fn detach(&self) -> Str {
        Str::copy(&self.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, where it is UTF-8.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The text, with replacement characters where it is not UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The shared buffer behind it.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for Str {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Str {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for Str {
    fn from(bytes: Bytes) -> Str {
        Str(bytes)
    }
}

impl From<&str> for Str {
    fn from(text: &str) -> Str {
        Str::copy(text.as_bytes())
    }
}

impl From<String> for Str {
    fn from(text: String) -> Str {
        Str(Bytes::from(text))
    }
}

impl From<Vec<u8>> for Str {
    fn from(bytes: Vec<u8>) -> Str {
        Str(Bytes::from(bytes))
    }
}

impl From<&[u8]> for Str {
    fn from(bytes: &[u8]) -> Str {
        Str::copy(bytes)
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<[u8]> for Str {
    fn eq(&self, other: &[u8]) -> bool {
        *self.0 == *other
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text())
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_shares_the_buffer_and_a_stranger_is_copied() {
        let whole = Str::from("sip:alice@example.com");
        let piece = whole.share(&whole[4..9]);
        assert_eq!(piece, "alice");
        assert_eq!(piece.as_ptr(), whole[4..].as_ptr());
        assert_eq!(whole.share(b"bob"), "bob");
        assert_ne!(piece.detach().as_ptr(), piece.as_ptr());
    }
}
