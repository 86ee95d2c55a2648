//! The `uid_*` modules: users, URIs and domains by ids of their own, and attributes that belong to them.

pub mod attributes;
pub mod avp_db;
pub mod domain;
pub mod gflags;
pub mod uri_db;
