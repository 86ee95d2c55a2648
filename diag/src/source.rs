//! [`SourceMap`]: all texts of a configuration and how each came about.

use std::sync::Arc;

use crate::{FileId, Span};

/// How a text came into the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named by the user.
    Root,
    /// Named by an `include_file` or `import_file`.
    Included {
        /// The file name in that line.
        by: Span,
    },
    /// The value of a defined name, put in place of the name.
    Expansion {
        /// Where the name is used.
        used: Span,
        /// Where it was defined; `None` for predefined names and those from the command line.
        defined: Option<Span>,
    },
    /// A string changed by a `#!subst`.
    Substitution {
        /// The string as it was written.
        used: Span,
        /// The `#!subst` line; `None` for one from the command line.
        defined: Option<Span>,
    },
}

/// A line and a column, both counted from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One text.
#[derive(Clone, Debug)]
pub struct SourceFile {
    name: Arc<str>,
    text: Arc<[u8]>,
    origin: Origin,
    line_starts: Arc<[u32]>,
}

impl SourceFile {
    /// Its path, or the defined name for an expansion.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes.
    pub fn text(&self) -> &Arc<[u8]> {
        &self.text
    }

    /// How it came about.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The line and column of a byte.
    pub fn position(&self, offset: u32) -> Position {
        let line = self.line_index(offset);
        let start = self.line_starts.get(line).copied().unwrap_or(0) as usize;
        let end = (offset as usize).min(self.text.len()).max(start);
        let before = self.text.get(start..end).unwrap_or_default();
        let column = String::from_utf8_lossy(before).chars().count();
        Position {
            line: count(line.saturating_add(1)),
            column: count(column.saturating_add(1)),
        }
    }

    /// The bytes of a line, counted from 1, without its line end.
    pub fn line(&self, number: u32) -> &[u8] {
        let index = (number as usize).saturating_sub(1);
        let Some(start) = self.line_starts.get(index) else {
            return &[];
        };
        let end = self
            .line_starts
            .get(index.saturating_add(1))
            .map_or(self.text.len(), |end| *end as usize);
        let line = self.text.get(*start as usize..end).unwrap_or_default();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn line_index(&self, offset: u32) -> usize {
        self.line_starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// All texts of a configuration.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// A map without texts.
    pub fn new() -> SourceMap {
        SourceMap::default()
    }

    /// Adds a text. Bytes beyond 4 GiB and texts beyond 2^32 cannot be pointed at; the caller keeps far below.
    pub fn add(&mut self, name: impl Into<Arc<str>>, text: impl Into<Arc<[u8]>>, origin: Origin) -> FileId {
        let text = text.into();
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let line_starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| count(at.saturating_add(1))))
            .collect();
        self.files.push(SourceFile {
            name: name.into(),
            text,
            origin,
            line_starts,
        });
        FileId(count(self.files.len().saturating_sub(1)))
    }

    /// The text with this number.
    pub fn file(&self, id: FileId) -> Option<&SourceFile> {
        self.files.get(id.index())
    }

    /// Number of texts.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The bytes a span covers.
    pub fn slice(&self, span: Span) -> &[u8] {
        self.file(span.file)
            .and_then(|file| file.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// The place in a file that a person can open: for text made by a definition the place where it is used.
    pub fn written(&self, span: Span) -> Span {
        let mut place = span;
        // A definition's text is added after the text that uses it, so this ends.
        while let Some(Origin::Expansion { used, .. } | Origin::Substitution { used, .. }) =
            self.file(place.file).map(SourceFile::origin)
        {
            if used.file >= place.file {
                break;
            }
            place = *used;
        }
        place
    }

    /// The definitions that made the text at `span`, outermost use last: name and place of each.
    pub fn definitions(&self, span: Span) -> Vec<(&str, Option<Span>)> {
        let mut found = Vec::new();
        let mut place = span;
        while let Some(file) = self.file(place.file) {
            let (Origin::Expansion { used, defined } | Origin::Substitution { used, defined }) = &file.origin
            else {
                break;
            };
            found.push((file.name(), *defined));
            if used.file >= place.file {
                break;
            }
            place = *used;
        }
        found
    }

    /// The lines that included the file of `span`, innermost first.
    pub fn include_chain(&self, span: Span) -> Vec<Span> {
        let mut chain = Vec::new();
        let mut place = self.written(span);
        while let Some(Origin::Included { by }) = self.file(place.file).map(SourceFile::origin) {
            if by.file >= place.file {
                break;
            }
            place = self.written(*by);
            chain.push(place);
        }
        chain
    }

    /// File name and position of the start of a span, as a person finds it.
    pub fn locate(&self, span: Span) -> (&str, Position) {
        let place = self.written(span);
        match self.file(place.file) {
            Some(file) => (file.name(), file.position(place.start)),
            None => ("", Position { line: 1, column: 1 }),
        }
    }

    /// A key that sorts spans in the order in which one who follows the includes reads them.
    pub fn reading_order(&self, span: Span) -> Vec<(u32, u32)> {
        let place = self.written(span);
        let mut key: Vec<_> = self
            .include_chain(span)
            .iter()
            .rev()
            .map(|by| (by.start, 0))
            .collect();
        key.push((place.start, place.end));
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let mut map = SourceMap::new();
        let id = map.add("a.cfg", *b"one\ntw\xc3\xb6 x\r\n\nend", Origin::Root);
        let file = map.file(id).unwrap();
        assert_eq!(file.position(0), Position { line: 1, column: 1 });
        assert_eq!(file.position(9), Position { line: 2, column: 5 });
        assert_eq!(file.position(9_999), Position { line: 4, column: 4 });
        assert_eq!(file.line(2), b"tw\xc3\xb6 x");
        assert_eq!(file.line(3), b"");
        assert_eq!(file.line(4), b"end");
        assert_eq!(file.line(5), b"");
        assert_eq!(file.line(0), b"one");
        assert_eq!(map.slice(Span::new(id, 0, 3)), b"one");
        assert_eq!(map.slice(Span::new(id, 5, 900)), b"");
    }

    #[test]
    fn chains() {
        let mut map = SourceMap::new();
        let root = map.add("a.cfg", *b"#!define X Y\ninclude_file \"b.cfg\"\n", Origin::Root);
        let by = Span::new(root, 26, 33);
        let inner = map.add("b.cfg", *b"X = 1\n", Origin::Included { by });
        let defined = Span::new(root, 9, 10);
        let used = Span::new(inner, 0, 1);
        let made = map.add(
            "X",
            *b"Y",
            Origin::Expansion {
                used,
                defined: Some(defined),
            },
        );
        let span = Span::new(made, 0, 1);
        assert_eq!(map.written(span), used);
        assert_eq!(map.locate(span), ("b.cfg", Position { line: 1, column: 1 }));
        assert_eq!(map.include_chain(span), vec![by]);
        assert_eq!(map.definitions(span), vec![("X", Some(defined))]);
        assert!(map.reading_order(Span::new(root, 0, 1)) < map.reading_order(span));
        assert!(map.reading_order(Span::new(root, 40, 41)) > map.reading_order(span));
    }
}
