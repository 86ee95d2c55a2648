//! Runs programs: workers, the path of a message, reload.

mod auto_alias;
pub mod boot;
pub mod control;
pub mod core_module;
pub mod generation;
mod latency;
pub mod listing;
pub mod logging;
pub mod machine;
mod net_config;
mod net_host;
mod receive;
pub mod runner;
mod running;
mod scratch;
mod script;
pub mod server;
mod tracing;

pub use self::{
    boot::{Checked, Loaded, check},
    net_config::net_config,
    server::{Job, Server, Setup, StartError},
};
