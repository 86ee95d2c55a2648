//! Modules of the subscriber family: domains, users, their aliases, groups, short numbers and stored messages.
#![forbid(unsafe_code)]

pub mod alias_db;
pub mod domain;
pub mod group;
pub mod msilo;
mod queries;
pub mod speeddial;
pub mod uid;
pub mod uri_db;
mod who;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{
    alias_db::AliasDb,
    domain::Domain,
    group::Group,
    msilo::Msilo,
    speeddial::Speeddial,
    uid::{avp_db::UidAvpDb, domain::UidDomain, gflags::UidGflags, uri_db::UidUriDb},
    uri_db::UriDb,
};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        Domain, AliasDb, UriDb, Group, Speeddial, Msilo, UidDomain, UidUriDb, UidAvpDb, UidGflags
    ]
}
