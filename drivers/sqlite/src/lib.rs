//! db_sqlite: databases in a file, with SQLite built in.
#![forbid(unsafe_code)]

mod driver;
mod error;
mod file;
mod module;
mod settings;
mod value;

pub use self::{driver::SqliteDriver, module::DbSqlite, settings::Settings};

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![DbSqlite]
}
