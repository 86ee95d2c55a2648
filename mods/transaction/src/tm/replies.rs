//! Replies from branches.

use std::sync::Arc;

use kahea_module::{Cx, Outcome, RouteKind, Str, debug, info};
use kahea_sip::{Limits, Message, Method, view::Via};
use kahea_tx::{Actions, BranchId};

use super::{
    answer,
    attached::{Attached, Role},
    cell::{Cell, Held, Switches},
    core::{Core, now},
    failure, suspend,
    table::Id,
    timer, turn,
    wire::{self, carry_out},
};

/// What a branch of ours has behind the cookie: `index.label.branch`, all hexadecimal.
pub fn branch_text(id: Id, branch: BranchId) -> Vec<u8> {
    format!("{:x}.{:016x}.{:x}", id.index, id.label, branch.0).into_bytes()
}

/// Reads it back.
fn named_by(branch: &[u8]) -> Option<(Id, BranchId)> {
    let text = std::str::from_utf8(branch.strip_prefix(b"z9hG4bK")?).ok()?;
    let mut parts = text.split('.');
    let index = u32::from_str_radix(parts.next()?, 16).ok()?;
    let label = u64::from_str_radix(parts.next()?, 16).ok()?;
    let branch = u16::from_str_radix(parts.next()?, 16).ok()?;
    parts
        .next()
        .is_none()
        .then_some((Id { index, label }, BranchId(branch)))
}

/// The branch that a reply belongs to (RFC 3261 section 17.1.3).
pub fn find(core: &Core, cx: &Cx) -> Option<(Arc<Cell>, BranchId)> {
    let hop = cx.msg.vias().next()?;
    let via = Via::parse(cx.msg.bytes(hop.span)).ok()?;
    let (id, branch) = named_by(via.branch()?)?;
    let cell = core.table.get(id)?;
    let method = cx.msg.method();
    let own = method == cell.method || (method == Method::Cancel && cell.method == Method::Invite);
    let known = {
        let state = cell.state.lock();
        let known = state.branches.get(branch.index());
        known.is_some_and(|known| method == cell.method || known.cancel.is_some())
    };
    (own && known).then_some((cell, branch))
}

/// The branch whose request these bytes are, as it left.
pub fn sender(core: &Core, data: &Str) -> Option<(Arc<Cell>, BranchId)> {
    let message = Message::parse(data.clone(), &Limits::default()).ok()?;
    if !message.is_request() || message.method() == Method::Ack {
        return None;
    }
    let hop = message.vias().next()?;
    let (id, branch) = named_by(Via::parse(message.bytes(hop.span)).ok()?.branch()?)?;
    let cell = core.table.get(id)?;
    (message.method() == cell.method).then_some((cell, branch))
}

/// Takes a reply that belongs to a transaction; gives back any other.
pub fn take(core: &Arc<Core>, mut cx: Cx) -> Option<Cx> {
    let Some((cell, branch)) = find(core, &cx) else {
        return Some(cx);
    };
    let worker = timer::worker_of(&cell, &cx.worker);
    cx.worker = worker.clone();
    core.counters.received.inc();
    if cx.msg.method() == Method::Cancel && cell.method == Method::Invite {
        if cx.msg.status().is_some_and(|status| status >= 200) {
            cell.state.lock().tx.cancel_answered(now(&worker), branch);
        }
        cx.finish();
        return None;
    }
    turn::take_reply(&cell, branch, cx);
    None
}

