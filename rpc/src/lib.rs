//! The control plane: commands of all modules over the transports that Kamailio's own clients speak.

pub mod binrpc;
mod ctl;
mod datagram;
mod desk;
mod door;
mod jsonrpcs;
pub mod lines;

pub use jsonrpcs::text as json;
use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![ctl::Ctl, jsonrpcs::Jsonrpcs]
}
