//! Pseudo-variables: `$name(inner)`, `$(name(inner)[index]{class.function,argument})`, and format strings with them.

use kahea_diag::Span;

use crate::ast::Text;

/// A pseudo-variable as written.
#[derive(Clone, Debug, PartialEq)]
pub struct Pv {
    /// The name without `$`, dots included: `ru`, `err.class`, `T_req`, `?`.
    pub name: crate::ast::Ident,
    /// What stands in the parentheses after the name; `None` without parentheses.
    pub inner: Option<Inner>,
    /// What stands in the brackets.
    pub index: Option<Index>,
    /// In the order they apply.
    pub transformations: Vec<Transformation>,
    /// The whole text, `$` included, as it was written.
    pub raw: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// What stands in the parentheses of a variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Inner {
    /// Just as written.
    pub raw: Text,
    /// The variables in it, each with its range of bytes in `raw`; meant for names such as `$var($var(x))`.
    pub nested: Vec<(std::ops::Range<usize>, Pv)>,
}

/// The index of a variable.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// `[2]`, `[-1]`
    Int(i64, Span),
    /// `[*]`
    All(Span),
    /// `[$var(i)]`
    Pv(Box<Pv>),
}

/// A transformation: `{s.substr,0,$var(n)}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformation {
    /// The class: `s`, `uri`, `re`.
    pub class: crate::ast::Ident,
    /// The function, dots included: `len`, `encode.hexa`.
    pub name: crate::ast::Ident,
    /// All that follows the first comma, as written; `None` without one.
    pub args: Option<Text>,
    /// With the braces.
    pub span: Span,
}
