//! Modules of the nat-media family: NAT traversal and media relays.
#![forbid(unsafe_code)]

mod address;
mod body;
pub mod nathelper;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::nathelper::NatHelper;

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![NatHelper]
}
