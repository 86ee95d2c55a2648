//! The preprocessor: includes, definitions, conditions and substitutions.
//!
//! It drives the lexer and yields the words that are left. A definition replaces a whole word, never a part
//! of a string or of a variable; a `#!subst` changes strings only.

mod condition;
mod directive;
mod subst;

use std::{collections::HashMap, io, sync::Arc};

use kahea_diag::{Diagnostic, Diagnostics, FileId, Origin, SourceMap, Span, codes};
use kahea_sip::Str;

use self::subst::Rule;
use crate::{
    lexer::{Directive, Lexer, Raw, Tok, Token},
    source::{Options, Sources},
};

/// Most bytes of one file or one expanded string.
const MAX_TEXT: usize = 16 << 20;
/// Most bytes of all files together.
const MAX_TOTAL: usize = 64 << 20;
/// Includes nest at most this deep.
const MAX_INCLUDES: usize = 32;
/// Definitions within definitions nest at most this deep.
const MAX_EXPANSIONS: usize = 64;
/// Most bytes that all expansions together may produce.
const MAX_EXPANDED: usize = 16 << 20;
/// After so many errors reading stops: what follows is no configuration.
const MAX_ERRORS: usize = 500;

/// A defined name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Define {
    /// Its text; `None` where it is only defined.
    pub value: Option<Arc<[u8]>>,
    /// Where; `None` for predefined names and those of the command line.
    pub defined: Option<Span>,
}

/// What is left of a configuration.
#[derive(Debug)]
pub struct Preprocessed {
    /// The words, with [`Tok::End`] as the last one.
    pub(crate) tokens: Vec<Token>,
    /// All texts.
    pub sources: SourceMap,
    /// What was wrong.
    pub diagnostics: Diagnostics,
    /// The names defined at the end.
    pub defines: HashMap<Box<str>, Define>,
}

impl Preprocessed {
    /// The configuration as it is after includes, conditions and definitions (`--cfg-print`), comments left out.
    ///
    /// Words stand on the lines on which they were written; a file's text begins on a line of its own.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut place = None;
        for token in self.tokens.iter().filter(|token| token.kind != Tok::End) {
            let (file, position) = self.sources.locate(self.sources.written(token.span));
            let here = Some((file, position.line));
            if place.is_some() {
                out.push(if place == here { b' ' } else { b'\n' });
            }
            place = here;
            out.extend_from_slice(self.sources.slice(token.span));
        }
        out.push(b'\n');
        out
    }
}

/// Reads the configuration at `path` with everything it includes.
pub fn preprocess(path: &str, sources: &dyn Sources, options: &Options) -> Preprocessed {
    let mut state = Preprocessor::new(sources);
    state.predefine(options);
    match sources.read(path) {
        Ok(text) => {
            state.enter_file(path, text, Origin::Root, None);
            state.run();
        }
        Err(error) => {
            let file = state.map.add(path, *b"", Origin::Root);
            let message = format!("cannot read `{path}`: {}", reason(&error));
            let place = Span::new(file, 0, 0);
            state
                .diagnostics
                .push(Diagnostic::error(codes::FILE_UNREADABLE, place, message));
        }
    }
    state.finish()
}

/// Why a file cannot be read, without the number of the system's error.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => String::from("no such file"),
        io::ErrorKind::PermissionDenied => String::from("permission denied"),
        io::ErrorKind::IsADirectory => String::from("it is a directory"),
        _ => error.to_string(),
    }
}

/// A text that is being read.
struct Frame {
    lexer: Lexer,
    /// The defined name, for an expansion.
    expands: Option<Box<str>>,
}

/// An open `#!ifdef`.
struct Condition {
    begun: Span,
    /// Whether the part being read counts.
    active: bool,
    /// Whether the parts around it count.
    enclosing: bool,
    /// Where the `#!else` was.
    otherwise: Option<Span>,
}

