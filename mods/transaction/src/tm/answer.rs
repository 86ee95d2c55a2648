//! Replies to the caller: made here, or passed on.

use std::{rc::Rc, sync::Arc};

use kahea_mods_base::sl::{Rich, contact};
use kahea_module::{Cx, Fault, ReplyExtra, Str, Worker, proxy, state::Settled};
use kahea_sip::{Destination, EditTag, Method, Place};
use kahea_tx::{Actions, BranchId};

use super::{
    cell::{Cell, Sent, Switches},
    core::now,
    local, timer, watch,
    wire::{self, carry_out},
};

/// Answers the request that `cx` holds in its transaction.
///
/// # Errors
/// It has its final reply already, or cannot be answered.
pub fn local(cell: &Arc<Cell>, cx: &mut Cx, status: u16, reason: &[u8]) -> Result<(), Fault> {
    let worker = cx.worker.clone();
    let moment = now(&worker);
    let to = match cell.state.lock().reply_to {
        Some(to) => to,
        None => proxy::reply_destination(cx)?,
    };
    let tag = (status != 100).then(|| tag_of(cell, cx));
    let data = if (300..400).contains(&status) {
        redirection(cell, cx, status, reason, tag.as_deref())?
    } else {
        proxy::build_reply(cx, status, reason, tag.as_deref())?
    };
    let mut actions = Actions::new();
    let left = {
        let mut state = cell.state.lock();
        if !state
            .tx
            .answer(moment, status, true, to.transport.is_stream(), &mut actions)
        {
            return Err(Fault::script(format!(
                "the transaction was answered already with {}",
                state.tx.server().status()
            )));
        }
        // The 100 of most calls is never asked for again: `repeat()` makes it anew.
        let automatic = status == 100 && *reason == *cell.core.options().auto_inv_100_reason;
        state.sent = (!automatic).then(|| Sent {
            to,
            data: data.clone(),
        });
        state.relayed = None;
        let left = carry_out(cell, &mut state, actions, None);
        timer::arm(cell, &mut state, &worker);
        left
    };
    let counters = &cell.core.counters;
    counters.generated.inc();
    counters.sent.inc();
    if status >= 200 {
        counters.completed(status);
        Settled::note(cx);
    }
    let mut packets = wire::Packets::new();
    packets.push(Sent {
        to,
        data: data.clone(),
    });
    packets.extend(left.packets);
    wire::send(&worker, packets);
    local::response_sent(&cell.core, cx, &data);
    watch::answered(cell, cx, status, reason, &data);
    Ok(())
}

/// A 3xx: its Contact is the destination set, with what `rich_redirect` asks for.
fn redirection(
    cell: &Cell,
    cx: &mut Cx,
    status: u16,
    reason: &[u8],
    tag: Option<&[u8]>,
) -> Result<Str, Fault> {
    let rich = Rich::from_bits(cell.core.options().rich_redirect);
    let contact = contact(cx, rich).map(ReplyExtra::Header);
    let branches = std::mem::take(&mut cx.branches);
    let extra = cx.reply_extra.clone();
    cx.reply_extra.splice(..0, contact);
    let built = proxy::build_reply(cx, status, reason, tag);
    cx.reply_extra = extra;
    cx.branches = branches;
    built
}

/// Answers an INVITE with 100 (`auto_inv_100`), unless something was answered before or the script wants none.
///
/// # Errors
/// As [`local()`].
pub fn trying(cell: &Arc<Cell>, cx: &mut Cx) -> Result<(), Fault> {
    let options = &cell.core.options();
    let due = cell.method == Method::Invite && options.auto_inv_100 && {
        let state = cell.state.lock();
        state.tx.server().status() == 0 && !state.switches.has(Switches::NO_AUTO_100)
    };
    if due {
        local(cell, cx, 100, &options.auto_inv_100_reason)?;
    }
    Ok(())
}

/// Sends the last reply once more; false where there was none so far.
pub fn repeat(cell: &Cell, worker: &Rc<Worker>) -> bool {
    let (sent, reply_to, status) = {
        let state = cell.state.lock();
        (state.sent.clone(), state.reply_to, state.tx.server().status())
    };
    let sent = match (sent, reply_to) {
        (None, Some(to)) if status == 100 => trying_again(cell, worker).map(|data| Sent { to, data }),
        (sent, _) => sent,
    };
    let known = sent.is_some();
    wire::send(worker, sent.into_iter().collect());
    known
}

/// The 100 as it left: from the request that began the transaction, which a repetition need not equal in every header.
fn trying_again(cell: &Cell, worker: &Rc<Worker>) -> Option<Str> {
    let mut cx = cell.request_cx(worker.clone()).ok()?;
    let data = proxy::build_reply(&mut cx, 100, &cell.core.options().auto_inv_100_reason, None);
    cx.finish();
    data.ok()
}

