//! The beginning of transactions.

use std::sync::Arc;

use kahea_module::{Cx, Fault, proxy};
use kahea_sip::Method;
use kahea_tx::{Actions, Key, Transaction};
use parking_lot::Mutex;

use super::{
    answer,
    attached::{Attached, Role},
    cell::{Cell, Context, State, Switches},
    core::{Core, now},
    timer, watch,
    wire::carry_out,
};

/// How a transaction began.
pub enum Began {
    /// Now.
    New(Arc<Cell>),
    /// Before: the request is a repetition and is dealt with.
    Repeated,
}

/// Call-ID and CSeq number of the message.
pub fn call_key(core: &Core, cx: &Cx) -> Key {
    let number = cx.msg.cseq().map_or(0, |(number, _)| number);
    Key::of_call(cx.msg.call_id().unwrap_or_default(), number, &core.table.seed)
}

/// The transaction that the request repeats, acknowledges, or began.
pub fn find(core: &Arc<Core>, cx: &Cx) -> Option<Arc<Cell>> {
    let matching = &core.options().matching;
    let key = Key::of(&cx.msg, matching, &core.table.seed);
    core.table.find(key, call_key(core, cx), |cell| {
        cell.message()
            .is_ok_and(|known| matching.same(&known, &cx.msg, cx.msg.method()))
    })
}

/// Begins the transaction of a request and attaches it, or absorbs the request where it is a repetition.
///
/// # Errors
/// The request cannot be answered.
pub fn begin(core: &Arc<Core>, cx: &mut Cx) -> Result<Began, Fault> {
    let reply_to = proxy::reply_destination(cx)?;
    let matching = core.options().matching;
    let method = cx.msg.method();
    let key = Key::of(&cx.msg, &matching, &core.table.seed);
    let call = call_key(core, cx);
    let worker = cx.worker.clone();
    let attached = cx.extra::<Attached>();
    let (arms, switches) = (attached.arms, attached.switches);
    let timing = match attached.timing {
        Some(timing) => timing,
        None => core.options().further.timing(cx, core.options().timing),
    };
    let mut policy = core.options().policy;
    policy.stop_at_6xx &= !switches.has(Switches::NO_6XX);
    let msg = &cx.msg;
    let same = |known: &Cell| {
        known
            .message()
            .is_ok_and(|known| matching.same(&known, msg, method))
    };
    let tx = Transaction::new(now(&worker), method == Method::Invite, timing, policy);
    let state = State {
        arms,
        switches,
        reply_to: Some(reply_to),
        ..State::new(tx, core.options().failure_reply_mode)
    };

    let made = core.table.insert(key, call, same, |id| Cell {
        id,
        key,
        call,
        method,
        // A frame of a stream is part of a larger buffer, which a transaction must not hold.
        request: if cx.received.transport.is_stream() {
            cx.msg.buffer().detach()
        } else {
            cx.msg.buffer().clone()
        },
        received: cx.received,
        config: worker.config.clone(),
        core: core.clone(),
        state: Mutex::new(state),
    });
    match made {
        Ok(cell) => {
            core.began();
            core.counters.uas.inc();
            core.counters.active.inc();
            core.counters.inuse.inc();
            timer::arm_first(&cell, &worker);
            let attached = cx.extra::<Attached>();
            attached.cell = Some(cell.clone());
            attached.role = Role::Request;
            watch::begun(&cell, cx);
            Ok(Began::New(cell))
        }
        Err(known) => {
            cx.extra::<Attached>().settled = true;
            answer::repeat(&known, &cx.worker);
            Ok(Began::Repeated)
        }
    }
}

/// The ACK to a reply of this transaction came; true where it was for one that was no 2xx, or made here.
pub fn acknowledged(cell: &Arc<Cell>, cx: &Cx) -> bool {
    let worker = timer::worker_of(cell, &cx.worker);
    let mut actions = Actions::new();
    let mut state = cell.state.lock();
    let status = state.tx.server().status();
    let relayed_2xx = status < 300 && state.relayed.is_some();
    if status < 200 || relayed_2xx {
        return false;
    }
    state.tx.ack(now(&worker), &mut actions);
    let _ = carry_out(cell, &mut state, actions, None);
    timer::arm(cell, &mut state, &worker);
    true
}

/// The ACK to a 2xx that this server made itself (its To-tag tells): the repetitions of the 2xx end.
pub fn own_2xx_acknowledged(core: &Arc<Core>, cx: &Cx) -> bool {
    let Some(tag) = cx.to().ok().and_then(|to| to.tag()) else {
        return false;
    };
    let matching = &core.options().matching;
    let cells = core.table.of_call(call_key(core, cx), |cell| {
        let made_here = {
            let state = cell.state.lock();
            let success = (200..300).contains(&state.tx.server().status());
            success && state.relayed.is_none() && state.tag.as_deref() == Some(tag)
        };
        made_here
            && cell
                .message()
                .is_ok_and(|invite| matching.acknowledges(&invite, &cx.msg, tag))
    });
    for cell in &cells {
        acknowledged(cell, cx);
    }
    !cells.is_empty()
}

/// The INVITE to which the ACK at hand belongs, where that was answered with a 2xx.
pub fn answered_call(core: &Arc<Core>, cx: &Cx) -> Option<Arc<Cell>> {
    let tag = cx.to().ok().and_then(|to| to.tag())?;
    let matching = &core.options().matching;
    let fits = |cell: &Cell| {
        let success = (200..300).contains(&cell.state.lock().tx.server().status());
        success
            && cell
                .message()
                .is_ok_and(|invite| matching.acknowledges(&invite, &cx.msg, tag))
    };
    core.table.of_call(call_key(core, cx), fits).into_iter().next()
}

/// The copy of the message's values that the routes of its transaction begin with.
pub fn share_context(cell: &Cell, cx: &Cx) {
    *cell.state.lock().context = Context::copy(cx);
}