struct Preprocessor<'a> {
    sources: &'a dyn Sources,
    map: SourceMap,
    diagnostics: Diagnostics,
    defines: HashMap<Box<str>, Define>,
    rules: Vec<Rule>,
    frames: Vec<Frame>,
    conditions: Vec<Condition>,
    tokens: Vec<Token>,
    read: usize,
    expanded: usize,
}

impl<'a> Preprocessor<'a> {
    fn new(sources: &'a dyn Sources) -> Preprocessor<'a> {
        Preprocessor {
            sources,
            map: SourceMap::new(),
            diagnostics: Diagnostics::new(),
            defines: HashMap::new(),
            rules: Vec::new(),
            frames: Vec::new(),
            conditions: Vec::new(),
            tokens: Vec::new(),
            read: 0,
            expanded: 0,
        }
    }

    fn predefine(&mut self, options: &Options) {
        let (major, minor, patch) = options.version;
        let number = u32::from(major) * 1_000_000 + u32::from(minor) * 1_000 + u32::from(patch);
        let names = [
            (format!("KAMAILIO_{major}"), None),
            (format!("KAMAILIO_{major}_{minor}"), None),
            (format!("KAMAILIO_{major}_{minor}_{patch}"), None),
            (String::from("KAMAILIO_VERSION"), Some(number.to_string())),
            (String::from("KAMAILIO_VERSION_MAJOR"), Some(major.to_string())),
            (String::from("KAMAILIO_VERSION_MINOR"), Some(minor.to_string())),
            (String::from("KAMAILIO_VERSION_PATCH"), Some(patch.to_string())),
            (String::from("OS_NAME"), Some(format!("\"{}\"", options.os_name))),
        ];
        for (name, value) in names.into_iter().chain(options.defines.iter().cloned()) {
            let value = value
                .filter(|value| !value.is_empty())
                .map(|value| value.into_bytes().into());
            self.defines.insert(name.into(), Define { value, defined: None });
        }
        self.predefine_substitutions(options);
    }

    fn predefine_substitutions(&mut self, options: &Options) {
        let kinds = [
            (Directive::Subst, &options.substs),
            (Directive::SubstDef, &options.substdefs),
            (Directive::SubstDefs, &options.substdefs_quoted),
        ];
        for (kind, rules) in kinds {
            for rule in rules {
                let name = "<command line>";
                let file = self.map.add(name, rule.as_bytes(), Origin::Root);
                let end = u32::try_from(rule.len()).unwrap_or(u32::MAX);
                self.substitution(kind, rule.as_bytes(), Span::new(file, 0, end));
            }
        }
    }

    fn run(&mut self) {
        while let Some(frame) = self.frames.last_mut() {
            if self.diagnostics.error_count() > MAX_ERRORS {
                return;
            }
            let is_active = self.conditions.last().is_none_or(|condition| condition.active);
            let raw = if is_active {
                frame.lexer.next(&mut self.diagnostics)
            } else {
                frame.lexer.next_directive()
            };
            match raw {
                Raw::End => {
                    self.frames.pop();
                }
                Raw::Directive(directive, span) => self.directive(directive, span, is_active),
                Raw::Token(token) => self.token(token),
            }
        }
    }

    fn finish(mut self) -> Preprocessed {
        for condition in std::mem::take(&mut self.conditions) {
            self.diagnostics.push(
                Diagnostic::error(
                    codes::UNCLOSED_CONDITION,
                    condition.begun,
                    "condition is never closed",
                )
                .label("begins here")
                .help("add the missing `#!endif`"),
            );
        }
        let end = match self.map.file(FileId::ROOT) {
            Some(file) => {
                let length = u32::try_from(file.text().len()).unwrap_or(u32::MAX);
                Span::new(FileId::ROOT, length, length)
            }
            None => Span::new(FileId::ROOT, 0, 0),
        };
        self.tokens.push(Token {
            kind: Tok::End,
            span: end,
        });
        Preprocessed {
            tokens: self.tokens,
            sources: self.map,
            diagnostics: self.diagnostics,
            defines: self.defines,
        }
    }

    fn token(&mut self, mut token: Token) {
        match &token.kind {
            Tok::Ident(word) => {
                if matches!(word.as_ref(), "include_file" | "import_file") {
                    let tolerant = word.as_ref() == "import_file";
                    return self.include(token.span, tolerant);
                }
                if self.expand(&word.clone(), token.span) {
                    return;
                }
            }
            Tok::Str(_) => {
                self.substitute(&mut token);
                self.note_module(&token);
            }
            _ => {}
        }
        self.tokens.push(token);
    }

    /// Puts the value of a defined name in the place of the name; says whether it did.
    fn expand(&mut self, word: &str, used: Span) -> bool {
        let Some(Define {
            value: Some(value),
            defined,
        }) = self.defines.get(word)
        else {
            return false;
        };
        if is_reserved(word) {
            return false;
        }
        let (value, defined) = (Arc::clone(value), *defined);
        let is_open = |frame: &Frame| frame.expands.as_deref() == Some(word);
        if self.frames.iter().any(is_open) || self.frames.len() > MAX_INCLUDES + MAX_EXPANSIONS {
            self.tokens.push(Token {
                kind: Tok::Bad,
                span: used,
            });
            let message = format!("the definition of `{word}` leads back to itself");
            self.diagnostics
                .push(Diagnostic::error(codes::EXPANSION_LIMIT, used, message));
            return true;
        }
        self.expanded = self.expanded.saturating_add(value.len()).saturating_add(1);
        if self.expanded > MAX_EXPANDED {
            self.frames.clear();
            self.diagnostics.push(
                Diagnostic::error(
                    codes::EXPANSION_LIMIT,
                    used,
                    "definitions expand to too much text",
                )
                .note("all expansions together are limited to 16 MiB; reading stops here"),
            );
            return true;
        }
        let file = self
            .map
            .add(word, Arc::clone(&value), Origin::Expansion { used, defined });
        self.frames.push(Frame {
            lexer: Lexer::new(file, value),
            expands: Some(word.into()),
        });
        true
    }

    /// Changes a string by the `#!subst` rules, in the order they were given.
    fn substitute(&mut self, token: &mut Token) {
        let Tok::Str(text) = &mut token.kind else { return };
        for rule in &self.rules {
            let Some(changed) = rule.apply(&text.value) else {
                continue;
            };
            self.expanded = self.expanded.saturating_add(changed.len());
            if changed.len() > MAX_TEXT || self.expanded > MAX_EXPANDED {
                let message = "substitutions make too much text";
                self.diagnostics
                    .push(Diagnostic::error(codes::EXPANSION_LIMIT, token.span, message));
                self.frames.clear();
                return;
            }
            let used = text.span;
            let origin = Origin::Substitution {
                used,
                defined: rule.defined,
            };
            let file = self.map.add("#!subst", changed.clone(), origin);
            let end = u32::try_from(changed.len()).unwrap_or(u32::MAX);
            text.value = Str::from(changed);
            text.runs = vec![(0, Span::new(file, 0, end))];
        }
    }

    /// After `loadmodule "x"` the name `MOD_x` is defined.
    fn note_module(&mut self, token: &Token) {
        let Tok::Str(text) = &token.kind else { return };
        let mut before = self.tokens.iter().rev();
        let mut last = before.next();
        if last.is_some_and(|token| token.kind == Tok::Punct("(")) {
            last = before.next();
        }
        let Some(Token {
            kind: Tok::Ident(word),
            ..
        }) = last
        else {
            return;
        };
        if !matches!(word.as_ref(), "loadmodule" | "loadmodulex") {
            return;
        }
        let name = text.value.text();
        let name = name.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".so").unwrap_or(name);
        let define = Define {
            value: None,
            defined: Some(token.span),
        };
        self.defines.entry(format!("MOD_{name}").into()).or_insert(define);
    }

