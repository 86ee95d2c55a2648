//! Modules of the base family: variables, logging, replies, utilities.

mod maxfwd;
pub mod pv;
pub mod sl;
pub mod transforms;
mod xlog;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{maxfwd::Maxfwd, pv::Pv, sl::Sl, xlog::Xlog};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![pv::CoreVars, Pv, Sl, Xlog, Maxfwd,]
}
