//! What a module of Kahea is made of: its one declaration, the running message, values, and the registry.
//!
//! Start at [`Module`]; functions are plain Rust functions, see [`Handler`]; the message they work on is [`Cx`].

pub mod arg;
pub mod authorized;
pub mod avp;
pub mod bind;
pub mod config;
pub mod core_stats;
mod cx;
mod decl;
mod faked;
pub mod func;
pub mod globals;
pub mod language;
pub mod late;
pub mod latency;
pub mod log;
pub mod param;
pub mod proxy;
pub mod regex;
pub mod registry;
pub mod ret;
pub mod route;
pub mod rpc;
pub mod settings;
pub mod state;
pub mod static_dns;
pub mod stats;
pub mod subst;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod trace;
pub mod transform;
pub mod value;
pub mod var;
pub mod worker;
pub mod xavp;

pub use kahea_sip::Str;

pub use self::{
    arg::{Arg, ArgKind, ArgSource, Lit, Literal, Rest, VarRef},
    bind::{Bind, BindError, Format, Piece},
    config::{Config, Flow, Listener},
    cx::{Budget, Cx, MessageFlags, ReplyExtra, Sending, Target, UsedTarget},
    decl::{Decl, EventDecl, FuncRow, Module, ParamRow, StatDecl},
    faked::TimerName,
    func::{FuncDecl, Handler, Parameter},
    late::{LateText, Lates, Outgoing},
    regex::Regex,
    registry::{Env, InitError},
    ret::{Blame, Fault, Given, Ret},
    route::{ANY, BRANCH, EVENT, FAILURE, ONSEND, REPLY, REQUEST, RouteId, RouteKind, RouteKinds},
    transform::{TransformArg, TransformDecl, TransformKind},
    value::Value,
    var::{Index, Named, Naming, Var, VarDecl},
    worker::{DnsRecord, DnsType, Engine, Hop, Net, Outcome, Targets, Worker},
};
