//! db_postgres: PostgreSQL.
#![forbid(unsafe_code)]

mod connection;
mod driver;
mod error;
mod module;
mod value;

pub use self::{
    driver::{PostgresDriver, Settings},
    module::DbPostgres,
};

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![DbPostgres]
}