/// The To-tag of replies made for this transaction.
pub fn tag_of(cell: &Cell, cx: &Cx) -> Str {
    cell.state
        .lock()
        .tag
        .get_or_insert_with(|| stateful_tag(cx))
        .clone()
}

/// It differs from the tag of stateless replies, whose ACK module `sl` keeps from the script: the ACK to a reply of a
/// transaction has to end its repetitions.
fn stateful_tag(cx: &Cx) -> Str {
    let tag = proxy::local_tag(cx).text().replace('.', "-");
    Str::from(tag)
}

/// Passes the reply that `cx` holds on to the caller; true where it left.
pub fn relay(cell: &Arc<Cell>, branch: BranchId, cx: &mut Cx) -> bool {
    let Some(status) = cx.msg.status() else {
        return false;
    };
    if cell.state.lock().tx.is_local() {
        local::replied(cell, branch, cx);
        return true;
    }
    let worker = cx.worker.clone();
    let (to, data, left, before) = {
        let mut state = cell.state.lock();
        let Some(mut to) = state.reply_to else {
            return false;
        };
        merge_flags(&mut to, cx);
        let mut actions = Actions::new();
        let reliable = to.transport.is_stream();
        let first_final = status >= 200 && !state.tx.server().is_final();
        if !state
            .tx
            .answer(now(&worker), status, false, reliable, &mut actions)
        {
            cell.core.counters.absorbed.inc();
            return false;
        }
        if first_final {
            cell.core.counters.completed(status);
        }
        let data = forwarded(cx, to);
        let before = state.sent.as_ref().filter(|_| !first_final && status >= 200);
        let before = before.map(|sent| sent.data.clone());
        // Further answers of a forked call pass; a repeated INVITE gets the first.
        if first_final || status < 200 {
            state.sent = Some(Sent {
                to,
                data: data.clone(),
            });
            state.relayed = Some(branch);
        }
        let elsewhere = (200..300).contains(&status)
            && state.cancel_reason.is_empty()
            && cell.core.options().local_cancel_reason;
        if elsewhere {
            state.cancel_reason =
                Str::from_static("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n");
        }
        let left = carry_out(cell, &mut state, actions, Some((branch, &cx.msg)));
        if elsewhere {
            state.cancel_reason = Str::EMPTY;
        }
        timer::arm(cell, &mut state, &worker);
        (to, data, left, before)
    };
    cell.core.counters.relayed.inc();
    cell.core.counters.sent.inc();
    wire::reply(cx, to, data);
    wire::send(&worker, left.packets);
    watch::passed_on(cell, branch, cx, before.as_ref());
    true
}

fn merge_flags(to: &mut Destination, cx: &Cx) {
    to.flags.close |= cx.reply_flags.close;
    to.flags.no_connect |= cx.reply_flags.no_connect;
}

/// The reply without our Via, with what routes and `append_to_reply()` did to it.
fn forwarded(cx: &mut Cx, to: Destination) -> Str {
    let extra = std::mem::take(&mut cx.reply_extra);
    for item in extra {
        if let ReplyExtra::Header(line) = item {
            let end = cx.msg.headers_end();
            cx.edits.insert(end, Place::After, line, EditTag::Other);
        }
    }
    proxy::build_relayed(cx, &to)
}

/// Answers in the place of branches that did not: the transaction's request is taken up again for it.
pub fn in_place(cell: &Arc<Cell>, worker: &Rc<Worker>, status: u16, reason: &[u8]) {
    if cell.state.lock().switches.has(Switches::REPLICA) {
        return;
    }
    let answered = cell.request_cx(worker.clone()).and_then(|mut cx| {
        let answered = local(cell, &mut cx, status, reason);
        cx.finish();
        answered
    });
    if let Err(fault) = answered {
        kahea_module::debug!("tm", "No {status} to the caller: {fault}.");
    }
}

/// The reason phrase of a status that this server answers with (RFC 3261 section 21).
pub fn reason_of(status: u16) -> &'static [u8] {
    match status {
        401 => b"Unauthorized",
        407 => b"Proxy Authentication Required",
        408 => b"Request Timeout",
        477 => b"Unfortunately error on sending to next hop occurred (477/TM)",
        478 => b"Unresolvable destination (478/TM)",
        487 => b"Request Terminated",
        503 => b"Service Unavailable",
        _ => b"Server Internal Error",
    }
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;

    use super::*;

    #[test]
    fn the_ack_to_a_reply_of_a_transaction_is_not_for_sl() {
        let cx = Server::default().invite();
        assert!(proxy::is_local_tag(&cx, &proxy::local_tag(&cx)));
        assert!(!proxy::is_local_tag(&cx, &stateful_tag(&cx)));
        assert_eq!(stateful_tag(&cx), stateful_tag(&cx));
    }
}
