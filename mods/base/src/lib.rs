//! Modules of the base family: variables, logging, replies, utilities.

pub mod avpops;
pub mod corex;
pub mod kex;
mod maxfwd;
mod memory;
pub mod pv;
pub mod sl;
pub mod transforms;
mod uri_edit;
mod xlog;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{maxfwd::Maxfwd, pv::Pv, sl::Sl, xlog::Xlog};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        pv::CoreVars,
        Pv,
        Sl,
        Xlog,
        Maxfwd,
        corex::Corex,
        kex::Kex,
        avpops::Avpops,
    ]
}
