//! Module `tmx`: what scripts reach of transactions besides relaying: branches ended one by one, requests set aside and
//! taken up again, and the variables of a transaction.

pub mod block;
mod conditions;
mod drop;
mod ending;
mod flags;
mod precheck;
mod vars;
mod waiting;

use std::sync::Arc;

use kahea_module::{Decl, Env, InitError, Module};

use crate::tm::{core::Core, counters::NAMES};

use self::precheck::InWork;

/// The module.
pub struct Tmx {
    core: Arc<Core>,
    /// Requests in work, unless `precheck_trans` is off.
    in_work: Option<Arc<InWork>>,
}

/// Its parameters.
pub struct Params {
    precheck_trans: bool,
}

impl Default for Params {
    fn default() -> Params {
        Params { precheck_trans: true }
    }
}

impl Module for Tmx {
    const NAME: &'static str = "tmx";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        d.param(
            "precheck_trans",
            |p| &mut p.precheck_trans,
            "t_precheck_trans() works; without it that function fails.",
        );
        ending::declare(d);
        waiting::declare(d);
        conditions::declare(d);
        flags::declare(d);
        drop::declare(d);
        precheck::declare(d);
        vars::declare(d);
        for (name, doc) in NAMES {
            d.stat(name, doc);
        }
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Tmx, InitError> {
        let core = env
            .service::<Core>()
            .ok_or_else(|| InitError::new("tmx needs the tm module").help("load tm.so before tmx.so"))?;
        let in_work = params.precheck_trans.then(|| env.shared.keep(InWork::default));
        Ok(Tmx { core, in_work })
    }
}
