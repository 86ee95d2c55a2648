//! Looking over the interpreter's shoulder: what the modules `debugger` and `cfgt` are told of a script that runs.
//!
//! A configuration without tracers pays one test for each run of a route.

use crate::{Cx, RouteId, RouteKind, Str, Var, ret::Later};

/// What a script is about to do.
#[derive(Clone, Copy, Debug)]
pub struct Action<'a> {
    /// A function's name, or `if`, `while`, `case`, `assign`, `return`, `exit`, `drop`, `break`, `route`.
    pub name: &'a str,
    /// How many arguments a module's function has; `None` for what belongs to the core.
    pub arguments: Option<usize>,
    /// The route block.
    pub route: &'a Block<'a>,
    /// The line of the configuration, from 1.
    pub line: u32,
}

/// The route block in work.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// Which it is.
    pub id: RouteId,
    /// Its kind.
    pub kind: RouteKind,
    /// Its name; empty for `request_route` and its like.
    pub name: &'a Str,
    /// The file that it stands in.
    pub file: &'a Str,
}

/// How a route block was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// At its end or by `return`.
    Return,
    /// By `exit`, or a function that ended the script.
    Exit,
    /// By `drop`.
    Drop,
}

/// Is told what scripts do.
pub trait Tracer: Send + Sync {
    /// Wants to be told of this message's script; asked once for each run.
    fn is_on(&self, cx: &Cx) -> bool;

    /// A route block begins.
    fn entered(&self, _cx: &mut Cx, _block: &Block<'_>) {}

    /// An action comes next. What is given back is waited for first.
    fn action(&self, _cx: &mut Cx, _action: &Action<'_>) -> Option<Later> {
        None
    }

    /// A variable was assigned.
    fn assigned(&self, _cx: &mut Cx, _var: &Var) {}

    /// A route block was left.
    fn left(&self, _cx: &mut Cx, _block: &Block<'_>, _how: Left) {}
}
