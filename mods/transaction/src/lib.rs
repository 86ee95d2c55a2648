//! Modules of the transaction family: stateful proxying and what builds on it.

pub mod tm;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::tm::Tm;

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Tm]
}
