//! CANCEL (RFC 3261 sections 9.2 and 16.10).

use std::{rc::Rc, sync::Arc};

use kahea_module::{Cx, Fault, Ret, Str, Worker, proxy};
use kahea_sip::{HeaderId, Method};
use kahea_tx::Actions;

use super::{
    answer,
    attached::Attached,
    cell::{Cell, Switches, Work},
    core::{Core, now},
    create::{self, Began},
    failure, timer, turn, watch,
    wire::{self, carry_out},
};

/// The transaction that a CANCEL is about. It may have begun with another method than INVITE, though nothing is there
/// to cancel then.
pub fn invite_of(core: &Arc<Core>, cx: &Cx) -> Option<Arc<Cell>> {
    let matching = &core.options().matching;
    let cells = core.table.of_call(create::call_key(core, cx), |cell| {
        !matches!(cell.method, Method::Cancel | Method::Ack)
            && cell
                .message()
                .is_ok_and(|known| matching.same(&known, &cx.msg, cell.method))
    });
    cells.into_iter().next()
}

/// `t_relay()` of a CANCEL: answers it and ends the branches of its INVITE. `None` where it has to be relayed like any
/// other request, because there is no such INVITE.
pub fn relay(core: &Arc<Core>, cx: &mut Cx) -> Option<Ret> {
    let Some(invite) = invite_of(core, cx) else {
        return match core.options().unmatched_cancel {
            1 => Some(stateless(cx)),
            2 => {
                cx.extra::<Attached>().settled = true;
                Some(Ret::TRUE)
            }
            _ => None,
        };
    };
    Some(match take(core, cx, &invite) {
        Ok(ret) => ret,
        Err(fault) => Ret::Fault(fault),
    })
}

fn stateless(cx: &mut Cx) -> Ret {
    cx.extra::<Attached>().settled = true;
    match proxy::forward(cx, None) {
        Ret::Code(code) if code > 0 => Ret::EXIT,
        ret => ret,
    }
}

fn take(core: &Arc<Core>, cx: &mut Cx, invite: &Arc<Cell>) -> Result<Ret, Fault> {
    let own = match create::begin(core, cx)? {
        Began::New(own) => own,
        Began::Repeated => return Ok(Ret::TRUE),
    };
    cx.extra::<Attached>().settled = true;
    let (pending, tag) = {
        let state = invite.state.lock();
        let ended = state.tx.server().status() >= 300 || !state.has_asked();
        (!ended, state.tag.clone())
    };
    // Replies to the CANCEL have the tag of those to its INVITE (RFC 3261 section 9.2).
    let tag = tag.unwrap_or_else(|| answer::tag_of(invite, cx));
    own.state.lock().tag = Some(tag);
    let reason: &[u8] = if pending {
        b"canceling"
    } else {
        b"ok -- no more pending branches"
    };
    watch::cancelled(invite, cx);
    turn::take(
        invite,
        &timer::worker_of(invite, &cx.worker),
        Work::Cancel(reasons(core, cx, invite)),
    );
    answer::local(&own, cx, 200, reason)?;
    Ok(Ret::TRUE)
}

/// The caller's Reason headers, where they go along.
fn reasons(core: &Core, cx: &Cx, invite: &Cell) -> Str {
    let wanted =
        core.options().e2e_cancel_reason && !invite.state.lock().switches.has(Switches::NO_CANCEL_REASON);
    if !wanted {
        return Str::EMPTY;
    }
    let mut lines = Vec::new();
    for header in cx.msg.all(HeaderId::Reason) {
        lines.extend_from_slice(cx.msg.bytes(header.line));
    }
    Str::from(lines)
}

/// Ends the branches of a cancelled INVITE.
pub fn cancelled(cell: &Arc<Cell>, worker: &Rc<Worker>, reason: Str) {
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        state.cancel_reason = reason;
        state.tx.cancel(now(worker), &mut actions);
        carry_out(cell, &mut state, actions, None)
    };
    wire::send(worker, left.packets);
    let (unsent, open) = {
        let state = cell.state.lock();
        (!state.has_asked(), !state.tx.server().is_final())
    };
    if unsent && open {
        answer::in_place(cell, worker, 487, b"Request canceled");
    }
    failure::ended(cell.clone(), worker, left.ended, None);
}
