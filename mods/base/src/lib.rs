//! Modules of the base family: variables, logging, replies, utilities.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
