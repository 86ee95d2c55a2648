//! Modules of the accounting family: records of transactions and calls.
#![forbid(unsafe_code)]

pub mod acc;
pub mod acc_json;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{acc::Acc, acc_json::AccJson};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Acc, AccJson]
}
