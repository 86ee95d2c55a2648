//! Modules of the data family: hash tables, SQL from scripts, GeoIP, and tools for debugging scripts.
#![forbid(unsafe_code)]

mod geoip2;
mod htable;
mod sqlops;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![htable::Htable, sqlops::Sqlops, geoip2::Geoip2]
}
