//! Branches for a transaction that runs already, and changes made visible: `t_append_branches()` and its kin.

use std::sync::Arc;

use kahea_module::{
    Cx, Decl, Fault, Hop, Ret, RouteKind, Str, Target, proxy,
    route::{ANY, BRANCH, EVENT, FAILURE, REQUEST},
};
use kahea_sip::{
    Limits, Message, Transport,
    build::{RequestParts, request},
};
use kahea_tx::BranchId;

use super::{
    Tm,
    attached::{self, Attached, Role, UsedTarget},
    cell::{Cell, Switches},
    relay::{self, How},
    relaying::set_switch,
};

/// Declares the functions.
pub fn declare(d: &mut Decl<Tm>) {
    d.func(
        "t_append_branches",
        [],
        t_append_branches,
        "Relays the request to branches that were added since it was relayed.",
    )
    .routes(REQUEST | FAILURE | EVENT)
    .waits();
    d.func("t_cell_append_branches", ["index", "label"], t_cell_append_branches, "Relays the INVITE of another transaction, named by its $T(id_index) and $T(id_label), to the destination set of this message.")
        .routes(ANY)
        .waits();
    d.func(
        "t_relay_to_avp",
        ["proto", "hostport"],
        t_relay_to_avp,
        "Relays over a transport to host:port, which may be the value of an AVP.",
    )
    .routes(REQUEST | EVENT)
    .waits();
    d.func("t_msg_apply_changes", [], t_msg_apply_changes, "Applies the changes so far to this branch's request, so that the rest of the branch_route sees them.")
        .routes(BRANCH);
    d.func("t_use_uac_headers", [], |_: &Tm, cx: &mut Cx| set_switch(cx, Switches::UAC_HEADERS, true), "ACK and CANCEL of this transaction are made from its request as it was sent, whatever reparse_invite says.")
        .routes(ANY)
        .kemi(0, "t_use_uac_headers");
}

fn t_relay_to_avp(m: &Tm, cx: &mut Cx, proto: Str, to: Str) -> Result<Ret, Fault> {
    let transport = Transport::parse(&proto)
        .ok_or_else(|| Fault::script(format!("'{proto}' is no transport: give udp, tcp, tls or sctp")))?;
    let hop = proxy::hop_of_uri(&Str::from([b"sip:", to.as_bytes()].concat()))?;
    let how = How {
        hop: Some(Hop { transport, ..hop }),
        transport: Some(transport),
        ..How::default()
    };
    Ok(relay::relay(&m.core, cx, how))
}

fn t_append_branches(m: &Tm, cx: &mut Cx) -> Result<Ret, Fault> {
    let cell = attached::cell(cx)
        .ok_or_else(|| Fault::script("the message has no transaction: t_relay() or t_newtran() begin one"))?;
    if cell.state.lock().branches.is_empty() || cx.branches.is_empty() {
        return Ok(Ret::FALSE);
    }
    // The Request-URI is a branch already.
    let used = UsedTarget::of(cx);
    cx.extra::<Attached>().used = Some(used);
    Ok(relay::relay(&m.core, cx, added()))
}

fn added() -> How {
    How {
        no_100: true,
        no_reply: true,
        ..How::default()
    }
}

fn t_cell_append_branches(m: &Tm, cx: &mut Cx, index: i64, label: i64) -> Result<Ret, Fault> {
    let number =
        |value: i64| u32::try_from(value).map_err(|_| Fault::script(format!("{value} names no transaction")));
    let Some(cell) = m.core.table.get_short(number(index)?, number(label)?) else {
        return Ok(Ret::FALSE);
    };
    let first = cx.target.ruri.is_some().then(|| cx.target.clone());
    let targets: Vec<Target> = first
        .into_iter()
        .chain(std::mem::take(&mut cx.branches))
        .collect();
    Ok(Ret::wait(move |cx| {
        Box::pin(async move {
            let worker = cx.worker.clone();
            append(&cell, &worker, targets).await.into()
        })
    }))
}

/// Relays the request of a running transaction to further targets; false where it has its final reply, or none can be
/// sent.
///
/// # Errors
/// Its request cannot be taken up again.
pub async fn append(
    cell: &Arc<Cell>,
    worker: &std::rc::Rc<kahea_module::Worker>,
    targets: Vec<Target>,
) -> Result<bool, Fault> {
    let last = {
        let state = cell.state.lock();
        if state.tx.server().is_final() || state.tx.is_cancelled() || targets.is_empty() {
            return Ok(false);
        }
        BranchId::at(state.branches.len().saturating_sub(1))
    };
    let worker = super::timer::worker_of(cell, worker);
    let mut request = cell.request_cx(worker)?;
    request.branches = targets;
    request.route = RouteKind::Failure;
    let used = UsedTarget::of(&request);
    let attached = request.extra::<Attached>();
    attached.cell = Some(cell.clone());
    attached.role = Role::Failure(last);
    attached.used = Some(used);
    let shared = borrow(cell, &mut request);
    let core = cell.core.clone();
    let ret = match relay::relay(&core, &mut request, added()) {
        Ret::Wait(rest) => rest(&mut request).await,
        ret => ret,
    };
    if shared {
        cell.state.lock().context.swap(&mut request);
    }
    request.finish();
    match ret {
        Ret::Fault(fault) => Err(fault),
        Ret::Code(code) => Ok(code > 0),
        _ => Ok(false),
    }
}

/// Lends the transaction's values to the request unless one of its routes has them just now.
fn borrow(cell: &Cell, request: &mut Cx) -> bool {
    let mut state = cell.state.lock();
    let free = !state.busy;
    if free {
        state.context.swap(request);
    }
    free
}

fn t_msg_apply_changes(_: &Tm, cx: &mut Cx) -> Result<bool, Fault> {
    apply_changes(cx)
}

fn apply_changes(cx: &mut Cx) -> Result<bool, Fault> {
    if cx.edits.is_empty() {
        return Ok(true);
    }
    let parts = RequestParts {
        ruri: None,
        new_via: None,
        via_fix: None,
        stream: false,
    };
    let mut out = Vec::with_capacity(cx.msg.buffer().len());
    request(&cx.msg, &cx.edits, &parts, &mut |_, _| {}, &mut out);
    cx.spend_bytes(out.len())?;
    let changed = Message::parse(out.into(), &Limits::default())
        .map_err(|error| Fault::script(format!("with its changes the request cannot be read: {error}")))?;
    let before = std::mem::replace(&mut cx.msg, changed);
    cx.edits.clear();
    // Other branches begin from the request as it was.
    cx.extra::<Attached>().unchanged.get_or_insert(before);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use kahea_module::testing::Server;
    use kahea_sip::{EditTag, Place};

    use super::*;

    #[test]
    fn a_branch_sees_its_changes_and_the_next_one_does_not() {
        let mut cx = Server::default().invite();
        let end = cx.msg.headers_end();
        cx.edits.insert(
            end,
            Place::After,
            kahea_module::Str::from("X-New: 1\r\n"),
            EditTag::Other,
        );
        assert_eq!(apply_changes(&mut cx), Ok(true));
        assert!(cx.msg.named(b"X-New").next().is_some() && cx.edits.is_empty());
        let before = cx.extra::<Attached>().unchanged.take().unwrap();
        assert!(before.named(b"X-New").next().is_none());
    }
}
