//! Statements.

use kahea_diag::Span;

use super::{Call, Expr, Select, Text};
use crate::pv::Pv;

/// A list of statements between braces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// In the order written.
    pub stmts: Vec<Stmt>,
    /// With the braces; `None` for a body that could not be read.
    pub span: Option<Span>,
}

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// With its semicolon or closing brace.
    pub span: Span,
}

/// What a statement is.
#[derive(Clone, Debug, PartialEq)]
pub enum StmtKind {
    /// `{ … }`
    Block(Block),
    /// `if (cond) then else otherwise`; the parentheses are part of the condition and need not be there.
    If {
        /// The condition.
        cond: Expr,
        /// What runs if it is true.
        then: Box<Stmt>,
        /// What runs if not.
        otherwise: Option<Box<Stmt>>,
    },
    /// `switch (value) { case …: … }`
    Switch {
        /// The value compared.
        value: Expr,
        /// In the order written; one falls through to the next without a `break`.
        cases: Vec<Case>,
    },
    /// `while (cond) body`
    While {
        /// The condition.
        cond: Expr,
        /// What runs as long as it is true.
        body: Box<Stmt>,
    },
    /// `break`
    Break,
    /// `return`, with a value or without.
    Return(Option<Expr>),
    /// `exit`
    Exit(Option<Expr>),
    /// `drop`
    Drop(Option<Expr>),
    /// `target = value`
    Assign {
        /// What is written to.
        target: AssignTarget,
        /// What is written.
        value: Expr,
    },
    /// A call.
    Call(Call),
    /// A lone `;`.
    Empty,
    /// Something malformed; a diagnostic says so.
    Error,
}

/// The left side of an assignment.
#[derive(Clone, Debug, PartialEq)]
pub enum AssignTarget {
    /// A pseudo-variable or AVP.
    Pv(Box<Pv>),
    /// A select that can be written.
    Select(Select),
}

/// A `case` or `default` of a switch.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it is for.
    pub label: CaseLabel,
    /// What runs.
    pub body: Vec<Stmt>,
    /// The label up to its colon.
    pub span: Span,
}

/// What a case is for.
#[derive(Clone, Debug, PartialEq)]
pub enum CaseLabel {
    /// `default:`
    Default,
    /// `case 1:`, `case "text":`; an expression that is constant.
    Value(Expr),
    /// `case /regex/:` or `case /"regex":`
    Regex {
        /// The pattern, without slashes.
        pattern: Text,
    },
}
