//! Modules of the nat-media family: NAT traversal and media relays.
#![forbid(unsafe_code)]

mod address;
mod body;
pub mod nathelper;
mod relay;
pub mod rtpengine;
pub mod rtpproxy;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{nathelper::NatHelper, rtpengine::RtpEngine, rtpproxy::RtpProxy};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![NatHelper, RtpEngine, RtpProxy]
}
