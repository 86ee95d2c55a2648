//! Module avpops: tests, copies, arithmetic and substitutions on AVPs, and AVPs in a database.

mod check;
mod database;
mod lists;
pub mod names;
mod op;
mod push;
mod subst;

use std::sync::{Arc, OnceLock};

use kahea_module::{BRANCH, Cx, Decl, EVENT, Env, FAILURE, InitError, Module, REPLY, REQUEST, RouteKinds};

use crate::pv::{Pv, avps::Aliases};

/// The module.
#[derive(Default)]
pub struct Avpops {
    database: Option<Arc<database::Store>>,
    aliases: OnceLock<Aliases>,
}

/// Where its functions may be called.
fn routes() -> RouteKinds {
    REQUEST | FAILURE | REPLY | BRANCH | EVENT
}

impl Module for Avpops {
    const NAME: &'static str = "avpops";
    type Params = database::Params;

    fn declare(d: &mut Decl<Self>) {
        database::declare(d);
        check::declare(d);
        lists::declare(d);
        op::declare(d);
        subst::declare(d);
        push::declare(d);
    }

    fn init(params: database::Params, env: &mut Env<'_>) -> Result<Avpops, InitError> {
        Ok(Avpops {
            database: params.open(env)?.map(Arc::new),
            aliases: OnceLock::new(),
        })
    }
}

impl Avpops {
    /// Other names for AVPs, as module pv has them.
    fn aliases(&self, cx: &Cx) -> &Aliases {
        self.aliases.get_or_init(|| {
            let pv = cx.config().modules.get::<Pv>();
            let aliases = pv.and_then(|pv| pv.get().ok().map(|pv| pv.aliases().clone()));
            aliases.unwrap_or_default()
        })
    }
}
