//! Module kex: old core functions with variables in their arguments, statistics of the core, and memory figures.

mod flags;
mod functions;
mod memory;
mod sruid;
mod stats;

use std::sync::Arc;

use kahea_module::{Decl, Env, InitError, Module, core_stats::CoreStats};

/// The module.
pub struct Kex {
    sruid: Arc<sruid::Source>,
}

impl Module for Kex {
    const NAME: &'static str = "kex";
    type Params = ();

    fn declare(d: &mut Decl<Self>) {
        flags::declare(d);
        functions::declare(d);
        sruid::declare(d);
        stats::declare(d);
        memory::declare(d);
    }

    fn init((): (), env: &mut Env<'_>) -> Result<Kex, InitError> {
        // The engine counts with the same counters.
        CoreStats::new(&env.shared.stats);
        memory::register(&env.shared.stats);
        Ok(Kex {
            sruid: env.shared.keep(sruid::Source::default),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn kex() -> Kex {
        Kex {
            sruid: Arc::new(sruid::Source::default()),
        }
    }
}
