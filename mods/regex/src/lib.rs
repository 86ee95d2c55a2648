//! Modules of the regex module: PCRE matching.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
