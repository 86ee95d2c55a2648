//! Modules of the text family: functions on headers, bodies and addresses.

mod diversion;
mod mangler;
mod pv_headers;
pub mod sdpops;
pub mod siputils;
pub mod textops;
mod textopsx;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    diversion::Diversion, mangler::Mangler, pv_headers::PvHeaders, sdpops::SdpOps, siputils::SipUtils,
    textops::Textops, textopsx::Textopsx,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Diversion, Mangler, PvHeaders, SdpOps, SipUtils, Textops, Textopsx]
}
