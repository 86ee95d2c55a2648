//! [`Diagnostic`]: one finding about a configuration, as data; and [`Diagnostics`], their collector.

use std::collections::HashSet;

use crate::{SourceMap, Span, codes::Code};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, and probably does not do what was meant.
    Warning,
    /// Something worth knowing.
    Note,
}

impl Severity {
    /// The word for it in output: `error`, `warning` or `note`.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// A place with a remark.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be said about it; may be empty.
    pub text: String,
}

/// One finding: what is wrong, where, why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind, stable between releases.
    pub code: Code,
    /// One sentence without a full stop.
    pub message: String,
    /// Where it is.
    pub primary: Label,
    /// Other places that matter.
    pub secondary: Vec<Label>,
    /// Remedies.
    pub help: Vec<String>,
    /// Facts that explain.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A finding of the given severity.
    pub fn new(severity: Severity, code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            severity,
            code,
            message: message.into(),
            primary: Label {
                span,
                text: String::new(),
            },
            secondary: Vec::new(),
            help: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// An error at `span`.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, code, span, message)
    }

    /// A warning at `span`.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, code, span, message)
    }

    /// A note at `span`.
    pub fn remark(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Note, code, span, message)
    }

    /// The remark under the caret of the primary place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Diagnostic {
        self.primary.text = text.into();
        self
    }

    /// Another place that matters.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Diagnostic {
        self.secondary.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// A remedy.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Diagnostic {
        self.help.push(text.into());
        self
    }

    /// `did you mean …?`, where there is a likely name.
    #[must_use]
    pub fn did_you_mean(self, name: Option<&str>) -> Diagnostic {
        match name {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// A fact that explains.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Diagnostic {
        self.notes.push(text.into());
        self
    }
}

/// Most findings that are kept; the rest is only counted.
pub const MAX_KEPT: usize = 1_000;

/// Collects findings: one per mistake.
///
/// A second finding of the same code at the same place is dropped, and so is an error that begins where another
/// error began, as it follows from it. At most [`MAX_KEPT`] are kept.
#[derive(Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    seen: HashSet<(Code, Span)>,
    error_starts: HashSet<(crate::FileId, u32)>,
    errors: usize,
    left_out: usize,
}

impl Diagnostics {
    /// An empty collector.
    pub fn new() -> Diagnostics {
        Diagnostics::default()
    }

    /// Takes a finding; says whether it was kept.
    pub fn push(&mut self, diagnostic: Diagnostic) -> bool {
        let span = diagnostic.primary.span;
        if !self.seen.insert((diagnostic.code, span)) {
            return false;
        }
        if diagnostic.severity == Severity::Error {
            if !self.error_starts.insert((span.file, span.start)) {
                return false;
            }
            self.errors = self.errors.saturating_add(1);
        }
        if self.list.len() >= MAX_KEPT {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.list.push(diagnostic);
        true
    }

    /// Takes all findings of another collector.
    pub fn append(&mut self, other: Diagnostics) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
        self.left_out = self.left_out.saturating_add(other.left_out);
    }

    /// Whether there is an error among them.
    pub fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Number of errors.
    pub fn error_count(&self) -> usize {
        self.errors
    }

    /// How many were not kept because there were too many.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Number of findings kept.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// In the order they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// By place: in the order in which a reader who follows the includes comes upon them.
    pub fn sorted(&self, sources: &SourceMap) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self
            .list
            .iter()
            .map(|item| (sources.reading_order(item.primary.span), item))
            .collect();
        sorted.sort_by(|left, right| left.0.cmp(&right.0));
        sorted.into_iter().map(|(_, item)| item).collect()
    }
}
