//! Databases as modules see them.

pub mod schema;
