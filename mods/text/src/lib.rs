//! Modules of the text family: functions on headers, bodies and addresses.

pub mod textops;
mod textopsx;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{textops::Textops, textopsx::Textopsx};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Textops, Textopsx]
}