/// Runs the reply route, then the machines. It is this reply's turn.
pub fn handle(cell: Arc<Cell>, branch: BranchId, mut cx: Cx) {
    let route = {
        let mut state = cell.state.lock();
        let armed = state
            .branches
            .get(branch.index())
            .and_then(|branch| branch.on_reply)
            .filter(|_| timer::runs(&cx.worker, &cell));
        if armed.is_some() {
            state.context.swap(&mut cx);
            let known = state.branches.get(branch.index());
            cx.target.flags = known.map_or(0, |known| known.target.flags);
        }
        armed
    };
    let Some(route) = route else {
        return decide(cell, branch, cx);
    };
    let attached = cx.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = Role::Reply(branch);
    cx.route = RouteKind::Reply;
    let engine = cx.worker.engine.clone();
    engine.run_then(
        cx,
        route,
        Box::new(move |cx, outcome| routed(cell, branch, cx, outcome)),
    );
}

/// The reply route has ended.
pub fn routed(cell: Arc<Cell>, branch: BranchId, mut cx: Cx, outcome: Outcome) {
    {
        let mut state = cell.state.lock();
        state.context.swap(&mut cx);
        if let Some(known) = state.branches.get_mut(branch.index()) {
            known.target.flags = cx.target.flags;
        }
    }
    let Some(cx) = suspend::reply_left(&cell, branch, cx) else {
        return;
    };
    let provisional = cx.msg.status().is_some_and(|status| status < 200);
    if outcome.drop && provisional {
        debug!("tm", "The reply route dropped a provisional reply.");
        cell.core.counters.absorbed.inc();
        quietly(&cell, branch, &cx);
        let worker = cx.worker.clone();
        cx.finish();
        return turn::done(&cell, &worker);
    }
    decide(cell, branch, cx);
}

/// A dropped provisional reply stops retransmissions all the same.
fn quietly(cell: &Cell, branch: BranchId, cx: &Cx) {
    let mut actions = Actions::new();
    let packets = {
        let mut state = cell.state.lock();
        state.tx.reply(
            now(&cx.worker),
            branch,
            cx.msg.status().unwrap_or(0),
            &mut actions,
        );
        carry_out(cell, &mut state, actions, None).packets
    };
    wire::send(&cx.worker, packets);
}

fn decide(cell: Arc<Cell>, branch: BranchId, mut cx: Cx) {
    let worker = cx.worker.clone();
    let status = cx.msg.status().unwrap_or(0);
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        state.tx.reply(now(&worker), branch, status, &mut actions);
        // What a 6xx ends is told why.
        if status >= 600 && cell.core.options().local_cancel_reason && state.cancel_reason.is_empty() {
            state.cancel_reason = format!("Reason: SIP;cause={status}\r\n").into();
        }
        let left = carry_out(&cell, &mut state, actions, Some((branch, &cx.msg)));
        if left.ended.contains(&branch)
            && let Some(known) = state.branches.get_mut(branch.index())
        {
            known.held = Some(Box::new(Held::of(&mut cx)));
        }
        left
    };
    wire::send(&worker, left.packets);
    let (given_up, replica) = {
        let state = cell.state.lock();
        let dropped = state.switches.has(Switches::RELEASED);
        let given_up = status < 200 && (state.tx.is_cancelled() || dropped);
        (given_up, state.switches.has(Switches::REPLICA))
    };
    if replica && left.relay == Some(branch) {
        wire::end_copy(&cell, branch, &cx);
    } else if left.relay == Some(branch) && !given_up {
        answer::relay(&cell, branch, &mut cx);
    } else if left.ended.is_empty() {
        cell.core.counters.absorbed.inc();
        if status >= 200 {
            info!("tm", "A repeated final reply {status} went no further.");
        }
    }
    cx.finish();
    failure::ended(cell, &worker, left.ended, Some(branch));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_names_its_transaction() {
        let id = Id {
            index: 77,
            label: 0x12_3456,
        };
        let mut text = b"z9hG4bK".to_vec();
        text.extend(branch_text(id, BranchId(3)));
        assert_eq!(named_by(&text), Some((id, BranchId(3))));
        for other in ["z9hG4bKx.1.2", "z9hG4bK1.2", "z9hG4bK1.2.3.4", "1.2.3"] {
            assert_eq!(named_by(other.as_bytes()), None, "{other}");
        }
    }
}
