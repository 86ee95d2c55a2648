//! [`Span`]: a range of bytes in a message.

use std::ops::Range;

/// A range of bytes in a message's buffer; `start <= end` always holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The range from `start` up to, not including, `end`; empty at `start` where `end` lies before it.
    #[inline]
    pub const fn new(start: u32, end: u32) -> Span {
        Span {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// An empty range at `at`.
    pub const fn at(at: u32) -> Span {
        Span { start: at, end: at }
    }

    /// From indexes into a buffer that is known to be shorter than 4 GiB; larger ones become the largest `u32`.
    #[inline]
    pub(crate) fn of(start: usize, end: usize) -> Span {
        Span::new(offset(start), offset(end))
    }

    /// Where `piece` lies within `whole`, which it must be a part of; `None` for a stranger.
    pub fn within(whole: &[u8], piece: &[u8]) -> Option<Span> {
        let outer = whole.as_ptr_range();
        let inner = piece.as_ptr_range();
        if inner.start < outer.start || outer.end < inner.end {
            return None;
        }
        let start = (inner.start as usize).checked_sub(outer.start as usize)?;
        Some(Span::of(start, start.checked_add(piece.len())?))
    }

    /// The first byte's offset.
    pub const fn start(self) -> u32 {
        self.start
    }

    /// The offset just behind the last byte.
    pub const fn end(self) -> u32 {
        self.end
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Holds no byte.
    pub const fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// As a range for slicing.
    pub const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether every byte of `other` is in this range too.
    pub const fn contains(self, other: Span) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two share at least one byte.
    pub const fn overlaps(self, other: Span) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The bytes of this range in `buffer`; empty where the range lies outside of it.
    pub fn of_bytes(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.range()).unwrap_or_default()
    }
}

/// An index as an offset; a buffer never reaches the end of `u32`, since [`crate::Limits`] caps its size.
#[inline]
pub(crate) fn offset(index: usize) -> u32 {
    index.min(u32::MAX as usize) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_never_runs_backwards() {
        let span = Span::new(7, 3);
        assert!(span.is_empty());
        assert_eq!((span.start(), span.end(), span.len()), (7, 7, 0));
    }

    #[test]
    fn a_piece_is_found_in_its_buffer_and_a_stranger_is_not() {
        let whole = b"INVITE sip:a@b".to_vec();
        assert_eq!(Span::within(&whole, &whole[7..10]), Some(Span::new(7, 10)));
        assert_eq!(Span::within(&whole[..5], &whole[7..10]), None);
    }

    #[test]
    fn neighbours_do_not_overlap() {
        assert!(!Span::new(0, 4).overlaps(Span::new(4, 8)));
        assert!(Span::new(0, 5).overlaps(Span::new(4, 8)));
        assert!(Span::new(0, 8).contains(Span::new(0, 8)));
        assert_eq!(Span::new(2, 90).of_bytes(b"abc"), b"");
    }
}
