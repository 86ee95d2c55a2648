//! db_postgres: PostgreSQL.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
