//! Modules of the base family: variables, logging, replies, utilities.

pub mod pv;
pub mod transforms;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![pv::CoreVars, pv::Pv]
}
