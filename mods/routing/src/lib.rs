//! Modules of the routing family: route sets, flows, and what keeps the way to a peer.

mod blst;
mod evrexec;
pub mod outbound;
mod path;
pub mod rr;
pub mod sst;
mod stun;
mod timer;
pub mod topoh;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    blst::Blst, evrexec::Evrexec, outbound::Outbound, path::Path, rr::Rr, sst::Sst, stun::Stun, timer::Timer,
    topoh::Topoh,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Blst, Evrexec, Outbound, Path, Rr, Sst, Stun, Timer, Topoh]
}
