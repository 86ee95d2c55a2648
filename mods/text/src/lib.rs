//! Modules of the text family: functions on headers, bodies and addresses.

mod ipops;
mod sanity;
mod sdpops;
pub mod siputils;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![ipops::IpOps, sanity::Sanity, sdpops::SdpOps, siputils::SipUtils,]
}
