//! The recovering parser: from a file to its syntax tree, with all mistakes found.
//!
//! Recursive descent for items and statements, precedence climbing for expressions. After a mistake it goes on behind the
//! next `;`, before the next `}`, or at the next word that begins an item.

mod address;
mod expr;
mod item;
mod stmt;

use std::collections::HashMap;

use kahea_diag::{Code, Diagnostic, Diagnostics, SourceMap, Span, codes};

use crate::{
    ast::{ConfigFile, Ident, Text},
    lexer::{Tok, Token},
    preprocess::{Define, Preprocessed, preprocess},
    source::{Options, Sources},
};

/// A configuration as read: always a tree, however many mistakes there are.
#[derive(Debug, Default)]
pub struct Parsed {
    /// What could be understood.
    pub config: ConfigFile,
    /// All texts.
    pub sources: SourceMap,
    /// What was wrong.
    pub diagnostics: Diagnostics,
    /// The names defined at the end, for the RPC `core.ppdefines_full`.
    pub defines: HashMap<Box<str>, Define>,
    /// Every function that is called, with the place of its first call.
    pub calls: HashMap<Box<str>, Span>,
}

/// Reads the configuration at `path` with everything it includes.
pub fn parse(path: &str, sources: &dyn Sources, options: &Options) -> Parsed {
    let Preprocessed {
        tokens,
        sources,
        diagnostics,
        defines,
    } = preprocess(path, sources, options);
    let swallowed = diagnostics
        .iter()
        .any(|item| matches!(item.code, codes::UNCLOSED_STRING | codes::UNCLOSED_COMMENT));
    let mut parser = Parser {
        tokens,
        at: 0,
        sources: &sources,
        diagnostics,
        depth: 0,
        gave_up_at: None,
        swallowed,
        calls: HashMap::new(),
    };
    let config = parser.config();
    let Parser {
        diagnostics, calls, ..
    } = parser;
    Parsed {
        config,
        sources,
        diagnostics,
        defines,
        calls,
    }
}

/// Blocks and parentheses nest at most this deep.
const MAX_DEPTH: usize = 200;
/// Operators of one expression and branches of one `else if` chain are at most so many.
const MAX_CHAIN: usize = 1_000;

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    sources: &'a SourceMap,
    diagnostics: Diagnostics,
    depth: usize,
    /// The item keyword inside of a block that has already been reported.
    gave_up_at: Option<usize>,
    /// A string or comment swallowed the rest, so that what is missing at the end is no mistake of its own.
    swallowed: bool,
    calls: HashMap<Box<str>, Span>,
}

/// A mistake has been reported; the caller finds its way on.
struct Failed;

type Result<T> = std::result::Result<T, Failed>;

const END: Tok = Tok::End;

