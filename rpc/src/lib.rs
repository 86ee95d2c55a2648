//! The control plane: commands of all modules over the transports that Kamailio's own clients speak.

mod binrpc;
mod cfg_db;
mod cfg_rpc;
mod ctl;
mod datagram;
mod desk;
mod door;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod jsonrpcs;
mod lines;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this crate.
pub fn modules() -> Vec<ModuleDecl> {
    modules![cfg_db::CfgDb, cfg_rpc::CfgRpc, ctl::Ctl, jsonrpcs::Jsonrpcs]
}
