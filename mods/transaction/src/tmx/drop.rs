//! `t_drop()`, and the branch that is called once more.

use kahea_module::{
    Cx, Decl, Fault, Ret,
    route::{EVENT, REQUEST},
};
use kahea_tx::Actions;

use super::Tmx;
use crate::tm::{
    attached::{self, Attached, Role},
    cell::Switches,
    core::now,
    timer,
    wire::{self, carry_out},
};

/// Declares them.
pub fn declare(d: &mut Decl<Tmx>) {
    d.func(
        "t_drop",
        ["code"],
        t_drop,
        "Ends the script and the transaction, whose caller gets no reply; it counts as answered with the code (500). \
         Branches that are open stay so, and a 2xx still passes.",
    )
    .kemi(0, "t_drop")
    .kemi(1, "t_drop_rcode");
    d.func(
        "t_reuse_branch",
        [],
        t_reuse_branch,
        "In event_route[tm:branch-failure:…]: the failed branch's URI, path, instance, ruid and flags are the target \
         again.",
    )
    .routes(REQUEST | EVENT)
    .kemi(0, "t_reuse_branch");
}

fn t_drop(_: &Tmx, cx: &mut Cx, code: Option<i64>) -> Result<Ret, Fault> {
    let code = code.unwrap_or(500);
    let status = u16::try_from(code)
        .ok()
        .filter(|code| (300..700).contains(code))
        .unwrap_or(500);
    let Some(cell) = attached::cell(cx) else {
        return Err(Fault::script(
            "there is nothing to drop: the message has no transaction",
        ));
    };
    let worker = timer::worker_of(&cell, &cx.worker);
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        state.switches.set(Switches::RELEASED, true);
        if state.tx.has_pending() {
            state.tx.release(now(&worker), &mut actions);
        } else if state
            .tx
            // As if answered over a transport that loses nothing: no reply is kept that could be repeated.
            .answer(now(&worker), status, false, true, &mut actions)
        {
            cell.core.counters.completed(status);
        }
        let left = carry_out(&cell, &mut state, actions, None);
        timer::arm(&cell, &mut state, &worker);
        left
    };
    wire::send(&worker, left.packets);
    let attached = cx.extra::<Attached>();
    attached.settled = true;
    attached.failed = None;
    Ok(Ret::EXIT)
}

fn t_reuse_branch(_: &Tmx, cx: &mut Cx) -> Result<bool, Fault> {
    let Role::BranchFailure(branch) = attached::role(cx) else {
        return Err(Fault::script(
            "t_reuse_branch() has a meaning in event_route[tm:branch-failure:…] alone",
        ));
    };
    let cell = attached::cell(cx).ok_or_else(|| Fault::script("the message has no transaction"))?;
    let state = cell.state.lock();
    let Some(known) = state.branches.get(branch.index()) else {
        return Ok(false);
    };
    let known = known.target.target();
    drop(state);
    cx.target = kahea_module::Target {
        ruri: known.ruri,
        dst_uri: known.dst_uri,
        path: known.path,
        instance: known.instance,
        ruid: known.ruid,
        flags: known.flags,
        ..std::mem::take(&mut cx.target)
    };
    // A target that the script has set is a new branch.
    cx.extra::<Attached>().used = None;
    Ok(true)
}
