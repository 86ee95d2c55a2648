//! The lexer: from the bytes of one text to words and directives.
//!
//! It knows nothing of definitions and conditions; the [preprocessor](crate::preprocess) drives it.

mod number;
mod string;
mod token;

use std::{net::Ipv6Addr, sync::Arc};

use kahea_diag::{Diagnostic, Diagnostics, FileId, Span, closest, codes};

pub use self::token::{Tok, Token};
use crate::{ast::Text, pv};

/// What the lexer finds next.
#[derive(Debug)]
pub(crate) enum Raw {
    /// A word.
    Token(Token),
    /// `#!name` or `!!name`; the cursor stands behind the name.
    Directive(Directive, Span),
    /// The text is at its end.
    End,
}

/// A line of the preprocessor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directive {
    Define,
    TryDefine,
    Redefine,
    Undefine,
    TryUndefine,
    IfDef,
    IfNdef,
    IfExp,
    Else,
    EndIf,
    Subst,
    SubstDef,
    SubstDefs,
    DefExp,
    DefExps,
    DefEnv,
    DefEnvs,
    TryDefEnv,
    TryDefEnvs,
    Include,
    Import,
    ConfigType,
}

const DIRECTIVES: &[(&str, Directive)] = &[
    ("define", Directive::Define),
    ("def", Directive::Define),
    ("trydefine", Directive::TryDefine),
    ("trydef", Directive::TryDefine),
    ("redefine", Directive::Redefine),
    ("redef", Directive::Redefine),
    ("undefine", Directive::Undefine),
    ("undef", Directive::Undefine),
    ("tryundefine", Directive::TryUndefine),
    ("tryundef", Directive::TryUndefine),
    ("ifdef", Directive::IfDef),
    ("ifndef", Directive::IfNdef),
    ("ifexp", Directive::IfExp),
    ("else", Directive::Else),
    ("endif", Directive::EndIf),
    ("subst", Directive::Subst),
    ("substdef", Directive::SubstDef),
    ("substdefs", Directive::SubstDefs),
    ("defexp", Directive::DefExp),
    ("defexps", Directive::DefExps),
    ("defenv", Directive::DefEnv),
    ("defenvs", Directive::DefEnvs),
    ("trydefenv", Directive::TryDefEnv),
    ("trydefenvs", Directive::TryDefEnvs),
    ("include_file", Directive::Include),
    ("import_file", Directive::Import),
    ("KAMAILIO", Directive::ConfigType),
    ("OPENSER", Directive::ConfigType),
    ("SER", Directive::ConfigType),
    ("MAXCOMPAT", Directive::ConfigType),
    ("ALL", Directive::ConfigType),
];

fn directive(word: &str) -> Option<Directive> {
    DIRECTIVES
        .iter()
        .find(|(name, _)| *name == word)
        .map(|(_, directive)| *directive)
}

/// Operators and brackets, longer ones first.
const PUNCTUATION: &[&str] = &[
    "==", "!=", "=~", "<=", ">=", "<<", ">>", "&&", "||", "{", "}", "(", ")", "[", "]", ";", ",", ":", "=",
    "!", "<", ">", "&", "|", "^", "~", "+", "-", "*", "/", ".", "@", "%",
];

/// Walks over one text.
#[derive(Debug)]
pub(crate) struct Lexer {
    file: FileId,
    text: Arc<[u8]>,
    pos: usize,
}

impl Lexer {
    pub(crate) fn new(file: FileId, text: Arc<[u8]>) -> Lexer {
        Lexer { file, text, pos: 0 }
    }

