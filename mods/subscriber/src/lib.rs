//! Modules of the subscriber family: domains, users, their aliases, groups, short numbers and stored messages.
#![forbid(unsafe_code)]

pub mod alias_db;
pub mod domain;
pub mod group;
mod queries;
pub mod speeddial;
pub mod uri_db;
mod who;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    alias_db::AliasDb, domain::Domain, group::Group, speeddial::Speeddial, uri_db::UriDb,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![Domain, AliasDb, UriDb, Group, Speeddial]
}
