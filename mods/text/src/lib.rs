//! Modules of the text family: functions on headers, bodies and addresses.

mod diversion;
mod ipops;
mod mangler;
mod pv_headers;
mod sanity;
pub mod sdpops;
pub mod siputils;
pub mod textops;
mod textopsx;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    diversion::Diversion, ipops::IpOps, mangler::Mangler, pv_headers::PvHeaders, sanity::Sanity,
    sdpops::SdpOps, siputils::SipUtils, textops::Textops, textopsx::Textopsx,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        Diversion, IpOps, Mangler, PvHeaders, Sanity, SdpOps, SipUtils, Textops, Textopsx
    ]
}
