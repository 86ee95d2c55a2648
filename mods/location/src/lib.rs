//! Modules of the location family: where users can be reached (usrloc, p_usrloc, registrar).
#![forbid(unsafe_code)]

pub mod p_usrloc;
pub mod registrar;
pub mod usrloc;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![usrloc::Usrloc, p_usrloc::PUsrloc, registrar::Registrar]
}
