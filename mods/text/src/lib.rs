//! Modules of the text family: functions on headers, bodies and addresses.

pub mod sdpops;
pub mod textops;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{sdpops::SdpOps, textops::Textops};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        Textops,
        SdpOps,
    ]
}
