//! What leaves for branches and callers because the machines say so.

use std::rc::Rc;

use kahea_module::{Cx, Str, Worker, debug, info, proxy};
use kahea_sip::{Destination, HeaderId, Limits, Message};
use kahea_tx::{Action, Actions, BranchId};
use smallvec::SmallVec;

use super::{
    cell::{Cell, Sent, State},
    hop, original,
    uac::user_agent,
};

/// Messages to send once the state is unlocked.
pub type Packets = SmallVec<[Sent; 2]>;

/// What is left of some actions after the wire has had its part.
#[derive(Default)]
pub struct Left {
    /// To be sent.
    pub packets: Packets,
    /// The reply at hand of this branch goes to the caller.
    pub relay: Option<BranchId>,
    /// Branches that ended without a 2xx.
    pub ended: SmallVec<[BranchId; 1]>,
    /// The transaction is over.
    pub delete: bool,
}

/// The reply that is being handled, for the ACK to it.
pub type AtHand<'a> = Option<(BranchId, &'a Message)>;

/// Builds what the actions ask for; `at_hand` is the reply that caused them, where one did.
pub fn carry_out(cell: &Cell, state: &mut State, actions: Actions, at_hand: AtHand<'_>) -> Left {
    let mut left = Left::default();
    for action in actions {
        match action {
            Action::Resend(branch) => again(cell, state, branch, &mut left.packets),
            Action::Ack(branch) => ack(cell, state, branch, at_hand, &mut left.packets),
            Action::Cancel(branch) => cancel(cell, state, branch, &mut left.packets),
            Action::CancelAgain(branch) => {
                if let Some(branch) = state.branches.get(branch.index())
                    && let Some(data) = &branch.cancel
                {
                    left.packets.push(Sent {
                        to: branch.to,
                        data: data.clone(),
                    });
                }
            }
            Action::ResendReply => left.packets.extend(state.sent.clone()),
            Action::Relay(branch) => left.relay = Some(branch),
            Action::Ended(branch) => left.ended.push(branch),
            Action::Rest => rest(state),
            Action::Delete => left.delete = true,
        }
    }
    left
}

/// What only running branches needed goes.
fn rest(state: &mut State) {
    state.snapshot = None;
    for branch in &mut state.branches {
        branch.held = None;
        branch.rest = Vec::new();
    }
}

fn again(cell: &Cell, state: &State, branch: BranchId, packets: &mut Packets) {
    if let Some(branch) = state.branches.get(branch.index()) {
        packets.push(Sent {
            to: branch.to,
            data: cell.sent_on(branch),
        });
    }
}

fn sent_request(data: Str) -> Option<Message> {
    if data.is_empty() {
        return None;
    }
    Message::parse(data, &Limits::default())
        .inspect_err(|error| info!("tm", "A request as it was sent cannot be read again: {error}."))
        .ok()
}

fn ack(cell: &Cell, state: &State, branch: BranchId, at_hand: AtHand<'_>, packets: &mut Packets) {
    let Some(known) = state.branches.get(branch.index()) else {
        return;
    };
    if state.switches.has(super::cell::Switches::NO_AUTO_ACK) {
        return;
    }
    let Some(sent) = sent_request(cell.sent_on(known)) else {
        return;
    };
    let to = at_hand
        .filter(|(of, _)| *of == branch)
        .and_then(|(_, reply)| Some(reply.bytes(reply.first(HeaderId::To)?.line)));
    let data = match original::wanted(cell, state) {
        Some(received) => original::request(&received, &sent, "ACK", to, &user_agent(&cell.config), b""),
        None => hop::request(&sent, "ACK", to, &cell.core.options().ac_extra_hdrs, b""),
    };
    packets.push(Sent { to: known.to, data });
}

fn cancel(cell: &Cell, state: &mut State, branch: BranchId, packets: &mut Packets) {
    let reason = reason_for(cell, state);
    let original = original::wanted(cell, state);
    let Some(known) = state.branches.get_mut(branch.index()) else {
        return;
    };
    let Some(sent) = sent_request(cell.sent_on(known)) else {
        return;
    };
    let data = match original {
        Some(received) => original::request(
            &received,
            &sent,
            "CANCEL",
            None,
            &user_agent(&cell.config),
            &reason,
        ),
        None => hop::request(&sent, "CANCEL", None, &cell.core.options().ac_extra_hdrs, &reason),
    };
    known.cancel = Some(data.clone());
    packets.push(Sent { to: known.to, data });
}

/// The Reason headers of a CANCEL that leaves now (RFC 3326): the caller's, or the reply that decided.
fn reason_for(cell: &Cell, state: &State) -> Str {
    if !state.cancel_reason.is_empty() || !cell.core.options().local_cancel_reason {
        return state.cancel_reason.clone();
    }
    let status = state.tx.server().status();
    if status >= 200 && status != 408 {
        return Str::from(format!("Reason: SIP;cause={status}\r\n"));
    }
    Str::EMPTY
}

/// A copy's branch answered: nobody is told, and a 2xx to an INVITE gets its ACK from here.
pub fn end_copy(cell: &Cell, branch: BranchId, cx: &Cx) {
    let success = cx.msg.status().is_some_and(|status| (200..300).contains(&status));
    if !success {
        return;
    }
    let mut packets = Packets::new();
    {
        let mut state = cell.state.lock();
        if cell.method == kahea_sip::Method::Invite {
            ack(cell, &state, branch, Some((branch, &cx.msg)), &mut packets);
        }
        let mut actions = Actions::new();
        state.tx.release(super::core::now(&cx.worker), &mut actions);
        let _ = carry_out(cell, &mut state, actions, None);
    }
    send(&cx.worker, packets);
}

/// Sends, past `onsend_route`.
pub fn send(worker: &Rc<Worker>, packets: Packets) {
    for packet in packets {
        if let Err(fault) = proxy::send_raw(worker, &packet.to, packet.data) {
            info!("tm", "Could not send to {}: {fault}.", packet.to.to);
        }
    }
}

/// Sends a reply to the caller, through `onsend_route` where replies go that way.
pub fn reply(cx: &mut Cx, to: Destination, data: Str) {
    let through_route = cx.config().globals.onsend_route_reply != 0;
    if let Err(fault) = proxy::deliver(cx, to, data, through_route) {
        debug!("tm", "Could not send a reply to {}: {fault}.", to.to);
    }
}
