//! Modules of the subscriber family: what a database says of users, domains, aliases, groups and stored messages.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
