//! Modules that let others see what passes: traces to collectors and tables, captures from them, dumps, and logs.
//!
//! None of it holds a worker up: what is to be sent or written waits in bounded queues for threads of its own, and is
//! thrown away and counted where they are full.
#![forbid(unsafe_code)]

mod courier;
pub mod hep;
mod log_custom;
mod log_systemd;
mod shot;
mod sipcapture;
mod sipdump;
pub mod siptrace;

use kahea_module::{modules, registry::ModuleDecl};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        siptrace::Siptrace,
        log_custom::LogCustom,
        log_systemd::LogSystemd,
        sipdump::Sipdump,
        sipcapture::Sipcapture
    ]
}
