//! Modules of the auth family: digest authentication, permissions, and limits on who may ask.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
