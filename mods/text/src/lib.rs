//! Modules of the text family: functions on headers, bodies and addresses.

<<<<<<< HEAD
mod diversion;
mod mangler;
mod pv_headers;
pub mod sdpops;
pub mod textops;
mod textopsx;
=======
mod sdpops;
pub mod siputils;
>>>>>>> util

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    diversion::Diversion, mangler::Mangler, pv_headers::PvHeaders, sdpops::SdpOps, textops::Textops,
    textopsx::Textopsx,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
<<<<<<< HEAD
    modules![Diversion, Mangler, PvHeaders, SdpOps, Textops, Textopsx]
=======
    modules![sdpops::SdpOps, siputils::SipUtils,]
>>>>>>> util
}