    /// Begins to read a file; the caller has checked that it may.
    fn enter_file(&mut self, path: &str, text: Vec<u8>, origin: Origin, by: Option<Span>) {
        self.read = self.read.saturating_add(text.len());
        let too_large = text.len() > MAX_TEXT || self.read > MAX_TOTAL;
        let text: Arc<[u8]> = if too_large { Arc::from(*b"") } else { text.into() };
        let file = self.map.add(path, Arc::clone(&text), origin);
        if too_large {
            let place = by.unwrap_or(Span::new(file, 0, 0));
            let message = format!("`{path}` is too large");
            self.diagnostics.push(
                Diagnostic::error(codes::TOO_LARGE, place, message)
                    .note("a file is limited to 16 MiB, all files together to 64 MiB"),
            );
        }
        self.frames.push(Frame {
            lexer: Lexer::new(file, text),
            expands: None,
        });
    }

    /// `include_file "x"`: the path is relative to the including file, then to where the server runs.
    fn include(&mut self, at: Span, tolerant: bool) {
        let Some((path, place)) = self.include_path() else {
            let message = "file name missing";
            self.diagnostics.push(
                Diagnostic::error(codes::BAD_DIRECTIVE, at, message)
                    .help("write it as `include_file \"name.cfg\"`"),
            );
            return;
        };
        if self.frames.iter().filter(|frame| frame.expands.is_none()).count() >= MAX_INCLUDES {
            let message = format!("`{path}` is included too deeply");
            self.diagnostics.push(
                Diagnostic::error(codes::INCLUDE_DEPTH, place, message)
                    .note(format!("files include one another at most {MAX_INCLUDES} deep"))
                    .help("a file must not include itself, not even through another one"),
            );
            return;
        }
        let (resolved, result) = self.read_relative(&path, place);
        match result {
            Ok(text) => self.enter_file(&resolved, text, Origin::Included { by: place }, Some(place)),
            Err(error) if tolerant && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot read `{resolved}`: {}", reason(&error));
                let found = Diagnostic::error(codes::FILE_UNREADABLE, place, message);
                let found = if tolerant {
                    found
                } else {
                    found.help("`import_file` tolerates a missing file")
                };
                self.diagnostics.push(found);
            }
        }
    }

    /// The string after `include_file`, with definitions and substitutions applied.
    fn include_path(&mut self) -> Option<(String, Span)> {
        let frame = self.frames.last_mut()?;
        let Raw::Token(mut token) = frame.lexer.next(&mut self.diagnostics) else {
            return None;
        };
        if let Tok::Ident(word) = &token.kind {
            let value = self.defines.get(word)?.value.clone()?;
            let value = String::from_utf8_lossy(&value).into_owned();
            return Some((value.trim().trim_matches(['"', '\'']).to_owned(), token.span));
        }
        self.substitute(&mut token);
        match &token.kind {
            Tok::Str(text) if !text.value.is_empty() => Some((text.value.text().into_owned(), token.span)),
            _ => None,
        }
    }

    fn read_relative(&self, path: &str, by: Span) -> (String, io::Result<Vec<u8>>) {
        let including = self
            .map
            .file(self.map.written(by).file)
            .map_or("", |file| file.name());
        let folder = including
            .rfind('/')
            .and_then(|slash| including.get(..=slash))
            .unwrap_or_default();
        let beside = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("{folder}{path}")
        };
        match self.sources.read(&beside) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && beside != path => {
                match self.sources.read(path) {
                    Ok(text) => (path.to_owned(), Ok(text)),
                    Err(_) => (beside, Err(error)),
                }
            }
            result => (beside, result),
        }
    }
}

/// Words of the language that a definition does not replace.
fn is_reserved(word: &str) -> bool {
    const RESERVED: &[&str] = &[
        "if",
        "else",
        "switch",
        "case",
        "default",
        "while",
        "break",
        "return",
        "exit",
        "drop",
        "route",
        "request_route",
        "reply_route",
        "onreply_route",
        "failure_route",
        "branch_route",
        "onsend_route",
        "event_route",
        "loadmodule",
        "loadmodulex",
        "loadpath",
        "mpath",
        "modparam",
        "modparamx",
        "listen",
        "alias",
    ];
    RESERVED.contains(&word)
}
