//! Modules of the nat-media family: NAT traversal and media relays.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
