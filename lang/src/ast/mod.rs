//! The syntax tree of a configuration: what was written, with its places, and nothing about what it means.
//!
//! A tree has been through the preprocessor: includes, conditions and definitions are gone. Where something was
//! malformed, the node is left out or is an `Error`, and a diagnostic says so.

mod expr;
mod item;
mod sexpr;
mod stmt;
mod text;

pub use self::{
    expr::{
        Arg, ArgKind, BinaryOp, Call, CastType, Expr, ExprKind, Intrinsic, Keyword, Select, SelectPart,
        UnaryOp,
    },
    item::{
        Address, Advertise, Bind, ConfigFile, CoreParam, CustomGlobal, FlagDecl, Host, Item, ItemKind,
        LoadModule, ModParam, ParamValue, Port, RouteBlock, RouteKind, RouteName, Setting, SettingValue,
        SocketBlock,
    },
    sexpr::sexpr,
    stmt::{AssignTarget, Block, Case, CaseLabel, Stmt, StmtKind},
    text::{Ident, Text},
};
