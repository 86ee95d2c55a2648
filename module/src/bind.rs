//! What happens to names and texts at load: formats, routes, and the errors of that stage.

use std::{fmt, sync::Arc};

use crate::{Cx, RouteId, RouteKind, Str, Value, Var, language::Callback};

/// Something in the config does not fit; becomes a diagnostic at the place of use.
#[derive(Clone, Debug, PartialEq)]
pub struct BindError {
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// It follows from a finding made elsewhere (a module that is not available), and is not shown again.
    pub covered: bool,
}

impl BindError {
    /// Without a remedy yet.
    pub fn new(message: impl Into<String>) -> BindError {
        BindError {
            message: message.into(),
            help: None,
            covered: false,
        }
    }

    /// With the remedy.
    pub fn help(mut self, help: impl Into<String>) -> BindError {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BindError {}

impl From<crate::Fault> for BindError {
    fn from(fault: crate::Fault) -> BindError {
        BindError::new(fault.text.text())
    }
}

/// Compiles what stands in strings; implemented by the compiler of the native language.
///
/// It is there at load and, through [`Cx::bind`], at run time for names that are only known then.
pub trait Bind: Send + Sync {
    /// A text with pseudo-variables in it, as `xlog` takes.
    ///
    /// # Errors
    /// An unknown variable or transformation.
    fn format(&self, text: &str) -> Result<Format, BindError>;

    /// One pseudo-variable, `$name…` or `$(name…)`, with nothing before or after it.
    ///
    /// # Errors
    /// It is none, or unknown.
    fn var(&self, text: &str) -> Result<Var, BindError>;

    /// A route of the script. Under `cfgengine` a name that no block of the native script has is that of a function of
    /// the embedded language (`t_on_failure("ksr_failure_manage")`).
    fn route(&self, kind: RouteKind, name: &str) -> Option<RouteId>;

    /// A route block of the native script, whatever `cfgengine` says.
    fn native_route(&self, kind: RouteKind, name: &str) -> Option<RouteId> {
        self.route(kind, name).filter(|route| route.callback().is_none())
    }

    /// The route that runs a function of the embedded language which `cfgengine` chose; the same function for the same
    /// kind has the same route everywhere. `None` where the configuration is native, or the name is empty or `none`.
    fn callback(&self, _kind: RouteKind, _function: &str) -> Option<RouteId> {
        None
    }

    /// What [`Bind::callback`] noted, for who runs it.
    fn callback_of(&self, _route: RouteId) -> Option<Arc<Callback>> {
        None
    }

    /// The module is loaded.
    fn has_module(&self, name: &str) -> bool;

    /// The slot in the message's `$var` table for this name; the same name has the same slot everywhere.
    fn var_slot(&self, name: &str) -> usize;

    /// The value of `#!define NAME value` where there is one; an empty text for a define without a value.
    fn define(&self, name: &str) -> Option<Str>;

    /// The variables that the script names, without indexes and transformations; for dumps.
    fn variables(&self) -> Vec<Var> {
        Vec::new()
    }

    /// The flag number that `flags NAME:n` declared.
    fn flag(&self, name: &str) -> Option<u8>;

    /// Notes that the script names something (`topic`) which a module has to make ready before the first message: the
    /// location tables of `save()`. Without a compiler behind it nothing is kept.
    fn note(&self, _topic: &'static str, _name: &str) {}

    /// What was noted under a topic, in the order of the script, each name once.
    fn noted(&self, _topic: &str) -> Vec<Str> {
        Vec::new()
    }

    /// The path of the main configuration file: modules mean names of files without a folder from its folder.
    fn file(&self) -> Option<&str> {
        None
    }

    /// A name of a file as it is to be opened: from the folder of the main configuration file unless it begins with
    /// `/`, as Kamailio's modules take names.
    fn beside(&self, name: &str) -> String {
        match self.file().and_then(|file| file.rsplit_once('/')) {
            Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
            _ => name.to_owned(),
        }
    }
}

/// A text with variables, compiled.
#[derive(Clone, Debug, Default)]
pub struct Format {
    pieces: Arc<[Piece]>,
}

/// A part of a [`Format`].
#[derive(Clone, Debug)]
pub enum Piece {
    /// Goes out as it is.
    Text(Str),
    /// Goes out as its value; where `$null`, as [`Var::null_text`] says.
    Var(Var),
}

impl Format {
    /// Of pieces; neighbouring texts should have been joined.
    pub fn new(pieces: Vec<Piece>) -> Format {
        Format {
            pieces: pieces.into(),
        }
    }

    /// Without variables.
    pub fn constant(text: impl Into<Str>) -> Format {
        Format::new(vec![Piece::Text(text.into())])
    }

    /// Its text where it has no variables.
    pub fn as_constant(&self) -> Option<Str> {
        match &*self.pieces {
            [] => Some(Str::EMPTY),
            [Piece::Text(text)] => Some(text.clone()),
            _ => None,
        }
    }

    /// The variable where it is one and nothing else.
    pub fn as_var(&self) -> Option<&Var> {
        match &*self.pieces {
            [Piece::Var(var)] => Some(var),
            _ => None,
        }
    }

    /// The parts.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text now, with `<null>` for variables without a value, as Kamailio prints them.
    pub fn text(&self, cx: &mut Cx) -> Str {
        if let Some(text) = self.as_constant() {
            return text;
        }
        if let Some(var) = self.as_var()
            && let Value::Str(text) = var.get(cx)
        {
            return text;
        }
        let mut out = Vec::with_capacity(128);
        self.push_to(cx, &mut out);
        Str::from(out)
    }

    /// Adds the text to `out`.
    pub fn push_to(&self, cx: &mut Cx, out: &mut Vec<u8>) {
        for piece in &*self.pieces {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Var(var) => match var.get(cx) {
                    Value::Null => out.extend_from_slice(var.null_text()),
                    value => value.push_to(out),
                },
            }
        }
    }

    /// The value now: a lone variable keeps its type, anything else is text.
    pub fn value(&self, cx: &mut Cx) -> Value {
        match self.as_var() {
            Some(var) => var.get(cx),
            None => Value::Str(self.text(cx)),
        }
    }
}
