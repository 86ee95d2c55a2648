//! db_text, db_flatstore and db_cluster: databases in plain files, and databases over other databases.
#![forbid(unsafe_code)]

mod cluster;
mod flat;
mod text;

pub use self::{
    cluster::{ClusterDriver, DbCluster},
    flat::{DbFlatstore, FlatDriver, FlatSettings},
    text::{DbText, Format, TextDriver},
};

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![DbText, DbFlatstore, DbCluster]
}
