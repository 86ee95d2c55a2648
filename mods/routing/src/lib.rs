//! Modules of the routing family: route sets, flows, and what keeps the way to a peer.

pub mod outbound;
mod path;
pub mod rr;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{outbound::Outbound, path::Path, rr::Rr};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Outbound, Path, Rr]
}
