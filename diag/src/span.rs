//! [`Span`]: a place in one text of the [`SourceMap`](crate::SourceMap).

/// The number of a text in a [`SourceMap`](crate::SourceMap).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub(crate) u32);

impl FileId {
    /// The first text of a map: the file named on the command line.
    pub const ROOT: FileId = FileId(0);

    /// The position in the map.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A range of bytes, `start..end`, in one text.
///
/// A text made by a `#!define` is a file of its own in the source map, which knows where the name was used and where
/// it was defined; a span into it therefore carries both places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end` of `file`.
    pub const fn new(file: FileId, start: u32, end: u32) -> Span {
        Span { file, start, end }
    }

    /// From the start of `self` to the end of `other`; `self` alone where `other` lies in another text or before it.
    #[must_use]
    pub fn to(self, other: Span) -> Span {
        if self.file == other.file && other.end >= self.start {
            Span {
                end: self.end.max(other.end),
                ..self
            }
        } else {
            self
        }
    }

    /// The empty span at the end of this one: where something is missing.
    #[must_use]
    pub fn after(self) -> Span {
        Span {
            start: self.end,
            ..self
        }
    }

    /// The empty span at the start of this one.
    #[must_use]
    pub fn before(self) -> Span {
        Span {
            end: self.start,
            ..self
        }
    }

    /// The bytes `from..to` counted from the start of this span, kept within it.
    #[must_use]
    pub fn part(self, from: usize, to: usize) -> Span {
        let at = |offset: usize| {
            let offset = u32::try_from(offset).unwrap_or(u32::MAX);
            self.start.saturating_add(offset).min(self.end)
        };
        Span {
            start: at(from),
            end: at(to.max(from)),
            ..self
        }
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.end.saturating_sub(self.start) as usize
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_and_parts() {
        let outer = Span::new(FileId(1), 10, 20);
        assert_eq!(
            outer.to(Span::new(FileId(1), 30, 40)),
            Span::new(FileId(1), 10, 40)
        );
        assert_eq!(outer.to(Span::new(FileId(2), 30, 40)), outer);
        assert_eq!(outer.part(2, 5), Span::new(FileId(1), 12, 15));
        assert_eq!(outer.part(2, 500), Span::new(FileId(1), 12, 20));
        assert_eq!(outer.part(usize::MAX, usize::MAX), Span::new(FileId(1), 20, 20));
        assert!(outer.after().is_empty() && outer.before().is_empty());
        assert_eq!(outer.len(), 10);
    }
}
