//! db_mysql: MySQL and MariaDB.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
