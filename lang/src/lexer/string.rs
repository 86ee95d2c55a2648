//! Strings.

use kahea_diag::{Diagnostic, Diagnostics, Span, codes};
use kahea_sip::Str;

use super::{Lexer, Tok, Token};
use crate::ast::Text;

/// A string while it is read.
#[derive(Default)]
struct Builder {
    value: Vec<u8>,
    runs: Vec<(u32, Span)>,
}

impl Builder {
    /// Bytes written just as they are.
    fn plain(&mut self, bytes: &[u8], span: Span) {
        if !bytes.is_empty() {
            self.mark(span);
            self.value.extend_from_slice(bytes);
        }
    }

    /// What an escape stands for.
    fn escape(&mut self, byte: u8, span: Span) {
        self.mark(span);
        self.value.push(byte);
    }

    fn mark(&mut self, span: Span) {
        self.runs
            .push((u32::try_from(self.value.len()).unwrap_or(u32::MAX), span));
    }
}

impl Lexer {
    /// A string; in double quotes with its neighbours and escapes, in single quotes just as it is.
    pub(super) fn string(&mut self, quote: u8, diagnostics: &mut Diagnostics) -> Token {
        let start = self.pos;
        let mut builder = Builder::default();
        let mut closed = self.string_part(quote, &mut builder);
        let mut end = self.pos;
        while closed && quote == b'"' && self.skip_to_neighbour() {
            closed = self.string_part(quote, &mut builder);
            end = self.pos;
        }
        self.pos = end;
        let span = self.span_from(start);
        if !closed {
            let quote = char::from(quote);
            diagnostics.push(
                Diagnostic::error(codes::UNCLOSED_STRING, span.part(0, 1), "string is never closed")
                    .label("begins here")
                    .help(format!(
                        "close it with `{quote}`; all text up to the next `{quote}` belongs to it"
                    )),
            );
        }
        let text = Text {
            value: Str::from(builder.value),
            span,
            runs: builder.runs,
        };
        Token {
            kind: Tok::Str(Box::new(text)),
            span,
        }
    }

    /// Steps over blanks and comments to a string that joins the one before; stays if there is none.
    fn skip_to_neighbour(&mut self) -> bool {
        let start = self.pos;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => return true,
                b'#' if self.peek(1) != Some(b'!') => self.skip_line(),
                b'/' if self.peek(1) == Some(b'/') => self.skip_line(),
                _ if byte.is_ascii_whitespace() => self.pos = self.pos.saturating_add(1),
                _ => break,
            }
        }
        self.pos = start;
        false
    }

    /// One quoted part; says whether it was closed.
    fn string_part(&mut self, quote: u8, builder: &mut Builder) -> bool {
        self.pos = self.pos.saturating_add(1);
        let mut run = self.pos;
        while let Some(byte) = self.peek(0) {
            if byte == quote {
                self.flush(run, builder);
                self.pos = self.pos.saturating_add(1);
                return true;
            }
            if byte == b'\\' && quote == b'"' {
                let at = self.pos;
                let Some((value, length)) = self.escape() else {
                    // Not an escape: the backslash stays.
                    self.pos = self.pos.saturating_add(1);
                    continue;
                };
                self.flush(run, builder);
                self.pos = at.saturating_add(length).min(self.text.len());
                if let Some(value) = value {
                    builder.escape(value, self.span_from(at));
                }
                run = self.pos;
                continue;
            }
            self.pos = self.pos.saturating_add(1);
        }
        self.flush(run, builder);
        false
    }

    fn flush(&self, run: usize, builder: &mut Builder) {
        builder.plain(
            self.text.get(run..self.pos).unwrap_or_default(),
            self.span_from(run),
        );
    }

    /// The byte an escape stands for (none for a joined line) and its length; `None` where it is no escape.
    fn escape(&self) -> Option<(Option<u8>, usize)> {
        let digits = |from: usize, most: usize, radix: u32| {
            (0..most)
                .map_while(|index| char::from(self.peek(from.saturating_add(index))?).to_digit(radix))
                .fold((0_u32, 0_usize), |(value, count), digit| {
                    (
                        value.wrapping_mul(radix).wrapping_add(digit),
                        count.saturating_add(1),
                    )
                })
        };
        let byte = match self.peek(1)? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'a' => 0x07,
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => return Some((None, 2)),
            b'\r' if self.peek(2) == Some(b'\n') => return Some((None, 3)),
            b'x' => {
                let (value, count) = digits(2, 2, 16);
                if count == 0 {
                    return None;
                }
                return Some((u8::try_from(value).ok(), count.saturating_add(2)));
            }
            b'0'..=b'7' => {
                let (value, count) = digits(1, 3, 8);
                if count < 2 {
                    // `\1` in `"/(.*)/\1/"` is a back-reference.
                    return None;
                }
                let (value, count) = if value > 255 {
                    (value >> 3, count.saturating_sub(1))
                } else {
                    (value, count)
                };
                return Some((u8::try_from(value).ok(), count.saturating_add(1)));
            }
            _ => return None,
        };
        Some((Some(byte), 2))
    }
}