    /// The next word or directive.
    pub(crate) fn next(&mut self, diagnostics: &mut Diagnostics) -> Raw {
        loop {
            let start = self.pos;
            let Some(byte) = self.peek(0) else { return Raw::End };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => self.pos = self.pos.saturating_add(1),
                b'\\' if self.at_line_continuation() => self.pos = self.pos.saturating_add(1),
                b'#' | b'!' if self.peek(1) == Some(b'!') => match self.directive(diagnostics) {
                    Some(directive) => return Raw::Directive(directive, self.span_from(start)),
                    None if byte == b'#' => self.skip_line(),
                    None => return Raw::Token(self.punctuation(diagnostics)),
                },
                b'#' => self.skip_line(),
                b'/' if self.peek(1) == Some(b'/') => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') => self.skip_block_comment(diagnostics),
                // A byte order mark, as some editors write it.
                0xef if start == 0 && self.text.starts_with(b"\xef\xbb\xbf") => self.pos = 3,
                _ => return Raw::Token(self.token(byte, diagnostics)),
            }
        }
    }

    /// In a part that a condition leaves out: the next directive, with all else skipped.
    pub(crate) fn next_directive(&mut self) -> Raw {
        while let Some(byte) = self.peek(0) {
            let start = self.pos;
            let is_marked = matches!(byte, b'#' | b'!') && self.peek(1) == Some(b'!');
            if is_marked && let Some((directive, end)) = self.known_directive() {
                self.pos = end;
                return Raw::Directive(directive, self.span_from(start));
            }
            if byte == b'#' || (byte == b'/' && self.peek(1) == Some(b'/')) {
                self.skip_line();
            } else {
                self.pos = self.pos.saturating_add(1);
            }
        }
        Raw::End
    }

    /// The rest of the line after a directive, continuation lines joined, outer blanks removed.
    pub(crate) fn rest_of_line(&mut self) -> (Vec<u8>, Span) {
        while matches!(self.peek(0), Some(b' ' | b'\t')) {
            self.pos = self.pos.saturating_add(1);
        }
        let start = self.pos;
        let mut value = Vec::new();
        while let Some(byte) = self.peek(0) {
            if byte == b'\\' && self.at_line_continuation() {
                self.pos = self
                    .pos
                    .saturating_add(if self.peek(1) == Some(b'\r') { 3 } else { 2 });
                continue;
            }
            if byte == b'\n' {
                break;
            }
            value.push(byte);
            self.pos = self.pos.saturating_add(1);
        }
        let span = self.span_from(start);
        let kept = value.trim_ascii_end().len();
        value.truncate(kept);
        let trimmed = self
            .text
            .get(start..self.pos)
            .unwrap_or_default()
            .trim_ascii_end()
            .len();
        (value, span.part(0, trimmed))
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.pos.saturating_add(ahead)).copied()
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let at = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        Span::new(self.file, at(start), at(end))
    }

    fn span_from(&self, start: usize) -> Span {
        self.span(start, self.pos)
    }

    fn at_line_continuation(&self) -> bool {
        self.peek(1) == Some(b'\n') || (self.peek(1) == Some(b'\r') && self.peek(2) == Some(b'\n'))
    }

    fn skip_line(&mut self) {
        self.pos = match memchr(b'\n', self.rest()) {
            Some(length) => self.pos.saturating_add(length),
            None => self.text.len(),
        };
    }

    /// Comments nest.
    fn skip_block_comment(&mut self, diagnostics: &mut Diagnostics) {
        let start = self.pos;
        let mut depth = 0_usize;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth = depth.saturating_add(1);
                    self.pos = self.pos.saturating_add(2);
                }
                (b'*', Some(b'/')) => {
                    depth = depth.saturating_sub(1);
                    self.pos = self.pos.saturating_add(2);
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.pos = self.pos.saturating_add(1),
            }
        }
        let span = self.span(start, start.saturating_add(2));
        diagnostics.push(
            Diagnostic::error(codes::UNCLOSED_COMMENT, span, "comment is never closed")
                .label("begins here")
                .help("close it with `*/`; comments nest, so each `/*` in it needs one as well"),
        );
    }

    /// The directive at the cursor and where its name ends.
    fn known_directive(&self) -> Option<(Directive, usize)> {
        let start = self.pos.saturating_add(2);
        let tail = self.text.get(start..).unwrap_or_default();
        let length = tail.iter().take_while(|byte| is_word(**byte)).count();
        let word = std::str::from_utf8(tail.get(..length)?).ok()?;
        Some((directive(word)?, start.saturating_add(length)))
    }

    /// Steps over a directive's name. A line with an unknown one is a comment, as it is for Kamailio.
    fn directive(&mut self, diagnostics: &mut Diagnostics) -> Option<Directive> {
        if let Some((directive, end)) = self.known_directive() {
            self.pos = end;
            return Some(directive);
        }
        let name = self.text.get(self.pos.saturating_add(2)..).unwrap_or_default();
        let length = name.iter().take_while(|byte| is_word(**byte)).count();
        let word = String::from_utf8_lossy(name.get(..length).unwrap_or_default());
        let known = DIRECTIVES.iter().map(|(name, _)| *name);
        if self.peek(0) == Some(b'#')
            && let Some(meant) = closest(&word, known)
        {
            let span = self.span(self.pos, self.pos.saturating_add(2).saturating_add(length));
            diagnostics.push(
                Diagnostic::warning(
                    codes::UNKNOWN_DIRECTIVE,
                    span,
                    format!("unknown directive `#!{word}`"),
                )
                .label("the whole line is taken for a comment")
                .help(format!("did you mean `#!{meant}`?")),
            );
        }
        None
    }

    fn token(&mut self, byte: u8, diagnostics: &mut Diagnostics) -> Token {
        match byte {
            b'"' | b'\'' => self.string(byte, diagnostics),
            b'$' => self.variable(diagnostics),
            b'0'..=b'9' => self.ipv6().unwrap_or_else(|| self.number(diagnostics)),
            b':' => self.ipv6().unwrap_or_else(|| self.punctuation(diagnostics)),
            b'a'..=b'f' | b'A'..=b'F' => self.ipv6().unwrap_or_else(|| self.word()),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => self.word(),
            _ => self.punctuation(diagnostics),
        }
    }

    fn word(&mut self) -> Token {
        let start = self.pos;
        let length = self.rest().iter().take_while(|byte| is_word(**byte)).count();
        self.pos = self.pos.saturating_add(length);
        let word = String::from_utf8_lossy(self.text.get(start..self.pos).unwrap_or_default());
        Token {
            kind: Tok::Ident(word.into()),
            span: self.span_from(start),
        }
    }

    /// An IPv6 address. Needs two colons at least, so that `udp:5060` and event names stay what they are.
    fn ipv6(&mut self) -> Option<Token> {
        let in_address = |byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
        // The longest address has 45 characters.
        let mut length = self
            .rest()
            .iter()
            .take(46)
            .take_while(|byte| in_address(byte))
            .count();
        if self.rest().get(length).is_some_and(|byte| is_word(*byte)) {
            return None;
        }
        let before = self.pos.checked_sub(1).and_then(|at| self.text.get(at));
        if before.is_some_and(|byte| is_word(*byte)) {
            return None;
        }
        let candidate = self.rest().get(..length)?;
        if candidate.ends_with(b":") && !candidate.ends_with(b"::") {
            length = length.saturating_sub(1);
        }
        let candidate = std::str::from_utf8(self.rest().get(..length)?).ok()?;
        if candidate.len() < 3 || candidate.bytes().filter(|byte| *byte == b':').count() < 2 {
            return None;
        }
        let address: Ipv6Addr = candidate.parse().ok()?;
        let start = self.pos;
        self.pos = self.pos.saturating_add(length);
        Some(Token {
            kind: Tok::Ip(address.into()),
            span: self.span_from(start),
        })
    }

    fn variable(&mut self, diagnostics: &mut Diagnostics) -> Token {
        let start = self.pos;
        let length = pv::extent(self.rest()).max(1);
        self.pos = self.pos.saturating_add(length);
        let span = self.span_from(start);
        let raw = self.text.get(start..self.pos).unwrap_or_default();
        match pv::parse(&Text::verbatim(kahea_sip::Str::copy(raw), span), diagnostics) {
            Some(pv) => Token {
                kind: Tok::Pv(Box::new(pv)),
                span,
            },
            None => Token { kind: Tok::Bad, span },
        }
    }

    fn punctuation(&mut self, diagnostics: &mut Diagnostics) -> Token {
        let start = self.pos;
        if let Some(text) = PUNCTUATION
            .iter()
            .find(|text| self.rest().starts_with(text.as_bytes()))
        {
            self.pos = self.pos.saturating_add(text.len());
            return Token {
                kind: Tok::Punct(text),
                span: self.span_from(start),
            };
        }
        // Bytes that mean nothing are reported once for a whole run of them.
        let is_unknown = |byte: &u8| {
            !byte.is_ascii_whitespace()
                && !is_word(*byte)
                && !matches!(byte, b'"' | b'\'' | b'$' | b'#')
                && !PUNCTUATION
                    .iter()
                    .any(|text| text.as_bytes().first() == Some(byte))
        };
        let length = self
            .rest()
            .iter()
            .take_while(|byte| is_unknown(byte))
            .count()
            .max(1);
        self.pos = self.pos.saturating_add(length);
        let span = self.span_from(start);
        let shown = String::from_utf8_lossy(self.text.get(start..self.pos).unwrap_or_default());
        let shown: String = shown.chars().take(16).flat_map(char::escape_debug).collect();
        diagnostics.push(
            Diagnostic::error(
                codes::UNKNOWN_CHARACTER,
                span,
                format!("`{shown}` has no meaning here"),
            )
            .help("text belongs in quotes, remarks behind `#`"),
        );
        Token { kind: Tok::Bad, span }
    }
}

/// Whether a byte can be part of a word.
pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn memchr(wanted: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == wanted)
}
