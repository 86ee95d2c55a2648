//! Modules of the auth family: digest authentication, permissions, and limits on who may ask.

pub mod auth;
mod crypto;
pub mod digest;
pub mod permissions;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![auth::Auth, permissions::Permissions]
}
