//! Modules of the auth family: digest authentication, permissions, and limits on who may ask.

pub mod auth;
mod auth_db;
mod crypto;
pub mod digest;
mod ephemeral;
mod pending;
pub mod permissions;
mod pike;
mod uid_auth_db;
mod xkeys;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        auth::Auth,
        permissions::Permissions,
        pike::Pike,
        ephemeral::Ephemeral,
        xkeys::Xkeys,
        auth_db::AuthDb,
        uid_auth_db::UidAuthDb,
    ]
}
