//! Words and strings with their places.

use kahea_diag::Span;
use kahea_sip::Str;

/// A word: the name of a function, a parameter, a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// As written.
    pub text: Box<str>,
    /// Where.
    pub span: Span,
}

impl Ident {
    /// A word at a place.
    pub fn new(text: impl Into<Box<str>>, span: Span) -> Ident {
        Ident {
            text: text.into(),
            span,
        }
    }
}

/// A string: its value after escapes are resolved, neighbours joined and `#!subst` applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The value.
    pub value: Str,
    /// The literal with its quotes, from the first to the last of joined ones.
    pub span: Span,
    /// Where runs of the value were written, by their offset in the value and ordered by it.
    pub(crate) runs: Vec<(u32, Span)>,
}

impl Text {
    /// A string whose value stands at `span` just as it is, without quotes.
    pub fn verbatim(value: Str, span: Span) -> Text {
        Text {
            value,
            span,
            runs: vec![(0, span)],
        }
    }

    /// Where the bytes `from..to` of the value were written; the whole literal where that is not one place.
    pub fn place(&self, from: usize, to: usize) -> Span {
        let (Some(start), Some(end)) = (self.locate(from), self.locate(to.saturating_sub(1).max(from)))
        else {
            return self.span;
        };
        let end = if to > from { end.end } else { start.start };
        Span {
            end: end.max(start.start),
            ..start
        }
    }

    /// The bytes `from..to` of the value as a string of their own, which knows where they were written.
    #[must_use]
    pub fn part(&self, from: usize, to: usize) -> Text {
        let to = to.min(self.value.len());
        let from = from.min(to);
        let mut runs = Vec::new();
        for (index, (at, span)) in self.runs.iter().enumerate() {
            let start = *at as usize;
            let end = self
                .runs
                .get(index.saturating_add(1))
                .map_or(self.value.len(), |(next, _)| *next as usize);
            if end <= from || start >= to {
                continue;
            }
            let first = start.max(from);
            let is_plain = end.saturating_sub(start) == span.len();
            let kept = if is_plain {
                span.part(first.saturating_sub(start), end.min(to).saturating_sub(start))
            } else {
                *span
            };
            runs.push((
                u32::try_from(first.saturating_sub(from)).unwrap_or(u32::MAX),
                kept,
            ));
        }
        let value = self.value.share(self.value.get(from..to).unwrap_or_default());
        Text {
            value,
            span: self.place(from, to),
            runs,
        }
    }

    /// The place of one byte of the value.
    fn locate(&self, offset: usize) -> Option<Span> {
        let index = self
            .runs
            .partition_point(|(at, _)| *at as usize <= offset)
            .checked_sub(1)?;
        let (at, span) = self.runs.get(index)?;
        let into = offset.saturating_sub(*at as usize);
        let next = self
            .runs
            .get(index.saturating_add(1))
            .map_or(self.value.len(), |(next, _)| *next as usize);
        let run = next.saturating_sub(*at as usize);
        // A run as long as its source was written byte for byte; any other is one escape.
        if run == span.len() {
            Some(span.part(into, into.saturating_add(1)))
        } else {
            Some(*span)
        }
    }
}

#[cfg(test)]
mod tests {
    use kahea_diag::FileId;

    use super::*;

    #[test]
    fn places_behind_an_escape() {
        // "ab\x41cd" written at 10..20 with quotes
        let at = |start, end| Span::new(FileId::ROOT, start, end);
        let text = Text {
            value: Str::from_static("abAcd"),
            span: at(10, 20),
            runs: vec![(0, at(11, 13)), (2, at(13, 17)), (3, at(17, 19))],
        };
        assert_eq!(text.place(0, 2), at(11, 13));
        assert_eq!(text.place(2, 3), at(13, 17));
        assert_eq!(text.place(3, 5), at(17, 19));
        assert_eq!(text.place(1, 4), at(12, 18));
        assert_eq!(text.place(4, 4), at(18, 18));
        let part = text.part(1, 4);
        assert_eq!(part.value.as_bytes(), b"bAc");
        assert_eq!(part.place(0, 1), at(12, 13));
        assert_eq!(part.place(2, 3), at(17, 18));
        assert_eq!(text.part(9, 99).value.as_bytes(), b"");
    }
}
