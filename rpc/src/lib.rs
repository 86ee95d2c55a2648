//! The control plane: commands of all modules over the transports that Kamailio's own clients speak.

pub mod binrpc;
mod ctl;
mod desk;
mod door;
pub mod lines;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![ctl::Ctl]
}
