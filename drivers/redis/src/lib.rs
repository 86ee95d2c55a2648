//! db_redis: tables kept in Redis, a hash for each row and sets that lead to rows.
#![forbid(unsafe_code)]

mod connection;
mod driver;
mod keys;
mod module;
mod row;
mod schema;

pub use self::{
    driver::{RedisDriver, Settings},
    module::DbRedis,
};

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![DbRedis]
}
