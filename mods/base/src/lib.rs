//! Modules of the base family: variables, logging, replies, utilities.

pub mod avp;
pub mod avpops;
mod benchmark;
mod cfgutils;
pub mod corex;
mod counters;
mod kemix;
pub mod kex;
mod math;
mod maxfwd;
mod memory;
pub mod mqueue;
mod print;
pub mod pv;
mod rtimer;
pub mod sl;
mod statistics;
pub mod transforms;
mod uri_edit;
mod uuid;
mod xlog;
mod xprint;

use kahea_module::{modules, registry::ModuleDecl};

pub use self::{maxfwd::Maxfwd, pv::Pv, sl::Sl, xlog::Xlog};

/// The modules of this family.
pub fn modules() -> Vec<ModuleDecl> {
    modules![
        pv::CoreVars,
        Pv,
        Sl,
        Xlog,
        Maxfwd,
        corex::Corex,
        kex::Kex,
        kemix::Kemix,
        avp::Avp,
        avpops::Avpops,
        math::Math,
        uuid::Uuid,
        counters::Counters,
        statistics::Statistics,
        mqueue::Mqueue,
        cfgutils::Cfgutils,
        rtimer::Rtimer,
        print::Print,
        benchmark::Benchmark,
        xprint::Xprint,
    ]
}
