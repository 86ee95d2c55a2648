//! The control plane: commands of all modules over the transports that Kamailio's own clients speak.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
