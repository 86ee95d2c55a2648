//! Modules of the transaction family: stateful proxying and what builds on it.

pub mod asynchronous;
pub mod tm;
pub mod tmx;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{asynchronous::Async, tm::Tm, tmx::Tmx};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Tm, Tmx, Async]
}
