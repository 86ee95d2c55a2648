//! Modules of the data family: hash tables, SQL from scripts, GeoIP, and tools for debugging scripts.
#![forbid(unsafe_code)]

mod cfgt;
mod debugger;
mod dump;
mod geoip2;
mod htable;
mod sqlops;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        htable::Htable,
        sqlops::Sqlops,
        cfgt::Cfgt,
        debugger::Debugger,
        geoip2::Geoip2
    ]
}