impl Parser<'_> {
    fn peek(&self) -> &Tok {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Tok {
        self.tokens
            .get(self.at.saturating_add(ahead))
            .map_or(&END, |token| &token.kind)
    }

    fn span(&self) -> Span {
        self.span_at(0)
    }

    fn span_at(&self, ahead: usize) -> Span {
        let token = self
            .tokens
            .get(self.at.saturating_add(ahead))
            .or(self.tokens.last());
        token.map_or(Span::new(kahea_diag::FileId::ROOT, 0, 0), |token| token.span)
    }

    /// The place of the word before the cursor.
    fn last_span(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|at| self.tokens.get(at))
            .map_or(self.span(), |token| token.span)
    }

    fn bump(&mut self) {
        if self.at < self.tokens.len() {
            self.at = self.at.saturating_add(1);
        }
    }

    fn is(&self, punct: &str) -> bool {
        self.is_at(0, punct)
    }

    fn is_at(&self, ahead: usize, punct: &str) -> bool {
        matches!(self.peek_at(ahead), Tok::Punct(text) if *text == punct)
    }

    fn word(&self) -> Option<&str> {
        self.word_at(0)
    }

    fn word_at(&self, ahead: usize) -> Option<&str> {
        match self.peek_at(ahead) {
            Tok::Ident(word) => Some(word),
            _ => None,
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    fn eat(&mut self, punct: &str) -> bool {
        let found = self.is(punct);
        if found {
            self.bump();
        }
        found
    }

    fn expect(&mut self, punct: &str, context: &str) -> Result<Span> {
        let span = self.span();
        if self.eat(punct) {
            return Ok(span);
        }
        Err(self.unexpected(&format!("`{punct}` {context}")))
    }

    /// Closes what `open` opened.
    fn close(&mut self, punct: &str, open: Span) -> Result<Span> {
        let span = self.span();
        if self.eat(punct) {
            return Ok(span);
        }
        if self.is_known_fault() {
            return Err(Failed);
        }
        let message = format!("expected `{punct}`, found {}", self.peek());
        let code = codes::UNCLOSED_PAREN;
        self.diagnostics
            .push(Diagnostic::error(code, span, message).related(open, "opened here"));
        Err(Failed)
    }

    /// Reports that something else was expected here, unless the lexer has reported the word already.
    fn unexpected(&mut self, expected: &str) -> Failed {
        if !self.is_known_fault() {
            let message = format!("expected {expected}, found {}", self.peek());
            self.error(codes::UNEXPECTED_TOKEN, self.span(), message);
        }
        Failed
    }

    /// Whether the word at the cursor is wrong for a reason that has been reported.
    fn is_known_fault(&self) -> bool {
        match self.peek() {
            Tok::Bad => true,
            Tok::End => self.swallowed,
            _ => false,
        }
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, span, message));
    }

    fn ident(&mut self, expected: &str) -> Result<Ident> {
        match self.peek() {
            Tok::Ident(word) => {
                let ident = Ident::new(word.clone(), self.span());
                self.bump();
                Ok(ident)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn string(&mut self, expected: &str) -> Result<Text> {
        match self.peek() {
            Tok::Str(text) => {
                let text = (**text).clone();
                self.bump();
                Ok(text)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// A number with an optional sign; `yes` and its like are 1, their opposites 0.
    fn integer(&mut self) -> Option<(i64, Span)> {
        let start = self.span();
        let sign = if self.is("-") {
            Some(true)
        } else {
            self.is("+").then_some(false)
        };
        let skipped = usize::from(sign.is_some());
        let value = match self.peek_at(skipped) {
            Tok::Int(number) => *number,
            Tok::Ident(word) if sign.is_none() => truth_word(word)?,
            _ => return None,
        };
        let span = start.to(self.span_at(skipped));
        self.at = self.at.saturating_add(skipped).saturating_add(1);
        Some((
            if sign == Some(true) {
                value.saturating_neg()
            } else {
                value
            },
            span,
        ))
    }

    /// Whether a line ends between the word before the cursor and the one at it.
    fn at_new_line(&self) -> bool {
        let (before, next) = (self.last_span(), self.span());
        if before.file != next.file {
            return self.sources.locate(before).1.line != self.sources.locate(next).1.line;
        }
        self.sources
            .slice(Span {
                start: before.end,
                ..next.before()
            })
            .contains(&b'\n')
    }

    /// Whether the word at `ahead` follows the one before it without a blank.
    fn is_adjacent(&self, ahead: usize) -> bool {
        let Some(before) = ahead.checked_sub(1) else {
            return false;
        };
        let (left, right) = (self.span_at(before), self.span_at(ahead));
        left.file == right.file && left.end == right.start
    }

    /// The text of the word at the cursor as it was written.
    fn written(&self) -> String {
        String::from_utf8_lossy(self.sources.slice(self.span())).into_owned()
    }

    /// Goes one level deeper for as long as `read` runs.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            self.too_deep();
            return Err(Failed);
        }
        self.depth = self.depth.saturating_add(1);
        let result = read(self);
        self.depth = self.depth.saturating_sub(1);
        result
    }

    /// Reports and steps over the rest of what is nested too deeply.
    fn too_deep(&mut self) {
        let found = Diagnostic::error(codes::TOO_DEEP, self.span(), "nested too deeply")
            .help("move a part to a route block of its own");
        self.diagnostics.push(found);
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Tok::End => return,
                Tok::Punct("{" | "(" | "[") => open = open.saturating_add(1),
                Tok::Punct("}" | ")" | "]") => match open.checked_sub(1) {
                    Some(less) => open = less,
                    None => return,
                },
                _ => {}
            }
            self.bump();
        }
    }

    /// Goes on behind the next `;`, or before the next `}` or item, whichever comes first.
    fn recover(&mut self) {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Tok::End => return,
                Tok::Punct(";") if open == 0 => return self.bump(),
                Tok::Punct("{") => open = open.saturating_add(1),
                Tok::Punct("}") => match open.checked_sub(1) {
                    Some(0) => return self.bump(),
                    Some(less) => open = less,
                    None => return,
                },
                _ if self.begins_item() => return,
                _ => {}
            }
            self.bump();
        }
    }

    /// Whether the cursor stands at a word that only an item begins with.
    fn begins_item(&self) -> bool {
        let Some(word) = self.word() else { return false };
        match word {
            "route" => self.is_at(1, "[") || self.is_at(1, "{"),
            "request_route" | "reply_route" | "onreply_route" | "failure_route" | "branch_route"
            | "onsend_route" | "event_route" => self.is_at(1, "[") || self.is_at(1, "{"),
            "loadmodule" | "loadmodulex" | "modparam" | "modparamx" | "loadpath" | "mpath" | "cfgengine" => {
                matches!(self.peek_at(1), Tok::Str(_) | Tok::Punct("(" | "="))
            }
            _ => false,
        }
    }
}

/// The words for 1 and 0.
fn truth_word(word: &str) -> Option<i64> {
    match word {
        "yes" | "true" | "on" | "enable" => Some(1),
        "no" | "false" | "off" | "disable" => Some(0),
        _ => None,
    }
}
