//! What the modules for media relays share: nodes and their health, sets of them, and asking one.

pub mod health;
pub mod manage;
pub mod nodes;
pub mod wire;
pub mod ws;
