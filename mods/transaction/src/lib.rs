//! Modules of the transaction family: stateful proxying and what builds on it.

pub mod asynchronous;
pub mod dlgs;
pub mod tm;
pub mod tmx;
pub mod tsilo;
pub mod uac_redirect;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{asynchronous::Async, dlgs::Dlgs, tm::Tm, tmx::Tmx, tsilo::Tsilo, uac_redirect::UacRedirect};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Tm, Tmx, Async, Dlgs, Tsilo, UacRedirect]
}
