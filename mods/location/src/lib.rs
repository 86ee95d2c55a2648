//! Modules of the location family: where users can be reached (usrloc, registrar).
#![forbid(unsafe_code)]

pub mod registrar;
pub mod usrloc;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![usrloc::Usrloc, registrar::Registrar]
}
