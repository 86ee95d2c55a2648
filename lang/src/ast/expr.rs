//! Expressions and calls.

use std::net::IpAddr;

use kahea_diag::Span;

use super::{Address, AssignTarget, Ident, Text};
use crate::pv::Pv;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands; a parenthesised one without its parentheses.
    pub span: Span,
}

/// What an expression is.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number, also `yes`, `on`, `true`, `enable` (1) and their opposites (0).
    Int(i64),
    /// A string; whether it has variables in it is for the function that gets it to say.
    Str(Text),
    /// An IP address, plain or in `[]`.
    Ip(IpAddr),
    /// A network: `10.0.0.0/8` or `10.0.0.0/255.0.0.0`.
    Net {
        /// The address before the slash.
        address: IpAddr,
        /// Length of the prefix: up to 32 or 128.
        prefix: u8,
    },
    /// A word: a flag name, a route name, a host without dots, a method in an old comparison.
    Name(Box<str>),
    /// An old keyword that stands for a field of the message: `method`, `src_ip`, `msg:len`.
    Keyword(Keyword),
    /// `myself`, the own addresses; only at the right (or left) of `==` and `!=`.
    Myself,
    /// A transport name in an old comparison or argument: `udp`, `TLS`; in lower case.
    Proto(Box<str>),
    /// An address family: 4 for `INET`, 6 for `INET6`.
    Family(u8),
    /// `$name`, `$(name{tr})`, also `$?`, `$rc`, `$retcode`.
    Pv(Box<Pv>),
    /// `@name.name[index]`.
    Select(Select),
    /// An operator before its operand.
    Unary(UnaryOp, Box<Expr>),
    /// An operator between its operands.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// At its left.
        left: Box<Expr>,
        /// At its right.
        right: Box<Expr>,
    },
    /// `(int)x` and `(str)x`.
    Cast(CastType, Box<Expr>),
    /// `strlen(x)`, `strempty(x)`, `defined x`, `selval(…)`.
    Intrinsic(Intrinsic, Vec<Expr>),
    /// A call, of a module's function or of an action of the core.
    Call(Box<Call>),
    /// `{ $x = 1 }`: assigns, and has the value of the assignment as truth.
    Assign(Box<AssignTarget>, Box<Expr>),
    /// Something malformed; a diagnostic says so.
    Error,
}

/// An old keyword that stands for a field of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyword {
    /// `method`
    Method,
    /// `uri`
    Uri,
    /// `status`
    Status,
    /// `from_uri`
    FromUri,
    /// `to_uri`
    ToUri,
    /// `src_ip`
    SrcIp,
    /// `src_port`
    SrcPort,
    /// `dst_ip`
    DstIp,
    /// `dst_port`
    DstPort,
    /// `snd_ip`, or `to_ip`: where the message is about to be sent to
    SndIp,
    /// `to_ip`
    ToIp,
    /// `snd_port`
    SndPort,
    /// `to_port`
    ToPort,
    /// `snd_proto`, `to_proto`
    SndProto,
    /// `snd_af`, `to_af`
    SndAf,
    /// `proto`
    Proto,
    /// `af`
    Af,
    /// `msg:len`
    MsgLen,
    /// `max_len`, the size of the receive buffer
    MaxLen,
    /// `uri:host`
    UriHost,
    /// `uri:port`
    UriPort,
}

/// An operator with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `!`, `not`
    Not,
    /// `-`
    Neg,
    /// `+`: no effect on the value
    Plus,
    /// `~`
    BitNot,
}

/// An operator with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`, `||`
    Or,
    /// `and`, `&&`
    And,
    /// `|`
    BitOr,
    /// `&`
    BitAnd,
    /// `^`
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
    /// `==`
    Equal,
    /// `!=`
    Differ,
    /// `eq`: compares as strings
    StrEqual,
    /// `ne`
    StrDiffer,
    /// `ieq`: compares as integers
    IntEqual,
    /// `ine`
    IntDiffer,
    /// `=~`
    Match,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `+`: adds, or joins strings, by the type of the left operand
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `mod`
    Mod,
    /// `.`: joins as strings
    Concat,
}

/// The target of a cast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CastType {
    /// `(int)`
    Int,
    /// `(str)`
    Str,
}

/// A function of the language itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intrinsic {
    /// `strlen(x)`
    StrLen,
    /// `strempty(x)`
    StrEmpty,
    /// `defined x`
    Defined,
    /// `selval(condition, then, else)`
    SelVal,
}

/// A select, a path into the message or a module.
#[derive(Clone, Debug, PartialEq)]
pub struct Select {
    /// Its parts after the `@`.
    pub parts: Vec<SelectPart>,
    /// From the `@`.
    pub span: Span,
}

/// A part of a select.
#[derive(Clone, Debug, PartialEq)]
pub enum SelectPart {
    /// `name`; also `["name"]`.
    Name(Ident),
    /// `[1]`
    Index(i64, Span),
    /// `[%]` and `[*]`: any.
    Any(Span),
}

/// A call of a function or action.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub name: Ident,
    /// Its arguments; empty when there are no parentheses.
    pub args: Vec<Arg>,
    /// Whether parentheses were written: `exit;` and `force_rport;` have none.
    pub parens: bool,
    /// From the name to the closing parenthesis.
    pub span: Span,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Arg {
    /// What it is.
    pub kind: ArgKind,
    /// Where it stands.
    pub span: Span,
}

/// What an argument is.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgKind {
    /// Anything but what follows; a lone string, number, word or variable is the expression it is.
    Expr(Expr),
    /// `udp:192.0.2.1:5060` and `example.com` in the actions of the core that take an address.
    Address(Address),
    /// Left out: the first one in `f(, "x")`.
    Empty,
}
