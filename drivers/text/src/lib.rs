//! db_text, db_flatstore and db_cluster: databases in plain files, and databases over other databases.

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![]
}
