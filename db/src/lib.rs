//! Databases as modules see them.
