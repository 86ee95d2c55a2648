//! db_mysql: MySQL and MariaDB.
#![forbid(unsafe_code)]

mod connection;
mod driver;
mod error;
mod module;
mod option_file;
mod settings;
mod value;

pub use self::{driver::MysqlDriver, module::DbMysql, settings::Settings};

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![DbMysql]
}
