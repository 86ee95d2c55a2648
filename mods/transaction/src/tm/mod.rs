//! Module `tm`: transactions.

pub(crate) mod ack;
pub(crate) mod answer;
mod arming;
pub(crate) mod asking;
pub(crate) mod attached;
mod blocklist;
pub(crate) mod cancel;
pub(crate) mod cell;
mod commands;
mod contacts;
pub(crate) mod core;
pub(crate) mod counters;
pub(crate) mod create;
pub(crate) mod external;
mod failover;
mod failure;
mod further;
mod hop;
mod kept;
pub(crate) mod local;
#[cfg(test)]
mod memory;
pub(crate) mod more_branches;
mod original;
mod params;
pub(crate) mod relay;
mod relaying;
pub(crate) mod replies;
pub(crate) mod replying;
mod runtime;
pub mod service;
mod setting;
pub(crate) mod suspend;
pub(crate) mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod timer;
pub(crate) mod turn;
pub mod uac;
pub mod watch;
pub(crate) mod wire;

use std::sync::Arc;

use kahea_mods_base::sl::Stateful;
use kahea_module::{Cx, Decl, Env, InitError, Module, Outcome, RouteId, RouteKind, Str};

use self::{core::Core, params::Params};

/// The module.
pub struct Tm {
    core: Arc<Core>,
}

impl Module for Tm {
    const NAME: &'static str = "tm";
    type Params = Params;

    fn declare(d: &mut Decl<Self>) {
        params::declare(d);
        relaying::declare(d);
        replying::declare(d);
        arming::declare(d);
        asking::declare(d);
        setting::declare(d);
        contacts::declare(d);
        more_branches::declare(d);
        external::declare(d);
        local::declare(d);
        commands::declare(d);
        d.event(
            "tm:branch-failure:<name>",
            "A branch ended without a 2xx; named by t_on_branch_failure().",
        );
        suspend::declare(d);
    }

    fn init(params: Params, env: &mut Env<'_>) -> Result<Tm, InitError> {
        let options = params::options(params, env)?;
        let core = Arc::new(Core::new(options, env));
        runtime::declare(&core, env);
        core.watchers.begin();
        env.provide(core.clone());
        let here = core.clone();
        env.hooks
            .worker_start
            .push(Arc::new(move |worker| timer::begin(worker, &here)));
        env.hooks.request_end.push(Arc::new(relay::request_ended));
        let here = core.clone();
        env.hooks
            .take_reply
            .push(Arc::new(move |cx| take_reply(&here, cx)));
        let here = core.clone();
        env.hooks.send_failed.push(Arc::new(move |worker, _, data| {
            failure::lost(&here, worker, data)
        }));
        env.hooks.local_reply.push(Arc::new(|cx| {
            relay::answered_without(cx);
            kahea_module::Ret::TRUE
        }));
        Stateful::of(env).set(Box::new(replying::ForSl(core.clone())));
        env.provide(Arc::new(uac::Requests(core.clone())));
        env.provide(Arc::new(service::Transactions));
        Ok(Tm { core })
    }
}

/// Replies of transactions are taken; others pass through `on_sl_reply` where there is one.
fn take_reply(core: &Arc<Core>, cx: Cx) -> Option<Cx> {
    let mut cx = replies::take(core, cx)?;
    let Some(route) = core.options().on_sl_reply else {
        return Some(cx);
    };
    if stateless_route(&mut cx, route).drop {
        cx.finish();
        return None;
    }
    Some(cx)
}

fn stateless_route(cx: &mut Cx, route: RouteId) -> Outcome {
    let (kind, name) = (cx.route, std::mem::replace(&mut cx.route_name, Str::EMPTY));
    cx.route = RouteKind::Reply;
    let engine = cx.worker.engine.clone();
    let outcome = engine.run_now(cx, route);
    (cx.route, cx.route_name) = (kind, name);
    outcome
}
